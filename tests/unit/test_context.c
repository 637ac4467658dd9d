/* Contexts: messages, log, threads, cancellation; aligned buffers. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/memory.h"

static void messages(void **state)
{
    eq_context *ctx = eq_context_new();
    assert_string_equal(eq_last_error(ctx), "");
    assert_int_equal(eq_fail(ctx, EQ_BAD_INPUT, "%s: line %d", "a.json", 3), EQ_BAD_INPUT);
    assert_string_equal(eq_last_error(ctx), "a.json: line 3");
    /* A message may be made from the one before. */
    eq_fail(ctx, EQ_FAILED, "while reading: %s", eq_last_error(ctx));
    assert_string_equal(eq_last_error(ctx), "while reading: a.json: line 3");
    assert_int_equal(eq_fail_memory(ctx, "a cat"), EQ_NO_MEMORY);
    assert_non_null(strstr(eq_last_error(ctx), "a cat"));
    char text[5000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    eq_fail(ctx, EQ_FAILED, "%s", text); /* cut, not overrun */
    assert_in_range(strlen(eq_last_error(ctx)), 500, 4999);
    assert_int_equal(eq_fail(NULL, EQ_IO_ERROR, "lost"), EQ_IO_ERROR);
    eq_context_free(ctx);
    eq_context_free(NULL);
}

static void status_names(void **state)
{
    for (int i = EQ_OK; i <= EQ_CANCELLED; i++)
        for (int k = EQ_OK; k < i; k++)
            assert_string_not_equal(eq_status_name((eq_status)i), eq_status_name((eq_status)k));
    assert_string_equal(eq_status_name(EQ_BAD_INPUT), "bad input");
    assert_string_equal(eq_status_name((eq_status)99), "unknown status");
}

typedef struct lines {
    int count;
    eq_log_level level;
    char text[2000];
} lines;

static void keep(void *user, eq_log_level level, const char *line)
{
    lines *l = user;
    l->count++;
    l->level = level;
    snprintf(l->text, sizeof l->text, "%s", line);
}

static void log_lines(void **state)
{
    eq_context *ctx = eq_context_new();
    lines kept = {0};
    eq_log(ctx, EQ_LOG_INFO, "nobody listens");
    eq_log(NULL, EQ_LOG_INFO, "nobody at all");
    eq_set_log(ctx, keep, &kept);
    eq_log(ctx, EQ_LOG_WARNING, "%d of %s", 3, "them");
    assert_int_equal(kept.count, 1);
    assert_int_equal(kept.level, EQ_LOG_WARNING);
    assert_string_equal(kept.text, "3 of them");
    eq_set_log(ctx, NULL, NULL);
    eq_log(ctx, EQ_LOG_WARNING, "gone");
    assert_int_equal(kept.count, 1);
    eq_context_free(ctx);
}

static void thread_counts(void **state)
{
    eq_context *ctx = eq_context_new();
    int most = eq_threads(ctx); /* as many as there are */
    assert_true(most >= 1);
    eq_set_threads(ctx, 3);
    assert_int_equal(eq_threads(ctx), 3);
    eq_set_threads(ctx, -4); /* as many as there are, again */
    assert_int_equal(eq_threads(ctx), most);
    eq_context_free(ctx);
}

static eq_context *signalled;
static void on_signal(int number)
{
    eq_cancel(signalled);
}

static void cancellation(void **state)
{
    eq_context *ctx = eq_context_new(), *other = eq_context_new();
    assert_false(eq_cancelled(ctx));
    signalled = ctx;
    void (*before)(int) = signal(SIGUSR1, on_signal);
    raise(SIGUSR1);
    signal(SIGUSR1, before);
    assert_true(eq_cancelled(ctx));
    assert_false(eq_cancelled(other));
    eq_cancel_clear(ctx);
    assert_false(eq_cancelled(ctx));
    eq_context_free(ctx);
    eq_context_free(other);
}

static void buffers(void **state)
{
    static const size_t sizes[] = {0, 1, 63, 64, 65, 1 << 20, (2 << 20) - 1, 2 << 20, (2 << 20) + 1, 5 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        unsigned char *buffer = eq_buffer_new(sizes[i]);
        assert_non_null(buffer);
        assert_int_equal((uintptr_t)buffer % (sizes[i] >= 2 << 20 ? 2 << 20 : 64), 0);
        for (size_t k = 0; k < sizes[i]; k++)
            if (buffer[k] != 0)
                fail_msg("byte %zu of %zu is not zero", k, sizes[i]);
        memset(buffer, 255, sizes[i]);
        eq_buffer_free(buffer);
    }
    assert_null(eq_buffer_new(SIZE_MAX));
    assert_null(eq_buffer_new(SIZE_MAX - 100));
    eq_buffer_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages),      cmocka_unit_test(status_names), cmocka_unit_test(log_lines),
        cmocka_unit_test(thread_counts), cmocka_unit_test(cancellation), cmocka_unit_test(buffers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
