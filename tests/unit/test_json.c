/* Settings from JSON: values, defaults, and what the errors say. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "io/json.h"

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

static eq_json parse(const char *text)
{
    eq_json json;
    if (eq_json_parse(ctx, text, strlen(text), "c.json", &json) != EQ_OK)
        fail_msg("%s", eq_last_error(ctx));
    return json;
}

static void assert_says(eq_status status, const char *message)
{
    assert_int_equal(status, EQ_BAD_INPUT);
    assert_string_equal(eq_last_error(ctx), message);
}

static void values_are_read(void **state)
{
    eq_json json = parse("{\"i\": 7, \"whole\": 64.0, \"f\": 0.5, \"b\": true, \"s\": \"text\", \"n\": null,"
                         " \"list\": [1, 2, 3], \"words\": [\"a\", \"b\"], \"o\": {\"p\": {\"x\": 1}}}");
    int64_t i, list[3];
    double f;
    bool b;
    const char *s, *words[2];
    int count;
    assert_int_equal(eq_json_int(ctx, &json, "i", 0, 10, &i), EQ_OK);
    assert_int_equal(i, 7);
    assert_int_equal(eq_json_int(ctx, &json, "whole", 0, 100, &i), EQ_OK);
    assert_int_equal(i, 64);
    assert_int_equal(eq_json_float(ctx, &json, "f", 0, 1, &f), EQ_OK);
    assert_true(f == 0.5);
    assert_int_equal(eq_json_float(ctx, &json, "i", -INFINITY, INFINITY, &f), EQ_OK);
    assert_true(f == 7);
    assert_int_equal(eq_json_bool(ctx, &json, "b", &b), EQ_OK);
    assert_true(b);
    assert_int_equal(eq_json_string(ctx, &json, "s", &s), EQ_OK);
    assert_string_equal(s, "text");
    assert_int_equal(eq_json_ints(ctx, &json, "list", 0, 9, 3, list, &count), EQ_OK);
    assert_int_equal(count, 3);
    assert_int_equal(list[2], 3);
    assert_int_equal(eq_json_ints(ctx, &json, "i", 0, 9, 3, list, &count), EQ_OK);
    assert_int_equal(count, 1);
    assert_int_equal(list[0], 7);
    assert_int_equal(eq_json_strings(ctx, &json, "words", 2, words, &count), EQ_OK);
    assert_int_equal(count, 2);
    assert_string_equal(words[1], "b");
    eq_json_close(&json);
}

static void defaults_stand_in_for_missing_and_null(void **state)
{
    eq_json json = parse("{\"n\": null, \"i\": 7}");
    int64_t i;
    double f;
    bool b;
    const char *s;
    assert_true(eq_json_has(&json, "i"));
    assert_false(eq_json_has(&json, "n"));
    assert_int_equal(eq_json_int_or(ctx, &json, "n", 3, 0, 5, &i), EQ_OK);
    assert_int_equal(i, 3);
    assert_int_equal(eq_json_int_or(ctx, &json, "i", 3, 0, 9, &i), EQ_OK);
    assert_int_equal(i, 7);
    assert_int_equal(eq_json_float_or(ctx, &json, "x", 1.5, 0, 5, &f), EQ_OK);
    assert_true(f == 1.5);
    assert_int_equal(eq_json_bool_or(ctx, &json, "x", true, &b), EQ_OK);
    assert_true(b);
    assert_int_equal(eq_json_string_or(ctx, &json, "x", "y", &s), EQ_OK);
    assert_string_equal(s, "y");
    /* A value of the wrong kind is not papered over. */
    assert_int_equal(eq_json_int_or(ctx, &json, "i", 3, 0, 5, &i), EQ_BAD_INPUT);
    assert_int_equal(eq_json_bool_or(ctx, &json, "i", true, &b), EQ_BAD_INPUT);
    eq_json_close(&json);
}

