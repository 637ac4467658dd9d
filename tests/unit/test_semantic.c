/* Semantic guidance against its equations, on numbers small enough to follow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "diffusion/semantic.h"

enum { PIXELS = 5, CHANNELS = 2, COUNT = PIXELS * CHANNELS };

static void assert_near(double a, double b)
{
    if (!(fabs(a - b) <= 1e-6 * (1 + fabs(b))))
        fail_msg("%.9g, expected %.9g", a, b);
}

static void quantiles_of_few(void **state)
{
    static const struct {
        double q;
        float value;
    } cases[] = {{0, -2}, {0.25, 1}, {0.5, 3}, {0.75, 4}, {1, 9}, {0.125, -0.5f}, {0.95, 8}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        float x[] = {4, 9, -2, 3, 1};
        assert_near(eq_quantile(x, 5, cases[i].q), cases[i].value);
    }
    float one[] = {7}, equal[] = {3, 3, 3, 3};
    assert_near(eq_quantile(one, 1, 0.95), 7);
    assert_near(eq_quantile(equal, 4, 0.95), 3);
}

static int ascending(const void *a, const void *b)
{
    return (*(const float *)a > *(const float *)b) - (*(const float *)a < *(const float *)b);
}

static void quantiles_agree_with_sorting(void **state)
{
    eq_rng rng = eq_rng_make(3, 0, 0);
    for (int round = 0; round < 200; round++) {
        float x[101], sorted[101];
        size_t n = 1 + eq_rng_below(&rng, 101);
        for (size_t i = 0; i < n; i++) /* many are equal in every other round */
            x[i] = round % 2 ? eq_rng_normal(&rng) : (float)eq_rng_below(&rng, 4);
        memcpy(sorted, x, sizeof x);
        qsort(sorted, n, sizeof *sorted, ascending);
        double q = eq_rng_uniform(&rng), position = q * (double)(n - 1);
        size_t k = (size_t)position, next = k + 1 < n ? k + 1 : k;
        assert_near(eq_quantile(x, n, q), sorted[k] + (position - (double)k) * (sorted[next] - sorted[k]));
    }
}

/* Numbers [pixel, channel] of the unconditional noise and of two edit prompts. */
static const float uncond[COUNT] = {0.5f, 1, 0, 1, 1, 1, -1, 1, 2, 1};
static const float towards[COUNT] = {1.5f, 1, 0, 0, 1.5f, 1, -3, 1, 2.25f, 1};
static const float away[COUNT] = {0.5f, 2, 0, 1, 1, 1, 0, 1, 2, 1};

static void start(float *edits)
{
    memcpy(edits, towards, sizeof towards);
    memcpy(edits + COUNT, away, sizeof away);
}

static void all_numbers_without_a_threshold(void **state)
{
    const eq_semantic s = {.count = 2, .sign = {1, -1}, .scale = 4};
    float edits[2 * COUNT], nu[COUNT] = {0}, scratch[PIXELS];
    start(edits);
    eq_semantic_gamma(&s, PIXELS, CHANNELS, uncond, edits, COUNT, nu, scratch);
    for (int i = 0; i < COUNT; i++)
        assert_near(edits[i], 4 * (towards[i] - uncond[i]) - 4 * (away[i] - uncond[i]));
}

/* Channel 0 of the first prompt differs by 1, 0, 0.5, -2, 0.25: from the median magnitude 0.5 on are 1, 0.5 and -2. Its
 * channel 1 differs by -1 once, so that all reach the median 0. */
static void the_threshold_is_each_channels_own(void **state)
{
    const eq_semantic s = {.count = 1, .sign = {1}, .scale = 2, .threshold = 0.5};
    static const float expected[COUNT] = {2, 0, 0, -2, 1, 0, -4, 0, 0, 0};
    float edits[2 * COUNT], nu[COUNT] = {0}, scratch[PIXELS];
    start(edits);
    eq_semantic_gamma(&s, PIXELS, CHANNELS, uncond, edits, COUNT, nu, scratch);
    for (int i = 0; i < COUNT; i++)
        assert_near(edits[i], expected[i]);
}

/* With a constant g: gamma_1 = g, nu_1 = (1 - d) g; gamma_2 = g + m nu_1, nu_2 = d nu_1 + (1 - d) gamma_2. */
static void momentum_gathers(void **state)
{
    const double m = 0.5, d = 0.6;
    const eq_semantic s = {.count = 1, .sign = {-1}, .scale = 3, .momentum = m, .decay = d};
    float edits[2 * COUNT], nu[COUNT] = {0}, scratch[PIXELS];
    double gamma = 0, factor = 0;
    for (int call = 0; call < 4; call++) {
        gamma = 1 + m * factor;
        factor = d * factor + (1 - d) * gamma;
        start(edits);
        eq_semantic_gamma(&s, PIXELS, CHANNELS, uncond, edits, COUNT, nu, scratch);
        for (int i = 0; i < COUNT; i++) {
            double g = -3.0 * (towards[i] - uncond[i]);
            assert_near(edits[i], gamma * g);
            assert_near(nu[i], factor * g);
        }
    }
}

static void steps_that_count(void **state)
{
    const eq_semantic s = {.count = 1, .first_step = 5, .last_step = 8}, nothing = {.last_step = 100};
    assert_false(eq_semantic_active(&s, 4));
    assert_true(eq_semantic_active(&s, 5));
    assert_true(eq_semantic_active(&s, 8));
    assert_false(eq_semantic_active(&s, 9));
    assert_false(eq_semantic_active(&nothing, 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_of_few),
        cmocka_unit_test(quantiles_agree_with_sorting),
        cmocka_unit_test(all_numbers_without_a_threshold),
        cmocka_unit_test(the_threshold_is_each_channels_own),
        cmocka_unit_test(momentum_gathers),
        cmocka_unit_test(steps_that_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
