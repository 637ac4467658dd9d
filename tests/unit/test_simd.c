/* The vector loops' elementary functions against the C library's. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/cpu/simd.h"

static double ulp(double value)
{
    return (double)nextafterf((float)value, INFINITY) - (double)(float)value;
}

static void exp_is_within_two_ulp(void **state)
{
    for (int i = -873300; i <= 883600; i++) {
        float x = (float)i * 1e-4f;
        double expected = exp((double)x), error = fabs((double)eq_exp(x) - expected);
        if (!(error <= 2 * ulp(expected)))
            fail_msg("exp(%.9g) is %.9g, expected %.9g", (double)x, (double)eq_exp(x), expected);
    }
    assert_true(eq_exp(0.0f) == 1.0f && eq_exp(-0.0f) == 1.0f);
}

static void exp_saturates(void **state)
{
    const float top = eq_exp(88.37f), bottom = eq_exp(-87.33654f);
    assert_true(top > 2e38f && top < INFINITY);
    assert_true(bottom > 0 && bottom < 2e-38f);
    for (float x = 88.4f; x < 1e38f; x *= 1.5f)
        assert_true(eq_exp(x) == top && eq_exp(-x) == bottom);
    assert_true(eq_exp(INFINITY) == top && eq_exp(-INFINITY) == bottom);
}

static double normal_cdf(double x)
{
    return 0.5 * erfc(-x / sqrt(2.0));
}

static void activations_follow_their_definitions(void **state)
{
    for (int i = -200000; i <= 200000; i++) {
        float x = (float)i * 1e-4f;
        double v = (double)x, s = 1 / (1 + exp(-v)), q = 1 / (1 + exp(-1.702 * v)), p = normal_cdf(v);
        double density = exp(-0.5 * v * v) / sqrt(2 * acos(-1.0));
        const struct {
            eq_activation activation;
            double value, slope;
        } expected[] = {
            {EQ_ACT_NONE, v, 1},
            {EQ_ACT_SILU, v * s, s * (1 + v * (1 - s))},
            {EQ_ACT_GELU, v * p, p + v * density},
            {EQ_ACT_QUICK_GELU, v * q, q * (1 + 1.702 * v * (1 - q))},
            {EQ_ACT_RELU, v > 0 ? v : 0, v > 0},
        };
        for (size_t k = 0; k < sizeof expected / sizeof expected[0]; k++) {
            double value = (double)eq_activate_value(expected[k].activation, x);
            double slope = (double)eq_activate_slope(expected[k].activation, x);
            if (!(fabs(value - expected[k].value) <= 1e-6 * fabs(expected[k].value) + 1e-7))
                fail_msg("f%d(%.9g) is %.9g, expected %.9g", (int)k, v, value, expected[k].value);
            if (!(fabs(slope - expected[k].slope) <= 1e-6))
                fail_msg("f%d'(%.9g) is %.9g, expected %.9g", (int)k, v, slope, expected[k].slope);
        }
    }
}

static void activations_are_finite_and_pass_nan(void **state)
{
    for (int a = EQ_ACT_NONE; a <= EQ_ACT_RELU; a++) {
        for (float x = 20; x < 1e30f; x *= 3) {
            assert_true(fabsf(eq_activate_value((eq_activation)a, x) - x) <= 1e-6f * x);
            assert_true(a == EQ_ACT_NONE || fabsf(eq_activate_value((eq_activation)a, -x)) < 1e-7f);
            assert_true(fabsf(eq_activate_slope((eq_activation)a, x) - 1.0f) < 1e-6f);
            assert_true(a == EQ_ACT_NONE || fabsf(eq_activate_slope((eq_activation)a, -x)) < 1e-7f);
        }
        if (a != EQ_ACT_RELU)
            assert_true(isnan(eq_activate_value((eq_activation)a, NAN)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exp_is_within_two_ulp),
        cmocka_unit_test(exp_saturates),
        cmocka_unit_test(activations_follow_their_definitions),
        cmocka_unit_test(activations_are_finite_and_pass_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
