/* Samplers against the formulas they are published as, written out step by step, and against each other. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "diffusion/ddim.h"
#include "diffusion/ddpm.h"
#include "diffusion/forward.h"
#include "diffusion/prediction.h"
#include "diffusion/sampler.h"
#include "diffusion/sigmas.h"
#include "unit/samplers.h"

/* On whole timesteps and but for the last step, Euler's x / sqrt(sigma^2 + 1) is DDIM's x at eta 0. */
static void euler_is_ddim_on_another_scale(void **state)
{
    eq_schedule schedule = make_schedule(EQ_PREDICT_EPSILON, true);
    eq_plan ddim = make_plan(&eq_sampler_ddim, 20, EQ_SPACING_TRAILING, 0, &schedule);
    eq_plan euler = make_plan(&eq_sampler_euler, 20, EQ_SPACING_TRAILING, 0, &schedule);
    assert_near(euler.init_noise_scale, sqrt((1 - schedule.alphas_cumprod[999]) / schedule.alphas_cumprod[999]), 1e-9);
    for (int i = 0; i < 20; i++) {
        assert_near(euler.call[i].timestep, ddim.call[i].timestep, 0);
        float x = 0.7f, output = -0.4f;
        double expected = one_step(&ddim, i, x, output, 0);
        double found = one_step(&euler, i, (float)(x / euler.call[i].input_scale), output, 0);
        double scale = i < 19 ? euler.call[i + 1].input_scale : 1;
        assert_near(found * scale, expected, 1e-5 * (1 + fabs(expected)));
    }
    eq_plan_free(&ddim);
    eq_plan_free(&euler);
    eq_schedule_free(&schedule);
}

/* For an x_0 that is known, each step of ancestral sampling is a draw from the forward process's posterior, so that its
 * mean and deviation are DDPM's. */
static void euler_ancestral_draws_from_the_posterior(void **state)
{
    eq_schedule schedule = make_schedule(EQ_PREDICT_SAMPLE, true);
    eq_plan plan = make_plan(&eq_sampler_euler_ancestral, 30, EQ_SPACING_DEFAULT, 0, &schedule);
    for (int i = 0; i < plan.calls; i++) {
        const eq_plan_call *call = &plan.call[i];
        eq_posterior q = eq_posterior_at(call->alpha_cumprod, call->alpha_cumprod_next);
        double next = i + 1 < plan.calls ? plan.call[i + 1].input_scale : 1;
        float x_t = 0.3f, x0 = -0.6f, x = (float)(x_t / call->input_scale);
        double mean = one_step(&plan, i, x, x0, 0) * next;
        assert_near(mean, q.x0 * x0 + q.xt * x_t, 1e-5);
        assert_near(one_step(&plan, i, x, x0, 1) * next - mean, sqrt(q.variance), 1e-5);
    }
    eq_plan_free(&plan);
    eq_schedule_free(&schedule);
}

/* What samplers share in the tests by hand: made-up outputs, so that nothing cancels. */
static float made_up(int i)
{
    return (float)sin(1.7 * i + 0.4);
}

static float step_with(const eq_plan *plan, int i, float x, float output, float *history)
{
    eq_sampler_step(
        plan, i,
        &(eq_step){.pixels = 1, .channels = 1, .output_channels = 1, .x = &x, .output = &output, .history = history});
    return x;
}

/* Karras et al. 2022, algorithm 1 with S_churn = 0. */
static void heun_follows_its_algorithm(void **state)
{
    eq_schedule schedule = make_schedule(EQ_PREDICT_EPSILON, true);
    enum { N = 5 };
    eq_plan plan = make_plan(&eq_sampler_heun, N, EQ_SPACING_DEFAULT, 0, &schedule);
    assert_int_equal(plan.calls, 2 * N - 1);
    static const int steps[] = {0, 0, 1, 1, 2, 2, 3, 3, 4};
    static const double timesteps[] = {999, 749.25, 749.25, 499.5, 499.5, 249.75, 249.75, 0, 0};
    float history[2] = {0}, x = 20;
    double expected = x;
    for (int i = 0; i < plan.calls; i++) {
        assert_int_equal(plan.call[i].step, steps[i]);
        assert_near(plan.call[i].timestep, timesteps[i], 1e-9);
    }
    for (int n = 0; n < N; n++) {
        double sigma = sigma_of(plan.call[2 * n].alpha_cumprod);
        double next = n + 1 < N ? sigma_of(plan.call[2 * n + 2].alpha_cumprod) : 0;
        double slope = made_up(2 * n);
        x = step_with(&plan, 2 * n, x, made_up(2 * n), history);
        assert_near(x, expected + (next - sigma) * slope, 1e-4);
        if (n + 1 < N) {
            x = step_with(&plan, 2 * n + 1, x, made_up(2 * n + 1), history);
            slope = (slope + made_up(2 * n + 1)) / 2;
        }
        expected += (next - sigma) * slope;
        assert_near(x, expected, 1e-4);
    }
    eq_plan_free(&plan);
    eq_schedule_free(&schedule);
}

