/* manifest.jsonl: what is appended is read back; interruptions and damage. */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/path.h"
#include "io/manifest.h"
#include "temporary.h"

static eq_context *ctx;

static int make_context(void **state)
{
    ctx = eq_context_new();
    return ctx ? 0 : -1;
}

static int drop_context(void **state)
{
    eq_context_free(ctx);
    return 0;
}

static const char *const genders[] = {"female", "male"};
static const float probabilities[] = {0.1f, 0.9f};
static const eq_manifest_target targets[] = {{"gender", "male"}, {"gender*glasses", NULL}};
static const eq_manifest_prediction predictions[] = {{{"gender", 2, genders}, probabilities}};

static eq_manifest_entry entry_of(int64_t index)
{
    return (eq_manifest_entry){.file = "images/x.png",
                               .seed = INT64_MAX,
                               .index = index,
                               .batch = index / 2,
                               .guided = index % 2 == 0,
                               .prompt = index % 2 == 0 ? NULL : "a portrait, \"smiling\"",
                               .target_count = 2,
                               .targets = targets,
                               .prediction_count = 1,
                               .predictions = predictions};
}

static void append(const char *path, int64_t first, int64_t end)
{
    eq_manifest_writer writer;
    assert_int_equal(eq_manifest_writer_open(ctx, path, &writer), EQ_OK);
    for (int64_t i = first; i < end; i++) {
        eq_manifest_entry entry = entry_of(i);
        assert_int_equal(eq_manifest_append(ctx, &writer, &entry), EQ_OK);
    }
    assert_int_equal(eq_manifest_writer_close(ctx, &writer), EQ_OK);
}

static void entries_round_trip(void **state)
{
    char *path = eq_path_join(*state, "manifest.jsonl");
    append(path, 0, 3);
    append(path, 3, 5);
    eq_manifest manifest;
    assert_int_equal(eq_manifest_read(ctx, path, &manifest), EQ_OK);
    assert_int_equal(manifest.count, 5);
    for (int64_t i = 0; i < 5; i++) {
        const eq_manifest_entry *entry = eq_manifest_find(&manifest, i);
        assert_ptr_equal(entry, &manifest.entries[i]);
        assert_string_equal(entry->file, "images/x.png");
        assert_true(entry->seed == INT64_MAX);
        assert_int_equal(entry->batch, i / 2);
        assert_int_equal(entry->guided, i % 2 == 0);
        if (i % 2 == 0)
            assert_null(entry->prompt);
        else
            assert_string_equal(entry->prompt, "a portrait, \"smiling\"");
        assert_int_equal(entry->target_count, 2);
        assert_string_equal(entry->targets[0].target, "gender");
        assert_string_equal(entry->targets[0].cell, "male");
        assert_null(entry->targets[1].cell);
        assert_int_equal(entry->prediction_count, 1);
        assert_string_equal(entry->predictions[0].attribute.name, "gender");
        assert_int_equal(entry->predictions[0].attribute.classes, 2);
        assert_string_equal(entry->predictions[0].attribute.class_names[1], "male");
        assert_true(entry->predictions[0].p[0] == 0.1f && entry->predictions[0].p[1] == 0.9f);
    }
    assert_null(eq_manifest_find(&manifest, 5));
    eq_manifest_free(&manifest);
    free(path);
}

static void a_line_is_as_documented(void **state)
{
    char *path = eq_path_join(*state, "manifest.jsonl");
    append(path, 2, 3);
    uint8_t *bytes;
    size_t size;
    assert_int_equal(eq_file_read(ctx, path, 1000, &bytes, &size), EQ_OK);
    const char *start =
        "{\"file\":\"images/x.png\",\"seed\":9223372036854775807,\"index\":2,\"batch\":1,"
        "\"target_class\":{\"gender\":\"male\",\"gender*glasses\":null},\"adp\":{\"gender\":{\"female\":";
    assert_memory_equal(bytes, start, strlen(start));
    free(bytes);
    free(path);
}

/* Cut at any byte, the whole lines are read, and a writer goes on behind them. */
static void a_torn_line_is_ignored_and_replaced(void **state)
{
    char *path = eq_path_join(*state, "manifest.jsonl");
    append(path, 0, 3);
    uint8_t *bytes;
    size_t size;
    assert_int_equal(eq_file_read(ctx, path, 10000, &bytes, &size), EQ_OK);
    for (size_t length = 0; length < size; length++) {
        size_t lines = 0;
        for (size_t i = 0; i < length; i++)
            lines += bytes[i] == '\n';
        eq_manifest manifest;
        assert_int_equal(eq_manifest_parse(ctx, (const char *)bytes, length, "m", &manifest), EQ_OK);
        assert_int_equal(manifest.count, lines);
        eq_manifest_free(&manifest);
        if (length % 13)
            continue;
        assert_int_equal(eq_file_write(ctx, path, bytes, length), EQ_OK);
        append(path, 7, 8);
        assert_int_equal(eq_manifest_read(ctx, path, &manifest), EQ_OK);
        assert_int_equal(manifest.count, lines + 1);
        assert_non_null(eq_manifest_find(&manifest, 7));
        eq_manifest_free(&manifest);
    }
    free(bytes);
    free(path);
}

