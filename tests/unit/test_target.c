/* Targets: parsing, every way to get them wrong, quotas, marginals, alignment, files. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/rng.h"
#include "guidance/target.h"

static const char *const GENDER[] = {"female", "male"};
static const char *const GLASSES[] = {"yes", "no"};
static const char *const RACE[] = {"white", "black/african", "asian", "indian"};
static const eq_attribute KNOWN[] = {{"gender", 2, GENDER}, {"glasses", 2, GLASSES}, {"race", 4, RACE}};

static eq_context *ctx;

static int setup(void **state)
{
    ctx = eq_context_new();
    return ctx == NULL;
}

static int teardown(void **state)
{
    eq_context_free(ctx);
    return 0;
}

static eq_status parse(const char *text, eq_target *out)
{
    return eq_target_parse(ctx, text, KNOWN, 3, out);
}

static void one_attribute(void **state)
{
    eq_target t;
    assert_int_equal(parse(" gender = male : 0.25 , female:7.5e-1", &t), EQ_OK);
    assert_int_equal(t.attribute_count, 1);
    assert_string_equal(t.attributes[0].name, "gender");
    assert_string_equal(t.attributes[0].class_names[1], "male");
    assert_int_equal(t.cells, 2);
    assert_true(t.p[0] == 0.75 && t.p[1] == 0.25);
    char *text;
    assert_int_equal(eq_target_format(ctx, &t, &text), EQ_OK);
    assert_string_equal(text, "gender=female:0.75,male:0.25");
    free(text);
    eq_target_free(&t);
    eq_target_free(&t);
}

static void fractions(void **state)
{
    eq_target t;
    assert_int_equal(parse("gender=female:1/3,male: 2 / 3", &t), EQ_OK);
    assert_true(t.p[0] > 0.3333333 && t.p[0] < 0.3333334);
    eq_target_free(&t);
    assert_int_equal(parse("gender*glasses=female/no:1/4,female/yes:1/4,male/no:0.25,male/yes:1/4", &t), EQ_OK);
    assert_true(t.p[0] == 0.25 && t.p[3] == 0.25);
    eq_target_free(&t);
}

static void joint(void **state)
{
    eq_target t;
    assert_int_equal(parse("race*glasses=black/african/no:0.5,white/yes:0.2,indian/no:0.3", &t), EQ_OK);
    assert_int_equal(t.attribute_count, 2);
    assert_int_equal(t.cells, 8);
    const double expected[8] = {0.2, 0, 0, 0.5, 0, 0, 0, 0.3};
    for (int i = 0; i < 8; i++)
        assert_true(fabs(t.p[i] - expected[i]) < 1e-15);
    char name[64];
    assert_int_equal(eq_target_cell_name(&t, 3, name, sizeof(name)), strlen("black/african/no"));
    assert_string_equal(name, "black/african/no");
    eq_target_name(&t, name, sizeof(name));
    assert_string_equal(name, "race*glasses");
    assert_int_equal(eq_target_cell_name(&t, 3, name, 7), strlen("black/african/no"));
    assert_string_equal(name, "black/");
    double race[4], glasses[2];
    eq_target_marginal(&t, 0, race);
    eq_target_marginal(&t, 1, glasses);
    assert_true(race[0] == t.p[0] && race[1] == t.p[3] && race[2] == 0 && race[3] == t.p[7]);
    assert_true(fabs(glasses[0] - 0.2) < 1e-15 && fabs(glasses[1] - 0.8) < 1e-15);
    eq_target_free(&t);
}

static void sums_are_checked_then_normalised(void **state)
{
    eq_target t;
    assert_int_equal(parse("race=white:0.333,asian:0.333,indian:0.333", &t), EQ_OK);
    assert_true(fabs(t.p[0] - 1.0 / 3) < 1e-15 && t.p[1] == 0);
    eq_target_free(&t);
    assert_int_equal(parse("gender=female:0.501,male:0.5", &t), EQ_OK);
    assert_true(fabs(t.p[0] + t.p[1] - 1) < 1e-15);
    eq_target_free(&t);
    assert_int_equal(parse("gender=female:0.502,male:0.5", &t), EQ_BAD_USAGE);
    assert_non_null(strstr(eq_last_error(ctx), "1.002"));
}

static void faults_are_named(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "should read"},
        {"gender", "should read"},
        {"gender=", "should read CLASS:PROBABILITY"},
        {"=female:1", "no attribute ''"},
        {"gendre=female:1", "gender, glasses, race"},
        {"gender=femal:0.5,male:0.5", "gender: female, male"},
        {"gender=female:0.5", "add up to 0.5, not 1, and 'male' has none"},
        {"gender=female:0.4,male:0.5", "add up to 0.9, not 1"},
        {"gender=female:1.5,male:-0.5", "has the probability -0.5"},
        {"gender=female:nan,male:0.5", "'nan' is not a probability"},
        {"gender=female:0x1,male:0", "'0x1' is not a probability"},
        {"gender=female:1/0,male:0", "'1/0' is not a probability"},
        {"gender=female:1/2/1,male:1/2", "'1/2/1' is not a probability"},
        {"gender=female:/2,male:1/2", "'/2' is not a probability"},
        {"gender=female:1e999,male:0", "must lie in"},
        {"gender=female:0.5,male:", "'' is not a probability"},
        {"gender=female:0.5,male:0.5,", "should read CLASS:PROBABILITY"},
        {"gender=female:0.5,female:0.5", "'female' is named twice"},
        {"gender*gender=female/male:1", "named twice"},
        {"gender*=female:1", "no attribute ''"},
        {"gender*glasses=female:1", "no cell 'female'"},
        {"gender*glasses=female/maybe:1", "gender: female, male; glasses: yes, no"},
        {"gender*glasses=female/yes:0.5", "'female/no' has none"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        eq_target t = {0};
        assert_int_equal(parse(cases[i].text, &t), EQ_BAD_USAGE);
        if (strstr(eq_last_error(ctx), cases[i].message) == NULL)
            fail_msg("'%s' gave: %s", cases[i].text, eq_last_error(ctx));
    }
}

static void too_many_cells(void **state)
{
    enum { CLASSES = 40 };
    const char *names[CLASSES];
    static char text[CLASSES][8];
    for (int i = 0; i < CLASSES; i++) {
        snprintf(text[i], sizeof(text[i]), "c%d", i);
        names[i] = text[i];
    }
    const eq_attribute known[] = {{"a", CLASSES, names}, {"b", CLASSES, names}};
    eq_target t;
    assert_int_equal(eq_target_parse(ctx, "a*b=c0/c0:1", known, 2, &t), EQ_BAD_USAGE);
    assert_non_null(strstr(eq_last_error(ctx), "1024"));
    /* A long list of classes in the message is cut, not overrun. */
    assert_int_equal(eq_target_parse(ctx, "a=x:1", known, 2, &t), EQ_BAD_USAGE);
}

