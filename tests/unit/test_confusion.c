/* Correction by the confusion matrix: linear solutions, the simplex's border, coverage of the intervals. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eval/confusion.h"
#include "eval/multinomial.h"

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

static void two_classes_have_a_closed_form(void **state)
{
    /* f = (o - b) / (a - b): sensitivity a = 0.9, false positives b = 0.2, observed o = 0.55: f = 0.5. */
    const double counts[4] = {900, 100, 200, 800};
    const eq_confusion confusion = {2, counts};
    eq_estimate f[2], fd;
    assert_int_equal(eq_confusion_correct(ctx, &confusion, (int[]){550, 450}, (double[]){0.4, 0.6}, f, &fd), EQ_OK);
    assert_true(fabs(f[0].value - 0.5) < 1e-9 && fabs(f[1].value - 0.5) < 1e-9);
    assert_true(fabs(fd.value - sqrt(0.02)) < 1e-9);
    /* Delta method: var f = (o(1-o)/n + f^2 a(1-a)/n_a + (1-f)^2 b(1-b)/n_b) / (a-b)^2. */
    double deviation = sqrt(0.55 * 0.45 / 1000 + 0.25 * 0.09 / 1000 + 0.25 * 0.16 / 1000) / 0.7;
    assert_true(fabs(f[0].low - (0.5 - 1.96 * deviation)) < 0.2 * deviation);
    assert_true(fabs(f[0].high - (0.5 + 1.96 * deviation)) < 0.2 * deviation);
    assert_true(fd.low < fd.value && fd.value < fd.high);
}

static void a_known_matrix_gives_cleam(void **state)
{
    /* CLEAM, with the standard error of a share in place of that over batches:
     * (o - b)/(a - b) and ((o -+ 1.96 sqrt(o (1 - o) / n)) - b)/(a - b), a = 0.95, b = 0.03. */
    const double counts[4] = {9.5e7, 0.5e7, 0.3e7, 9.7e7}, a = 0.95, b = 0.03, o = 0.62;
    const eq_confusion confusion = {2, counts};
    eq_estimate f[2];
    assert_int_equal(eq_confusion_correct(ctx, &confusion, (int[]){1240, 760}, NULL, f, NULL), EQ_OK);
    double error = 1.96 * sqrt(o * (1 - o) / 2000), width = 2 * error / (a - b);
    assert_true(fabs(f[0].value - (o - b) / (a - b)) < 1e-9);
    assert_true(fabs(f[0].low - (o - error - b) / (a - b)) < 0.05 * width);
    assert_true(fabs(f[0].high - (o + error - b) / (a - b)) < 0.05 * width);
}

static void several_classes_are_recovered(void **state)
{
    const double counts[16] = {80, 10, 5, 5, 4, 36, 6, 4, 0, 30, 270, 0, 1, 2, 3, 14};
    const double truth[4] = {0.4, 0.3, 0.2, 0.1};
    const eq_confusion confusion = {4, counts};
    /* Observed counts that are C^T f exactly, at a million images. */
    int observed[4];
    for (int j = 0; j < 4; j++) {
        double o = 0;
        for (int i = 0; i < 4; i++) {
            double sum = counts[4 * i] + counts[4 * i + 1] + counts[4 * i + 2] + counts[4 * i + 3];
            o += truth[i] * counts[4 * i + j] / sum;
        }
        observed[j] = (int)lround(1e6 * o);
    }
    eq_estimate f[4];
    assert_int_equal(eq_confusion_correct(ctx, &confusion, observed, NULL, f, NULL), EQ_OK);
    for (int i = 0; i < 4; i++) {
        assert_true(fabs(f[i].value - truth[i]) < 1e-5);
        assert_true(f[i].low < f[i].value && f[i].value < f[i].high);
    }
}

static void a_perfect_evaluator_changes_nothing(void **state)
{
    const double counts[9] = {100, 0, 0, 0, 50, 0, 0, 0, 10};
    const eq_confusion confusion = {3, counts};
    eq_estimate f[3];
    assert_int_equal(eq_confusion_correct(ctx, &confusion, (int[]){5, 0, 15}, NULL, f, NULL), EQ_OK);
    assert_true(fabs(f[0].value - 0.25) < 1e-12 && f[1].value == 0 && fabs(f[2].value - 0.75) < 1e-12);
    assert_true(f[1].low == 0 && f[1].high > 0.02);
    assert_true(f[0].low >= 0 && f[0].low < 0.25 && f[0].high > 0.25);
}

