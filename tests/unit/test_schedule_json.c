/* Scheduler configurations of model folders: read by class, written back, and what is said of wrong ones. */
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

static eq_status read_text(eq_context *ctx, const char *folder, const char *text, eq_schedule *out)
{
    char *path = eq_path_join(folder, "scheduler_config.json");
    assert_int_equal(eq_file_write(ctx, path, text, strlen(text)), EQ_OK);
    eq_status status = eq_schedule_read(ctx, path, out);
    if (status != EQ_OK)
        assert_non_null(strstr(eq_last_error(ctx), path));
    free(path);
    return status;
}

static void json_defaults_follow_the_class(void **state)
{
    eq_context *ctx = eq_context_new();
    eq_schedule s;
    assert_int_equal(read_text(ctx, *state, "{\"_class_name\": \"DDIMScheduler\", \"trained_betas\": null}", &s),
                     EQ_OK);
    assert_int_equal(s.config.num_train_timesteps, 1000);
    assert_int_equal(s.config.beta_kind, EQ_BETA_LINEAR);
    assert_int_equal(s.config.prediction, EQ_PREDICT_EPSILON);
    assert_int_equal(s.config.spacing, EQ_SPACING_DEFAULT);
    assert_true(s.config.clip_sample && s.config.set_alpha_to_one);
    assert_near(s.betas[999], 0.02, 1e-17);
    eq_schedule_free(&s);

    assert_int_equal(read_text(ctx, *state,
                               "{\"_class_name\": \"PNDMScheduler\", \"beta_schedule\": \"scaled_linear\", "
                               "\"beta_start\": 0.00085, \"beta_end\": 0.012, \"skip_prk_steps\": true, "
                               "\"prediction_type\": \"v_prediction\", \"steps_offset\": 1}",
                               &s),
                     EQ_OK);
    assert_false(s.config.clip_sample || s.config.set_alpha_to_one);
    assert_int_equal(s.config.prediction, EQ_PREDICT_V);
    assert_int_equal(s.config.steps_offset, 1);
    assert_near(s.final_alpha_cumprod, 1 - 0.00085, 1e-15);
    eq_schedule_free(&s);

    assert_int_equal(read_text(ctx, *state,
                               "{\"_class_name\": \"DDPMScheduler\", \"variance_type\": \"fixed_large\", "
                               "\"num_train_timesteps\": 2, \"trained_betas\": [0.5, 0.25], "
                               "\"timestep_spacing\": \"trailing\"}",
                               &s),
                     EQ_OK);
    assert_int_equal(s.config.variance, EQ_VARIANCE_LARGE);
    assert_int_equal(s.config.spacing, EQ_SPACING_TRAILING);
    assert_near(s.alphas_cumprod[1], 0.375, 0);
    eq_schedule_free(&s);
    eq_context_free(ctx);
}

/* Every class is a sampler's, and is written as it was read. */
static void json_classes_name_samplers(void **state)
{
    static const struct {
        const char *class, *sampler;
        bool set_alpha_to_one, clip_sample;
    } cases[] = {
        {"DDIMScheduler", "ddim", true, true},
        {"DDPMScheduler", "ddpm", true, true},
        {"PNDMScheduler", "pndm", false, false},
        {"EulerDiscreteScheduler", "euler", true, false},
        {"EulerAncestralDiscreteScheduler", "euler-ancestral", true, false},
        {"HeunDiscreteScheduler", "heun", true, false},
        {"DPMSolverMultistepScheduler", "dpmsolver++", false, false},
        {"UniPCMultistepScheduler", "dpmsolver++", false, false},
        {"LMSDiscreteScheduler", "dpmsolver++", true, false},
        {"KDPM2DiscreteScheduler", "heun", true, false},
    };
    eq_context *ctx = eq_context_new();
    char *path = eq_path_join(*state, "written.json");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[128];
        snprintf(text, sizeof text, "{\"_class_name\": \"%s\", \"use_karras_sigmas\": true}", cases[i].class);
        eq_schedule s;
        assert_int_equal(read_text(ctx, *state, text, &s), EQ_OK);
        for (int again = 0; again < 2; again++) {
            const eq_sampler *sampler;
            assert_string_equal(s.config.scheduler, cases[i].class);
            assert_string_equal(s.config.sampler, cases[i].sampler);
            assert_int_equal(eq_sampler_find(ctx, s.config.sampler, &sampler), EQ_OK);
            assert_int_equal(s.config.set_alpha_to_one, cases[i].set_alpha_to_one);
            assert_int_equal(s.config.clip_sample, cases[i].clip_sample);
            assert_true(s.config.karras_sigmas);
            assert_int_equal(s.config.sampler_differs, i >= 7);
            assert_int_equal(s.config.prk_steps, strcmp(cases[i].sampler, "pndm") == 0);
            if (again == 0) {
                assert_int_equal(eq_schedule_write(ctx, path, &s), EQ_OK);
                eq_schedule_free(&s);
                assert_int_equal(eq_schedule_read(ctx, path, &s), EQ_OK);
            }
        }
        eq_schedule_free(&s);
    }
    free(path);

    eq_schedule s;
    assert_int_equal(read_text(ctx, *state, "{\"_class_name\": \"HeunDiscreteScheduler\"}", &s), EQ_OK);
    assert_near(s.config.beta_end, 0.012, 0);
    assert_false(s.config.karras_sigmas);
    eq_schedule_free(&s);
    assert_int_equal(read_text(ctx, *state,
                               "{\"_class_name\": \"DPMSolverMultistepScheduler\", \"final_sigmas_type\": \"zero\"}",
                               &s),
                     EQ_OK);
    assert_true(s.config.set_alpha_to_one);
    eq_schedule_free(&s);
    assert_int_equal(read_text(ctx, *state, "{\"_class_name\": \"PNDMScheduler\", \"skip_prk_steps\": true}", &s),
                     EQ_OK);
    assert_false(s.config.prk_steps);
    eq_schedule_free(&s);
    eq_context_free(ctx);
}

