/* The Frechet distance against closed forms, on sets whose sample moments are known exactly. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "eval/frechet.h"

static void assert_near(double a, double b, double tolerance)
{
    if (!(fabs(a - b) <= tolerance))
        fail_msg("%.15g is not %.15g within %g", a, b, tolerance);
}

/* points: [n, d]. */
static eq_moments moments_of(const float *points, int n, int d)
{
    eq_moments m;
    assert_int_equal(eq_moments_new(NULL, d, &m), EQ_OK);
    assert_int_equal(eq_moments_add(NULL, &m, points, n), EQ_OK);
    return m;
}

static double distance_between(const float *a, int n_a, const float *b, int n_b, int d)
{
    eq_moments first = moments_of(a, n_a, d), second = moments_of(b, n_b, d);
    double distance = NAN, reverse = NAN;
    assert_int_equal(eq_frechet_distance(NULL, &first, &second, &distance), EQ_OK);
    assert_int_equal(eq_frechet_distance(NULL, &second, &first, &reverse), EQ_OK);
    assert_near(distance, reverse, 1e-9 * (1 + distance));
    eq_moments_free(&first);
    eq_moments_free(&second);
    return distance;
}

/* The 2 d points mean +- scale_i e_i: covariance diag(2 scale_i^2 / (2 d - 1)). */
static void cross(int d, const double *mean, const double *scale, float *points)
{
    for (int i = 0; i < 2 * d; i++)
        for (int j = 0; j < d; j++)
            points[i * d + j] = (float)(mean[j] + (j == i / 2 ? (i % 2 ? -1 : 1) * scale[j] : 0));
}

static void diagonal_covariances(void **state)
{
    /* sum (m1-m2)^2 + sum (s1 - s2)^2 with s = scale sqrt(2/(2d-1)). */
    float a[6 * 3], b[6 * 3];
    cross(3, (double[]){0, 0, 0}, (double[]){1, 2, 4}, a);
    cross(3, (double[]){1, -2, 0.5}, (double[]){3, 2, 1}, b);
    assert_near(distance_between(a, 6, b, 6, 3), 1 + 4 + 0.25 + (4 + 0 + 9) * 2.0 / 5, 1e-12);
}

static void rotated_covariances(void **state)
{
    /* In two dimensions tr (S1^1/2 S2 S1^1/2)^1/2 = sqrt(tr S1 S2 + 2 sqrt(det S1 S2)). S1 = 2/3 diag(16, 1) and
     * S2 = 2/3 of the rotation of diag(4, 1) by an angle whose cosine and sine are 0.8 and 0.6. */
    float a[8], b[8];
    cross(2, (double[]){0, 0}, (double[]){4, 1}, a);
    cross(2, (double[]){0, 0}, (double[]){2, 1}, b);
    for (int i = 0; i < 4; i++) {
        double x = b[2 * i], y = b[2 * i + 1];
        b[2 * i] = (float)(0.8 * x - 0.6 * y);
        b[2 * i + 1] = (float)(0.6 * x + 0.8 * y);
    }
    double xx = 0.64 * 4 + 0.36, yy = 0.36 * 4 + 0.64, root = sqrt(16 * xx + yy + 2 * sqrt(16.0 * 4));
    assert_near(distance_between(a, 4, b, 4, 2), 2.0 / 3 * (17 + 5 - 2 * root), 1e-6);
}

static void rotations_of_both_change_nothing(void **state)
{
    /* A Householder reflection mixes all of 16 dimensions. */
    enum { D = 16 };
    float a[2 * D * D], b[2 * D * D];
    double mean[D] = {0}, scale_a[D], scale_b[D], v[D], norm = 0, expected = 0;
    eq_rng rng = eq_rng_make(41, 0, 0);
    for (int i = 0; i < D; i++) {
        scale_a[i] = 1 + i;
        scale_b[i] = 1 + (i * 5) % D;
        expected += (scale_a[i] - scale_b[i]) * (scale_a[i] - scale_b[i]) * 2 / (2 * D - 1);
        v[i] = eq_rng_normal(&rng);
        norm += v[i] * v[i];
    }
    cross(D, mean, scale_a, a);
    cross(D, mean, scale_b, b);
    for (int i = 0; i < 4 * D; i++) {
        float *x = i < 2 * D ? a + i * D : b + (i - 2 * D) * D;
        double along = 0;
        for (int j = 0; j < D; j++)
            along += x[j] * v[j];
        for (int j = 0; j < D; j++)
            x[j] = (float)(x[j] - 2 * along / norm * v[j]);
    }
    assert_near(distance_between(a, 2 * D, b, 2 * D, D), expected, 1e-5 * expected);
}

static void identical_sets_have_no_distance(void **state)
{
    enum { N = 60, D = 24 };
    float a[N * D];
    eq_rng rng = eq_rng_make(42, 0, 0);
    eq_rng_normals(&rng, a, N * D);
    assert_near(distance_between(a, N, a, N, D), 0, 1e-12);
}

