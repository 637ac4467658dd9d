/* Text-conditional U-Nets in diffusers folders against diffusers' numbers: Stable Diffusion 1 (convolutions into the
 * transformers) and 2 (linear layers, a number of heads for each level, v-prediction). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "diffusion/sampler.h"
#include "models/diffusers_unet.h"
#include "models/weights.h"
#include "reference/compare.h"
#include "reference/conditional.h"
#include "reference/fixtures.h"

static eq_context *ctx;

#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        if ((call) != EQ_OK)                                                                                           \
            fail_msg("%s: %s", #call, eq_last_error(ctx));                                                             \
    } while (0)

/* A fixture's folder: U-Net, schedule and reference numbers. */
typedef struct fixture {
    eq_unet_config config;
    eq_params *params;
    eq_tensor_file weights, reference;
    eq_schedule schedule;
} fixture;

static const char *part(const char *folder, const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return fixture_path(path);
}

/* Skips the test where the folder is missing. context: the name of an array that a context's length is taken from. */
static fixture open_fixture(const char *folder, const char *context)
{
    fixture f = {0};
    if (!fixture_exists(folder))
        skip();
    assert_ok(eq_unet_config_read(ctx, part(folder, "unet/config.json"), &f.config));
    assert_ok(eq_schedule_read(ctx, part(folder, "scheduler/scheduler_config.json"), &f.schedule));
    assert_ok(eq_tensor_file_open(ctx, part(folder, "reference.safetensors"), &f.reference));
    f.config.context_length = (int)eq_tensor_file_find(&f.reference, context)->shape.dim[1];
    f.params = eq_params_new(ctx);
    assert_ok(eq_unet_declare(f.params, &f.config));
    assert_ok(eq_tensor_file_open(ctx, part(folder, "unet/diffusion_pytorch_model.safetensors"), &f.weights));
    assert_ok(eq_weights_load(ctx, f.params, &f.weights, NULL));
    return f;
}

static void close_fixture(fixture *f)
{
    eq_params_free(f->params);
    eq_tensor_file_close(&f->weights);
    eq_tensor_file_close(&f->reference);
    eq_schedule_free(&f->schedule);
}

/* One array against the fixture's; a fixture may leave h out. */
static void check(const fixture *f, const char *what, const char *name, const float *found, int64_t count, double limit)
{
    float *expected = channels_last(&f->reference, name);
    if (!expected)
        return;
    double error = relative_error(found, expected, count);
    print_message("%s: relative error of %s %.2e\n", what, name, error);
    free(expected);
    assert_true(error < limit);
}

/* A network call on `x` with the context repeated for all images. */
static void check_call(const fixture *f, const char *x_name, const char *context_name, float timestep,
                       const char *h_name, const char *out_name, const char *backend, eq_dtype dtype, double limit)
{
    const eq_tensor *x_tensor = eq_tensor_file_find(&f->reference, x_name);
    const eq_tensor *context_tensor = eq_tensor_file_find(&f->reference, context_name);
    float *x = channels_last(&f->reference, x_name);
    network net;
    assert_ok(network_new(ctx, &f->config, f->params, &x_tensor->shape, dtype, backend, &net));
    float *h = malloc((size_t)net.h_count * sizeof(float)), *out = malloc((size_t)net.out_count * sizeof(float));
    network_set_context(&net, context_tensor->data, context_tensor->shape.dim[0]);
    assert_ok(network_run(&net, x, timestep, h, out));

    char what[64];
    snprintf(what, sizeof what, "%s, %s", backend ? backend : "best", eq_dtype_name(dtype));
    check(f, what, h_name, h, net.h_count, limit);
    assert_non_null(eq_tensor_file_find(&f->reference, out_name));
    check(f, what, out_name, out, net.out_count, limit);
    network_free(&net);
    free(x);
    free(h);
    free(out);
}