static char logged[512];

static void keep_line(void *user, eq_log_level level, const char *line)
{
    assert_int_equal(level, EQ_LOG_WARNING);
    snprintf(logged, sizeof logged, "%s", line);
}

/* What only the model's own sampler would do is no reason to refuse the model. */
static void json_logs_what_is_left_out(void **state)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"{\"_class_name\": \"EulerDiscreteScheduler\", \"use_beta_sigmas\": true}", "use_beta_sigmas"},
        {"{\"_class_name\": \"EulerDiscreteScheduler\", \"interpolation_type\": \"log_linear\"}", "interpolation"},
        {"{\"_class_name\": \"DPMSolverMultistepScheduler\", \"algorithm_type\": \"sde-dpmsolver++\"}", "midpoint"},
        {"{\"_class_name\": \"DPMSolverMultistepScheduler\", \"solver_order\": 3}", "order 2"},
        {"{\"_class_name\": \"DPMSolverMultistepScheduler\", \"solver_order\": 2, \"lower_order_final\": true}", ""},
    };
    eq_context *ctx = eq_context_new();
    eq_set_log(ctx, keep_line, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        eq_schedule s;
        logged[0] = 0;
        assert_int_equal(read_text(ctx, *state, cases[i].text, &s), EQ_OK);
        assert_non_null(strstr(logged, cases[i].expected));
        assert_int_equal(logged[0] == 0, cases[i].expected[0] == 0);
        eq_schedule_free(&s);
    }
    eq_context_free(ctx);
}

static void json_errors_name_the_key(void **state)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"", "line"},
        {"[]", "object"},
        {"{\"beta_start\": 1, \"beta_start\": 2}", "duplicate"},
        {"{\"_class_name\": \"EulerScheduler\"}", "\"_class_name\" should be one of DDIMScheduler, DDPMScheduler, "
                                                  "PNDMScheduler, EulerDiscreteScheduler"},
        {"{\"_class_name\": \"EulerScheduler\"}", "KDPM2AncestralDiscreteScheduler, found \"EulerScheduler\""},
        {"{\"use_karras_sigmas\": 1}", "true or false"},
        {"{\"final_sigmas_type\": \"last\"}", "\"sigma_min\", found \"last\""},
        {"{\"_class_name\": 3}", "\"_class_name\""},
        {"{\"num_train_timesteps\": 0}", "\"num_train_timesteps\" should be an integer from 1 to 100000, found 0"},
        {"{\"num_train_timesteps\": 10.5}", "integer"},
        {"{\"num_train_timesteps\": 4611686018427387904}", "integer"},
        {"{\"beta_schedule\": \"sigmoid\"}", "\"squaredcos_cap_v2\", found \"sigmoid\""},
        {"{\"beta_start\": \"small\"}", "\"beta_start\" should be a number, found \"small\""},
        {"{\"beta_end\": 2}", "beta"},
        {"{\"prediction_type\": \"x\"}", "\"v_prediction\", \"sample\", found \"x\""},
        {"{\"clip_sample\": \"yes\"}", "true or false"},
        {"{\"clip_sample_range\": -1}", "clip_sample_range"},
        {"{\"steps_offset\": 1000}", "0 to 999"},
        {"{\"timestep_spacing\": \"random\"}", "\"linspace\""},
        {"{\"variance_type\": \"learned\"}", "\"fixed_small\""},
        {"{\"trained_betas\": [0.1, 0.2]}", "1000 numbers, one a training timestep, found 2"},
        {"{\"trained_betas\": 0.1}", "1000 numbers"},
        {"{\"num_train_timesteps\": 2, \"trained_betas\": [0.1, true]}", "numbers only, not so at index 1"},
        {"{\"num_train_timesteps\": 2, \"trained_betas\": [0.1, 1.5]}", "timestep 1"},
        {"{\"thresholding\": true}", "not supported"},
        {"{\"rescale_betas_zero_snr\": true}", "not supported"},
    };
    eq_context *ctx = eq_context_new();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        eq_schedule s;
        assert_int_equal(read_text(ctx, *state, cases[i].text, &s), EQ_BAD_INPUT);
        assert_null(s.betas);
        if (!strstr(eq_last_error(ctx), cases[i].expected))
            fail_msg("expected \"%s\" in \"%s\"", cases[i].expected, eq_last_error(ctx));
    }
    eq_schedule s;
    assert_int_equal(eq_schedule_read(ctx, "/nonexistent/scheduler_config.json", &s), EQ_BAD_INPUT);
    eq_context_free(ctx);
}

