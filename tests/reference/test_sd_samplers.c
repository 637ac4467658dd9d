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
#include "models/diffusers_unet.h"
#include "models/weights.h"
#include "reference/compare.h"
#include "reference/conditional.h"
#include "reference/fixtures.h"

static const char folder[] = "stable-diffusion-tiny";
static const double guidance_scale = 7.5; /* the fixtures' README says so; the file does not */

static eq_context *ctx;
static eq_unet_config config;
static eq_params *params;
static eq_schedule schedule;
static eq_tensor_file weights, reference;

#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        if ((call) != EQ_OK)                                                                                           \
            fail_msg("%s: %s", #call, eq_last_error(ctx));                                                             \
    } while (0)

static const char *part(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return fixture_path(path);
}

static int setup(void **state)
{
    bool opened = eq_unet_config_read(ctx, part("unet/config.json"), &config) == EQ_OK &&
                  eq_schedule_read(ctx, part("scheduler/scheduler_config.json"), &schedule) == EQ_OK &&
                  eq_tensor_file_open(ctx, part("reference.safetensors"), &reference) == EQ_OK &&
                  eq_tensor_file_open(ctx, part("unet/diffusion_pytorch_model.safetensors"), &weights) == EQ_OK;
    params = eq_params_new(ctx);
    if (opened) {
        config.context_length = (int)eq_tensor_file_find(&reference, "prompt_emb")->shape.dim[1];
        opened = eq_unet_declare(params, &config) == EQ_OK && eq_weights_load(ctx, params, &weights, NULL) == EQ_OK;
    }
    if (!opened)
        print_error("%s\n", eq_last_error(ctx));
    return opened ? 0 : -1;
}

static int teardown(void **state)
{
    eq_params_free(params);
    eq_tensor_file_close(&weights);
    eq_tensor_file_close(&reference);
    eq_schedule_free(&schedule);
    return 0;
}

/* A network for the images once with the negative and once with the prompt's context, in that order. */
static network guided_network(const eq_shape *noise, eq_dtype dtype)
{
    network net;
    eq_shape twice = *noise;
    twice.dim[0] *= 2;
    assert_ok(network_new(ctx, &config, params, &twice, dtype, NULL, &net));
    const eq_tensor *rows[] = {eq_tensor_file_find(&reference, "negative_emb"),
                               eq_tensor_file_find(&reference, "prompt_emb")};
    float *to = eq_program_data(net.program, net.unet.context);
    for (int k = 0; k < 2; k++) {
        assert_non_null(rows[k]);
        int64_t given = rows[k]->shape.dim[0], count = eq_shape_count(&rows[k]->shape) / given;
        for (int64_t i = 0; i < noise->dim[0]; i++, to += count)
            memcpy(to, (const float *)rows[k]->data + i % given * count, (size_t)count * sizeof *to);
    }
    return net;
}

/* output = unconditional + scale (conditional - unconditional), [count] each; the network's batch is both after each
 * other. */
static void predict(network *net, const float *x, double input_scale, double timestep, float *twice, float *output)
{
    int64_t count = net->in_count / 2;
    for (int64_t k = 0; k < 2 * count; k++)
        twice[k] = x[k % count] * (float)input_scale;
    float *both = malloc((size_t)net->out_count * sizeof *both);
    assert_ok(network_run(net, twice, (float)timestep, NULL, both));
    for (int64_t k = 0; k < count; k++)
        output[k] = (float)(both[k] + guidance_scale * ((double)both[count + k] - both[k]));
    free(both);
}

/* x: [count] the first noise in, the sample out. */
static void run_plan(network *net, const eq_plan *plan, int channels, float *x)
{
    int64_t count = net->in_count / 2;
    float *twice = malloc((size_t)(2 * count) * sizeof *twice), *output = malloc((size_t)count * sizeof *output);
    float *history = calloc((size_t)(count * plan->sampler->history) + 1, sizeof *history);
    for (int64_t k = 0; k < count; k++)
        x[k] *= (float)plan->init_noise_scale;
    for (int i = 0; i < plan->calls; i++) {
        predict(net, x, plan->call[i].input_scale, plan->call[i].timestep, twice, output);
        eq_sampler_step(plan, i,
                        &(eq_step){.pixels = (size_t)(count / channels),
                                   .channels = channels,
                                   .output_channels = channels,
                                   .x = x,
                                   .output = output,
                                   .history = history});
    }
    free(twice);
    free(output);
    free(history);
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
    const eq_tensor *noise = eq_tensor_file_find(&reference, "latent_noise");
    assert_non_null(noise);
    float *x = channels_last(&reference, "latent_noise");
    network net = guided_network(&noise->shape, dtype);
    run_plan(&net, plan, (int)noise->shape.dim[1], x);
    *count = net.in_count / 2;
    network_free(&net);
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
    assert_ok(eq_plan_new(ctx, &(eq_plan_options){.sampler = sampler, .steps = steps}, &schedule, &plan));
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
    assert_ok(eq_sampler_find(ctx, schedule.config.sampler, &sampler));
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
