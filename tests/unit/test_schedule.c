/* Noise schedules against closed forms and numbers worked out by hand, timesteps against hand-written lists, the
 * conversions of predictions into each other, and loss weights. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/path.h"
#include "base/rng.h"
#include "diffusion/forward.h"
#include "diffusion/prediction.h"
#include "diffusion/sampler.h"
#include "diffusion/schedule.h"
#include "diffusion/timesteps.h"
#include "temporary.h"
#include "unit/schedules.h"

static void linear_betas(void **state)
{
    eq_schedule s = make_betas(EQ_BETA_LINEAR, 1000, 0.0001, 0.02);
    assert_near(s.betas[0], 0.0001, 1e-18);
    assert_near(s.betas[999], 0.02, 1e-17);
    assert_near(s.betas[509], 0.0001 + 0.0199 * 509 / 999, 1e-16);
    assert_near(s.alphas_cumprod[1], (1 - 0.0001) * (1 - s.betas[1]), 1e-15);
    /* The sum of log(1 - beta) is -10.1178, so abar_999 is 4.0358e-5, as in every DDPM implementation. */
    assert_near(s.alphas_cumprod[999], 4.0358e-5, 1e-9);
    assert_near(s.final_alpha_cumprod, 1, 0);
    assert_near(eq_schedule_alpha(&s, -1), 1, 0);
    assert_near(eq_schedule_alpha(&s, 7), s.alphas_cumprod[7], 0);
    eq_schedule_free(&s);
}

static void scaled_linear_betas(void **state)
{
    eq_schedule s = make_betas(EQ_BETA_SCALED_LINEAR, 3, 0.01, 0.09);
    /* Roots 0.1, 0.2, 0.3. */
    assert_near(s.betas[0], 0.01, 1e-16);
    assert_near(s.betas[1], 0.04, 1e-16);
    assert_near(s.betas[2], 0.09, 1e-16);
    assert_near(s.alphas_cumprod[2], 0.99 * 0.96 * 0.91, 1e-15);
    eq_schedule_free(&s);
}

static void cosine_betas_are_capped(void **state)
{
    eq_schedule s = make_betas(EQ_BETA_COSINE, 1000, 0.0001, 0.02);
    assert_near(s.betas[999], 0.999, 0);
    for (int t = 0; t < 1000; t++)
        assert_true(s.betas[t] > 0 && s.betas[t] <= 0.999);
    /* Below the cap abar follows f(t) / f(0), f(s) = cos^2((s + 0.008) / 1.008 pi / 2). */
    double f0 = pow(cos(0.008 / 1.008 * M_PI / 2), 2);
    for (int t = 0; t < 900; t += 100)
        assert_near(s.alphas_cumprod[t], pow(cos(((t + 1) / 1000.0 + 0.008) / 1.008 * M_PI / 2), 2) / f0, 1e-12);
    eq_schedule_free(&s);
}

static void trained_betas_are_copied(void **state)
{
    eq_schedule_config config = eq_schedule_config_default();
    config.num_train_timesteps = 3;
    config.beta_kind = EQ_BETA_TRAINED;
    config.set_alpha_to_one = false;
    double betas[] = {0.5, 0.25, 0.125};
    eq_schedule s;
    assert_int_equal(eq_schedule_new(NULL, &config, betas, &s), EQ_OK);
    betas[0] = 0;
    assert_near(s.betas[0], 0.5, 0);
    assert_near(s.alphas_cumprod[2], 0.5 * 0.75 * 0.875, 0);
    assert_near(s.final_alpha_cumprod, 0.5, 0);
    eq_schedule_free(&s);
}

