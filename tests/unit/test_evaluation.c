/* Evaluations: every number of the report on a set small enough to count by hand, the JSON's keys, faults. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/evaluation.h"

static const char *const GENDER[] = {"female", "male"};
static const char *const GLASSES[] = {"yes", "no"};
static const char *const AGE[] = {"young", "middle", "old"};
static const eq_attribute ATTRIBUTES[] = {{"gender", 2, GENDER}, {"glasses", 2, GLASSES}, {"age", 3, AGE}};

/* Eight images: five women (one ambiguous), three men; glasses on two of the women and one man. */
static const float P_GENDER[16] = {1, 0, 1, 0, 1, 0, 1, 0, 0.75f, 0.25f, 0, 1, 0, 1, 0, 1};
static const float P_GLASSES[16] = {1, 0, 1, 0, 0, 1, 0, 1, 0, 1, 1, 0, 0, 1, 0, 1};
static const float P_AGE[24] = {1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0};
static const float *const PROBABILITIES[] = {P_GENDER, P_GLASSES, P_AGE};

static eq_context *ctx;
static eq_targets targets;
static char last_warning[512];

static void keep_warning(void *user, eq_log_level level, const char *line)
{
    if (level == EQ_LOG_WARNING)
        strncpy(last_warning, line, sizeof(last_warning) - 1);
}

static int setup(void **state)
{
    ctx = eq_context_new();
    if (ctx == NULL)
        return 1;
    eq_set_log(ctx, keep_warning, NULL);
    /* The joint target names the attributes in another order than the evaluator. */
    if (eq_targets_add(ctx, &targets, "age=young:0.5,middle:0.25,old:0.25", ATTRIBUTES, 3) != EQ_OK)
        return 1;
    return eq_targets_add(ctx, &targets, "glasses*gender=yes/female:0.25,yes/male:0.25,no/female:0.25,no/male:0.25",
                          ATTRIBUTES, 3) != EQ_OK;
}

static int teardown(void **state)
{
    eq_targets_free(&targets);
    eq_context_free(ctx);
    return 0;
}

static eq_evaluation_input input(void)
{
    return (eq_evaluation_input){.n = 8,
                                 .evaluator = "by hand",
                                 .attribute_count = 3,
                                 .attributes = ATTRIBUTES,
                                 .probabilities = PROBABILITIES,
                                 .targets = targets.items,
                                 .target_count = targets.count};
}

static void numbers_by_hand(void **state)
{
    eq_evaluation_input in = input();
    eq_evaluation e;
    assert_int_equal(eq_evaluate(ctx, &in, &e), EQ_OK);
    const eq_attribute_evaluation *gender = &e.attributes[0], *age = &e.attributes[2];
    assert_int_equal(gender->counts[0], 5);
    assert_true(gender->frequency[0].value == 0.625);
    assert_true(gender->soft[0] == 4.75 / 8);
    assert_true(gender->ambiguity.value == 0.125);
    /* The joint target's marginal. */
    assert_true(gender->target[0] == 0.5 && gender->target[1] == 0.5);
    assert_true(fabs(gender->distances.fd.value - sqrt(2) * 0.125) < 1e-15);
    assert_true(fabs(gender->fd_soft.value - sqrt(2) * 0.09375) < 1e-15);
    assert_true(gender->distances.tv.value == 0.125);
    assert_true(gender->distances.chi2.value == 0.0625);
    assert_true(gender->distances.deviation.value == 0.25);
    assert_true(gender->ambiguity.low > 0 && gender->ambiguity.high < 0.5);
    assert_true(gender->fd_soft.low < gender->fd_soft.value && gender->fd_soft.high > gender->fd_soft.value);
    assert_true(fabs(gender->chi2_p - erfc(0.5)) < 1e-12); /* X^2 = 1/4 + 1/4 */
    assert_null(gender->corrected);
    assert_true(age->distances.tv.value == 0.25);
    assert_true(fabs(age->distances.fd.value - sqrt(0.125)) < 1e-15);
    assert_true(fabs(age->distances.kl.value - 0.5 * log(2)) < 1e-15);
    assert_int_equal(e.joint_count, 1);
    const int cells[4] = {2, 1, 3, 2};
    assert_memory_equal(e.joint[0].counts, cells, sizeof(cells));
    assert_true(fabs(e.joint[0].l2.value - sqrt(2.0 / 64)) < 1e-15);
    assert_true(e.joint[0].noise.exact && e.joint[0].noise.mean > 0);
    eq_evaluation_free(&e);
    eq_evaluation_free(&e);
}

