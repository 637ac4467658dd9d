/* Intervals and tests against closed forms, the noise floor against enumeration and limits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eval/counts.h"
#include "eval/intervals.h"

static void assert_near(double a, double b, double tolerance)
{
    if (!(fabs(a - b) <= tolerance))
        fail_msg("%.15g is not %.15g within %g", a, b, tolerance);
}

static void wilson(void **state)
{
    eq_estimate e = eq_wilson(512, 1000);
    assert_near(e.value, 0.512, 1e-15);
    assert_near(e.low, 0.4810325544060909, 1e-14);
    assert_near(e.high, 0.5428756033902558, 1e-14);
    e = eq_wilson(0, 10);
    assert_true(e.low == 0);
    assert_near(e.high, 0.2775327998628892, 1e-14);
    e = eq_wilson(10, 10);
    assert_true(e.high == 1);
    assert_near(e.low, 0.7224672001371107, 1e-14);
}

static void incomplete_gamma(void **state)
{
    for (double x = 0.01; x < 200; x *= 1.7) {
        assert_near(eq_gamma_q(1, x) / exp(-x), 1, 1e-11);
        assert_near(eq_gamma_q(0.5, x) / erfc(sqrt(x)), 1, 1e-11);
        /* Q(3/2, x) = erfc(sqrt x) + 2 sqrt(x/pi) e^-x */
        assert_near(eq_gamma_q(1.5, x) / (erfc(sqrt(x)) + 2 * sqrt(x / acos(-1)) * exp(-x)), 1, 1e-11);
        /* Q(40, x) = e^-x sum_{i<40} x^i/i! */
        double term = exp(-x), sum = 0;
        for (int i = 0; i < 40; i++) {
            sum += term;
            term *= x / (i + 1);
        }
        assert_near(eq_gamma_q(40, x), sum, 1e-12);
    }
    assert_true(eq_gamma_q(2, 0) == 1);
    assert_true(eq_gamma_q(2, 1e6) == 0);
    assert_true(eq_gamma_q(2, INFINITY) == 0);
    /* Q(a, a) = 1/2 - 1/(3 sqrt(2 pi a)) + O(a^-3/2): the median lies a third below the mean. */
    assert_near(eq_gamma_q(500, 500), 0.5 - 1 / (3 * sqrt(2 * acos(-1) * 500)), 1e-5);
}

static void goodness_of_fit(void **state)
{
    /* df 1: erfc(sqrt(X^2/2)) with X^2 = 2 144/500; df 2: exp(-X^2/2) with X^2 = 100/30 + 0 + 100/30. */
    assert_near(eq_chi2_test((int[]){512, 488}, (double[]){0.5, 0.5}, 2), erfc(sqrt(144.0 / 500)), 1e-13);
    assert_near(eq_chi2_test((int[]){40, 30, 20}, (double[]){1. / 3, 1. / 3, 1. / 3}, 3), exp(-100.0 / 30), 1e-13);
    assert_true(eq_chi2_test((int[]){5, 5, 0}, (double[]){0.5, 0.5, 0}, 3) == 1);
    assert_true(eq_chi2_test((int[]){5, 4, 1}, (double[]){0.5, 0.5, 0}, 3) == 0);
    assert_true(eq_chi2_test((int[]){5, 0}, (double[]){1, 0}, 2) == 1);
}

static void percentiles(void **state)
{
    double values[20];
    for (int i = 0; i < 20; i++)
        values[i] = (i * 7) % 20 + 1; /* 1..20 in some order */
    assert_true(eq_percentile(values, 20, 0.95) == 19);
    assert_true(eq_percentile(values, 20, 0.5) == 10);
    assert_true(eq_percentile(values, 20, 0) == 1);
    assert_true(eq_percentile(values, 20, 1) == 20);
}

static void noise_floor_of_two_classes(void **state)
{
    /* sqrt 2 E|X/n - q|, X binomial, from exact fractions. */
    eq_noise_floor noise;
    assert_int_equal(eq_fd_noise_floor(NULL, (double[]){0.3, 0.7}, 2, 10, &noise), EQ_OK);
    assert_true(noise.exact);
    assert_near(noise.mean, 0.1584877057068337, 1e-13);
    assert_near(noise.p95, 0.4242640687119285, 1e-13);
    assert_int_equal(eq_fd_noise_floor(NULL, (double[]){0.5, 0, 0.5}, 3, 1000, &noise), EQ_OK);
    assert_true(noise.exact);
    assert_near(noise.mean, 0.01783678140947288, 1e-13);
}