static void bad_configs_are_refused(void **state)
{
    eq_context *ctx = eq_context_new();
    eq_schedule s;
    eq_schedule_config config;

    config = eq_schedule_config_default();
    config.num_train_timesteps = 0;
    assert_int_equal(eq_schedule_new(ctx, &config, NULL, &s), EQ_BAD_USAGE);
    assert_non_null(strstr(eq_last_error(ctx), "num_train_timesteps"));
    assert_null(s.betas);

    config = eq_schedule_config_default();
    config.num_train_timesteps = 10;
    config.beta_end = 1;
    assert_int_equal(eq_schedule_new(ctx, &config, NULL, &s), EQ_BAD_USAGE);
    assert_non_null(strstr(eq_last_error(ctx), "timestep 9:"));

    config = eq_schedule_config_default();
    config.beta_start = NAN;
    assert_int_equal(eq_schedule_new(ctx, &config, NULL, &s), EQ_BAD_USAGE);

    config = eq_schedule_config_default();
    config.beta_kind = EQ_BETA_SCALED_LINEAR;
    config.beta_start = -0.1;
    assert_int_equal(eq_schedule_new(ctx, &config, NULL, &s), EQ_BAD_USAGE);

    /* 1e-3 to the thousandth is 0 in double, and abar divides. */
    config = eq_schedule_config_default();
    config.beta_start = config.beta_end = 0.999;
    assert_int_equal(eq_schedule_new(ctx, &config, NULL, &s), EQ_BAD_USAGE);
    assert_non_null(strstr(eq_last_error(ctx), "alphas_cumprod"));

    config = eq_schedule_config_default();
    config.steps_offset = -1;
    assert_int_equal(eq_schedule_new(ctx, &config, NULL, &s), EQ_BAD_USAGE);

    config = eq_schedule_config_default();
    config.beta_kind = EQ_BETA_TRAINED;
    assert_int_equal(eq_schedule_new(ctx, &config, NULL, &s), EQ_BAD_USAGE);
    eq_context_free(ctx);
}

static void check_timesteps(eq_spacing spacing, int offset, int n, const int *expected, int last_previous)
{
    eq_schedule s = make_betas(EQ_BETA_LINEAR, 1000, 0.0001, 0.02);
    s.config.steps_offset = offset;
    int timesteps[64], previous[64];
    assert_int_equal(eq_timesteps(NULL, &s, spacing, n, timesteps, previous), EQ_OK);
    for (int i = 0; i < n; i++) {
        assert_int_equal(timesteps[i], expected[i]);
        assert_int_equal(previous[i], i + 1 < n ? expected[i + 1] : last_previous);
    }
    eq_schedule_free(&s);
}

static void timesteps_match_hand_written_lists(void **state)
{
    check_timesteps(EQ_SPACING_LEADING, 0, 5, (int[]){800, 600, 400, 200, 0}, -1);
    /* Stable Diffusion's 8 steps. */
    check_timesteps(EQ_SPACING_LEADING, 1, 8, (int[]){876, 751, 626, 501, 376, 251, 126, 1}, -1);
    /* 1000 / 7 = 142 whole. */
    check_timesteps(EQ_SPACING_LEADING, 0, 7, (int[]){852, 710, 568, 426, 284, 142, 0}, -1);
    check_timesteps(EQ_SPACING_LEADING, 0, 1, (int[]){0}, -1);
    /* 600 steps of width 1 end at timestep 1, one above the end: diffusers goes on to t - T / n = 0. */
    eq_schedule s = make_betas(EQ_BETA_LINEAR, 1000, 0.0001, 0.02);
    s.config.steps_offset = 1;
    int timesteps[600], previous[600];
    assert_int_equal(eq_timesteps(NULL, &s, EQ_SPACING_LEADING, 600, timesteps, previous), EQ_OK);
    assert_int_equal(timesteps[0], 600);
    assert_int_equal(timesteps[599], 1);
    assert_int_equal(previous[599], 0);
    eq_schedule_free(&s);

    check_timesteps(EQ_SPACING_TRAILING, 0, 4, (int[]){999, 749, 499, 249}, -1);
    check_timesteps(EQ_SPACING_TRAILING, 1, 7, (int[]){999, 856, 713, 570, 428, 285, 142}, -1);
    check_timesteps(EQ_SPACING_TRAILING, 0, 1, (int[]){999}, -1);
    /* 499.5 goes to the even side. */
    check_timesteps(EQ_SPACING_LINSPACE, 1, 5, (int[]){999, 749, 500, 250, 0}, -1);
    check_timesteps(EQ_SPACING_LINSPACE, 0, 1, (int[]){999}, -1);
    check_timesteps(EQ_SPACING_PAPER, 1, 5, (int[]){999, 749, 499, 249, 0}, -1);
    /* 7 * (1 / 9) * 999 falls short of 777 in double, and the published code cuts it to 776. */
    check_timesteps(EQ_SPACING_PAPER, 0, 10, (int[]){999, 888, 776, 666, 555, 444, 333, 222, 111, 0}, -1);
    check_timesteps(EQ_SPACING_PAPER, 0, 50,
                    (int[]){999, 978, 958, 937, 917, 897, 876, 856, 835, 815, 795, 774, 754, 733, 713, 693, 672,
                            652, 632, 611, 591, 570, 550, 530, 509, 489, 468, 448, 428, 407, 387, 366, 346, 326,
                            305, 285, 265, 244, 224, 203, 183, 163, 142, 122, 101, 81,  61,  40,  20,  0},
                    -1);
    check_timesteps(EQ_SPACING_PAPER, 0, 1, (int[]){999}, -1);
}