static double real_at(const json_t *object, const char *path)
{
    char copy[128], *rest = copy;
    strcpy(copy, path);
    for (char *key; (key = strsep(&rest, ".")) != NULL;) {
        object = json_is_array(object) ? json_array_get(object, (size_t)atoi(key)) : json_object_get(object, key);
        if (object == NULL)
            fail_msg("no %s in %s", key, path);
    }
    assert_true(json_is_number(object));
    return json_number_value(object);
}

static void json_has_the_documented_keys(void **state)
{
    const double confusion[4] = {90, 10, 5, 95};
    const eq_confusion confusions[3] = {{2, confusion}, {0}, {0}};
    /* One feature that is 3 and 5 in turn, beside a reference at 1 and 3: the means are 2 apart, the spreads equal. */
    const float ours[8] = {3, 5, 3, 5, 3, 5, 3, 5};
    const float theirs[12] = {1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3};
    const float women[24] = {1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0};
    const float young[36] = {1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0,
                             1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0};
    const float *const reference_p[] = {women, women, young};
    const eq_reference_set reference = {"evaluator", "reference set", 12, 1, theirs, ours, reference_p, false};
    const eq_drift drift = {"twin", 8, {0.25, 0.1, 0.6}, {INFINITY, 30, INFINITY}, "evaluator", {2, 1, 3}, 9};
    eq_evaluation_input in = input();
    in.confusions = confusions;
    in.reference = &reference;
    in.drift = &drift;
    in.target_count = 2;
    eq_evaluation e;
    json_t *json;
    assert_int_equal(eq_evaluate(ctx, &in, &e), EQ_OK);
    assert_int_equal(eq_evaluation_json(ctx, &e, &json), EQ_OK);
    assert_true(real_at(json, "n") == 8);
    assert_string_equal(json_string_value(json_object_get(json, "evaluator")), "by hand");
    assert_true(real_at(json, "attributes.gender.counts.male") == 3);
    assert_true(real_at(json, "attributes.gender.frequency.female.0") == 0.625);
    assert_true(real_at(json, "attributes.gender.frequency.female.1") < 0.625);
    assert_true(real_at(json, "attributes.gender.frequency.female.2") > 0.625);
    assert_true(real_at(json, "attributes.gender.target.female") == 0.5);
    const char *const keys[] = {"fd",
                                "fd_soft",
                                "noise_floor",
                                "noise_floor_95",
                                "kl",
                                "tv",
                                "chi2_p",
                                "ambiguity",
                                "fd_interval.0",
                                "fd_interval.1",
                                "kl_interval.0",
                                "tv_interval.1",
                                "chi2",
                                "chi2_interval.0",
                                "fd_soft_interval.1",
                                "deviation_ratio",
                                "deviation_ratio_interval.1",
                                "ambiguity_interval.1"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        char path[64] = "attributes.age.";
        assert_true(real_at(json, strcat(path, keys[i])) >= 0);
    }
    /* (0.625 - 0.05) / (0.9 - 0.05) */
    assert_true(fabs(real_at(json, "attributes.gender.corrected.frequency.female.0") - 0.575 / 0.85) < 1e-8);
    assert_true(real_at(json, "attributes.gender.corrected.fd") > 0);
    assert_true(fabs(real_at(json, "attributes.gender.evaluator_accuracy") - 185.0 / 200) < 1e-8);
    assert_true(real_at(json, "attributes.gender.confusion.female.male") == 10);
    assert_null(json_object_get(json_object_get(json_object_get(json, "attributes"), "age"), "corrected"));
    assert_string_equal(json_string_value(json_array_get(
                            json_object_get(json_array_get(json_object_get(json, "joint"), 0), "attributes"), 1)),
                        "gender");
    assert_true(real_at(json, "joint.0.cells.no/female") == 3);
    assert_true(real_at(json, "joint.0.target.no/female") == 0.25);
    assert_true(real_at(json, "joint.0.l2") > 0);
    /* Squared difference of means, and of standard deviations: sqrt(8/7) and sqrt(12/11). */
    assert_true(fabs(real_at(json, "frechet.value") - 4 - pow(sqrt(8.0 / 7) - sqrt(12.0 / 11), 2)) < 1e-9);
    assert_true(real_at(json, "frechet.dimension") == 1 && real_at(json, "frechet.reference_n") == 12);
    assert_string_equal(json_string_value(json_object_get(json_object_get(json, "kid"), "features")), "evaluator");
    /* Eight images are too few. */
    assert_true(json_is_null(json_object_get(json_object_get(json, "kid"), "value")));
    /* The balls reach over copies only, of which there are four and six: half of each set is at 3. */
    assert_true(real_at(json, "precision_recall.precision.0") == 0.5);
    assert_true(real_at(json, "precision_recall.recall.0") == 0.5);
    assert_true(real_at(json, "precision_recall.precision.1") < 0.5);
    assert_true(real_at(json, "attributes.gender.similarity.female.n") == 5);
    assert_true(real_at(json, "attributes.gender.similarity.female.reference_n") == 12);
    assert_true(real_at(json, "attributes.gender.similarity.female.frechet") > 3);
    assert_true(real_at(json, "attributes.gender.similarity.male.reference_n") == 0);
    const json_t *male = json_object_get(json_object_get(json_object_get(json, "attributes"), "gender"), "similarity");
    assert_true(json_is_null(json_object_get(json_object_get(male, "male"), "frechet")));
    assert_true(json_is_null(json_array_get(json_object_get(json_object_get(json, "drift"), "psnr"), 0)));
    assert_true(real_at(json, "drift.pairs") == 8 && real_at(json, "drift.identical.2") == 0.6);
    assert_true(real_at(json, "drift.psnr.1") == 30 && real_at(json, "drift.feature_distance.0") == 2);
    assert_true(real_at(json, "drift.unrelated_distance") == 9);
    char *text = json_dumps(json, 0);
    assert_non_null(text);
    free(text);
    json_decref(json);
    eq_evaluation_free(&e);
}