/* Lu et al. 2022, algorithm 2, in the paper's letters, with the first and last steps of first order. */
static void dpmsolver_follows_its_algorithm(void **state)
{
    enum { MAX = 20 };
    eq_schedule schedule = make_schedule(EQ_PREDICT_SAMPLE, false);
    for (int n = 5; n <= MAX; n += 15) {
        eq_plan plan = make_plan(&eq_sampler_dpmsolver, n, EQ_SPACING_DEFAULT, 0, &schedule);
        assert_int_equal(plan.calls, n);
        double t[MAX + 1], x0[MAX], expected = 0.8;
        for (int i = 0; i <= n; i++)
            t[i] = nearbyint((n - i) * (999.0 / n));
        float history = 0, x = 0.8f;
        for (int i = 0; i < n; i++) {
            assert_near(plan.call[i].timestep, t[i], 0);
            double a = schedule.alphas_cumprod[(int)t[i]], b = schedule.alphas_cumprod[(int)t[i + 1]];
            double lambda = -log(sigma_of(a)), h = -log(sigma_of(b)) - lambda;
            x0[i] = made_up(i);
            double d = x0[i];
            if (i > 0 && (i < n - 1 || n >= 15)) {
                double before = -log(sigma_of(schedule.alphas_cumprod[(int)t[i - 1]])), r = (lambda - before) / h;
                d = (1 + 1 / (2 * r)) * x0[i] - 1 / (2 * r) * x0[i - 1];
            }
            expected = sqrt((1 - b) / (1 - a)) * expected - sqrt(b) * (exp(-h) - 1) * d;
            x = step_with(&plan, i, x, made_up(i), &history);
            assert_near(x, expected, 2e-6);
        }
        eq_plan_free(&plan);
    }
    eq_schedule_free(&schedule);
}

/* The transfer of DDIM at eta 0. */
static double transfer(double a, double b, double x, double eps)
{
    return sqrt(b) * (x - sqrt(1 - a) * eps) / sqrt(a) + sqrt(1 - b) * eps;
}

/* Liu et al. 2022, eq. 12, with diffusers' start: the first step twice, the second time with both noises' mean. */
static void plms_follows_its_formulas(void **state)
{
    enum { N = 7 };
    eq_schedule schedule = make_schedule(EQ_PREDICT_EPSILON, false);
    eq_plan plan = make_plan(&eq_sampler_pndm, N, EQ_SPACING_DEFAULT, 0, &schedule);
    static const int timesteps[] = {852, 710, 710, 568, 426, 284, 142, 0};
    static const int steps[] = {0, 0, 1, 2, 3, 4, 5, 6};
    static const double weights[N][4] = {{0.5, 0.5, 0, 0},
                                         {3 / 2.0, -1 / 2.0, 0, 0},
                                         {23 / 12.0, -16 / 12.0, 5 / 12.0, 0},
                                         {55 / 24.0, -59 / 24.0, 37 / 24.0, -9 / 24.0},
                                         {55 / 24.0, -59 / 24.0, 37 / 24.0, -9 / 24.0},
                                         {55 / 24.0, -59 / 24.0, 37 / 24.0, -9 / 24.0},
                                         {55 / 24.0, -59 / 24.0, 37 / 24.0, -9 / 24.0}};
    assert_int_equal(plan.calls, N + 1);
    float history[16] = {0}, x = 0.6f;
    for (int i = 0; i < plan.calls; i++) {
        assert_near(plan.call[i].timestep, timesteps[i], 0);
        assert_int_equal(plan.call[i].step, steps[i]);
    }
    double start = x, eps[N];
    for (int i = 0; i < plan.calls; i++) {
        int k = steps[i];
        double a = schedule.alphas_cumprod[timesteps[k == 0 ? 0 : i]];
        double b = k + 1 < N ? schedule.alphas_cumprod[timesteps[k + 2]] : schedule.final_alpha_cumprod;
        double mixed = made_up(i);
        if (i == 1)
            mixed = (made_up(0) + made_up(1)) / 2;
        else
            eps[k] = made_up(i);
        for (int j = 1; i > 1 && j < 4 && j <= k; j++)
            mixed = (j == 1 ? weights[k][0] * eps[k] : mixed) + weights[k][j] * eps[k - j];
        x = step_with(&plan, i, x, made_up(i), history);
        double expected = transfer(a, b, start, mixed);
        assert_near(x, expected, 2e-6 * (1 + fabs(expected)));
        if (i > 0)
            start = x;
    }
    eq_plan_free(&plan);
    eq_schedule_free(&schedule);
}

