/* Binomial and multinomial draws against their exact distributions. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eval/multinomial.h"

enum { DRAWS = 40000 };

/* Pearson's statistic over the cells with an expectation of 5 and more, the rest pooled. */
static void small_binomials_follow_their_probabilities(void **state)
{
    static const struct {
        int n;
        double p;
    } cases[] = {{10, 0.3}, {10, 0.97}, {20, 0.5}, {15, 0.01}};
    for (int c = 0; c < 4; c++) {
        int n = cases[c].n, seen[32] = {0};
        double p = cases[c].p, statistic = 0, pmf = pow(1 - p, n), pooled = 0;
        eq_rng rng = eq_rng_make(3, (uint64_t)c, 0);
        for (int i = 0; i < DRAWS; i++) {
            int x = eq_binomial(&rng, n, p);
            assert_in_range(x, 0, n);
            seen[x]++;
        }
        int degrees = -1, pooled_seen = 0;
        for (int x = 0; x <= n; x++) {
            double expected = DRAWS * pmf;
            if (expected >= 5) {
                statistic += (seen[x] - expected) * (seen[x] - expected) / expected;
                degrees++;
            } else {
                pooled += expected;
                pooled_seen += seen[x];
            }
            pmf *= (double)(n - x) / (x + 1) * p / (1 - p);
        }
        /* Mean `degrees`, standard deviation sqrt(2 degrees): five of them. */
        assert_true(statistic < degrees + 5 * sqrt(2.0 * degrees));
        assert_true(fabs(pooled_seen - pooled) <= 5 * sqrt(pooled) + 1);
    }
}

static void large_binomials_have_the_right_moments(void **state)
{
    const double p[3] = {0.0004, 0.5, 0.93};
    for (int c = 0; c < 3; c++) {
        int n = 1000000, draws = 2000;
        double sum = 0, squares = 0, mean = n * p[c], variance = n * p[c] * (1 - p[c]);
        eq_rng rng = eq_rng_make(4, (uint64_t)c, 0);
        for (int i = 0; i < draws; i++) {
            double x = eq_binomial(&rng, n, p[c]) - mean;
            sum += x;
            squares += x * x;
        }
        assert_true(fabs(sum / draws) < 4 * sqrt(variance / draws));
        assert_true(fabs(squares / draws / variance - 1) < 0.15);
    }
}

static void degenerate_binomials(void **state)
{
    eq_rng rng = eq_rng_make(5, 0, 0);
    assert_int_equal(eq_binomial(&rng, 7, 0), 0);
    assert_int_equal(eq_binomial(&rng, 7, 1), 7);
    assert_int_equal(eq_binomial(&rng, 0, 0.5), 0);
}

static void multinomials_add_up_and_skip_empty_classes(void **state)
{
    const double p[6] = {0, 0.1, 0.2, 0, 0.7, 0};
    double sum[6] = {0};
    eq_rng rng = eq_rng_make(6, 0, 0);
    for (int i = 0; i < 5000; i++) {
        int counts[6], total = 0;
        eq_multinomial(&rng, 100, p, 6, counts);
        for (int j = 0; j < 6; j++) {
            assert_true(counts[j] >= 0 && (p[j] > 0 || counts[j] == 0));
            total += counts[j];
            sum[j] += counts[j];
        }
        assert_int_equal(total, 100);
    }
    for (int j = 0; j < 6; j++)
        assert_true(fabs(sum[j] / 500000 - p[j]) <= 4 * sqrt(p[j] * (1 - p[j]) / 500000));
    int one;
    eq_multinomial(&rng, 9, (double[]){1}, 1, &one);
    assert_int_equal(one, 9);
}

static void posteriors_have_dirichlet_moments(void **state)
{
    /* Mean a_i / A and variance a_i (A - a_i) / (A^2 (A + 1)), a = counts + 1/2; small and large shapes. */
    const double counts[4] = {0, 1, 12, 3000};
    double sum[4] = {0}, squares[4] = {0}, all = 3015;
    eq_rng rng = eq_rng_make(6, 0, 0);
    for (int draw = 0; draw < DRAWS; draw++) {
        double p[4], total = 0;
        eq_dirichlet_posterior(&rng, counts, 4, p);
        for (int i = 0; i < 4; i++) {
            assert_true(p[i] >= 0);
            total += p[i];
            sum[i] += p[i] / DRAWS;
            squares[i] += p[i] * p[i] / DRAWS;
        }
        assert_true(fabs(total - 1) < 1e-12);
    }
    for (int i = 0; i < 4; i++) {
        double a = counts[i] + 0.5, variance = a * (all - a) / (all * all * (all + 1));
        assert_true(fabs(sum[i] - a / all) < 4 * sqrt(variance / DRAWS));
        assert_true(fabs((squares[i] - sum[i] * sum[i]) / variance - 1) < 0.1);
    }
    /* Of no images at all, two classes: the arcsine law, a third of it below 1/4. */
    int below = 0;
    for (int draw = 0; draw < DRAWS; draw++) {
        double p[2];
        eq_dirichlet_posterior(&rng, (double[]){0, 0}, 2, p);
        below += p[0] < 0.25;
    }
    assert_true(fabs(below / (double)DRAWS - 1.0 / 3) < 4 * sqrt(2.0 / 9 / DRAWS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_binomials_follow_their_probabilities),
        cmocka_unit_test(large_binomials_have_the_right_moments),
        cmocka_unit_test(degenerate_binomials),
        cmocka_unit_test(multinomials_add_up_and_skip_empty_classes),
        cmocka_unit_test(posteriors_have_dirichlet_moments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
