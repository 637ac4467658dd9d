/* Prompts with the words of classes put in: where they go, which image gets which, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "diffusion/semantic.h"
#include "run/wording.h"
#include "unit/tiny.h"

static eq_context *ctx;
static eq_targets targets; /* gender, then age */

static int setup(void **state)
{
    const eq_attribute known[] = {tiny_gender(), tiny_age()};
    assert_ok(eq_targets_add(ctx, &targets, "gender=female:0.5,male:0.5", known, 2));
    assert_ok(eq_targets_add(ctx, &targets, "age=young:0.4,middle:0.3,old:0.3", known, 2));
    return 0;
}

static int teardown(void **state)
{
    eq_targets_free(&targets);
    return 0;
}

static void words_find_their_place(void **state)
{
    static const char *const cases[][3] = {
        {"a portrait of a doctor", "female", "a portrait of a female doctor"},
        {"a portrait of a doctor", "old", "a portrait of an old doctor"},
        {"a portrait of an engineer", "male", "a portrait of a male engineer"},
        {"An engineer", "male", "A male engineer"},
        {"a doctor in the rain", "tall", "a tall doctor in the rain"},
        {"a doctor", "", "a doctor"},
        {"a {} doctor in a hospital", "old", "an old doctor in a hospital"},
        {"a {} engineer", "", "a engineer"},
        {"two {} doctors", "old", "two old doctors"},
        {"{} doctors", "old", "old doctors"},
        {"{} doctors", "", "doctors"},
        {"a person {}", "wearing glasses", "a person wearing glasses"},
        {"a person {}", "", "a person"},
        {"a person, {}, smiling", "old", "a person, old, smiling"},
        {"panama hat on a  table", "red", "panama hat on a red  table"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *text;
        assert_ok(eq_word_prompt(ctx, cases[i][0], cases[i][1], &text));
        assert_string_equal(text, cases[i][2]);
        free(text);
    }
}

static void words_without_a_place(void **state)
{
    static const char *const prompts[] = {"two doctors", "", "panama", "what a"};
    for (size_t i = 0; i < sizeof prompts / sizeof prompts[0]; i++) {
        char *text;
        assert_fails(eq_word_prompt(ctx, prompts[i], "old", &text), EQ_BAD_USAGE, "write {} where it belongs");
    }
}

static void one_variant_for_each_combination(void **state)
{
    static const char *const prompts[] = {"a doctor", "a {} nurse"};
    static const char *const given[] = {"age=middle:,young:quite young", "gender=male:man's"};
    static const char *const expected[] = {"a quite young female doctor", "a female doctor", "an old female doctor",
                                           "a quite young man's doctor",  "a man's doctor",  "an old man's doctor",
                                           "a quite young female nurse",  "a female nurse",  "an old female nurse",
                                           "a quite young man's nurse",   "a man's nurse",   "an old man's nurse"};
    const eq_class_words words = {given, 2};
    eq_wording w;
    /* The first target's words come first: swap them, so that the age stands before the gender. */
    const eq_targets swapped = {2, (eq_target[]){targets.items[1], targets.items[0]}};
    assert_ok(eq_wording_make(ctx, prompts, 2, EQ_TEXT_WORDS, &words, &swapped, &w));
    assert_int_equal(w.prompts, 2);
    assert_int_equal(w.variants, 6);
    assert_int_equal(w.edits, 0);
    for (int p = 0; p < 2; p++)
        for (int gender = 0; gender < 2; gender++)
            for (int age = 0; age < 3; age++) {
                const int cells[] = {age, 99, gender}; /* of an image among two: the stride is 2 */
                int v = eq_wording_variant(&w, &swapped, cells, 2);
                assert_string_equal(w.texts[p * w.variants + v], expected[(p * 2 + gender) * 3 + age]);
            }
    eq_wording_free(&w);
}

static void edit_prompts_towards_and_away(void **state)
{
    static const char *const prompts[] = {"a {} doctor"}, *const given[] = {"gender=female:female person"};
    static const char *const expected[] = {"a doctor", "female person", "male", "young", "middle", "old"};
    const eq_class_words words = {given, 1};
    const int cells[] = {1, 2}; /* a man, old */
    int edits[EQ_SEMANTIC_PROMPTS];
    float signs[EQ_SEMANTIC_PROMPTS];
    eq_wording w;
    assert_ok(eq_wording_make(ctx, prompts, 1, EQ_TEXT_EDIT, &words, &targets, &w));
    assert_int_equal(w.variants, 1);
    assert_int_equal(w.edits, 5);
    for (int i = 0; i < 6; i++)
        assert_string_equal(w.texts[i], expected[i]);
    assert_int_equal(eq_wording_variant(&w, &targets, cells, 1), 0);
    assert_int_equal(eq_wording_edits(&targets, cells, 1, edits, signs), 3);
    assert_string_equal(w.texts[1 + edits[0]], "male");
    assert_string_equal(w.texts[1 + edits[1]], "female person");
    assert_string_equal(w.texts[1 + edits[2]], "old"); /* of three, away from none */
    assert_true(signs[0] == 1 && signs[1] == -1 && signs[2] == 1);
    eq_wording_free(&w);
}

static void other_methods_say_no_more_than_asked(void **state)
{
    static const char *const prompts[] = {"a {} doctor"};
    const eq_class_words none = {0};
    eq_wording w;
    assert_ok(eq_wording_make(ctx, prompts, 1, EQ_TEXT_NONE, &none, &targets, &w));
    assert_int_equal(w.variants + w.edits, 1);
    assert_string_equal(w.texts[0], "a doctor");
    eq_wording_free(&w);
}

static void refusals(void **state)
{
    static const struct {
        const char *given[2];
        const char *message;
    } cases[] = {
        {{"gender"}, "expected ATTRIBUTE=CLASS:WORDS"},
        {{"hair=long:long"}, "no target is about \"hair\""},
        {{"gender=woman:woman"}, "no class \"woman\" of \"gender\""},
        {{"gender=female"}, "expected CLASS:WORDS, found \"female\""},
        {{"gender="}, "expected CLASS:WORDS, found \"\""},
        {{"gender=female:a,female:b"}, "\"female\" is there twice"},
        {{"gender=female:a", "gender=male:b"}, "some for \"gender\" already"},
    };
    static const char *const prompts[] = {"a doctor"};
    eq_wording w;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const eq_class_words words = {cases[i].given, cases[i].given[1] ? 2 : 1};
        assert_fails(eq_wording_make(ctx, prompts, 1, EQ_TEXT_WORDS, &words, &targets, &w), EQ_BAD_USAGE,
                     cases[i].message);
    }
    const eq_class_words words = {(const char *const[]){"gender=male:man"}, 1};
    assert_fails(eq_wording_make(ctx, prompts, 1, EQ_TEXT_NONE, &words, &targets, &w), EQ_BAD_USAGE,
                 "prompt-quota and fair-diffusion only");
}

int main(void)
{
    ctx = eq_context_new();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_find_their_place),
        cmocka_unit_test(words_without_a_place),
        cmocka_unit_test(one_variant_for_each_combination),
        cmocka_unit_test(edit_prompts_towards_and_away),
        cmocka_unit_test(other_methods_say_no_more_than_asked),
        cmocka_unit_test(refusals),
    };
    int failed = cmocka_run_group_tests(tests, setup, teardown);
    eq_context_free(ctx);
    return failed;
}
