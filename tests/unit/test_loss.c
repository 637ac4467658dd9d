/* Losses: values by hand, gradients against finite differences, excluded classes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "guidance/loss.h"

static void values_by_hand(void **state)
{
    const double p[3] = {0.5, 0.3, 0.2}, q[3] = {0.25, 0.25, 0.5};
    double g[3];
    /* 0.0625/0.25 + 0.0025/0.25 + 0.09/0.5 */
    assert_true(fabs(eq_loss_find("chi2")->evaluate(p, q, 3, g) - 0.44) < 1e-15);
    assert_true(fabs(g[0] - 2) < 1e-14 && fabs(g[1] - 0.4) < 1e-14 && fabs(g[2] + 1.2) < 1e-14);
    /* 0.5 ln 2 + 0.3 ln 1.2 + 0.2 ln 0.4 */
    double expected = 0.5 * log(2) + 0.3 * log(1.2) + 0.2 * log(0.4);
    assert_true(fabs(eq_loss_find("kl")->evaluate(p, q, 3, g) - expected) < 1e-15);
    assert_true(fabs(g[0] - log(2) - 1) < 1e-15 && fabs(g[2] - log(0.4) - 1) < 1e-15);
    assert_true(fabs(eq_loss_find("l2")->evaluate(p, q, 3, g) - 0.155) < 1e-15);
    assert_true(fabs(g[0] - 0.5) < 1e-15 && fabs(g[1] - 0.1) < 1e-15 && fabs(g[2] + 0.6) < 1e-15);
}

static void no_loss_at_the_target(void **state)
{
    const double q[4] = {0.1, 0.2, 0.3, 0.4};
    for (int i = 0; eq_loss_at(i) != NULL; i++)
        assert_true(eq_loss_at(i)->evaluate(q, q, 4, NULL) == 0);
    /* Excluded and rare classes move no minimum of chi2. */
    const double rare[3] = {0, 0.001, 0.999};
    assert_true(eq_loss_find("chi2")->evaluate(rare, rare, 3, NULL) == 0);
    assert_true(eq_loss_find("kl")->evaluate(rare, rare, 3, NULL) == 0);
}

static void gradients_match_finite_differences(void **state)
{
    eq_rng rng = eq_rng_make(5, 0, 0);
    for (int i = 0; eq_loss_at(i) != NULL; i++) {
        const eq_loss *loss = eq_loss_at(i);
        for (int trial = 0; trial < 100; trial++) {
            double p[8], q[8], g[8], sum_p = 0, sum_q = 0;
            int k = 2 + (int)eq_rng_below(&rng, 7);
            for (int j = 0; j < k; j++) {
                sum_p += p[j] = eq_rng_uniform(&rng) + 0.01;
                sum_q += q[j] = j > 0 && eq_rng_below(&rng, 5) == 0 ? 0 : eq_rng_uniform(&rng) + 0.01;
            }
            for (int j = 0; j < k; j++) {
                p[j] /= sum_p;
                q[j] /= sum_q;
            }
            loss->evaluate(p, q, k, g);
            for (int j = 0; j < k; j++) {
                double at = p[j], step = 1e-6 * at;
                p[j] = at + step;
                double above = loss->evaluate(p, q, k, NULL);
                p[j] = at - step;
                double below = loss->evaluate(p, q, k, NULL);
                p[j] = at;
                assert_true(fabs((above - below) / (2 * step) - g[j]) < 1e-5 * (1 + fabs(g[j])));
            }
        }
    }
}

static void excluded_classes_stay_finite(void **state)
{
    const double certain[2] = {1, 0}, other[2] = {0, 1};
    for (int i = 0; eq_loss_at(i) != NULL; i++) {
        double g[2];
        double loss = eq_loss_at(i)->evaluate(certain, other, 2, g);
        assert_true(isfinite(loss) && loss > 1);
        assert_true(isfinite(g[0]) && isfinite(g[1]) && g[0] > g[1]);
    }
}

static void the_table_is_found_by_name(void **state)
{
    assert_null(eq_loss_find("hinge"));
    assert_null(eq_loss_at(-1));
    assert_null(eq_loss_at(3));
    for (int i = 0; i < 3; i++)
        assert_ptr_equal(eq_loss_find(eq_loss_at(i)->name), eq_loss_at(i));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_by_hand),
        cmocka_unit_test(no_loss_at_the_target),
        cmocka_unit_test(gradients_match_finite_differences),
        cmocka_unit_test(excluded_classes_stay_finite),
        cmocka_unit_test(the_table_is_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