static void timesteps_fall_strictly_for_every_count(void **state)
{
    static int timesteps[1000], previous[1000];
    for (int count = 1; count <= 1000; count += 27) {
        eq_schedule s = make_betas(EQ_BETA_LINEAR, count, 0.0001, 0.02);
        for (int n = 1; n <= count; n++) {
            for (int spacing = EQ_SPACING_DEFAULT; spacing <= EQ_SPACING_PAPER; spacing++) {
                assert_int_equal(eq_timesteps(NULL, &s, (eq_spacing)spacing, n, timesteps, previous), EQ_OK);
                assert_true(timesteps[0] < count);
                assert_true(timesteps[n - 1] >= 0);
                for (int i = 0; i < n; i++) {
                    assert_true(previous[i] < timesteps[i]);
                    if (n == count)
                        assert_int_equal(timesteps[i], count - 1 - i);
                }
            }
        }
        eq_schedule_free(&s);
    }
}

static void bad_step_counts_are_refused(void **state)
{
    eq_context *ctx = eq_context_new();
    eq_schedule s = make_betas(EQ_BETA_LINEAR, 1000, 0.0001, 0.02);
    static int timesteps[1001], previous[1001];
    assert_int_equal(eq_timesteps(ctx, &s, EQ_SPACING_PAPER, 0, timesteps, previous), EQ_BAD_USAGE);
    assert_int_equal(eq_timesteps(ctx, &s, EQ_SPACING_PAPER, 1001, timesteps, previous), EQ_BAD_USAGE);
    assert_non_null(strstr(eq_last_error(ctx), "1..1000"));
    s.config.steps_offset = 1;
    assert_int_equal(eq_timesteps(ctx, &s, EQ_SPACING_LEADING, 1000, timesteps, previous), EQ_BAD_USAGE);
    assert_non_null(strstr(eq_last_error(ctx), "timestep 1000"));
    assert_int_equal(eq_timesteps(ctx, &s, EQ_SPACING_TRAILING, 1000, timesteps, previous), EQ_OK);

    eq_spacing spacing;
    assert_int_equal(eq_spacing_find(ctx, "trailing", &spacing), EQ_OK);
    assert_int_equal(spacing, EQ_SPACING_TRAILING);
    assert_int_equal(eq_spacing_find(ctx, "sideways", &spacing), EQ_BAD_USAGE);
    assert_non_null(strstr(eq_last_error(ctx), "linspace"));
    eq_schedule_free(&s);
    eq_context_free(ctx);
}

/* Noise x_0 in closed form, give the target the network should put out, and get x_0 and the noise back, from outputs
 * with and without the channels of a learned variance. */
