/* Values of options as users type them, and whole command lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "equipoise/command.h"

typedef struct settings {
    bool flag;
    int64_t count, memory, batch;
    double strength;
    eq_range steps;
    eq_integers channels;
    int loss;
    const char *out;
    eq_texts targets;
} settings;

static const char *const losses[] = {"chi2", "kl", "l2", NULL};

static const eq_option options[] = {
    {.heading = "Section"},
    {.name = "flag", .letter = 'f', .kind = EQ_FLAG, .member = offsetof(settings, flag), .help = "flag"},
    {.name = "count",
     .letter = 'n',
     .kind = EQ_INTEGER,
     .value = "N",
     .required = true,
     .range = {1, 1000},
     .member = offsetof(settings, count),
     .help = "count"},
    {.name = "batch",
     .kind = EQ_INTEGER,
     .value = "N",
     .automatic = true,
     .standard = "auto",
     .range = {1, 64},
     .member = offsetof(settings, batch),
     .help = "batch"},
    {.name = "memory",
     .kind = EQ_SIZE,
     .value = "SIZE",
     .standard = "4G",
     .range = {1 << 20, INT64_C(1) << 40},
     .member = offsetof(settings, memory),
     .help = "memory"},
    {.name = "strength",
     .kind = EQ_REAL,
     .value = "F",
     .automatic = true,
     .standard = "1.5",
     .real = {0, 10},
     .member = offsetof(settings, strength),
     .help = "strength"},
    {.name = "steps",
     .kind = EQ_RANGE,
     .value = "A..B",
     .standard = "0..50",
     .range = {0, 50},
     .member = offsetof(settings, steps),
     .help = "steps"},
    {.name = "channels",
     .kind = EQ_INTEGERS,
     .value = "N,...",
     .standard = "1,2,3",
     .range = {1, 99},
     .member = offsetof(settings, channels),
     .help = "channels"},
    {.name = "loss",
     .kind = EQ_CHOICE,
     .value = "NAME",
     .choices = losses,
     .standard = "kl",
     .member = offsetof(settings, loss),
     .help = "loss"},
    {.name = "out", .kind = EQ_FOLDER, .value = "DIR", .member = offsetof(settings, out), .help = "out"},
    {.name = "target", .kind = EQ_TEXTS, .value = "T", .member = offsetof(settings, targets), .help = "target"},
    {0}};

static const eq_command command = {.name = "test run",
                                   .summary = "test",
                                   .options = options,
                                   .arguments = {.value = "FILE", .most = 1, .kind = EQ_FILE},
                                   .settings_size = sizeof(settings)};

/* Stores one value into fresh settings. */
static eq_status store(eq_context *ctx, const char *name, const char *text, settings *s)
{
    *s = (settings){0};
    const eq_option *option = eq_option_find(options, name);
    assert_non_null(option);
    return eq_option_store(ctx, option, text, s);
}

static void refuses(eq_context *ctx, const char *name, const char *text, const char *message)
{
    settings s;
    assert_int_equal(store(ctx, name, text, &s), EQ_BAD_USAGE);
    assert_string_equal(eq_last_error(ctx), message);
}

static void test_numbers(void **state)
{
    eq_context *ctx = *state;
    settings s;
    assert_int_equal(store(ctx, "count", "1", &s), EQ_OK);
    assert_int_equal(s.count, 1);
    assert_int_equal(store(ctx, "count", "+1000", &s), EQ_OK);
    assert_int_equal(s.count, 1000);
    refuses(ctx, "count", "1001", "--count must be 1 to 1000, not 1001");
    refuses(ctx, "count", "auto", "--count must be 1 to 1000, not 'auto'");
    refuses(ctx, "count", "-", "--count must be 1 to 1000, not '-'");
    refuses(ctx, "count", "5 ", "--count must be 1 to 1000, not '5 '");
    assert_int_equal(store(ctx, "batch", "auto", &s), EQ_OK);
    assert_int_equal(s.batch, EQ_AUTO);
    refuses(ctx, "batch", "-1", "--batch must be 1 to 64 or auto, not -1");
    assert_int_equal(store(ctx, "strength", "1e-3", &s), EQ_OK);
    assert_true(s.strength == 1e-3);
    assert_int_equal(store(ctx, "strength", "auto", &s), EQ_OK);
    assert_true(s.strength == EQ_AUTO);
    refuses(ctx, "strength", "nan", "--strength must be 0 to 10 or auto, not 'nan'");
    refuses(ctx, "strength", "1e999", "--strength must be 0 to 10 or auto, not 1e999");
    refuses(ctx, "strength", "-0.1", "--strength must be 0 to 10 or auto, not -0.1");
    refuses(ctx, "strength", "1,5", "--strength must be 0 to 10 or auto, not '1,5'");
}