static void stable_diffusion_1(void **state)
{
    fixture f = open_fixture("stable-diffusion-tiny", "prompt_emb");
    assert_false(f.config.linear_projection);
    const char *h = "unet_h_t501", *out = "unet_eps_t501";
    check_call(&f, "latent_noise", "prompt_emb", 501, h, out, "ref", EQ_F32, 1e-5);
    check_call(&f, "latent_noise", "prompt_emb", 501, h, out, NULL, EQ_F32, 1e-5);
    check_call(&f, "latent_noise", "prompt_emb", 501, h, out, NULL, EQ_BF16, 2e-2);
    close_fixture(&f);
}

static void stable_diffusion_2(void **state)
{
    fixture f = open_fixture("sd2-unet", "context");
    assert_true(f.config.linear_projection);
    check_call(&f, "x", "context", 701, "h_t701", "out_t701", "ref", EQ_F32, 1e-5);
    check_call(&f, "x", "context", 701, "h_t701", "out_t701", NULL, EQ_F32, 1e-5);
    check_call(&f, "x", "context", 701, "h_t701", "out_t701", NULL, EQ_BF16, 2e-2);
    close_fixture(&f);
}

static void velocity_trajectory(void **state)
{
    fixture f = open_fixture("sd2-unet", "context");
    const eq_tensor *shape = eq_tensor_file_find(&f.reference, "x");
    const eq_tensor *context = eq_tensor_file_find(&f.reference, "context");
    float *x = channels_last(&f.reference, "x");
    network net;
    eq_plan plan;
    assert_int_equal(f.schedule.config.prediction, EQ_PREDICT_V);
    assert_ok(eq_plan_new(ctx, &(eq_plan_options){.sampler = &eq_sampler_ddim, .steps = 6}, &f.schedule, &plan));
    assert_ok(network_new(ctx, &f.config, f.params, &shape->shape, EQ_F32, NULL, &net));
    network_set_context(&net, context->data, context->shape.dim[0]);
    float *out = malloc((size_t)net.out_count * sizeof(float));
    for (int i = 0; i < 6; i++) {
        assert_ok(network_run(&net, x, (float)plan.call[i].timestep, NULL, out));
        eq_sampler_step(&plan, i,
                        &(eq_step){.pixels = (size_t)(net.in_count / f.config.in_channels),
                                   .channels = f.config.in_channels,
                                   .output_channels = f.config.out_channels,
                                   .x = x,
                                   .output = out});
        network_set_context(&net, context->data, context->shape.dim[0]);
    }
    assert_non_null(eq_tensor_file_find(&f.reference, "latents_ddim_6"));
    check(&f, "6 steps", "latents_ddim_6", x, net.in_count, 1e-4);
    network_free(&net);
    eq_plan_free(&plan);
    free(x);
    free(out);
    close_fixture(&f);
}

/* What is written again must read back as the same network. */
static void configurations_survive(void **state)
{
    static const char *const folders[] = {"stable-diffusion-tiny", "sd2-unet"};
    for (int i = 0; i < 2; i++) {
        if (!fixture_exists(folders[i]))
            continue;
        char path[] = "/tmp/equipoise-config-XXXXXX";
        int descriptor = mkstemp(path);
        assert_true(descriptor >= 0);
        close(descriptor);
        eq_unet_config config, again;
        assert_ok(eq_unet_config_read(ctx, part(folders[i], "unet/config.json"), &config));
        assert_ok(eq_unet_config_write(ctx, path, &config));
        assert_ok(eq_unet_config_read(ctx, path, &again));
        assert_memory_equal(&again, &config, sizeof config);
        remove(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stable_diffusion_1),
        cmocka_unit_test(stable_diffusion_2),
        cmocka_unit_test(velocity_trajectory),
        cmocka_unit_test(configurations_survive),
    };
    if (!fixture_exists("stable-diffusion-tiny") && !fixture_exists("sd2-unet"))
        return FIXTURES_SKIP;
    ctx = eq_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failed;
}