static void joined_names_are_cut(void **state)
{
    const char *const names[] = {"alpha", "beta", "gamma"};
    char buffer[32];
    assert_string_equal(eq_join_names(names, 3, buffer, sizeof(buffer)), "alpha, beta, gamma");
    assert_string_equal(eq_join_names(names, 3, buffer, 17), "alpha, beta, ...");
    assert_string_equal(eq_join_names(names, 0, buffer, sizeof(buffer)), "");
}

static void quotas_are_exact(void **state)
{
    eq_target t;
    int quota[4];
    assert_int_equal(parse("race=white:0.29,black/african:0.01,asian:0.57,indian:0.13", &t), EQ_OK);
    eq_target_quota(&t, 100, quota);
    assert_int_equal(quota[0], 29);
    assert_int_equal(quota[1], 1);
    assert_int_equal(quota[2], 57);
    assert_int_equal(quota[3], 13);
    eq_target_quota(&t, 0, quota);
    assert_int_equal(quota[0] + quota[1] + quota[2] + quota[3], 0);
    /* 0.29 7, 0.01 7, 0.57 7, 0.13 7 = 2.03, 0.07, 3.99, 0.91: 2, 0, 3, 0 and the two largest remainders. */
    eq_target_quota(&t, 7, quota);
    assert_int_equal(quota[0], 2);
    assert_int_equal(quota[1], 0);
    assert_int_equal(quota[2], 4);
    assert_int_equal(quota[3], 1);
    eq_target_free(&t);
    eq_quota((double[]){0.5, 0.5}, 2, 1, quota);
    assert_int_equal(quota[0], 1);
    assert_int_equal(quota[1], 0);
}

