/* Samplers against closed forms, with networks that are formulas: an oracle that knows x_0 and so the exact noise, and
 * an exact score for normal data. */
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

/* What a network that knows x_0 puts out at x_t. */
static void oracle(const eq_schedule *schedule, double alpha, const float *x0, const float *x, float *output)
{
    for (int i = 0; i < COUNT; i++) {
        float eps = (float)((x[i] - sqrt(alpha) * x0[i]) / sqrt(1 - alpha));
        eq_prediction_target(schedule->config.prediction, alpha, 1, &x0[i], &eps, &output[i]);
    }
}

/* As the sampling loop does it, x being the first noise. */
static void run_with_oracle(const eq_plan *plan, const float *x0, eq_rng *rng, float *x)
{
    enum { MAX_HISTORY = 16 };
    float input[COUNT], output[COUNT], noise[COUNT], history[MAX_HISTORY * COUNT] = {0};
    assert_true(plan->sampler->history <= MAX_HISTORY);
    for (int k = 0; k < COUNT; k++)
        x[k] *= (float)plan->init_noise_scale;
    for (int i = 0; i < plan->calls; i++) {
        const eq_plan_call *call = &plan->call[i];
        for (int k = 0; k < COUNT; k++)
            input[k] = x[k] * (float)call->input_scale;
        oracle(plan->schedule, call->alpha_cumprod, x0, input, output);
        bool noisy = call->noise_scale > 0;
        if (noisy)
            eq_rng_normals(rng, noise, COUNT);
        eq_sampler_step(plan, i,
                        &(eq_step){.pixels = PIXELS,
                                   .channels = CHANNELS,
                                   .output_channels = CHANNELS,
                                   .x = x,
                                   .output = output,
                                   .noise = noisy ? noise : NULL,
                                   .history = plan->sampler->history ? history : NULL});
    }
}

/* With the exact noise predicted, every sampler, count of steps, spacing, eta and prediction type ends at x_0. */
static void a_perfect_network_gives_x0_back(void **state)
{
    float x0[COUNT], x[COUNT];
    eq_rng rng = eq_rng_make(11, 0, 0);
    eq_rng_normals(&rng, x0, COUNT);
    for (int type = EQ_PREDICT_EPSILON; type <= EQ_PREDICT_SAMPLE; type++) {
        eq_schedule schedule = make_schedule((eq_prediction_type)type, true);
        for (int k = 0; eq_sampler_at(k); k++) {
            for (int spacing = EQ_SPACING_LEADING; spacing <= EQ_SPACING_PAPER; spacing++) {
                static const int step_counts[] = {1, 2, 7, 50};
                for (int n = 0; n < 4; n++) {
                    for (int eta = 0; eta <= 2; eta++) {
                        /* PNDM takes its first step again with the noise seen at its end. If that is a step from
                         * hardly any image to hardly any noise, the oracle's rounding there is multiplied by the
                         * ratio of the two, about 1e4. */
                        if (eq_sampler_at(k) == &eq_sampler_pndm && step_counts[n] == 2 &&
                            spacing != EQ_SPACING_LEADING)
                            continue;
                        eq_plan plan =
                            make_plan(eq_sampler_at(k), step_counts[n], (eq_spacing)spacing, eta / 2.0, &schedule);
                        eq_rng_normals(&rng, x, COUNT);
                        run_with_oracle(&plan, x0, &rng, x);
                        for (int i = 0; i < COUNT; i++)
                            assert_near(x[i], x0[i], 1e-4);
                        eq_plan_free(&plan);
                    }
                }
            }
        }
        eq_schedule_free(&schedule);
    }
}