static void predictions_round_trip(void **state)
{
    enum { PIXELS = 5, CHANNELS = 3, COUNT = PIXELS * CHANNELS };
    float x0[COUNT], noise[COUNT], x_t[COUNT], target[COUNT], wide[2 * COUNT], found_x0[COUNT], found_eps[COUNT];
    eq_rng rng = eq_rng_make(3, 0, 0);
    eq_rng_normals(&rng, x0, COUNT);
    eq_rng_normals(&rng, noise, COUNT);
    eq_schedule s = make_betas(EQ_BETA_LINEAR, 1000, 0.0001, 0.02);
    s.config.clip_sample = false;
    for (int type = EQ_PREDICT_EPSILON; type <= EQ_PREDICT_SAMPLE; type++) {
        s.config.prediction = (eq_prediction_type)type;
        for (int t = 100; t < 600; t += 100) {
            double alpha = s.alphas_cumprod[t];
            eq_add_noise(alpha, COUNT, x0, noise, x_t);
            eq_prediction_target(s.config.prediction, alpha, COUNT, x0, noise, target);
            for (int i = 0; i < 2 * COUNT; i++) {
                int pixel = i / (2 * CHANNELS), channel = i % (2 * CHANNELS);
                wide[i] = channel < CHANNELS ? target[pixel * CHANNELS + channel] : NAN;
            }
            eq_predict(&s, alpha, PIXELS, CHANNELS, CHANNELS, x_t, target, found_x0, found_eps);
            for (int i = 0; i < COUNT; i++) {
                assert_near(found_x0[i], x0[i], 1e-5);
                assert_near(found_eps[i], noise[i], 1e-5);
            }
            eq_predict(&s, alpha, PIXELS, CHANNELS, 2 * CHANNELS, x_t, wide, found_x0, NULL);
            eq_predict(&s, alpha, PIXELS, CHANNELS, 2 * CHANNELS, x_t, wide, NULL, found_eps);
            for (int i = 0; i < COUNT; i++) {
                assert_near(found_x0[i], x0[i], 1e-5);
                assert_near(found_eps[i], noise[i], 1e-5);
            }
        }
    }
    eq_schedule_free(&s);
}

static void v_is_a_rotation(void **state)
{
    /* abar = 0.64: sqrt 0.8 and 0.6. */
    float x0 = 2, noise = -1, x_t, v;
    eq_add_noise(0.64, 1, &x0, &noise, &x_t);
    eq_prediction_target(EQ_PREDICT_V, 0.64, 1, &x0, &noise, &v);
    assert_near(x_t, 0.8 * 2 - 0.6, 1e-6);
    assert_near(v, 0.8 * -1 - 0.6 * 2, 1e-6);
    assert_near((double)x_t * x_t + (double)v * v, 5, 1e-5);
}

static void clipping_bounds_x0_and_keeps_the_noise(void **state)
{
    eq_schedule s = make_betas(EQ_BETA_LINEAR, 1000, 0.0001, 0.02);
    s.config.clip_sample_range = 1.5;
    float x[] = {3, -3, 0.5f}, output[] = {0.25f, 0.5f, 0}, x0[3], eps[3];
    eq_predict(&s, 0.64, 1, 3, 3, x, output, x0, eps);
    assert_near(x0[0], 1.5, 0);
    assert_near(x0[1], -1.5, 0);
    assert_near(x0[2], 0.625, 1e-6);
    assert_memory_equal(eps, output, sizeof eps);
    eq_schedule_free(&s);
}

static void no_noise_is_no_division_by_zero(void **state)
{
    eq_schedule s = make_betas(EQ_BETA_LINEAR, 1000, 0.0001, 0.02);
    for (int type = EQ_PREDICT_EPSILON; type <= EQ_PREDICT_SAMPLE; type++) {
        s.config.prediction = (eq_prediction_type)type;
        float x = 0.25f, output = 0.25f, x0, eps;
        eq_predict(&s, 1, 1, 1, 1, &x, &output, &x0, &eps);
        assert_near(x0, 0.25, 0);
        assert_near(eps, type == EQ_PREDICT_SAMPLE ? 0 : 0.25, 0);
    }
    eq_schedule_free(&s);
}