static void quotas_stay_within_one_of_the_share(void **state)
{
    eq_rng rng = eq_rng_make(11, 0, 0);
    for (int trial = 0; trial < 2000; trial++) {
        double p[24], sum = 0;
        int quota[24], k = 1 + (int)eq_rng_below(&rng, 24), n = (int)eq_rng_below(&rng, 20000), total = 0;
        for (int i = 0; i < k; i++)
            sum += p[i] = i > 0 && eq_rng_below(&rng, 4) == 0 ? 0 : eq_rng_uniform(&rng) + 1e-3;
        for (int i = 0; i < k; i++)
            p[i] /= sum;
        eq_quota(p, k, n, quota);
        for (int i = 0; i < k; i++) {
            assert_true(fabs(quota[i] - p[i] * n) < 1);
            assert_true(p[i] > 0 || quota[i] == 0);
            total += quota[i];
        }
        assert_int_equal(total, n);
    }
}

static void alignment_goes_by_name(void **state)
{
    const char *const gender[] = {"male", "unclear", "female"};
    const char *const only_male[] = {"male"};
    const eq_attribute other[] = {{"glasses", 2, GLASSES}, {"gender", 3, gender}};
    eq_target t, aligned;
    assert_int_equal(parse("gender*glasses=female/yes:0.1,female/no:0.2,male/yes:0.3,male/no:0.4", &t), EQ_OK);
    assert_int_equal(eq_target_align(ctx, &t, other, 2, &aligned), EQ_OK);
    assert_int_equal(aligned.cells, 6);
    const double expected[6] = {0.3, 0.4, 0, 0, 0.1, 0.2};
    for (int i = 0; i < 6; i++)
        assert_true(fabs(aligned.p[i] - expected[i]) < 1e-15);
    eq_target_free(&aligned);
    assert_int_equal(eq_target_align(ctx, &t, other, 1, &aligned), EQ_BAD_USAGE);
    assert_non_null(strstr(eq_last_error(ctx), "'gender'"));
    const eq_attribute fewer[] = {{"glasses", 2, GLASSES}, {"gender", 1, only_male}};
    assert_int_equal(eq_target_align(ctx, &t, fewer, 2, &aligned), EQ_BAD_USAGE);
    assert_non_null(strstr(eq_last_error(ctx), "'female'"));
    eq_target_free(&t);
}

static void an_attribute_has_one_target(void **state)
{
    eq_targets list = {0};
    assert_int_equal(eq_targets_add(ctx, &list, "gender=female:0.5,male:0.5", KNOWN, 3), EQ_OK);
    assert_int_equal(eq_targets_add(ctx, &list, "gender*glasses=male/no:1", KNOWN, 3), EQ_BAD_USAGE);
    assert_non_null(strstr(eq_last_error(ctx), "already has a target"));
    assert_int_equal(list.count, 1);
    assert_int_equal(eq_targets_add(ctx, &list, "race*glasses=white/no:1", KNOWN, 3), EQ_OK);
    assert_int_equal(eq_targets_add(ctx, &list, "race=white:1", KNOWN, 3), EQ_BAD_USAGE);
    assert_int_equal(list.count, 2);
    eq_targets_free(&list);
    assert_int_equal(list.count, 0);
}

static eq_status read_json(const char *json, eq_targets *list)
{
    char path[] = "/tmp/equipoise-target-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, json, strlen(json)), strlen(json));
    close(fd);
    eq_status status = eq_targets_read(ctx, list, path, KNOWN, 3);
    if (status != EQ_OK)
        assert_non_null(strstr(eq_last_error(ctx), path));
    unlink(path);
    return status;
}