/* Without set_alpha_to_one the last step ends at abar_0, with its noise. */
static void ddim_ends_at_the_final_alpha(void **state)
{
    eq_schedule schedule = make_schedule(EQ_PREDICT_EPSILON, false);
    eq_plan plan = make_plan(&eq_sampler_ddim, 5, EQ_SPACING_LEADING, 0, &schedule);
    assert_near(plan.call[4].alpha_cumprod_next, schedule.alphas_cumprod[0], 0);
    float x0[COUNT], noise[COUNT], x[COUNT];
    eq_rng rng = eq_rng_make(2, 0, 0);
    eq_rng_normals(&rng, x0, COUNT);
    eq_rng_normals(&rng, noise, COUNT);
    eq_add_noise(plan.call[0].alpha_cumprod, COUNT, x0, noise, x);
    run_with_oracle(&plan, x0, &rng, x);
    /* The same noise is carried along all the way. */
    for (int i = 0; i < COUNT; i++)
        assert_near(x[i], sqrt(0.9999) * x0[i] + sqrt(0.0001) * noise[i], 1e-5);
    eq_plan_free(&plan);
    eq_schedule_free(&schedule);
}

/* Song et al. 2021, section 4.1: at eta 1 DDIM's step is DDPM's, mean and variance, on all timesteps and on subsets. */
static void ddim_at_eta_1_is_ddpm(void **state)
{
    static const int step_counts[] = {1000, 50};
    eq_schedule schedule = make_schedule(EQ_PREDICT_EPSILON, true);
    for (int n = 0; n < 2; n++) {
        eq_plan ddim = make_plan(&eq_sampler_ddim, step_counts[n], EQ_SPACING_TRAILING, 1, &schedule);
        eq_plan ddpm = make_plan(&eq_sampler_ddpm, step_counts[n], EQ_SPACING_TRAILING, 0, &schedule);
        assert_int_equal(ddim.calls, ddpm.calls);
        for (int i = 0; i < ddim.calls; i++) {
            assert_near(ddim.call[i].noise_scale, ddpm.call[i].noise_scale, 1e-9);
            for (int noise = -1; noise <= 1; noise++) {
                double expected = one_step(&ddpm, i, 0.3f, -0.8f, (float)noise);
                assert_near(one_step(&ddim, i, 0.3f, -0.8f, (float)noise), expected, 1e-6 * (1 + fabs(expected)));
            }
        }
        eq_plan_free(&ddim);
        eq_plan_free(&ddpm);
    }
    eq_schedule_free(&schedule);
}

/* Ho et al. 2020, algorithm 2, as printed: x' = (x - beta / sqrt(1 - abar) eps) / sqrt(alpha) + sigma z. */
static void ddpm_follows_algorithm_2(void **state)
{
    eq_schedule schedule = make_schedule(EQ_PREDICT_EPSILON, true);
    schedule.config.variance = EQ_VARIANCE_LARGE;
    eq_plan plan = make_plan(&eq_sampler_ddpm, 1000, EQ_SPACING_LEADING, 0, &schedule);
    for (int t = 0; t < 1000; t += 37) {
        double beta = schedule.betas[t], abar = schedule.alphas_cumprod[t];
        double mean = (0.4 - beta / sqrt(1 - abar) * 0.9) / sqrt(1 - beta);
        double sigma = t > 0 ? sqrt(beta) : 0;
        assert_near(one_step(&plan, 999 - t, 0.4f, 0.9f, 0), mean, 1e-5);
        assert_near(one_step(&plan, 999 - t, 0.4f, 0.9f, 2), mean + 2 * sigma, 1e-5);
    }
    eq_plan_free(&plan);
    eq_schedule_free(&schedule);
}

/* q(x_{t'} | x_t, x_0) integrated over q(x_t | x_0) is q(x_{t'} | x_0): both moments must come out. */
static void posterior_is_consistent_with_the_forward_process(void **state)
{
    static const double alphas[][2] = {{0.1, 0.3}, {0.5, 0.9}, {0.9, 0.99}, {0.2, 1}};
    for (int i = 0; i < 4; i++) {
        double now = alphas[i][0], next = alphas[i][1];
        eq_posterior q = eq_posterior_at(now, next);
        assert_near(q.x0 + q.xt * sqrt(now), sqrt(next), 1e-14);
        assert_near(q.xt * q.xt * (1 - now) + q.variance, 1 - next, 1e-14);
        assert_near(q.beta, 1 - now / next, 1e-15);
    }
}