/* Liu et al. 2022, eq. 13: three Runge-Kutta steps, whose first noises Adams-Bashforth goes on with. */
static void prk_follows_its_formulas(void **state)
{
    enum { N = 5 };
    eq_schedule schedule = make_schedule(EQ_PREDICT_EPSILON, false);
    schedule.config.prk_steps = true;
    eq_plan plan = make_plan(&eq_sampler_pndm, N, EQ_SPACING_DEFAULT, 0, &schedule);
    static const int timesteps[] = {800, 700, 700, 600, 600, 500, 500, 400, 400, 300, 300, 200, 200, 0};
    assert_int_equal(plan.calls, 14);
    float history[16] = {0}, x = 0.6f;
    double start = x;
    for (int i = 0; i < plan.calls; i++) {
        assert_near(plan.call[i].timestep, timesteps[i], 0);
        assert_int_equal(plan.call[i].step, i < 12 ? i / 4 : i - 9);
    }
    for (int i = 0; i < plan.calls; i++) {
        double a = schedule.alphas_cumprod[i < 12 ? timesteps[i / 4 * 4] : timesteps[i]], mixed = made_up(i);
        int end = i == 13 ? 0 : i >= 12 ? 0 : i % 4 < 2 ? timesteps[i / 4 * 4 + 1] : timesteps[i / 4 * 4 + 3];
        if (i < 12 && i % 4 == 3)
            mixed = (made_up(i - 3) + 2 * made_up(i - 2) + 2 * made_up(i - 1) + made_up(i)) / 6;
        else if (i == 12)
            mixed = (55 * made_up(12) - 59 * made_up(8) + 37 * made_up(4) - 9 * made_up(0)) / 24;
        else if (i == 13)
            mixed = (55 * made_up(13) - 59 * made_up(12) + 37 * made_up(8) - 9 * made_up(4)) / 24;
        x = step_with(&plan, i, x, made_up(i), history);
        double expected = transfer(a, schedule.alphas_cumprod[end], start, mixed);
        assert_near(x, expected, 2e-6 * (1 + fabs(expected)));
        if (i >= 12 || i % 4 == 3)
            start = x;
    }
    eq_plan_free(&plan);
    /* An odd distance, as diffusers cuts it: 125 in 62 and 63. */
    static const int odd[] = {875, 812, 812, 750, 750, 687, 687, 625, 625, 562, 562, 500, 500, 375, 250, 125, 0};
    plan = make_plan(&eq_sampler_pndm, 8, EQ_SPACING_DEFAULT, 0, &schedule);
    assert_int_equal(plan.calls, 17);
    for (int i = 0; i < 17; i++)
        assert_near(plan.call[i].timestep, odd[i], 0);
    assert_near(plan.call[0].alpha_cumprod_next, schedule.alphas_cumprod[813], 0);
    eq_plan_free(&plan);
    /* Too few steps for it. */
    plan = make_plan(&eq_sampler_pndm, 3, EQ_SPACING_DEFAULT, 0, &schedule);
    assert_int_equal(plan.calls, 4);
    eq_plan_free(&plan);
    eq_schedule_free(&schedule);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(euler_is_ddim_on_another_scale), cmocka_unit_test(euler_ancestral_draws_from_the_posterior),
        cmocka_unit_test(heun_follows_its_algorithm),     cmocka_unit_test(dpmsolver_follows_its_algorithm),
        cmocka_unit_test(plms_follows_its_formulas),      cmocka_unit_test(prk_follows_its_formulas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