static void noise_floor_of_three_classes(void **state)
{
    /* All 3^7 sequences of seven images. */
    enum { N = 7, SEQUENCES = 2187 };
    const double q[3] = {0.5, 0.3, 0.2};
    double mean = 0;
    for (int sequence = 0; sequence < SEQUENCES; sequence++) {
        int counts[3] = {0};
        double probability = 1, f[3];
        for (int i = 0, rest = sequence; i < N; i++, rest /= 3) {
            counts[rest % 3]++;
            probability *= q[rest % 3];
        }
        eq_count_frequency(counts, 3, f);
        mean += probability * eq_fd(f, q, 3);
    }
    eq_noise_floor noise;
    assert_int_equal(eq_fd_noise_floor(NULL, q, 3, N, &noise), EQ_OK);
    assert_true(noise.exact);
    assert_near(noise.mean, mean, 1e-13);
}

static void drawn_noise_floor_has_the_gaussian_limit(void **state)
{
    /* With q = 1/k, n k FD^2 tends to chi-square of k - 1 degrees, whose root has mean sqrt 2
     * Gamma(k/2)/Gamma((k-1)/2). The 95th percentile of chi-square with 23 degrees is 35.172. */
    enum { K = 24, N = 10000 };
    double q[K];
    for (int i = 0; i < K; i++)
        q[i] = 1.0 / K;
    eq_noise_floor noise, again;
    assert_int_equal(eq_fd_noise_floor(NULL, q, K, N, &noise), EQ_OK);
    assert_false(noise.exact);
    double chi = sqrt(2) * exp(lgamma(K / 2.0) - lgamma((K - 1) / 2.0));
    assert_near(noise.mean * sqrt((double)N * K) / chi, 1, 0.006);
    assert_near(noise.p95 * sqrt((double)N * K) / sqrt(35.172), 1, 0.015);
    assert_int_equal(eq_fd_noise_floor(NULL, q, K, N, &again), EQ_OK);
    assert_true(again.mean == noise.mean && again.p95 == noise.p95);
}

static void certain_target_has_no_noise(void **state)
{
    eq_noise_floor noise;
    assert_int_equal(eq_fd_noise_floor(NULL, (double[]){0, 1}, 2, 50, &noise), EQ_OK);
    assert_near(noise.mean, 0, 1e-15);
    assert_near(noise.p95, 0, 1e-15);
}

static void bootstrap_agrees_with_the_delta_method(void **state)
{
    const int counts[2] = {7000, 3000};
    const double q[2] = {0.5, 0.5};
    eq_distances d, again;
    assert_int_equal(eq_bootstrap_distances(NULL, counts, q, 2, &d), EQ_OK);
    double deviation = sqrt(0.7 * 0.3 / 10000);
    assert_near(d.tv.value, 0.2, 1e-15);
    assert_near(d.tv.low, 0.2 - 1.96 * deviation, 0.2 * deviation);
    assert_near(d.tv.high, 0.2 + 1.96 * deviation, 0.2 * deviation);
    assert_near(d.fd.low, sqrt(2) * d.tv.low, 1e-14);
    assert_near(d.fd.high, sqrt(2) * d.tv.high, 1e-14);
    /* dKL/df of f log 2f + (1-f) log 2(1-f) is log(f/(1-f)). */
    double kl = 0.7 * log(1.4) + 0.3 * log(0.6), slope = log(7.0 / 3);
    assert_near(d.kl.value, kl, 1e-15);
    assert_near(d.kl.low, kl - 1.96 * deviation * slope, 0.2 * deviation);
    assert_near(d.kl.high, kl + 1.96 * deviation * slope, 0.2 * deviation);
    assert_int_equal(eq_bootstrap_distances(NULL, counts, q, 2, &again), EQ_OK);
    assert_memory_equal(&d, &again, sizeof(d));
}

static void bootstrap_with_an_impossible_class(void **state)
{
    eq_distances d;
    assert_int_equal(eq_bootstrap_distances(NULL, (int[]){50, 50}, (double[]){1, 0}, 2, &d), EQ_OK);
    assert_true(isinf(d.kl.value) && isinf(d.kl.low) && isinf(d.kl.high));
    assert_true(isfinite(d.fd.low) && d.fd.low > 0.5 && d.fd.low < d.fd.high);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wilson),
        cmocka_unit_test(incomplete_gamma),
        cmocka_unit_test(goodness_of_fit),
        cmocka_unit_test(percentiles),
        cmocka_unit_test(noise_floor_of_two_classes),
        cmocka_unit_test(noise_floor_of_three_classes),
        cmocka_unit_test(drawn_noise_floor_has_the_gaussian_limit),
        cmocka_unit_test(certain_target_has_no_noise),
        cmocka_unit_test(bootstrap_agrees_with_the_delta_method),
        cmocka_unit_test(bootstrap_with_an_impossible_class),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