static void learned_variance_interpolates_in_the_logarithm(void **state)
{
    eq_schedule schedule = make_schedule(EQ_PREDICT_EPSILON, true);
    eq_plan plan = make_plan(&eq_sampler_ddpm, 100, EQ_SPACING_LEADING, 0, &schedule);
    const int i = 40;
    eq_posterior q = eq_posterior_at(plan.call[i].alpha_cumprod, plan.call[i].alpha_cumprod_next);
    /* Two pixels of two channels: v = -1, 1, 0, 0.5 in place. */
    float output[] = {0.1f, 0.2f, -1, 1, 0.3f, 0.4f, 0, 0.5f};
    float quiet[] = {1, 1, 1, 1}, noisy[] = {1, 1, 1, 1};
    float none[4] = {0}, ones[4] = {1, 1, 1, 1};
    eq_step step = {.pixels = 2, .channels = 2, .output_channels = 4, .x = quiet, .output = output, .noise = none};
    eq_sampler_step(&plan, i, &step);
    step.x = noisy;
    step.noise = ones;
    eq_sampler_step(&plan, i, &step);
    assert_near(noisy[0] - quiet[0], sqrt(q.variance), 1e-6);
    assert_near(noisy[1] - quiet[1], sqrt(q.beta), 1e-6);
    assert_near(noisy[2] - quiet[2], pow(q.variance * q.beta, 0.25), 1e-6);
    assert_near(noisy[3] - quiet[3], pow(q.variance, 0.125) * pow(q.beta, 0.375), 1e-6);

    /* DDIM reads past it. */
    eq_plan ddim = make_plan(&eq_sampler_ddim, 100, EQ_SPACING_LEADING, 0, &schedule);
    float x[] = {1, 1, 1, 1};
    step.x = x;
    step.noise = NULL;
    eq_sampler_step(&ddim, i, &step);
    static const float eps[] = {0.1f, 0.2f, 0.3f, 0.4f};
    for (int k = 0; k < 4; k++)
        assert_near(x[k], one_step(&ddim, i, 1, eps[k], 0), 0);
    eq_plan_free(&ddim);
    eq_plan_free(&plan);
    eq_schedule_free(&schedule);
}

/* For normal data of variance s^2 the optimal prediction is eps = sqrt(1 - abar) / (abar s^2 + 1 - abar) x, and the
 * ends of eta 0's trajectories, from unit noise, are normal with variance near s^2 already at few steps. */
static void ddim_maps_noise_to_normal_data(void **state)
{
    const double s2 = 0.25;
    eq_schedule schedule = make_schedule(EQ_PREDICT_EPSILON, true);
    double error[2];
    for (int n = 0; n < 2; n++) {
        eq_plan plan = make_plan(&eq_sampler_ddim, n ? 400 : 100, EQ_SPACING_TRAILING, 0, &schedule);
        float x = 1;
        for (int i = 0; i < plan.calls; i++) {
            double a = plan.call[i].alpha_cumprod;
            x = one_step(&plan, i, x, (float)(sqrt(1 - a) / (a * s2 + 1 - a) * x), 0);
        }
        error[n] = fabs(x - sqrt(s2));
        eq_plan_free(&plan);
    }
    /* Euler's method: four times the steps, about a quarter of the error. */
    assert_true(error[0] < 0.05);
    assert_true(error[1] < error[0] / 2.5);
    eq_schedule_free(&schedule);
}

/* DDPM on the same data, by carrying the variance of x through each step, which is linear. */
static void ddpm_reaches_the_variance_of_the_data(void **state)
{
    const double s2 = 0.25;
    eq_schedule schedule = make_schedule(EQ_PREDICT_EPSILON, true);
    eq_plan plan = make_plan(&eq_sampler_ddpm, 1000, EQ_SPACING_LEADING, 0, &schedule);
    double variance = 1;
    for (int i = 0; i < plan.calls; i++) {
        double a = plan.call[i].alpha_cumprod;
        double factor = one_step(&plan, i, 1, (float)(sqrt(1 - a) / (a * s2 + 1 - a)), 0);
        variance = factor * factor * variance + plan.call[i].noise_scale * plan.call[i].noise_scale;
    }
    assert_near(variance, s2, 0.01);
    eq_plan_free(&plan);
    eq_schedule_free(&schedule);
}

