/* Schedules read from the fixtures' files, their timesteps, and what can be said of DDIM's first step without running
 * the network. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "diffusion/sampler.h"
#include "io/tensor_file.h"
#include "reference/fixtures.h"

static eq_context *ctx;

static void assert_ok(eq_status status)
{
    if (status != EQ_OK)
        fail_msg("%s", eq_last_error(ctx));
}

static eq_schedule read_schedule(const char *name)
{
    eq_schedule schedule;
    assert_ok(eq_schedule_read(ctx, fixture_path(name), &schedule));
    return schedule;
}

static eq_plan ddim_plan(const eq_schedule *schedule, int steps)
{
    eq_plan plan;
    assert_ok(eq_plan_new(ctx, &(eq_plan_options){.sampler = &eq_sampler_ddim, .steps = steps}, schedule, &plan));
    return plan;
}

/* The named tensor of a fixture's reference.safetensors as floats; the caller frees them. */
static float *read_reference(const char *fixture, const char *name, size_t expected_count)
{
    char file_name[128];
    snprintf(file_name, sizeof file_name, "%s/reference.safetensors", fixture);
    eq_tensor_file file;
    assert_ok(eq_tensor_file_open(ctx, fixture_path(file_name), &file));
    const eq_tensor *tensor = eq_tensor_file_find(&file, name);
    assert_non_null(tensor);
    assert_int_equal(eq_shape_count(&tensor->shape), expected_count);
    float *values = malloc(expected_count * sizeof *values);
    assert_non_null(values);
    eq_tensor_to_f32(tensor, values);
    eq_tensor_file_close(&file);
    return values;
}

static void configs_are_read(void **state)
{
    eq_schedule s = read_schedule("ddpm-unet2d/scheduler/scheduler_config.json");
    assert_int_equal(s.config.num_train_timesteps, 1000);
    assert_int_equal(s.config.beta_kind, EQ_BETA_LINEAR);
    assert_int_equal(s.config.prediction, EQ_PREDICT_EPSILON);
    assert_false(s.config.clip_sample);
    assert_true(s.final_alpha_cumprod == 1);
    eq_schedule_free(&s);

    s = read_schedule("sd2-unet/scheduler/scheduler_config.json");
    assert_int_equal(s.config.beta_kind, EQ_BETA_SCALED_LINEAR);
    assert_int_equal(s.config.prediction, EQ_PREDICT_V);
    assert_int_equal(s.config.steps_offset, 1);
    assert_true(s.final_alpha_cumprod == s.alphas_cumprod[0]);
    eq_schedule_free(&s);

    s = read_schedule("stable-diffusion-tiny/scheduler/scheduler_config.json");
    assert_int_equal(s.config.prediction, EQ_PREDICT_EPSILON);
    assert_false(s.config.clip_sample || s.config.set_alpha_to_one);
    assert_true(fabs(s.betas[0] - 0.00085) < 1e-12 && fabs(s.betas[999] - 0.012) < 1e-12);
    eq_schedule_free(&s);
}

static void check_timesteps(const char *fixture, const char *name, int steps)
{
    char file_name[128];
    snprintf(file_name, sizeof file_name, "%s/scheduler/scheduler_config.json", fixture);
    eq_schedule schedule = read_schedule(file_name);
    eq_plan plan = ddim_plan(&schedule, steps);
    float *expected = read_reference(fixture, name, (size_t)steps);
    assert_int_equal(plan.calls, steps);
    for (int i = 0; i < steps; i++)
        assert_true(plan.call[i].timestep == expected[i]);
    free(expected);
    eq_plan_free(&plan);
    eq_schedule_free(&schedule);
}

static void timesteps_are_equal(void **state)
{
    check_timesteps("ddpm-unet2d", "ddim10_timesteps", 10);
    check_timesteps("stable-diffusion-tiny", "timesteps_ddim_8", 8);
}

static void guided_diffusions_beta(void **state)
{
    eq_schedule_config config = eq_schedule_config_default();
    eq_schedule schedule;
    assert_ok(eq_schedule_new(ctx, &config, NULL, &schedule));
    float *beta = read_reference("guided-diffusion", "beta_509", 1);
    assert_true(fabs(schedule.betas[509] / beta[0] - 1) < 1e-7);
    free(beta);
    eq_schedule_free(&schedule);
}

/* The fixture has the network's noise for its x at timesteps 0, 500 and 999, an image each, but not at 900, where the
 * run starts. The random network depends on the timestep weakly (its noise moves by some 4% of its norm), and what
 * the step does with it strongly: from the given noise the step must come as near to the reference as that, while
 * ending 10 timesteps off misses several times wider. */
static void first_step_is_near_the_reference(void **state)
{
    enum { IMAGES = 3, PIXELS = 32 * 32, CHANNELS = 3, COUNT = IMAGES * PIXELS * CHANNELS };
    eq_schedule schedule = read_schedule("ddpm-unet2d/scheduler/scheduler_config.json");
    eq_plan plan = ddim_plan(&schedule, 10);
    float *x = read_reference("ddpm-unet2d", "x", COUNT);
    float *eps = read_reference("ddpm-unet2d", "eps", COUNT);
    float *expected = read_reference("ddpm-unet2d", "ddim10_eta0_x_after_1", COUNT);
    double error[3];
    for (int shift = 0; shift < 3; shift++) {
        float *moved = malloc(COUNT * sizeof *moved);
        assert_non_null(moved);
        memcpy(moved, x, COUNT * sizeof *moved);
        plan.call[0].alpha_cumprod_next = eq_schedule_alpha(&schedule, 800 + (shift - 1) * 10);
        /* The step works value by value, so that the order of the dimensions does not matter to it. */
        eq_sampler_step(&plan, 0,
                        &(eq_step){.pixels = IMAGES * PIXELS,
                                   .channels = CHANNELS,
                                   .output_channels = CHANNELS,
                                   .x = moved,
                                   .output = eps});
        double squares = 0, norm = 0;
        for (int i = 0; i < COUNT; i++) {
            squares += ((double)moved[i] - expected[i]) * ((double)moved[i] - expected[i]);
            norm += (double)expected[i] * expected[i];
        }
        error[shift] = sqrt(squares / norm);
        free(moved);
    }
    print_message("relative error %.4f; 10 timesteps off %.4f, %.4f\n", error[1], error[0], error[2]);
    assert_true(error[1] < 0.02);
    assert_true(error[0] > 3 * error[1] && error[2] > 3 * error[1]);
    free(expected);
    free(eps);
    free(x);
    eq_plan_free(&plan);
    eq_schedule_free(&schedule);
}

int main(void)
{
    static const char *const fixtures[] = {"ddpm-unet2d", "sd2-unet", "stable-diffusion-tiny", "guided-diffusion"};
    for (size_t i = 0; i < sizeof fixtures / sizeof fixtures[0]; i++) {
        if (!fixture_exists(fixtures[i]))
            return FIXTURES_SKIP;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(configs_are_read),
        cmocka_unit_test(timesteps_are_equal),
        cmocka_unit_test(guided_diffusions_beta),
        cmocka_unit_test(first_step_is_near_the_reference),
    };
    ctx = eq_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failed;
}
