/* Differences inside the noise, against published intervals and closed forms; what becomes of labels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eval/intervals.h"
#include "eval/noise.h"
#include "run/comparison_parts.h"
#include "train/label_choice.h"
#include "unit/tiny.h"

static eq_context *ctx;

/* Newcombe 1998, table II, method 10: the examples and the limits printed there. */
static void differences_of_shares(void **state)
{
    static const struct {
        int a, m, b, n;
        double low, high;
    } cases[] = {
        {56, 70, 48, 80, 0.0524, 0.3339}, {9, 10, 3, 10, 0.1705, 0.8090},  {6, 7, 2, 7, 0.0582, 0.8062},
        {5, 56, 0, 29, -0.0381, 0.1926},  {0, 10, 0, 20, -0.1611, 0.2775}, {10, 10, 0, 10, 0.6075, 1.0000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        eq_estimate a = eq_wilson(cases[i].a, cases[i].m), b = eq_wilson(cases[i].b, cases[i].n);
        eq_estimate d = eq_difference(a, b), reverse = eq_difference(b, a);
        assert_near(d.low, cases[i].low, 6e-5);
        assert_near(d.high, cases[i].high, 6e-5);
        assert_near(reverse.low, -d.high, 1e-15);
        assert_int_equal(eq_inside_noise(a, b), cases[i].low <= 0);
    }
}

/* Symmetric intervals: |a - b| against z sqrt(s^2 + t^2). */
static void edges_of_the_noise(void **state)
{
    const eq_estimate a = {1, 1 - 0.3, 1 + 0.3}; /* and 0.4: their differences have 0.5 */
    eq_estimate b = {1.499, 1.499 - 0.4, 1.499 + 0.4}, c = {1.501, 1.501 - 0.4, 1.501 + 0.4};
    assert_true(eq_inside_noise(a, b));
    assert_true(eq_inside_noise(b, a));
    assert_false(eq_inside_noise(a, c));
    assert_false(eq_inside_noise(c, a));
    const eq_estimate near_bound = {0, 0.01, 0.05}, far = {0.1, 0.08, 0.12}, nothing = {NAN, NAN, NAN};
    assert_near(eq_difference(far, near_bound).low, 0.1 - hypot(0.02, 0.05),
                1e-15); /* 0 does not lie below its interval */
    assert_true(eq_inside_noise(nothing, a));
}

static void means(void **state)
{
    const eq_estimate of[] = {{1, 0.7, 1.3}, {2, 1.6, 2.4}};
    eq_estimate mean = eq_estimate_mean(of, 2), one = eq_estimate_mean(of, 1);
    assert_near(mean.value, 1.5, 1e-15);
    assert_near(mean.low, 1.5 - 0.25, 1e-12);
    assert_near(mean.high, 1.5 + 0.25, 1e-12);
    assert_near(one.low, 0.7, 0);
}

/* Of any table of the t distribution. */
static void student(void **state)
{
    assert_near(eq_student_975(1), 12.7062, 1e-3);
    assert_near(eq_student_975(2), 4.30265, 1e-4);
    assert_near(eq_student_975(9), 2.26216, 1e-4);
    assert_near(eq_student_975(19), 2.09302, 1e-4);
}

typedef struct sample {
    const double *values;
    int n;
} sample;

static eq_status mean_without(void *user, int first, int n, double *out)
{
    const sample *r = user;
    double sum = 0;
    for (int i = 0; i < r->n; i++)
        sum += i < first || i >= first + n ? r->values[i] : 0;
    *out = sum / (r->n - n);
    return EQ_OK;
}

/* With a group a row the jackknife of a mean is s / sqrt(n). */
static void jackknife_of_a_mean(void **state)
{
    double values[EQ_JACKKNIFE_GROUPS], mean = 0, square = 0;
    eq_rng rng = eq_rng_make(5, 0, 0);
    for (int i = 0; i < EQ_JACKKNIFE_GROUPS; i++)
        mean += (values[i] = eq_rng_normal(&rng)) / EQ_JACKKNIFE_GROUPS;
    for (int i = 0; i < EQ_JACKKNIFE_GROUPS; i++)
        square += (values[i] - mean) * (values[i] - mean);
    double error = sqrt(square / (EQ_JACKKNIFE_GROUPS - 1) / EQ_JACKKNIFE_GROUPS);
    sample r = {values, EQ_JACKKNIFE_GROUPS};
    eq_estimate e;
    assert_ok(eq_jackknife(mean_without, &r, r.n, &e));
    assert_near(e.value, mean, 1e-12);
    assert_near(e.high - e.value, eq_student_975(EQ_JACKKNIFE_GROUPS - 1) * error, 1e-9);
    assert_near(e.value - e.low, e.high - e.value, 1e-12);
}

/* Lower is better but where it is higher; the unguided set has no drift to boast of. */
static void verdicts(void **state)
{
    eq_comparison_cell cells[3];
    eq_comparison_row rows[3] = {{.cells = &cells[0]}, {.cells = &cells[1]}, {.cells = &cells[2]}};
    const bool unguided[] = {true, false, false};
    for (int m = 0; m < 3; m++)
        for (int i = 0; i < EQ_MEASURES; i++)
            cells[m].measures[i] = (eq_estimate){NAN, NAN, NAN};
    cells[0].measures[EQ_MEASURE_FD] = (eq_estimate){0.4, 0.35, 0.45};
    cells[1].measures[EQ_MEASURE_FD] = (eq_estimate){0.05, 0.02, 0.1};
    cells[2].measures[EQ_MEASURE_FD] = (eq_estimate){0.03, 0.01, 0.08};
    for (int m = 0; m < 3; m++)
        cells[m].measures[EQ_MEASURE_PSNR] = (eq_estimate){30 - 5 * m, 29 - 5 * m, 31 - 5 * m};
    eq_comparison_judge(rows, 3, 1, unguided);
    assert_int_equal(rows[0].verdicts[EQ_MEASURE_FD], EQ_VERDICT_APART);
    assert_int_equal(rows[1].verdicts[EQ_MEASURE_FD], EQ_VERDICT_WITHIN);
    assert_int_equal(rows[2].verdicts[EQ_MEASURE_FD], EQ_VERDICT_BEST);
    assert_int_equal(rows[0].verdicts[EQ_MEASURE_PSNR], EQ_VERDICT_NONE);
    assert_int_equal(rows[1].verdicts[EQ_MEASURE_PSNR], EQ_VERDICT_BEST);
    assert_int_equal(rows[2].verdicts[EQ_MEASURE_PSNR], EQ_VERDICT_APART);
    assert_int_equal(rows[1].verdicts[EQ_MEASURE_RECALL], EQ_VERDICT_NONE);
}

/* --- labels --- */

static void fewer_labels(void **state)
{
    int labels[300], first[300], counts[4] = {0};
    for (int i = 0; i < 300; i++)
        labels[i] = i % 10 == 0 ? -1 : i % 10 < 7 ? 0 : i % 10 < 9 ? 1 : 2;
    memcpy(first, labels, sizeof labels);
    eq_labels_limit(labels, 300, 3, 50, 4);
    for (int i = 0; i < 300; i++) {
        counts[labels[i] + 1]++;
        assert_true(labels[i] == -1 || labels[i] == first[i]);
    }
    assert_int_equal(counts[1], 50);
    assert_int_equal(counts[2], 50);
    assert_int_equal(counts[3], 30); /* as many as there are */
    eq_labels_limit(first, 300, 3, 50, 4);
    assert_memory_equal(first, labels, sizeof labels);
}

static void worse_labels(void **state)
{
    enum { N = 4000 };
    static int labels[N];
    int64_t moved[3] = {0}, unknown = 0;
    for (int i = 0; i < N; i++)
        labels[i] = i % 4 == 0 ? -1 : 1;
    int64_t changed = eq_labels_disturb(labels, N, 3, 0.2, 1);
    for (int i = 0; i < N; i++) {
        unknown += labels[i] < 0;
        if (labels[i] >= 0)
            moved[labels[i]]++;
    }
    assert_int_equal(unknown, N / 4);
    assert_int_equal(moved[0] + moved[2], changed);
    assert_near((double)changed, 600, 4 * sqrt(600 * 0.8)); /* of 3,000, four standard deviations */
    assert_near((double)moved[0], (double)changed / 2, 4 * sqrt((double)changed / 4));
    assert_int_equal(eq_labels_disturb(labels, N, 3, 0, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(differences_of_shares),
        cmocka_unit_test(edges_of_the_noise),
        cmocka_unit_test(means),
        cmocka_unit_test(student),
        cmocka_unit_test(jackknife_of_a_mean),
        cmocka_unit_test(verdicts),
        cmocka_unit_test(fewer_labels),
        cmocka_unit_test(worse_labels),
    };
    ctx = eq_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failed;
}
