/* Suites: what is read, what is refused and how it is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "run/suite.h"
#include "unit/tiny.h"

static eq_context *ctx;

#define HEAD    "{\"format\": \"equipoise suite 1\", \"count\": 8, \"seeds\": [1, 2], "
#define METHODS "\"methods\": [\"none\", \"assign\"], "
#define TARGETS "\"targets\": [\"gender=female:0.5,male:0.5\"]"

static eq_status parse(const char *text, eq_suite *out)
{
    return eq_suite_parse(ctx, text, strlen(text), "s.json", out);
}

static void defaults(void **state)
{
    eq_suite s;
    assert_ok(parse(HEAD METHODS TARGETS "}", &s));
    assert_int_equal(s.steps, 50);
    assert_int_equal(s.seed_count, 2);
    assert_string_equal(s.evaluator, "evaluator");
    assert_int_equal(s.method_count, 2);
    assert_int_equal(s.methods[1].strength, EQ_SUITE_TUNED);
    assert_int_equal(s.factor_count, 5);
    assert_int_equal(s.tuning_count, 64);
    assert_false(s.has_reference);
    assert_string_equal(s.targets[0].folder, "gender-female-0.5-male-0.5");
    eq_suite_close(&s);
}

static void everything(void **state)
{
    eq_suite s;
    assert_ok(parse(
        HEAD
        "\"steps\": 20, \"eta\": 0, \"prompt\": \"a portrait\", \"cfg\": 3, \"class_words\": [\"a=b:c\"], \"methods\": [{\"name\": \"x-1\", \"method\": \"distribution\", "
        "\"strength\": 3, \"loss\": \"kl\", \"guide_steps\": \"5..20\", \"coupled\": 4, "
        "\"temperature\": 2, \"jacobian\": true, \"class_words\": [\"a=b:d\", \"c=d:e\"], \"heads\": {\"per_class\": 50, \"hidden\": 8, \"label_noise\": 0.1}}, "
        "{\"method\": \"assign\", \"strength\": \"stored\"}], "
        "\"targets\": [{\"name\": \"both\", \"targets\": [\"a=b:1\", \"c=d:1\"]}], "
        "\"reference\": \"some/folder\", \"heads_images\": {\"synth\": \"portraits\", \"joint\": "
        "\"biased\", \"count\": 10}, \"tuning\": {\"count\": 4, \"seed\": 9, \"factors\": [1, 2.5]}}",
        &s));
    const eq_suite_method *m = &s.methods[0];
    assert_string_equal(m->name, "x-1");
    assert_int_equal(m->strength, EQ_SUITE_FIXED);
    assert_near(m->fixed, 3, 0);
    assert_int_equal(m->guide_first, 5);
    assert_int_equal(m->guide_last, 20);
    assert_int_equal(m->coupled, 4);
    assert_true(m->jacobian);
    assert_int_equal(m->class_word_count, 2);
    assert_string_equal(m->class_words[1], "c=d:e");
    assert_int_equal(m->heads.per_class, 50);
    assert_int_equal(m->heads.epochs, 20);
    assert_near(m->heads.label_noise, 0.1, 0);
    assert_int_equal(s.methods[1].strength, EQ_SUITE_STORED);
    assert_false(s.methods[1].jacobian);
    assert_int_equal(s.methods[1].class_word_count, 0);
    assert_int_equal(s.targets[0].count, 2);
    assert_string_equal(s.prompt, "a portrait");
    assert_near(s.cfg, 3, 0);
    assert_string_equal(s.class_words[0], "a=b:c");
    assert_string_equal(s.reference.folder, "some/folder");
    assert_false(s.heads_images.balanced);
    assert_int_equal(s.factor_count, 2);
    assert_near(s.factors[1], 2.5, 0);
    eq_suite_close(&s);
}

static void refusals(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"[]", "expected a JSON object"},
        {"{\"format\": \"equipoise suite 2\"}", "\"format\" should be \"equipoise suite 1\""},
        {HEAD METHODS TARGETS ", \"step\": 5}", "there is no key \"step\"; there are: format, name"},
        {HEAD "\"methods\": [{\"method\": \"assign\", \"strengh\": 1}], " TARGETS "}",
         "s.json: methods[1]: there is no key \"strengh\"; there are: name, method, loss, strength"},
        {HEAD METHODS TARGETS ", \"tuning\": {\"counts\": 3}}", "s.json: tuning: there is no key \"counts\""},
        {HEAD METHODS TARGETS ", \"tuning\": {\"seed\": 2}}", "tuned on others"},
        {HEAD METHODS TARGETS ", \"tuning\": {\"factors\": [0]}}", "\"factors\" should be"},
        {HEAD "\"methods\": [\"none\", \"none\"], " TARGETS "}", "two methods \"none\""},
        {HEAD "\"methods\": [], " TARGETS "}", "\"methods\" should be an array that is not empty"},
        {HEAD "\"methods\": [{\"name\": \"../x\", \"method\": \"none\"}], " TARGETS "}", "a method's name"},
        {HEAD "\"methods\": [{\"method\": \"assign\", \"strength\": \"most\"}], " TARGETS "}",
         "\"strength\" should be"},
        {HEAD "\"methods\": [{\"method\": \"assign\", \"guide_steps\": \"9..60\"}], " TARGETS "}", "A..B within 1..50"},
        {HEAD "\"methods\": [{\"method\": \"assign\", \"heads\": {}}], " TARGETS "}", "heads_images"},
        {HEAD "\"methods\": [{\"method\": \"universal\", \"jacobian\": 1}], " TARGETS "}",
         "s.json: methods[1]: \"jacobian\""},
        {HEAD "\"methods\": [{\"method\": \"prompt-quota\", \"class_words\": [7]}], " TARGETS "}",
         "s.json: methods[1]: \"class_words\""},
        {HEAD METHODS "\"targets\": [7]}", "a target should be a text"},
        {HEAD METHODS "\"targets\": [\"a=b:1\", \"a=b:1\"]}", "two targets are called"},
        {HEAD METHODS TARGETS ", \"reference\": {\"synth\": \"houses\"}}", "should be \"portraits\""},
        {"{\"format\": \"equipoise suite 1\", \"count\": 8, \"seeds\": [1, 1], " METHODS TARGETS "}", "1 twice"},
        {"{\"format\": \"equipoise suite 1\", \"count\": 1, \"seeds\": [1], " METHODS TARGETS "}",
         "\"count\" should be"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        eq_suite s;
        assert_fails(parse(cases[i].text, &s), EQ_BAD_INPUT, cases[i].message);
        assert_null(s.methods);
    }
}

/* The suites that come with the tool. */
static void shipped(void **state)
{
    static const char *const names[] = {"paper", "ablations", "text"};
    for (int i = 0; i < 3; i++) {
        eq_suite s;
        char *path = eq_format("%s/../../suites/%s.json", EQUIPOISE_TEST_DATA, names[i]);
        assert_ok(eq_suite_read(ctx, path, &s));
        assert_int_equal(s.has_reference, s.prompt == NULL);
        free(path);
        eq_suite_close(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(everything),
        cmocka_unit_test(refusals),
        cmocka_unit_test(shipped),
    };
    ctx = eq_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failed;
}