static void without_targets_there_are_counts(void **state)
{
    eq_evaluation_input in = input();
    in.target_count = 0;
    eq_evaluation e;
    json_t *json;
    assert_int_equal(eq_evaluate(ctx, &in, &e), EQ_OK);
    assert_null(e.attributes[0].target);
    assert_int_equal(eq_evaluation_json(ctx, &e, &json), EQ_OK);
    const json_t *gender = json_object_get(json_object_get(json, "attributes"), "gender");
    assert_int_equal(json_object_size(gender), 4);
    assert_true(real_at(gender, "ambiguity") == 0.125);
    assert_int_equal(json_array_size(json_object_get(json, "joint")), 0);
    assert_null(json_object_get(json, "frechet"));
    json_decref(json);
    eq_evaluation_free(&e);
}

static void infinite_kl_is_null(void **state)
{
    eq_targets only_women = {0};
    assert_int_equal(eq_targets_add(ctx, &only_women, "gender=female:1", ATTRIBUTES, 3), EQ_OK);
    eq_evaluation_input in = input();
    in.targets = only_women.items;
    in.target_count = 1;
    eq_evaluation e;
    json_t *json;
    assert_int_equal(eq_evaluate(ctx, &in, &e), EQ_OK);
    assert_int_equal(eq_evaluation_json(ctx, &e, &json), EQ_OK);
    const json_t *gender = json_object_get(json_object_get(json, "attributes"), "gender");
    assert_true(json_is_null(json_object_get(gender, "kl")));
    assert_true(real_at(gender, "chi2_p") == 0);
    json_decref(json);
    eq_evaluation_free(&e);
    eq_targets_free(&only_women);
}