static void none_seen_is_not_surely_none(void **state)
{
    /* A perfect evaluator, known to be: what is left is the posterior Beta(1/2, 21), whose 97.5th percentile is
     * 0.1140. */
    const double counts[9] = {1e8, 0, 0, 0, 1e8, 0, 0, 0, 1e8};
    const eq_confusion confusion = {3, counts};
    eq_estimate f[3];
    assert_int_equal(eq_confusion_correct(ctx, &confusion, (int[]){5, 0, 15}, NULL, f, NULL), EQ_OK);
    assert_true(f[1].value == 0 && f[1].low == 0);
    assert_true(fabs(f[1].high - 0.1140) < 0.02);
}

static void fewer_than_the_false_positives_is_none(void **state)
{
    /* Observed 0.1 with false positives 0.2: the linear solution is negative, the likeliest is 0. */
    const double counts[4] = {90, 10, 20, 80};
    const eq_confusion confusion = {2, counts};
    eq_estimate f[2];
    assert_int_equal(eq_confusion_correct(ctx, &confusion, (int[]){100, 900}, NULL, f, NULL), EQ_OK);
    assert_true(f[0].value < 1e-6 && f[0].value >= 0);
    assert_true(f[0].low >= 0 && f[0].high <= 1 && f[1].high <= 1);
}

static void intervals_cover_the_truth(void **state)
{
    /* 200 experiments with a matrix and counts drawn anew: 95% cover, that is 190 with deviation 3.1. */
    const double a = 0.85, b = 0.1, truth = 0.3;
    int covered = 0;
    for (int trial = 0; trial < 200; trial++) {
        eq_rng rng = eq_rng_make(31, (uint64_t)trial, 0);
        double hits = eq_binomial(&rng, 200, a), misses = eq_binomial(&rng, 300, b);
        const double counts[4] = {hits, 200 - hits, misses, 300 - misses};
        int observed = eq_binomial(&rng, 500, truth * a + (1 - truth) * b);
        const eq_confusion confusion = {2, counts};
        eq_estimate f[2];
        assert_int_equal(eq_confusion_correct(ctx, &confusion, (int[]){observed, 500 - observed}, NULL, f, NULL),
                         EQ_OK);
        covered += f[0].low <= truth && truth <= f[0].high;
    }
    assert_in_range(covered, 178, 199);
}

static void bad_matrices(void **state)
{
    static const struct {
        double counts[4];
        eq_status status;
    } cases[] = {
        {{1, -1, 0, 1}, EQ_BAD_INPUT},    {{1, NAN, 0, 1}, EQ_BAD_INPUT}, {{0, 0, 0, 1}, EQ_BAD_INPUT},
        {{1e300, 0, 0, 1}, EQ_BAD_INPUT}, {{50, 50, 50, 50}, EQ_FAILED},  {{50, 50, 52, 48}, EQ_FAILED},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const eq_confusion confusion = {2, cases[i].counts};
        eq_estimate f[2];
        assert_int_equal(eq_confusion_correct(ctx, &confusion, (int[]){1, 1}, NULL, f, NULL), cases[i].status);
        assert_true(strlen(eq_last_error(ctx)) > 0);
    }
    assert_int_equal(eq_confusion_check(ctx, &(eq_confusion){0}), EQ_BAD_INPUT);
    assert_int_equal(eq_confusion_check(ctx, &(eq_confusion){EQ_CONFUSION_CLASSES + 1, NULL}), EQ_BAD_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_classes_have_a_closed_form), cmocka_unit_test(a_known_matrix_gives_cleam),
        cmocka_unit_test(several_classes_are_recovered),  cmocka_unit_test(a_perfect_evaluator_changes_nothing),
        cmocka_unit_test(none_seen_is_not_surely_none),   cmocka_unit_test(fewer_than_the_false_positives_is_none),
        cmocka_unit_test(intervals_cover_the_truth),      cmocka_unit_test(bad_matrices),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
