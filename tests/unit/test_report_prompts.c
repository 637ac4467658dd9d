/* The report of a set of several prompts: shares of each by itself. */
#include "unit/report_run.h"

/* Images of two prompts in turn; of 8 the first `female` are women. */
static void write_prompts(const sample *s, const char *const prompts[2])
{
    char manifest[4096] = "";
    size_t size = 0;
    write_run(s);
    for (int i = 0; i < s->n; i++)
        size += (size_t)sprintf(manifest + size,
                                "{\"file\": \"images/%06d.png\", \"seed\": 7, \"index\": %d, \"batch\": 0, \"prompt\": "
                                "\"%s\", \"target_class\": {}, \"adp\": {}, \"guided\": true}\n",
                                i, i, prompts[i % 2]);
    write_text(s->name, "manifest.jsonl", manifest);
}

/* Where the text stands first from `from` on. */
static size_t find(const char *html, size_t from, const char *text)
{
    const char *found = strstr(html + from, text);
    if (!found)
        fail_msg("the report does not say: %s", text);
    return (size_t)(found - html);
}

static void counts_each_prompt(void **state)
{
    static const char *const prompts[2] = {"a doctor", "a <b>chef"};
    sample before = good("before", 8, 1), after = good("after", 8, 3);
    write_prompts(&before, prompts);
    write_prompts(&after, prompts);
    char *html = report_of("after", "before");
    find(html, 0, "<a href=\"#prompts\">");
    /* Women are images 0, 1, 2 after and 0 before: two and one of the doctors' four, one and none of the chefs'. */
    size_t doctors = find(html, 0, "<th scope=\"row\">a doctor</th><td>4</td>");
    size_t chefs = find(html, doctors, "<th scope=\"row\">a &lt;b&gt;chef</th><td>4</td>");
    size_t was = find(html, doctors, "title=\"female 25.0%\""), is = find(html, doctors, "title=\"female 50.0%\"");
    assert_true(was < is && is < chefs);
    was = find(html, chefs, "title=\"male 100.0%\"");
    is = find(html, chefs, "title=\"female 25.0%\"");
    assert_true(was < is && is < find(html, chefs, "</tr>"));
    free(html);
}

/* One prompt says no more than the whole; nor do prompts without labels, or without a target. */
static void says_nothing_of_one_prompt(void **state)
{
    static const char *const same[2] = {"a doctor", "a doctor"}, *const prompts[2] = {"a doctor", "a chef"};
    sample run = good("run", 8, 4);
    write_prompts(&run, same);
    char *html = report_of("run", NULL);
    assert_null(strstr(html, "Prompt by prompt"));
    free(html);
    write_prompts(&run, prompts);
    assert_int_equal(remove(in_folder("run", "labels.csv")), 0);
    html = report_of("run", NULL);
    assert_null(strstr(html, "Prompt by prompt"));
    free(html);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(counts_each_prompt, setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(says_nothing_of_one_prompt, setup, temporary_teardown),
    };
    return cmocka_run_group_tests(tests, make_context, drop_context);
}
