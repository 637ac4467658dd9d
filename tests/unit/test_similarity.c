/* Kernel distance, precision and recall against closed forms and hand-made sets; similarity class by class. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <omp.h>

#include "base/rng.h"
#include "eval/kid.h"
#include "eval/precision_recall.h"
#include "eval/similarity.h"

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

/* x: [n, d], normal around `mean`. */
static void normals(uint64_t seed, float mean, int n, int d, float *x)
{
    eq_rng rng = eq_rng_make(seed, 0, 0);
    eq_rng_normals(&rng, x, (size_t)n * (size_t)d);
    for (int i = 0; i < n * d; i++)
        x[i] += mean;
}

static void constant_sets_have_a_closed_form(void **state)
{
    /* k(1, 1) + k(2, 2) - 2 k(1, 2) = 2^3 + 5^3 - 2 3^3, whatever the subset. */
    float x[24], y[30];
    for (int i = 0; i < 24; i++)
        x[i] = 1;
    for (int i = 0; i < 30; i++)
        y[i] = 2;
    eq_kid kid;
    assert_int_equal(eq_kid_distance(ctx, x, 24, y, 30, 1, &kid), EQ_OK);
    assert_true(fabs(kid.whole - 79) < 1e-9 && fabs(kid.mean - 79) < 1e-9 && kid.std < 1e-9);
    assert_int_equal(kid.subset, 12);
    /* Four features a vector divide the product by four. */
    assert_int_equal(eq_kid_distance(ctx, x, 24 / 2, y, 30 / 2, 2, &kid), EQ_OK);
    assert_true(fabs(kid.whole - 79) < 1e-9);
}

static void the_kernel_distance_has_no_bias(void **state)
{
    /* 60 pairs of sets of one distribution: the mean is 0 within four standard errors, although the sets are small and
     * of different sizes; the estimate with the diagonals left in would lie far above. */
    enum { TRIALS = 60, N = 15, M = 40, D = 4 };
    double sum = 0, squares = 0, spread = 0;
    for (int trial = 0; trial < TRIALS; trial++) {
        float x[N * D], y[M * D];
        eq_kid kid;
        normals(1000 + (uint64_t)trial, 0, N, D, x);
        normals(2000 + (uint64_t)trial, 0, M, D, y);
        assert_int_equal(eq_kid_distance(ctx, x, N, y, M, D, &kid), EQ_OK);
        sum += kid.whole / TRIALS;
        squares += kid.whole * kid.whole / TRIALS;
        spread += kid.std / TRIALS;
    }
    double deviation = sqrt(squares - sum * sum);
    assert_true(fabs(sum) < 4 * deviation / sqrt(TRIALS));
    /* The diagonals of x alone would add (E k(x, x) - E k(x, y)) / N: with |x|^2 of mean 4 and D = 4, more than
     * ((1 + 1)^3 - 2) / N. */
    assert_true(4 * deviation / sqrt(TRIALS) < 6.0 / N);
    /* Subsets of half the size spread more than the whole, but not by an order. */
    assert_true(spread > deviation / 2 && spread < 10 * deviation);
}

static void threads_change_nothing(void **state)
{
    enum { N = 90, D = 5 };
    float x[N * D], y[N * D];
    eq_kid one, three;
    normals(3, 0, N, D, x);
    normals(4, 0.5f, N, D, y);
    int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    assert_int_equal(eq_kid_distance(ctx, x, N, y, N, D, &one), EQ_OK);
    omp_set_num_threads(3);
    assert_int_equal(eq_kid_distance(ctx, x, N, y, N, D, &three), EQ_OK);
    omp_set_num_threads(threads);
    assert_memory_equal(&one, &three, sizeof(one));
    assert_true(one.whole > 0 && one.std > 0);
    assert_true(fabs(one.mean - one.whole) < one.std);
}

static void manifolds_on_a_line(void **state)
{
    /* The third neighbours of 0, 1, 2, 3 are 3, 2, 2, 3 away: they cover -3 to 6. Of the others each lies far from
     * the rest, so that their balls cover everything. */
    const float theirs[4] = {0, 1, 2, 3}, ours[5] = {-3, 6, 6.5f, 100, -3.5f};
    eq_estimate precision, recall;
    assert_int_equal(eq_precision_recall(ctx, ours, 5, theirs, 4, 1, &precision, &recall), EQ_OK);
    assert_true(precision.value == 2.0 / 5);
    assert_true(precision.low > 0 && precision.low < 0.4 && precision.high > 0.4 && precision.high < 1);
    assert_true(recall.value == 1 && recall.high == 1);
}