static void test_sizes(void **state)
{
    static const struct {
        const char *text;
        int64_t bytes;
    } good[] = {
        {"1048576", 1 << 20},       {"1M", 1 << 20},       {"1m", 1 << 20},          {"1MB", 1 << 20},
        {"1MiB", 1 << 20},          {"1024K", 1 << 20},    {"4G", INT64_C(4) << 30}, {"1.5G", INT64_C(3) << 29},
        {"0.5T", INT64_C(1) << 39}, {"1048576B", 1 << 20},
    };
    static const char *const bad[] = {"", "G", "4X", "4GG", "4Gi B", "1023K", "2T", "-4G", "4 G", "1e40G", "nan"};
    eq_context *ctx = *state;
    settings s;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(store(ctx, "memory", good[i].text, &s), EQ_OK);
        assert_int_equal(s.memory, good[i].bytes);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(store(ctx, "memory", bad[i], &s), EQ_BAD_USAGE);
    refuses(ctx, "memory", "4X", "--memory must be a size like 512M or 4G within 1M to 1T, not '4X'");
}

static void test_ranges_and_lists(void **state)
{
    static const char *const bad_ranges[] = {"", "..", "3..", "..3", "5..3", "0..51", "-1..3", "1...3", "1..3..4"};
    static const char *const bad_lists[] = {"", ",", "1,", ",1", "1,,2", "0", "1,100", "1;2", "1, 2"};
    eq_context *ctx = *state;
    settings s;
    assert_int_equal(store(ctx, "steps", "3..40", &s), EQ_OK);
    assert_int_equal(s.steps.first, 3);
    assert_int_equal(s.steps.last, 40);
    assert_int_equal(store(ctx, "steps", "7", &s), EQ_OK);
    assert_int_equal(s.steps.first, 7);
    assert_int_equal(s.steps.last, 7);
    for (size_t i = 0; i < sizeof bad_ranges / sizeof bad_ranges[0]; i++)
        assert_int_equal(store(ctx, "steps", bad_ranges[i], &s), EQ_BAD_USAGE);
    refuses(ctx, "steps", "5..3", "--steps must be A..B within 0 to 50, not '5..3'");

    assert_int_equal(store(ctx, "channels", "8,16", &s), EQ_OK);
    assert_int_equal(s.channels.count, 2);
    assert_int_equal(s.channels.item[1], 16);
    assert_int_equal(store(ctx, "channels", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16", &s), EQ_OK);
    assert_int_equal(s.channels.count, EQ_OPTION_LIST);
    assert_int_equal(store(ctx, "channels", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17", &s), EQ_BAD_USAGE);
    for (size_t i = 0; i < sizeof bad_lists / sizeof bad_lists[0]; i++)
        assert_int_equal(store(ctx, "channels", bad_lists[i], &s), EQ_BAD_USAGE);
}

static void test_choice(void **state)
{
    eq_context *ctx = *state;
    settings s;
    assert_int_equal(store(ctx, "loss", "l2", &s), EQ_OK);
    assert_int_equal(s.loss, 2);
    refuses(ctx, "loss", "L2", "--loss must be chi2, kl or l2, not 'L2'");
    refuses(ctx, "loss", "", "--loss must be chi2, kl or l2, not ''");
}

static eq_status open_line(eq_invocation *call, eq_context *ctx, char **words)
{
    int argc = 0;
    while (words[argc])
        argc++;
    *call = (eq_invocation){.ctx = ctx};
    return eq_invocation_open(call, &command, argc, words);
}

static void test_command_line(void **state)
{
    char *words[] = {"--target", "a",     "-fn", "7",      "--target=b=c", "file", "--count=8",
                     "--quiet",  "--out", "-o",  "--seed", "12",           NULL};
    eq_invocation call;
    assert_int_equal(open_line(&call, *state, words), EQ_OK);
    const settings *s = call.settings;
    assert_true(s->flag);
    assert_int_equal(s->count, 8);
    assert_string_equal(s->out, "-o");
    assert_int_equal(s->targets.count, 2);
    assert_string_equal(s->targets.item[0], "a");
    assert_string_equal(s->targets.item[1], "b=c");
    assert_int_equal(s->batch, EQ_AUTO);
    assert_int_equal(s->memory, INT64_C(4) << 30);
    assert_int_equal(s->steps.last, 50);
    assert_int_equal(s->loss, 1);
    assert_true(call.common.quiet);
    assert_int_equal(call.common.seed, 12);
    assert_int_equal(call.argument_count, 1);
    assert_string_equal(call.arguments[0], "file");
    assert_true(eq_given(&call, "count"));
    assert_false(eq_given(&call, "loss"));
    assert_false(eq_given(&call, "nothing"));
    eq_invocation_close(&call);
}

static void test_bad_command_lines(void **state)
{
    static const struct {
        char *words[4];
        const char *message;
    } cases[] = {
        {{NULL}, "--count N is missing; see 'equipoise test run --help'"},
        {{"-n", "1", "--los=kl"}, "unknown option '--los'; did you mean '--loss'?"},
        {{"-n", "1", "--json"}, "unknown option '--json'; 'equipoise test run --help' lists them"},
        {{"-n", "1", "--flag=1"}, "--flag takes no value"},
        {{"-n", "1", "--loss"}, "--loss needs a value: --loss NAME"},
        {{"-n1", "a", "b"}, "'b' is one argument too many; see 'equipoise test run --help'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        eq_invocation call;
        assert_int_equal(open_line(&call, *state, (char **)cases[i].words), EQ_BAD_USAGE);
        assert_string_equal(eq_last_error(*state), cases[i].message);
        eq_invocation_close(&call);
    }
    /* After --help nothing is required. */
    char *words[] = {"-h", NULL};
    eq_invocation call;
    assert_int_equal(open_line(&call, *state, words), EQ_OK);
    assert_true(call.common.help);
    eq_invocation_close(&call);
}

static void test_limits(void **state)
{
    static const struct {
        const char *name, *limits;
    } cases[] = {
        {"flag", ""},
        {"count", "1 to 1000; required"},
        {"batch", "1 to 64 or auto; default auto"},
        {"memory", "1M to 1T; default 4G"},
        {"strength", "0 to 10 or auto; default 1.5"},
        {"loss", "chi2, kl or l2; default kl"},
        {"target", "repeatable"},
    };
    char text[128];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int length = eq_option_limits(eq_option_find(options, cases[i].name), text, sizeof text);
        assert_string_equal(text, cases[i].limits);
        assert_int_equal(length, strlen(text));
    }
    /* A buffer that is too small is filled and terminated. */
    char small[8];
    assert_int_equal(eq_option_limits(eq_option_find(options, "count"), small, sizeof small), 19);
    assert_string_equal(small, "1 to 10");
}

static void test_nearest(void **state)
{
    static const char *const names[] = {"count", "out", "learning-rate", "first-index", "steps"};
    static const struct {
        const char *word, *nearest;
    } cases[] = {
        {"cuont", "count"},
        {"counts", "count"},
        {"learningrate", "learning-rate"},
        {"learn", "learning-rate"},
        {"ou", "out"},
        {"step", "steps"},
        {"zzz", NULL},
        {"", NULL},
        {"a-word-that-is-longer-than-any-name-could-be-and-therefore-not-looked-at-any-further", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *nearest = eq_nearest(cases[i].word, names, 5);
        if (cases[i].nearest)
            assert_string_equal(nearest ? nearest : "", cases[i].nearest);
        else
            assert_null(nearest);
    }
}

/* The defaults of every command parse, its texts fit, and no two options have one name. */
static void test_tables(void **state)
{
    for (const eq_command *const *row = eq_commands; *row; row++) {
        assert_true(strlen((*row)->summary) <= 55);
        char *words[] = {"--help", NULL};
        eq_invocation call = {.ctx = *state};
        assert_int_equal(eq_invocation_open(&call, *row, 1, words), EQ_OK);
        eq_invocation_close(&call);
        for (const eq_option *option = (*row)->options; option->heading || option->name; option++) {
            if (!option->name)
                continue;
            assert_ptr_equal(eq_option_find((*row)->options, option->name), option);
            assert_null(eq_option_find(eq_common_options, option->name));
            assert_non_null(option->help);
            assert_true((option->value == NULL) == (option->kind == EQ_FLAG));
            assert_true((option->choices != NULL) == (option->kind == EQ_CHOICE));
        }
    }
}

static int setup(void **state)
{
    *state = eq_context_new();
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    eq_context_free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),      cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_choice),       cmocka_unit_test(test_ranges_and_lists),
        cmocka_unit_test(test_command_line), cmocka_unit_test(test_bad_command_lines),
        cmocka_unit_test(test_limits),       cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_tables),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