static void messages(void **state)
{
    eq_json json = parse("{\"i\": 7, \"half\": 0.5, \"s\": \"t\", \"list\": [1, \"2\"], \"o\": {\"p\": {\"x\": []}},"
                         " \"long\": \"0123456789012345678901234567890123456789012345678901234567890123456789\"}");
    int64_t i, list[3];
    double f;
    bool b;
    const char *s;
    int count;
    assert_says(eq_json_int(ctx, &json, "absent", 0, 5, &i),
                "c.json: \"absent\" is missing; expected an integer from 0 to 5");
    assert_says(eq_json_int(ctx, &json, "i", 0, 5, &i), "c.json: \"i\" should be an integer from 0 to 5, found 7");
    assert_says(eq_json_int(ctx, &json, "half", INT64_MIN, INT64_MAX, &i),
                "c.json: \"half\" should be an integer, found 0.5");
    assert_says(eq_json_float(ctx, &json, "i", 0, 1, &f), "c.json: \"i\" should be a number from 0 to 1, found 7");
    assert_says(eq_json_float(ctx, &json, "s", -INFINITY, INFINITY, &f),
                "c.json: \"s\" should be a number, found \"t\"");
    assert_says(eq_json_bool(ctx, &json, "i", &b), "c.json: \"i\" should be true or false, found 7");
    assert_says(eq_json_string(ctx, &json, "list", &s), "c.json: \"list\" should be a string, found [1,\"2\"]");
    assert_says(eq_json_bool(ctx, &json, "long", &b),
                "c.json: \"long\" should be true or false, found "
                "\"01234567890123456789012345678901234567890123456789012345678...");
    assert_says(eq_json_ints(ctx, &json, "list", 0, 9, 3, list, &count),
                "c.json: \"list\" should be an array of integers from 0 to 9, found [1,\"2\"]");
    assert_says(eq_json_ints(ctx, &json, "list", 0, 9, 1, list, &count),
                "c.json: \"list\" has 2 elements; at most 1 are supported");
    assert_says(eq_json_ints(ctx, &json, "absent", 0, 9, 1, list, &count),
                "c.json: \"absent\" is missing; expected an array of integers from 0 to 9");
    assert_says(eq_json_strings(ctx, &json, "list", 3, &s, &count),
                "c.json: \"list\" should be an array of strings, found [1,\"2\"]");
    eq_json o, p;
    assert_int_equal(eq_json_object(ctx, &json, "o", &o), EQ_OK);
    assert_int_equal(eq_json_object(ctx, &o, "p", &p), EQ_OK);
    assert_says(eq_json_int(ctx, &p, "x", 1, 2, &i), "c.json: o: p: \"x\" should be an integer from 1 to 2, found []");
    assert_says(eq_json_object(ctx, &json, "i", &o), "c.json: \"i\" should be an object, found 7");
    eq_json_close(&json);
}

static void malformed_files(void **state)
{
    static const struct {
        const char *text, *fault;
    } faulty[] = {
        {"", "c.json: line 1: not valid JSON"},
        {"{\n\"a\": 1,\n}", "c.json: line 3: not valid JSON"},
        {"[1]", "c.json: expected a JSON object, found an array"},
        {"{\"a\": 1, \"a\": 2}", "duplicate"},
        {"{\"a\": 1} x", "not valid JSON"},
        {"{\"a\": \"\xff\"}", "not valid JSON"},
    };
    for (size_t i = 0; i < sizeof faulty / sizeof *faulty; i++) {
        eq_json json;
        assert_int_equal(eq_json_parse(ctx, faulty[i].text, strlen(faulty[i].text), "c.json", &json), EQ_BAD_INPUT);
        if (!strstr(eq_last_error(ctx), faulty[i].fault))
            fail_msg("expected \"%s\" in: %s", faulty[i].fault, eq_last_error(ctx));
        assert_null(json.object);
    }
    eq_json json;
    assert_int_equal(eq_json_read(ctx, "/nonexistent.json", &json), EQ_BAD_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_read),
        cmocka_unit_test(defaults_stand_in_for_missing_and_null),
        cmocka_unit_test(messages),
        cmocka_unit_test(malformed_files),
    };
    return cmocka_run_group_tests(tests, make_context, drop_context);
}