static void the_last_line_of_an_index_counts(void **state)
{
    char *path = eq_path_join(*state, "manifest.jsonl");
    append(path, 4, 6);
    append(path, 1, 3);
    eq_manifest_writer writer;
    eq_manifest_entry again = entry_of(4);
    again.file = "images/again.png";
    assert_int_equal(eq_manifest_writer_open(ctx, path, &writer), EQ_OK);
    assert_int_equal(eq_manifest_append(ctx, &writer, &again), EQ_OK);
    assert_int_equal(eq_manifest_writer_close(ctx, &writer), EQ_OK);
    eq_manifest manifest;
    assert_int_equal(eq_manifest_read(ctx, path, &manifest), EQ_OK);
    assert_int_equal(manifest.count, 4);
    assert_string_equal(eq_manifest_find(&manifest, 4)->file, "images/again.png");
    assert_int_equal(manifest.entries[0].index, 1);
    assert_int_equal(manifest.entries[3].index, 5);
    eq_manifest_free(&manifest);
    free(path);
}

static void faults_name_the_line(void **state)
{
    static const struct {
        const char *line, *fault;
    } faulty[] = {
        {"\n", "line 2"},
        {"[]\n", "expected a JSON object"},
        {"{\"file\":3}\n", "\"file\" should be a string, found 3"},
        {"{\"file\":\"a\"}\n", "\"seed\" is missing"},
        {"{\"file\":\"a\",\"seed\":1,\"index\":-1}\n", "\"index\" should be an integer from 0"},
        {"{\"file\":\"a\",\"seed\":1,\"index\":1,\"batch\":0,\"guided\":true,\"prompt\":1}\n",
         "\"prompt\" should be a string"},
        {"{\"file\":\"a\",\"seed\":1,\"index\":1,\"batch\":0,\"guided\":1}\n", "\"guided\" should be true or false"},
        {"{\"file\":\"a\",\"seed\":1,\"index\":1,\"batch\":0,\"guided\":true,\"target_class\":{\"g\":1}}\n",
         "\"g\" should be a string"},
        {"{\"file\":\"a\",\"seed\":1,\"index\":1,\"batch\":0,\"guided\":true,\"target_class\":{},"
         "\"adp\":{\"g\":{\"a\":0.5,\"b\":2},\"h\":{\"a\":1}}}\n",
         "\"b\" should be a number from 0 to 1, found 2"},
    };
    const char *good =
        "{\"file\":\"a\",\"seed\":1,\"index\":1,\"batch\":0,\"guided\":true,\"target_class\":{},\"adp\":{}}\n";
    for (size_t i = 0; i < sizeof faulty / sizeof *faulty; i++) {
        char text[512];
        int length = snprintf(text, sizeof text, "%s%s", good, faulty[i].line);
        eq_manifest manifest;
        assert_int_equal(eq_manifest_parse(ctx, text, (size_t)length, "m.jsonl", &manifest), EQ_BAD_INPUT);
        assert_non_null(strstr(eq_last_error(ctx), "m.jsonl: line 2"));
        if (!strstr(eq_last_error(ctx), faulty[i].fault))
            fail_msg("expected \"%s\" in: %s", faulty[i].fault, eq_last_error(ctx));
    }
}

static void bad_entries_are_not_written(void **state)
{
    char *path = eq_path_join(*state, "manifest.jsonl");
    const float broken[] = {NAN, 1};
    const eq_manifest_prediction bad[] = {{{"gender", 2, genders}, broken}};
    eq_manifest_writer writer;
    assert_int_equal(eq_manifest_writer_open(ctx, path, &writer), EQ_OK);
    eq_manifest_entry entry = entry_of(0);
    entry.predictions = bad;
    assert_int_equal(eq_manifest_append(ctx, &writer, &entry), EQ_FAILED);
    entry = entry_of(0);
    entry.seed = UINT64_MAX;
    assert_int_equal(eq_manifest_append(ctx, &writer, &entry), EQ_BAD_USAGE);
    assert_int_equal(eq_manifest_writer_close(ctx, &writer), EQ_OK);
    eq_manifest manifest;
    assert_int_equal(eq_manifest_read(ctx, path, &manifest), EQ_OK);
    assert_int_equal(manifest.count, 0);
    eq_manifest_free(&manifest);
    free(path);
}

/* A limit on the file's size stands for a full disk: the line that does not fit leaves nothing behind. */
static void a_line_that_does_not_fit_leaves_no_trace(void **state)
{
    char *path = eq_path_join(*state, "manifest.jsonl");
    append(path, 0, 1);
    uint8_t *bytes;
    size_t size, after;
    assert_int_equal(eq_file_read(ctx, path, 10000, &bytes, &size), EQ_OK);
    free(bytes);

    eq_manifest_writer writer;
    assert_int_equal(eq_manifest_writer_open(ctx, path, &writer), EQ_OK);
    struct rlimit old, limited;
    getrlimit(RLIMIT_FSIZE, &old);
    limited = old;
    limited.rlim_cur = size + 20;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limited);
    eq_manifest_entry entry = entry_of(1);
    eq_status status = eq_manifest_append(ctx, &writer, &entry);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(status, EQ_IO_ERROR);
    assert_non_null(strstr(eq_last_error(ctx), path));
    assert_int_equal(eq_file_read(ctx, path, 10000, &bytes, &after), EQ_OK);
    free(bytes);
    assert_int_equal(after, size);
    assert_int_equal(eq_manifest_append(ctx, &writer, &entry), EQ_OK);
    assert_int_equal(eq_manifest_writer_close(ctx, &writer), EQ_OK);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(entries_round_trip, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(a_line_is_as_documented, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(a_torn_line_is_ignored_and_replaced, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(the_last_line_of_an_index_counts, temporary_setup, temporary_teardown),
        cmocka_unit_test(faults_name_the_line),
        cmocka_unit_test_setup_teardown(bad_entries_are_not_written, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(a_line_that_does_not_fit_leaves_no_trace, temporary_setup, temporary_teardown),
    };
    return cmocka_run_group_tests(tests, make_context, drop_context);
}
