/* Whole trajectories of every sampler that the fixture has numbers for, through Stable Diffusion's U-Net with
 * classifier-free guidance: the reference is diffusers' schedulers, made from the model's own scheduler configuration.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "diffusion/sampler.h"
#include "reference/compare.h"
#include "reference/fixtures.h"
#include "reference/sd_run.h"

static const char folder[] = "stable-diffusion-tiny";

static eq_context *ctx;
static eq_model model;
static eq_tensor_file reference;

#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        if ((call) != EQ_OK)                                                                                           \
            fail_msg("%s: %s", #call, eq_last_error(ctx));                                                             \
    } while (0)

static int setup(void **state)
{
    char path[128];
    snprintf(path, sizeof path, "%s/reference.safetensors", folder);
    bool opened = eq_tensor_file_open(ctx, fixture_path(path), &reference) == EQ_OK &&
                  eq_model_open(ctx, fixture_path(folder), &model) == EQ_OK;
    if (!opened)
        print_error("%s\n", eq_last_error(ctx));
    return opened ? 0 : -1;
}

static int teardown(void **state)
{
    eq_model_close(&model);
    eq_tensor_file_close(&reference);
    return 0;
}

static void check_timesteps(const eq_plan *plan, const eq_tensor *expected)
{
    assert_int_equal(plan->calls, expected->shape.dim[0]);
    float *timesteps = malloc((size_t)plan->calls * sizeof *timesteps);
    eq_tensor_to_f32(expected, timesteps);
    for (int i = 0; i < plan->calls; i++)
        if (!(fabs(plan->call[i].timestep - timesteps[i]) < 1e-3))
            fail_msg("%s: timestep %d is %g, expected %g", plan->sampler->name, i, plan->call[i].timestep,
                     timesteps[i]);
    free(timesteps);
}

/* What the plan ends with; malloc'ed. */
static float *trajectory(const eq_plan *plan, eq_dtype dtype, int64_t *count)
{
    sd_run run;
    assert_ok(sd_run_open(ctx, &model, &reference, plan, dtype, &run));
    float *x = channels_last(&reference, "latent_noise");
    assert_ok(sd_run_sample(ctx, &run, x));
    *count = eq_shape_count(&eq_tensor_file_find(&reference, "latent_noise")->shape);
    sd_run_close(&run);
    return x;
}

/* The steps that the fixture has for a sampler: what follows "timesteps_<name>_"; 0: none. */
static int steps_of(const eq_sampler *sampler, const eq_tensor **timesteps)
{
    char prefix[64];
    snprintf(prefix, sizeof prefix, "timesteps_%s_", sampler->name);
    for (int64_t i = 0; i < (int64_t)reference.count; i++) {
        if (strncmp(reference.entries[i].name, prefix, strlen(prefix)) == 0) {
            *timesteps = &reference.entries[i].tensor;
            return atoi(reference.entries[i].name + strlen(prefix));
        }
    }
    return 0;
}

static eq_plan plan_of(const char *name, const eq_tensor **timesteps)
{
    const eq_sampler *sampler;
    eq_plan plan;
    assert_ok(eq_sampler_find(ctx, name, &sampler));
    int steps = steps_of(sampler, timesteps);
    assert_true(steps > 0);
    assert_ok(eq_plan_new(ctx, &(eq_plan_options){.sampler = sampler, .steps = steps}, &model.schedule, &plan));
    return plan;
}

static const char *const samplers[] = {"ddim", "pndm", "euler", "dpmsolver++"};
enum { SAMPLERS = sizeof samplers / sizeof samplers[0] };

/* In bfloat16 the end is only told, not bounded: a guidance scale of 7.5 multiplies the network's rounding, and its
 * random weights let a difference grow from step to step. */
static void trajectories(void **state)
{
    for (int k = 0; k < SAMPLERS; k++) {
        const eq_tensor *timesteps = NULL;
        eq_plan plan = plan_of(samplers[k], &timesteps);
        check_timesteps(&plan, timesteps);
        char name[64];
        snprintf(name, sizeof name, "latents_%s_%d", samplers[k], plan.steps);
        int64_t count;
        float *x = trajectory(&plan, EQ_F32, &count), *expected = channels_last(&reference, name);
        assert_non_null(expected);
        float *rounded = trajectory(&plan, EQ_BF16, &count);
        double error = relative_error(x, expected, count);
        print_message("%s: relative error %.2e, in bf16 %.2e\n", name, error, relative_error(rounded, expected, count));
        assert_true(error < 1e-4);
        eq_plan_free(&plan);
        free(x);
        free(rounded);
        free(expected);
    }
}

/* The folder's own scheduler is one of them. */
static void the_models_own_sampler(void **state)
{
    const eq_sampler *sampler;
    const eq_tensor *timesteps = NULL;
    assert_ok(eq_sampler_find(ctx, model.schedule.config.sampler, &sampler));
    assert_true(steps_of(sampler, &timesteps) > 0);
}

int main(void)
{
    if (!fixture_exists(folder))
        return FIXTURES_SKIP;
    ctx = eq_context_new();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trajectories),
        cmocka_unit_test(the_models_own_sampler),
    };
    int failed = cmocka_run_group_tests(tests, setup, teardown);
    eq_context_free(ctx);
    return failed;
}