static void loss_weights(void **state)
{
    const eq_prediction_type eps = EQ_PREDICT_EPSILON, v = EQ_PREDICT_V, sample = EQ_PREDICT_SAMPLE;
    assert_near(eq_snr(0.75), 3, 1e-15);
    assert_near(eq_loss_weight(EQ_WEIGHT_UNIFORM, v, 0.75), 1, 0);
    /* snr 9, above gamma = 5; snr 3, below. */
    assert_near(eq_loss_weight(EQ_WEIGHT_MIN_SNR, eps, 0.9), 5.0 / 9, 1e-12);
    assert_near(eq_loss_weight(EQ_WEIGHT_MIN_SNR, v, 0.9), 5.0 / 10, 1e-12);
    assert_near(eq_loss_weight(EQ_WEIGHT_MIN_SNR, sample, 0.9), 5, 1e-12);
    assert_near(eq_loss_weight(EQ_WEIGHT_MIN_SNR, eps, 0.75), 1, 1e-12);
    assert_near(eq_loss_weight(EQ_WEIGHT_MIN_SNR, v, 0.75), 3.0 / 4, 1e-12);
    assert_near(eq_loss_weight(EQ_WEIGHT_MIN_SNR, sample, 0.75), 3, 1e-12);
    assert_near(eq_loss_weight(EQ_WEIGHT_P2, eps, 0.75), 1.0 / 4, 1e-12);
    assert_near(eq_loss_weight(EQ_WEIGHT_P2, v, 0.75), 3.0 / 16, 1e-12);
    assert_near(eq_loss_weight(EQ_WEIGHT_P2, sample, 0.75), 3.0 / 4, 1e-12);

    eq_loss_weighting weighting;
    assert_int_equal(eq_loss_weighting_find(NULL, "min-snr", &weighting), EQ_OK);
    assert_int_equal(weighting, EQ_WEIGHT_MIN_SNR);
    assert_int_equal(eq_loss_weighting_find(NULL, "max-snr", &weighting), EQ_BAD_USAGE);
}

/* A weighted loss does not depend on which of the three quantities the squared error is taken in. */
static void weights_agree_across_predictions(void **state)
{
    eq_schedule s = make_betas(EQ_BETA_LINEAR, 1000, 0.0001, 0.02);
    s.config.clip_sample = false;
    const float x_t = 0.7f, right_x0 = 0.2f, wrong_x0 = 0.5f;
    for (int weighting = EQ_WEIGHT_MIN_SNR; weighting <= EQ_WEIGHT_P2; weighting++) {
        for (int t = 100; t < 1000; t += 300) {
            double alpha = s.alphas_cumprod[t], loss[3];
            s.config.prediction = EQ_PREDICT_SAMPLE;
            float right_eps, wrong_eps;
            eq_predict(&s, alpha, 1, 1, 1, &x_t, &right_x0, NULL, &right_eps);
            eq_predict(&s, alpha, 1, 1, 1, &x_t, &wrong_x0, NULL, &wrong_eps);
            for (int type = EQ_PREDICT_EPSILON; type <= EQ_PREDICT_SAMPLE; type++) {
                float right, wrong;
                eq_prediction_target((eq_prediction_type)type, alpha, 1, &right_x0, &right_eps, &right);
                eq_prediction_target((eq_prediction_type)type, alpha, 1, &wrong_x0, &wrong_eps, &wrong);
                double error = (double)wrong - right;
                loss[type] =
                    error * error * eq_loss_weight((eq_loss_weighting)weighting, (eq_prediction_type)type, alpha);
            }
            assert_near(loss[EQ_PREDICT_EPSILON] / loss[EQ_PREDICT_SAMPLE], 1, 1e-4);
            assert_near(loss[EQ_PREDICT_V] / loss[EQ_PREDICT_SAMPLE], 1, 1e-4);
        }
    }
    eq_schedule_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_betas),
        cmocka_unit_test(scaled_linear_betas),
        cmocka_unit_test(cosine_betas_are_capped),
        cmocka_unit_test(trained_betas_are_copied),
        cmocka_unit_test(bad_configs_are_refused),
        cmocka_unit_test(timesteps_match_hand_written_lists),
        cmocka_unit_test(timesteps_fall_strictly_for_every_count),
        cmocka_unit_test(bad_step_counts_are_refused),
        cmocka_unit_test(predictions_round_trip),
        cmocka_unit_test(v_is_a_rotation),
        cmocka_unit_test(clipping_bounds_x0_and_keeps_the_noise),
        cmocka_unit_test(no_noise_is_no_division_by_zero),
        cmocka_unit_test(loss_weights),
        cmocka_unit_test(weights_agree_across_predictions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