static void check_written_reads_back(eq_context *ctx, const char *folder, const eq_schedule *s)
{
    char *path = eq_path_join(folder, "written.json");
    eq_schedule back;
    assert_int_equal(eq_schedule_write(ctx, path, s), EQ_OK);
    assert_int_equal(eq_schedule_read(ctx, path, &back), EQ_OK);
    int count = s->config.num_train_timesteps;
    assert_int_equal(back.config.num_train_timesteps, count);
    assert_int_equal(back.config.beta_kind, s->config.beta_kind);
    assert_int_equal(back.config.prediction, s->config.prediction);
    assert_int_equal(back.config.variance, s->config.variance);
    assert_int_equal(back.config.clip_sample, s->config.clip_sample);
    assert_int_equal(back.config.set_alpha_to_one, s->config.set_alpha_to_one);
    assert_int_equal(back.config.steps_offset, s->config.steps_offset);
    assert_int_equal(back.config.spacing, s->config.spacing);
    assert_near(back.config.clip_sample_range, s->config.clip_sample_range, 0);
    assert_memory_equal(back.betas, s->betas, (size_t)count * sizeof *s->betas);
    eq_schedule_free(&back);
    free(path);
}

static void json_written_reads_back(void **state)
{
    eq_context *ctx = eq_context_new();
    eq_schedule s = make_betas(EQ_BETA_SCALED_LINEAR, 1000, 0.00085, 0.012);
    s.config.prediction = EQ_PREDICT_V;
    s.config.spacing = EQ_SPACING_PAPER;
    s.config.clip_sample = false;
    s.config.steps_offset = 1;
    check_written_reads_back(ctx, *state, &s);
    char *path = eq_path_join(*state, "written.json");
    uint8_t *text;
    size_t size;
    assert_int_equal(eq_file_read(ctx, path, 1 << 16, &text, &size), EQ_OK);
    assert_non_null(strstr((char *)text, "\"beta_start\": 0.00085,"));
    free(text);
    free(path);
    eq_schedule_free(&s);

    s = make_betas(EQ_BETA_COSINE, 50, 1.0 / 3, 0.02);
    check_written_reads_back(ctx, *state, &s);
    eq_schedule_free(&s);

    eq_schedule_config config = eq_schedule_config_default();
    config.num_train_timesteps = 3;
    config.beta_kind = EQ_BETA_TRAINED;
    config.variance = EQ_VARIANCE_LARGE;
    config.clip_sample_range = 2;
    config.set_alpha_to_one = false;
    assert_int_equal(eq_schedule_new(ctx, &config, (double[]){1.0 / 3, 0.1, 0.7}, &s), EQ_OK);
    check_written_reads_back(ctx, *state, &s);
    assert_int_equal(eq_schedule_write(ctx, "/nonexistent/scheduler_config.json", &s), EQ_IO_ERROR);
    eq_schedule_free(&s);
    eq_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(json_defaults_follow_the_class, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(json_classes_name_samplers, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(json_logs_what_is_left_out, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(json_errors_name_the_key, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(json_written_reads_back, temporary_setup, temporary_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
