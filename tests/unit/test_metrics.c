/* Measures against what NumPy and SciPy make of the same numbers: tests/data/metrics.json, written by
 * scripts/metric-references.py. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/counts.h"
#include "eval/evaluation.h"
#include "eval/frechet.h"
#include "eval/kid.h"
#include "eval/precision_recall.h"
#include "io/json.h"

static eq_context *ctx;
static eq_json data;

static int setup(void **state)
{
    ctx = eq_context_new();
    return ctx == NULL || eq_json_read(ctx, EQUIPOISE_TEST_DATA "/metrics.json", &data) != EQ_OK;
}

static int teardown(void **state)
{
    eq_json_close(&data);
    eq_context_free(ctx);
    return 0;
}

static void assert_near(double a, double b, double tolerance)
{
    if (!(fabs(a - b) <= tolerance))
        fail_msg("%.15g is not %.15g within %g", a, b, tolerance);
}

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value))
        fail_msg("no number %s", key);
    return json_number_value(value);
}

static double element(const json_t *object, const char *key, size_t i)
{
    const json_t *value = json_array_get(json_object_get(object, key), i);
    if (!json_is_number(value))
        fail_msg("no number %s[%zu]", key, i);
    return json_number_value(value);
}

/* The caller frees it. */
static float *floats(const json_t *object, const char *key, size_t count)
{
    assert_int_equal(json_array_size(json_object_get(object, key)), count);
    float *values = malloc(count * sizeof(float));
    assert_non_null(values);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)element(object, key, i);
    return values;
}

static void features(void **state)
{
    size_t i, cases = 0;
    json_t *c;
    json_array_foreach(json_object_get(data.object, "features"), i, c)
    {
        int n = (int)number(c, "n"), m = (int)number(c, "m"), d = (int)number(c, "d");
        float *ours = floats(c, "ours", (size_t)n * (size_t)d), *theirs = floats(c, "theirs", (size_t)m * (size_t)d);
        eq_moments a, b;
        double frechet;
        assert_int_equal(eq_moments_new(ctx, d, &a), EQ_OK);
        assert_int_equal(eq_moments_new(ctx, d, &b), EQ_OK);
        assert_int_equal(eq_moments_add(ctx, &a, ours, n), EQ_OK);
        assert_int_equal(eq_moments_add(ctx, &b, theirs, m), EQ_OK);
        assert_int_equal(eq_frechet_distance(ctx, &a, &b, &frechet), EQ_OK);
        assert_near(frechet / number(c, "frechet"), 1, 1e-7);
        eq_moments_free(&a);
        eq_moments_free(&b);

        eq_kid kid;
        assert_int_equal(eq_kid_distance(ctx, ours, n, theirs, m, d, &kid), EQ_OK);
        assert_near(kid.whole / number(c, "mmd2"), 1, 1e-9);

        eq_estimate precision, recall;
        assert_int_equal(eq_precision_recall(ctx, ours, n, theirs, m, d, &precision, &recall), EQ_OK);
        assert_near(precision.value * n, number(c, "ours_covered"), 1e-9);
        assert_near(recall.value * m, number(c, "theirs_covered"), 1e-9);
        free(ours);
        free(theirs);
        cases++;
    }
    assert_true(cases >= 4);
}

/* 2,000 resamples against 400,000: the ends of an interval lie within a fifth of the standard deviation of each other
 * (the 2.5th percentile's own standard error is about a twentieth), and distances of counts take few values. */
static void check_distance(const json_t *c, const char *key, eq_estimate e, int n)
{
    const json_t *intervals = json_object_get(c, "intervals");
    double tolerance = 0.2 * number(json_object_get(c, "spread"), key) + 1.0 / n;
    assert_near(e.value, number(c, key), 1e-12);
    assert_near(e.low, element(intervals, key, 0), tolerance);
    assert_near(e.high, element(intervals, key, 1), tolerance);
}

static void counts(void **state)
{
    size_t i, cases = 0;
    json_t *c;
    json_array_foreach(json_object_get(data.object, "counts"), i, c)
    {
        int k = (int)json_array_size(json_object_get(c, "counts")), n = 0, seen[8];
        double target[8];
        assert_in_range(k, 2, 8);
        for (int j = 0; j < k; j++) {
            n += seen[j] = (int)element(c, "counts", (size_t)j);
            target[j] = element(c, "target", (size_t)j);
        }
        for (int j = 0; j < k; j++) {
            const json_t *wilson = json_array_get(json_object_get(c, "wilson"), (size_t)j);
            eq_estimate e = eq_wilson(seen[j], n);
            assert_near(e.low, json_number_value(json_array_get(wilson, 0)), 1e-12);
            assert_near(e.high, json_number_value(json_array_get(wilson, 1)), 1e-12);
        }
        eq_distances d;
        assert_int_equal(eq_bootstrap_distances(ctx, seen, target, k, &d), EQ_OK);
        check_distance(c, "fd", d.fd, n);
        check_distance(c, "kl", d.kl, n);
        check_distance(c, "tv", d.tv, n);
        check_distance(c, "chi2", d.chi2, n);
        check_distance(c, "deviation_ratio", d.deviation, n);
        assert_near(eq_chi2_test(seen, target, k) / number(c, "chi2_p"), 1, 1e-9);
        eq_noise_floor noise;
        assert_int_equal(eq_fd_noise_floor(ctx, target, k, n, &noise), EQ_OK);
        assert_near(noise.mean / number(c, "noise_floor"), 1, 0.01);
        assert_near(noise.p95 / number(c, "noise_floor_95"), 1, 0.03);
        cases++;
    }
    assert_true(cases >= 3);
}

static void soft_frequencies(void **state)
{
    static const char *const NAMES[] = {"a", "b", "c"};
    const json_t *c = json_object_get(data.object, "soft");
    int n = (int)number(c, "n");
    float *p = floats(c, "p", (size_t)n * 3);
    double target_p[3];
    for (size_t j = 0; j < 3; j++)
        target_p[j] = element(c, "target", j);
    const float *const probabilities[] = {p};
    eq_attribute attribute = {"kind", 3, NAMES};
    const eq_target target = {1, &attribute, 3, target_p};
    eq_evaluation e;
    assert_int_equal(eq_evaluate(ctx,
                                 &(eq_evaluation_input){.n = n,
                                                        .evaluator = "random",
                                                        .attribute_count = 1,
                                                        .attributes = &attribute,
                                                        .probabilities = probabilities,
                                                        .targets = &target,
                                                        .target_count = 1},
                                 &e),
                     EQ_OK);
    eq_estimate fd = e.attributes[0].fd_soft;
    assert_near(fd.value, number(c, "fd"), 1e-9);
    assert_near(fd.low, element(c, "interval", 0), 0.2 * number(c, "spread"));
    assert_near(fd.high, element(c, "interval", 1), 0.2 * number(c, "spread"));
    eq_evaluation_free(&e);
    free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(features),
        cmocka_unit_test(counts),
        cmocka_unit_test(soft_frequencies),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