static void rank_deficient_covariances(void **state)
{
    /* Ten vectors in 48 dimensions span at most nine. */
    enum { N = 10, D = 48 };
    float a[N * D], b[N * D];
    eq_rng rng = eq_rng_make(43, 0, 0);
    eq_rng_normals(&rng, a, N * D);
    assert_near(distance_between(a, N, a, N, D), 0, 1e-11);
    /* Scaled by 2: tr S (1 - 2)^2, plus the means. */
    double trace = 0, means = 0;
    for (int j = 0; j < D; j++) {
        double mean = 0;
        for (int i = 0; i < N; i++)
            mean += a[i * D + j] / (double)N;
        for (int i = 0; i < N; i++)
            trace += (a[i * D + j] - mean) * (a[i * D + j] - mean) / (N - 1);
        means += mean * mean;
    }
    for (int i = 0; i < N * D; i++)
        b[i] = 2 * a[i];
    assert_near(distance_between(a, N, b, N, D), trace + means, 1e-10);
    /* On orthogonal subspaces nothing is shared: tr S1 + tr S2. */
    float c[4 * 4] = {1, 1, 0, 0, -1, -1, 0, 0, 1, 1, 0, 0, -1, -1, 0, 0};
    float e[4 * 4] = {0, 0, 2, 0, 0, 0, -2, 0, 0, 0, 2, 0, 0, 0, -2, 0};
    assert_near(distance_between(c, 4, e, 4, 4), 8.0 / 3 + 16.0 / 3, 1e-13);
    /* One point many times over: no covariance at all. */
    float p[2 * 3] = {1, 2, 3, 1, 2, 3}, q[2 * 3] = {1, 2, 5, 1, 2, 5};
    assert_near(distance_between(p, 2, q, 2, 3), 4, 1e-15);
}

static void pieces_add_up(void **state)
{
    /* Far from the origin, where sums of squares would cancel. */
    enum { N = 1000, D = 130 }; /* more than two panels of the scatter matrix */
    static float x[N * D];
    eq_rng rng = eq_rng_make(44, 0, 0);
    eq_rng_normals(&rng, x, N * D);
    for (int i = 0; i < N * D; i++)
        x[i] += 10000;
    eq_moments whole = moments_of(x, N, D), pieces;
    assert_int_equal(eq_moments_new(NULL, D, &pieces), EQ_OK);
    for (int at = 0, size = 1; at < N; at += size, size = (size * 3) % 401)
        assert_int_equal(eq_moments_add(NULL, &pieces, x + at * D, at + size <= N ? size : N - at), EQ_OK);
    assert_int_equal(pieces.n, N);
    for (int i = 0; i < D; i++) {
        double mean = 0;
        for (int j = 0; j < N; j++)
            mean += x[j * D + i] / (double)N;
        assert_near(pieces.mean[i], mean, 1e-9);
        for (int j = 0; j <= i; j++) {
            double sum = 0;
            for (int r = 0; r < N; r++)
                sum += (x[r * D + i] - whole.mean[i]) * (x[r * D + j] - whole.mean[j]);
            assert_near(whole.scatter[i * D + j], sum, 1e-6);
            assert_near(pieces.scatter[i * D + j], sum, 1e-6);
        }
    }
    double distance = NAN;
    assert_int_equal(eq_frechet_distance(NULL, &whole, &pieces, &distance), EQ_OK);
    assert_near(distance, 0, 1e-9);
    eq_moments_free(&whole);
    eq_moments_free(&pieces);
}

static void bad_arguments(void **state)
{
    eq_moments a, b;
    double distance;
    assert_int_equal(eq_moments_new(NULL, 0, &a), EQ_BAD_USAGE);
    assert_int_equal(eq_moments_new(NULL, 2, &a), EQ_OK);
    assert_int_equal(eq_moments_new(NULL, 3, &b), EQ_OK);
    assert_int_equal(eq_frechet_distance(NULL, &a, &b, &distance), EQ_BAD_USAGE);
    eq_moments_free(&b);
    assert_int_equal(eq_moments_new(NULL, 2, &b), EQ_OK);
    assert_int_equal(eq_moments_add(NULL, &a, (float[]){1, 2}, 1), EQ_OK);
    assert_int_equal(eq_frechet_distance(NULL, &a, &b, &distance), EQ_BAD_USAGE);
    assert_int_equal(eq_moments_add(NULL, &a, (float[]){1, INFINITY}, 1), EQ_BAD_INPUT);
    assert_int_equal(a.n, 1);
    eq_moments_free(&a);
    eq_moments_free(&b);
    eq_moments_free(&b);
    eq_moments_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(diagonal_covariances),
        cmocka_unit_test(rotated_covariances),
        cmocka_unit_test(rotations_of_both_change_nothing),
        cmocka_unit_test(identical_sets_have_no_distance),
        cmocka_unit_test(rank_deficient_covariances),
        cmocka_unit_test(pieces_add_up),
        cmocka_unit_test(bad_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