static void files(void **state)
{
    eq_targets list = {0};
    assert_int_equal(
        read_json("{\"race\": {\"white\": 1}, \"gender*glasses\": {\"female/yes\": 0.5, \"male/no\": 0.5}}", &list),
        EQ_OK);
    assert_int_equal(list.count, 2);
    assert_true(list.items[0].p[0] == 1 && list.items[1].p[0] == 0.5 && list.items[1].p[3] == 0.5);
    eq_targets_free(&list);

    assert_int_equal(eq_targets_add(ctx, &list, "gender=female:0.5,male:0.5", KNOWN, 3), EQ_OK);
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "1",
        "{\"race\"",
        "{\"race\": 1}",
        "{\"race\": {}}",
        "{\"race\": {\"white\": \"1\"}}",
        "{\"race\": {\"white\": 0.5, \"asian\": 0.4}}",
        "{\"race\": {\"white\": 0.5, \"white\": 0.5}}",
        "{\"race\": {\"white\": -1}}",
        "{\"hair\": {\"red\": 1}}",
        "{\"race\": {\"green\": 1}}",
        "{\"race\": {\"white\": 1}, \"gender\": {\"female\": 1}}",
        "{\"race\": {\"white\": 1}, \"race*glasses\": {\"white/no\": 1}}",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(read_json(bad[i], &list), EQ_BAD_INPUT);
        assert_int_equal(list.count, 1);
    }
    assert_int_equal(eq_targets_read(ctx, &list, "/nonexistent/targets.json", KNOWN, 3), EQ_BAD_INPUT);
    assert_int_equal(eq_targets_read(ctx, &list, "/tmp", KNOWN, 3), EQ_BAD_INPUT);
    eq_targets_free(&list);
}

static void classes_as_the_text_names_them(void **state)
{
    eq_targets targets = {0};
    const char *json = "{\"hair\": {\"long/loose\": 0.5, \"short\": 0.5}}";
    assert_int_equal(eq_targets_add(ctx, &targets, "sex * age = w/old : 0.2, m/young:0.3,w/young:0.5", NULL, 0), EQ_OK);
    assert_int_equal(eq_targets_parse(ctx, &targets, json, strlen(json), "hair.json", NULL, 0), EQ_OK);
    const eq_target *joint = &targets.items[0], *hair = &targets.items[1];
    assert_int_equal(joint->attribute_count, 2);
    assert_string_equal(joint->attributes[0].name, "sex");
    assert_string_equal(joint->attributes[0].class_names[1], "m");
    assert_string_equal(joint->attributes[1].class_names[0], "old");
    assert_int_equal(joint->cells, 4);
    static const double expected[] = {0.2, 0.5, 0, 0.3};
    for (int cell = 0; cell < 4; cell++)
        assert_true(fabs(joint->p[cell] - expected[cell]) < 1e-12);
    assert_int_equal(hair->attributes[0].classes, 2);
    assert_string_equal(hair->attributes[0].class_names[0], "long/loose");
    eq_targets_free(&targets);
    static const char *const wrong[] = {"sex=", "sex=w",  "sex=w:0.4,m:0.4", "sex*age=w:1",
                                        "=w:1", "sex=:1", "sex*sex=a/b:1"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        eq_status status = eq_targets_add(ctx, &targets, wrong[i], NULL, 0);
        if (status != EQ_BAD_USAGE)
            fail_msg("%s: not refused (%d)", wrong[i], (int)status);
    }
    eq_targets_free(&targets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_attribute),
        cmocka_unit_test(fractions),
        cmocka_unit_test(joint),
        cmocka_unit_test(sums_are_checked_then_normalised),
        cmocka_unit_test(faults_are_named),
        cmocka_unit_test(too_many_cells),
        cmocka_unit_test(joined_names_are_cut),
        cmocka_unit_test(quotas_are_exact),
        cmocka_unit_test(quotas_stay_within_one_of_the_share),
        cmocka_unit_test(alignment_goes_by_name),
        cmocka_unit_test(an_attribute_has_one_target),
        cmocka_unit_test(classes_as_the_text_names_them),
        cmocka_unit_test(files),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