/* Runs a plan without noise on normal data of variance s2, from x_t = 1 at the first call through three quarters of the
 * steps (at the lowest levels the steps in log sigma stay long however many there are); returns how far x is then from
 * the probability-flow ODE's solution, on which x_t / sqrt(abar s2 + 1 - abar) is constant (Song et al. 2021,
 * "Score-Based Generative Modeling", eq. 13). With a network as exact as this one the error is the sampler's own. */
static double error_on_normal_data(const eq_plan *plan, double s2)
{
    enum { MAX_HISTORY = 16 };
    float history[MAX_HISTORY] = {0};
    assert_true(plan->sampler->history <= MAX_HISTORY);
    const eq_plan_call *end = plan->call;
    while (end->step < plan->steps * 3 / 4)
        end++;
    double first = plan->call[0].alpha_cumprod, last = end->alpha_cumprod;
    float x = (float)(1 / plan->call[0].input_scale);
    for (int i = 0; i < end - plan->call; i++) {
        const eq_plan_call *call = &plan->call[i];
        double a = call->alpha_cumprod;
        float output = (float)(sqrt(1 - a) / (a * s2 + 1 - a) * x * call->input_scale);
        eq_sampler_step(
            plan, i,
            &(eq_step){
                .pixels = 1, .channels = 1, .output_channels = 1, .x = &x, .output = &output, .history = history});
    }
    return fabs(x * end->input_scale - sqrt((last * s2 + 1 - last) / (first * s2 + 1 - first)));
}

/* Twice the steps divide the error by 2^order. */
static void errors_fall_with_the_order(void **state)
{
    eq_schedule_config config = eq_schedule_config_default();
    config.beta_kind = EQ_BETA_SCALED_LINEAR;
    config.beta_start = 0.00085;
    config.beta_end = 0.012;
    config.clip_sample = false;
    config.set_alpha_to_one = false;
    for (int k = 0; eq_sampler_at(k); k++) {
        const eq_sampler *sampler = eq_sampler_at(k);
        for (int variant = 0; variant < 2; variant++) {
            config.prk_steps = config.karras_sigmas = variant;
            eq_schedule schedule;
            assert_int_equal(eq_schedule_new(NULL, &config, NULL, &schedule), EQ_OK);
            double error[2];
            bool noisy = false;
            for (int n = 0; n < 2; n++) {
                eq_plan plan = make_plan(sampler, n ? 80 : 40, EQ_SPACING_DEFAULT, 0, &schedule);
                for (int i = 0; i < plan.calls; i++)
                    noisy = noisy || plan.call[i].noise_scale > 0;
                error[n] = noisy ? 0 : error_on_normal_data(&plan, 0.5);
                eq_plan_free(&plan);
            }
            if (!noisy) {
                print_message("%s%s: %.2e at 40 steps, %.2e at 80\n", sampler->name, variant ? " (variant)" : "",
                              error[0], error[1]);
                assert_true(error[0] < 0.05);
                assert_true(error[1] < error[0] / (0.8 * (1 << sampler->order)));
            }
            eq_schedule_free(&schedule);
        }
    }
}

