/* Prompt files: what is read, and what is refused with its line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "text/prompt_file.h"

static eq_context *ctx;

static void prompts_and_counts(void **state)
{
    static const char text[] = "\xef\xbb\xbf"
                               "20\ta portrait of a doctor\r\n\n  \t \na nurse\n 3 \t  two\tparts \n12 monkeys\n"
                               "a\ttab\n1000000\t\u65e5\u672c";
    static const eq_prompt expected[] = {
        {"a portrait of a doctor", 20}, {"a nurse", 1}, {"  two\tparts ", 3}, {"12 monkeys", 1}, {"a\ttab", 1},
        {"\u65e5\u672c", 1000000}};
    eq_prompt_list list;
    assert_int_equal(eq_prompt_file_parse(ctx, text, sizeof text - 1, "file", &list), EQ_OK);
    assert_int_equal(list.count, sizeof expected / sizeof expected[0]);
    for (size_t i = 0; i < list.count; i++) {
        assert_string_equal(list.items[i].text, expected[i].text);
        assert_int_equal(list.items[i].count, expected[i].count);
    }
    assert_int_equal(list.images, 1000026);
    eq_prompt_list_free(&list);
}

static void faults_name_the_line(void **state)
{
    static const char *const cases[][2] = {
        {"a\n0\tb\n", "file: line 2: \"0\" before the tab is not a count"},
        {"-1\tb", "file: line 1: \"-1\""},
        {"1.5\tb", "file: line 1: \"1.5\""},
        {"2x\tb", "file: line 1: \"2x\""},
        {"99999999999999999999\tb", "not a count from 1 to 1000000"},
        {"a\n\n7\t  \n", "file: line 3: a count without a prompt"},
        {"a\nb\xff\n", "file: line 2: not valid UTF-8 from byte 2"},
        {"", "no prompts"},
        {" \n\t\n", "no prompts"},
    };
    eq_prompt_list list;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(eq_prompt_file_parse(ctx, cases[i][0], strlen(cases[i][0]), "file", &list), EQ_BAD_INPUT);
        if (!strstr(eq_last_error(ctx), cases[i][1]))
            fail_msg("expected \"%s\" in \"%s\"", cases[i][1], eq_last_error(ctx));
    }
    assert_int_equal(eq_prompt_file_parse(ctx, "a\0b", 3, "file", &list), EQ_BAD_INPUT);
    assert_int_equal(eq_prompt_file_read(ctx, "/nowhere/prompts.txt", &list), EQ_BAD_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompts_and_counts),
        cmocka_unit_test(faults_name_the_line),
    };
    ctx = eq_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failed;
}