static void equal_and_distant_sets(void **state)
{
    enum { N = 60, D = 3 };
    float x[N * D], y[N * D];
    eq_estimate precision, recall;
    normals(5, 0, N, D, x);
    assert_int_equal(eq_precision_recall(ctx, x, N, x, N, D, &precision, &recall), EQ_OK);
    assert_true(precision.value == 1 && recall.value == 1);
    normals(6, 1000, N, D, y);
    assert_int_equal(eq_precision_recall(ctx, x, N, y, N, D, &precision, &recall), EQ_OK);
    assert_true(precision.value == 0 && recall.value == 0);
    /* A set that has collapsed into a part of the other is precise and recalls little. */
    for (int i = 0; i < N * D; i++)
        y[i] = x[i % (6 * D)] * 1.01f;
    assert_int_equal(eq_precision_recall(ctx, y, N, x, N, D, &precision, &recall), EQ_OK);
    assert_true(precision.value == 1 && recall.value < 0.2);
    /* Copies have balls of no size, and still cover each other. */
    for (int i = 0; i < N * D; i++)
        x[i] = y[i] = 0.1f * (float)(i % D + 1);
    assert_int_equal(eq_precision_recall(ctx, x, N, y, N, D, &precision, &recall), EQ_OK);
    assert_true(precision.value == 1 && recall.value == 1);
}

static void an_ugly_class_shows(void **state)
{
    /* Three classes: as in the reference, moved, and hardly there. */
    enum { N = 123, D = 4 };
    float ours[N * D], theirs[N * D];
    int labels[N], reference_labels[N];
    normals(7, 0, N, D, ours);
    normals(8, 0, N, D, theirs);
    for (int i = 0; i < N; i++) {
        labels[i] = reference_labels[i] = i < 120 ? i % 2 : 2;
        for (int j = 0; j < D && labels[i] == 1; j++)
            ours[i * D + j] += 2;
    }
    eq_similarity s[3], whole;
    assert_int_equal(eq_similarity_by_class(ctx, ours, labels, N, theirs, reference_labels, N, D, 3, s), EQ_OK);
    assert_int_equal(s[0].n, 60);
    assert_int_equal(s[2].n, 3);
    assert_int_equal(s[2].reference_n, 3);
    assert_true(fabs(s[0].kid) < 3 * s[0].kid_std);
    assert_true(s[1].kid > 3 * s[1].kid_std);
    /* 4 features are 2 apart: the means alone give about 16, noise of 60 vectors less than 2. */
    assert_true(s[0].frechet < 2 && fabs(s[1].frechet - 16) < 4);
    assert_true(isnan(s[2].frechet) && isnan(s[2].kid) && isnan(s[2].kid_std));
    assert_int_equal(eq_similarity_measure(ctx, ours, N, theirs, N, D, &whole), EQ_OK);
    assert_true(whole.kid > s[0].kid && whole.kid < s[1].kid);
    /* As many images as features are too few for a class, not for the whole. */
    assert_int_equal(eq_similarity_by_class(ctx, ours, labels, 8, theirs, reference_labels, 8, D, 2, s), EQ_OK);
    assert_true(s[0].n == D && isnan(s[0].frechet));
    assert_int_equal(eq_similarity_measure(ctx, ours, D, theirs, D, D, &whole), EQ_OK);
    assert_true(isfinite(whole.frechet) && isnan(whole.kid));
    assert_int_equal(eq_similarity_measure(ctx, ours, 1, theirs, D, D, &whole), EQ_OK);
    assert_true(isnan(whole.frechet));
}

static void bad_arguments(void **state)
{
    float x[EQ_KID_LEAST] = {0};
    eq_kid kid;
    eq_estimate precision, recall;
    assert_int_equal(eq_kid_distance(ctx, x, EQ_KID_LEAST, x, EQ_KID_LEAST - 1, 1, &kid), EQ_BAD_USAGE);
    assert_int_equal(eq_kid_distance(ctx, x, EQ_KID_LEAST - 1, x, EQ_KID_LEAST, 1, &kid), EQ_BAD_USAGE);
    assert_int_equal(eq_precision_recall(ctx, x, EQ_NEIGHBOURS, x, 5, 1, &precision, &recall), EQ_BAD_USAGE);
    assert_int_equal(eq_precision_recall(ctx, x, 5, x, EQ_NEIGHBOURS, 1, &precision, &recall), EQ_BAD_USAGE);
    x[3] = NAN;
    eq_similarity s;
    assert_int_equal(eq_similarity_measure(ctx, x, 5, x, 5, 1, &s), EQ_BAD_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(constant_sets_have_a_closed_form),
        cmocka_unit_test(the_kernel_distance_has_no_bias),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(manifolds_on_a_line),
        cmocka_unit_test(equal_and_distant_sets),
        cmocka_unit_test(an_ugly_class_shows),
        cmocka_unit_test(bad_arguments),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