static void sigmas_and_timesteps(void **state)
{
    eq_schedule schedule = make_schedule(EQ_PREDICT_EPSILON, true);
    double at_10 = sigma_of(schedule.alphas_cumprod[10]), at_11 = sigma_of(schedule.alphas_cumprod[11]);
    assert_near(eq_sigma_at(&schedule, 10), at_10, 0);
    assert_near(eq_sigma_at(&schedule, 10.25), 0.75 * at_10 + 0.25 * at_11, 1e-12);
    assert_near(eq_timestep_at(&schedule, at_10), 10, 1e-9);
    assert_near(eq_timestep_at(&schedule, sqrt(at_10 * at_11)), 10.5, 1e-9);
    assert_near(eq_timestep_at(&schedule, 1e-9), 0, 0);
    assert_near(eq_timestep_at(&schedule, 1e9), 999, 0);
    assert_near(eq_alpha_from_sigma(eq_sigma_from_alpha(0.3)), 0.3, 1e-15);
    /* 2^7 to 1 in three: the middle of 2 and 1 to the seventh. */
    assert_near(eq_karras_sigma(128, 1, 0, 3), 128, 0);
    assert_near(eq_karras_sigma(128, 1, 1, 3), pow(1.5, 7), 1e-12);
    assert_near(eq_karras_sigma(128, 1, 2, 3), 1, 0);
    assert_near(eq_karras_sigma(128, 1, 0, 1), 128, 0);

    schedule.config.karras_sigmas = true;
    eq_plan plan = make_plan(&eq_sampler_euler, 10, EQ_SPACING_DEFAULT, 0, &schedule);
    for (int i = 0; i < 10; i++) {
        double sigma =
            eq_karras_sigma(sigma_of(schedule.alphas_cumprod[999]), sigma_of(schedule.alphas_cumprod[0]), i, 10);
        assert_near(sigma_of(plan.call[i].alpha_cumprod), sigma, 1e-9 * sigma);
        assert_near(plan.call[i].timestep, eq_timestep_at(&schedule, sigma), 1e-9);
    }
    eq_plan_free(&plan);
    eq_schedule_free(&schedule);
}

/* The first x of the leading spacing holds the image's share of variance too. */
static void leading_sigmas_start_with_unit_variance(void **state)
{
    eq_schedule schedule = make_schedule(EQ_PREDICT_EPSILON, true);
    schedule.config.steps_offset = 1;
    eq_plan plan = make_plan(&eq_sampler_euler, 8, EQ_SPACING_LEADING, 0, &schedule);
    assert_near(plan.call[0].timestep, 876, 0);
    assert_near(plan.init_noise_scale * plan.call[0].input_scale, 1, 1e-12);
    eq_plan_free(&plan);
    eq_schedule_free(&schedule);
}

/* Up by inversion, down by sampling, with a network whose noise is the same both ways. */
static void sampling_undoes_inversion(void **state)
{
    for (int type = EQ_PREDICT_EPSILON; type <= EQ_PREDICT_SAMPLE; type++) {
        eq_schedule schedule = make_schedule((eq_prediction_type)type, true);
        schedule.config.clip_sample = true; /* inversion must not clamp */
        eq_plan plan = make_plan(&eq_sampler_ddim, 50, EQ_SPACING_PAPER, 0, &schedule);
        float x0[COUNT], noise[COUNT], start[COUNT], x[COUNT], output[COUNT];
        eq_rng rng = eq_rng_make(5, 0, 0);
        eq_rng_normals(&rng, x0, COUNT);
        eq_rng_normals(&rng, noise, COUNT);
        int last = plan.calls - 1;
        eq_add_noise(plan.call[last].alpha_cumprod, COUNT, x0, noise, start);
        memcpy(x, start, sizeof x);
        for (int i = last; i > 0; i--) {
            oracle(&schedule, plan.call[i].alpha_cumprod, x0, x, output);
            eq_ddim_invert(
                &schedule, plan.call[i].alpha_cumprod, plan.call[i - 1].alpha_cumprod,
                &(eq_step){
                    .pixels = PIXELS, .channels = CHANNELS, .output_channels = CHANNELS, .x = x, .output = output});
        }
        float top[COUNT];
        eq_add_noise(plan.call[0].alpha_cumprod, COUNT, x0, noise, top);
        for (int k = 0; k < COUNT; k++)
            assert_near(x[k], top[k], 1e-3); /* the oracle divides by sqrt(1 - abar_0) = 0.01 */

        schedule.config.clip_sample = false;
        for (int i = 0; i < last; i++) {
            oracle(&schedule, plan.call[i].alpha_cumprod, x0, x, output);
            eq_sampler_step(
                &plan, i,
                &(eq_step){
                    .pixels = PIXELS, .channels = CHANNELS, .output_channels = CHANNELS, .x = x, .output = output});
        }
        for (int k = 0; k < COUNT; k++)
            assert_near(x[k], start[k], 1e-5);
        eq_plan_free(&plan);
        eq_schedule_free(&schedule);
    }
}

