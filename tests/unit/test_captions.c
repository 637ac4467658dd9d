/* Tables of captions: what is read in which order, and what is refused with its line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "io/captions.h"

static eq_context *ctx;

static eq_captions parse(const char *text)
{
    eq_captions captions;
    if (eq_captions_parse(ctx, text, strlen(text), "file", &captions) != EQ_OK)
        fail_msg("%s", eq_last_error(ctx));
    return captions;
}

static void assert_captions(const char *text, const eq_caption *expected, size_t count)
{
    eq_captions captions = parse(text);
    assert_int_equal(captions.count, count);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(captions.items[i].file, expected[i].file);
        assert_string_equal(captions.items[i].text, expected[i].text);
    }
    eq_captions_free(&captions);
}

static void tables_are_read_and_sorted(void **state)
{
    static const eq_caption expected[] = {
        {"a.png", "z, \"quoted\"\nand long"}, {"a.png", "a second one"}, {"b.png", "caf\u00e9 owner"}};
    assert_captions("\xef\xbb\xbf"
                    "file_name,caption\r\nb.png,caf\u00e9 owner \r\n\r\n./a.png,\"z, \"\"quoted\"\"\nand long\"\n"
                    "a.png,a second one",
                    expected, 3);
    assert_captions("gender,caption,file_name\nx,caf\u00e9 owner,b.png\n,\"z, \"\"quoted\"\"\nand long\",a.png\n"
                    "\"y\",\"a second one\",a.png\n,,c.png\n",
                    expected, 3);
    assert_captions("\n{\"file_name\": \"b.png\", \"caption\": \"caf\\u00e9 owner\", \"n\": [1]}\n"
                    "{\"caption\": \"z, \\\"quoted\\\"\\nand long\", \"file_name\": \"a.png\"}\r\n"
                    "{\"file_name\": \"c.png\", \"caption\": null}\n{\"file_name\": \"d.png\"}\n"
                    "{\"file_name\": \"a.png\", \"caption\": \"a second one\"}",
                    expected, 3);
    assert_captions("file_name,caption\na,b", &(eq_caption){"a", "b"}, 1);
}

static void files_are_found_with_all_captions(void **state)
{
    eq_captions captions = parse("file_name,caption\nb,1\na,2\nb,3\nd,4\nb,5\n");
    size_t first;
    assert_int_equal(eq_captions_find(&captions, "b", &first), 3);
    assert_string_equal(captions.items[first].text, "1");
    assert_string_equal(captions.items[first + 2].text, "5");
    assert_int_equal(eq_captions_find(&captions, "a", &first), 1);
    assert_int_equal(first, 0);
    assert_int_equal(eq_captions_find(&captions, "d", &first), 1);
    assert_int_equal(eq_captions_find(&captions, "c", &first), 0);
    assert_int_equal(eq_captions_find(&captions, "e", &first), 0);
    assert_int_equal(eq_captions_find(&captions, "", &first), 0);
    eq_captions_free(&captions);
}

static void faults_name_the_line(void **state)
{
    static const char *const cases[][2] = {
        {"", "line 1: no column is called \"file_name\""},
        {"file_name,text\na,b\n", "line 1: no column is called \"caption\""},
        {"caption,file_name,caption\n", "line 1: the column \"caption\" occurs twice"},
        {"file_name,caption\n", "there are no captions"},
        {"file_name,caption\na,\n", "there are no captions"},
        {"file_name,caption\na,b\n\nc,d,e\n", "line 4: expected 2 fields as in the header, found 3"},
        {"file_name,caption\na\n", "line 2: expected 2 fields as in the header, found 1"},
        {"file_name,caption\n,b\n", "line 2: \"file_name\" is empty"},
        {"file_name,caption\na,\"b\nc\n", "line 2: the quote is never closed"},
        {"file_name,caption\na,\"b\"c\n", "line 2: expected a comma after the closing quote"},
        {"file_name,caption\na,\xff\n", "not valid UTF-8"},
        {"{\"file_name\": \"a\", \"caption\": \"b\"}\n{\n", "line 2: expected a JSON object"},
        {"{\"file_name\": \"a\", \"caption\": \"b\"}\n[]\n", "line 2: expected a JSON object: found an array"},
        {"{\"caption\": \"b\"}", "line 1: expected a string under \"file_name\""},
        {"{\"file_name\": \"a\", \"caption\": 3}", "line 1: expected a string under \"caption\""},
    };
    eq_captions captions;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(eq_captions_parse(ctx, cases[i][0], strlen(cases[i][0]), "file", &captions), EQ_BAD_INPUT);
        assert_null(captions.items);
        if (strncmp(eq_last_error(ctx), "file: ", 6) != 0 || !strstr(eq_last_error(ctx), cases[i][1]))
            fail_msg("expected \"%s\" in \"%s\"", cases[i][1], eq_last_error(ctx));
    }
    assert_int_equal(eq_captions_parse(ctx, "file_name,caption\na,b\0c", 23, "file", &captions), EQ_BAD_INPUT);
    assert_int_equal(eq_captions_read(ctx, "/nowhere/captions.csv", &captions), EQ_BAD_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_read_and_sorted),
        cmocka_unit_test(files_are_found_with_all_captions),
        cmocka_unit_test(faults_name_the_line),
    };
    ctx = eq_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failed;
}