static void the_table_shows_the_numbers(void **state)
{
    eq_evaluation_input in = input();
    eq_evaluation e;
    char *text;
    assert_int_equal(eq_evaluate(ctx, &in, &e), EQ_OK);
    assert_int_equal(eq_evaluation_format(ctx, &e, &text), EQ_OK);
    assert_non_null(strstr(text, "8 images, labelled by by hand"));
    assert_non_null(strstr(text, "  female        5   0.625   0.306 to 0.863    0.500\n"));
    assert_non_null(strstr(text, "FD 0.177"));
    assert_non_null(strstr(text, "deviation ratio 0.250")); /* (5/8 - 1/2) / (1/2) */
    assert_non_null(strstr(text, "chi-square 0.0625"));     /* 2 (1/8)^2 / (1/2) */
    assert_non_null(strstr(text, "no/female"));
    assert_non_null(strstr(text, "ambiguous: 12.5%"));
    free(text);
    eq_evaluation_free(&e);
}

static void a_blurred_evaluator_is_left_uncorrected(void **state)
{
    const double coin[4] = {50, 50, 50, 50};
    const eq_confusion confusions[3] = {{2, coin}, {0}, {0}};
    eq_evaluation_input in = input();
    in.confusions = confusions;
    eq_evaluation e;
    last_warning[0] = '\0';
    assert_int_equal(eq_evaluate(ctx, &in, &e), EQ_OK);
    assert_null(e.attributes[0].corrected);
    assert_non_null(strstr(last_warning, "'gender'"));
    eq_evaluation_free(&e);
}

static void faults(void **state)
{
    eq_evaluation e;
    eq_evaluation_input in = input();
    in.n = 0;
    assert_int_equal(eq_evaluate(ctx, &in, &e), EQ_BAD_USAGE);
    in = input();
    in.attribute_count = 0;
    assert_int_equal(eq_evaluate(ctx, &in, &e), EQ_BAD_USAGE);
    in = input();
    in.attribute_count = 2;
    assert_int_equal(eq_evaluate(ctx, &in, &e), EQ_BAD_USAGE);
    assert_non_null(strstr(eq_last_error(ctx), "'age'"));

    const eq_target twice[2] = {targets.items[0], targets.items[0]};
    in = input();
    in.targets = twice;
    assert_int_equal(eq_evaluate(ctx, &in, &e), EQ_BAD_USAGE);
    assert_non_null(strstr(eq_last_error(ctx), "two targets"));

    const double three[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    const eq_confusion confusions[3] = {{3, three}, {0}, {0}};
    in = input();
    in.confusions = confusions;
    assert_int_equal(eq_evaluate(ctx, &in, &e), EQ_BAD_INPUT);

    static const float broken[3][2] = {{NAN, 0}, {0.5f, 0.4f}, {1.5f, -0.5f}};
    for (int i = 0; i < 3; i++) {
        float p[16];
        memcpy(p, P_GENDER, sizeof(p));
        memcpy(p + 6, broken[i], sizeof(broken[i]));
        const float *probabilities[3] = {p, P_GLASSES, P_AGE};
        in = input();
        in.probabilities = probabilities;
        assert_int_equal(eq_evaluate(ctx, &in, &e), EQ_BAD_INPUT);
        assert_non_null(strstr(eq_last_error(ctx), "image 3"));
    }

    /* A class name from a file need not be UTF-8; JSON must be. */
    const char *const names[] = {"\xff", "male"};
    const eq_attribute odd = {"gender", 2, names};
    json_t *json;
    in = input();
    in.attributes = &odd;
    in.attribute_count = 1;
    in.target_count = 0;
    assert_int_equal(eq_evaluate(ctx, &in, &e), EQ_OK);
    assert_int_equal(eq_evaluation_json(ctx, &e, &json), EQ_FAILED);
    eq_evaluation_free(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_by_hand),
        cmocka_unit_test(json_has_the_documented_keys),
        cmocka_unit_test(without_targets_there_are_counts),
        cmocka_unit_test(infinite_kl_is_null),
        cmocka_unit_test(the_table_shows_the_numbers),
        cmocka_unit_test(a_blurred_evaluator_is_left_uncorrected),
        cmocka_unit_test(faults),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