static void plans_take_the_spacing_that_is_said_first(void **state)
{
    eq_schedule schedule = make_schedule(EQ_PREDICT_EPSILON, true);
    eq_plan plan = make_plan(&eq_sampler_ddim, 4, EQ_SPACING_DEFAULT, 0, &schedule);
    assert_int_equal((int)plan.call[0].timestep, 750);
    eq_plan_free(&plan);
    schedule.config.spacing = EQ_SPACING_TRAILING;
    plan = make_plan(&eq_sampler_ddim, 4, EQ_SPACING_DEFAULT, 0, &schedule);
    assert_int_equal((int)plan.call[1].timestep, 749);
    eq_plan_free(&plan);
    plan = make_plan(&eq_sampler_ddim, 4, EQ_SPACING_LINSPACE, 0, &schedule);
    assert_int_equal((int)plan.call[1].timestep, 666);
    assert_int_equal(plan.call[1].step, 1);
    assert_near(plan.call[1].input_scale, 1, 0);
    assert_near(plan.init_noise_scale, 1, 0);
    eq_plan_free(&plan);
    eq_schedule_free(&schedule);
}

static void bad_options_are_refused(void **state)
{
    eq_context *ctx = eq_context_new();
    eq_schedule schedule = make_schedule(EQ_PREDICT_EPSILON, true);
    static const double etas[] = {-0.1, 1.5, NAN, INFINITY};
    eq_plan plan;
    for (int i = 0; i < 4; i++) {
        eq_plan_options options = {.sampler = &eq_sampler_ddim, .steps = 10, .eta = etas[i]};
        assert_int_equal(eq_plan_new(ctx, &options, &schedule, &plan), EQ_BAD_USAGE);
        assert_non_null(strstr(eq_last_error(ctx), "eta"));
    }
    static const int step_counts[] = {0, -3, 1001};
    for (int i = 0; i < 3; i++) {
        eq_plan_options options = {.sampler = &eq_sampler_ddpm, .steps = step_counts[i]};
        assert_int_equal(eq_plan_new(ctx, &options, &schedule, &plan), EQ_BAD_USAGE);
        assert_non_null(strstr(eq_last_error(ctx), "1..1000"));
        assert_null(plan.call);
    }
    schedule.config.steps_offset = 1;
    eq_plan_options options = {.sampler = &eq_sampler_ddim, .steps = 1000};
    assert_int_equal(eq_plan_new(ctx, &options, &schedule, &plan), EQ_BAD_USAGE);
    assert_null(plan.call);
    eq_schedule_free(&schedule);
    eq_context_free(ctx);
}

static void samplers_are_found_by_name(void **state)
{
    eq_context *ctx = eq_context_new();
    const eq_sampler *sampler;
    for (int i = 0; eq_sampler_at(i); i++) {
        assert_int_equal(eq_sampler_find(ctx, eq_sampler_at(i)->name, &sampler), EQ_OK);
        assert_ptr_equal(sampler, eq_sampler_at(i));
        assert_int_not_equal(sampler->spacing, EQ_SPACING_DEFAULT);
    }
    assert_int_equal(eq_sampler_find(ctx, "ddjm", &sampler), EQ_BAD_USAGE);
    assert_non_null(strstr(eq_last_error(ctx), "ddim, ddpm"));
    assert_non_null(strstr(eq_last_error(ctx), "ddjm"));
    eq_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_perfect_network_gives_x0_back),
        cmocka_unit_test(ddim_ends_at_the_final_alpha),
        cmocka_unit_test(ddim_at_eta_1_is_ddpm),
        cmocka_unit_test(ddpm_follows_algorithm_2),
        cmocka_unit_test(posterior_is_consistent_with_the_forward_process),
        cmocka_unit_test(learned_variance_interpolates_in_the_logarithm),
        cmocka_unit_test(ddim_maps_noise_to_normal_data),
        cmocka_unit_test(ddpm_reaches_the_variance_of_the_data),
        cmocka_unit_test(errors_fall_with_the_order),
        cmocka_unit_test(sigmas_and_timesteps),
        cmocka_unit_test(leading_sigmas_start_with_unit_variance),
        cmocka_unit_test(sampling_undoes_inversion),
        cmocka_unit_test(plans_take_the_spacing_that_is_said_first),
        cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(samplers_are_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
