/* The pixel U-Net, its h-space, and DDIM trajectories against diffusers' numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "diffusion/denoiser.h"
#include "diffusion/model.h"
#include "diffusion/sampler.h"
#include "reference/compare.h"
#include "reference/fixtures.h"

static eq_context *ctx;
static eq_model model;
static eq_tensor_file reference;

#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        if ((call) != EQ_OK)                                                                                           \
            fail_msg("%s: %s", #call, eq_last_error(ctx));                                                             \
    } while (0)

static eq_denoiser *new_denoiser(const eq_shape *x, const char *backend, int64_t micro_batch)
{
    eq_denoiser *denoiser;
    eq_denoiser_options options = {.count = x->dim[0],
                                   .micro_batch = micro_batch,
                                   .height = (int)x->dim[2],
                                   .width = (int)x->dim[3],
                                   .dtype = EQ_F32,
                                   .backend = backend};
    assert_ok(eq_denoiser_new(ctx, &model.unet, model.params, &options, &denoiser));
    return denoiser;
}

/* The fixture gives a timestep an image; the denoiser takes one for all, so images go one by one. */
static void check_single_calls(const char *backend, double limit)
{
    const eq_tensor *x = eq_tensor_file_find(&reference, "x"), *t = eq_tensor_file_find(&reference, "t");
    assert_non_null(x);
    assert_non_null(t);
    float *inputs = channels_last(&reference, "x"), *eps = channels_last(&reference, "eps");
    float *h = channels_last(&reference, "h");
    int64_t n = x->shape.dim[0], count = eq_shape_count(&x->shape) / n;
    eq_shape one = x->shape;
    one.dim[0] = 1;
    eq_denoiser *denoiser = new_denoiser(&one, backend, 1);
    int64_t h_count = eq_denoiser_h_count(denoiser);
    float *our_eps = calloc((size_t)(n * count), sizeof(float)), *our_h = calloc((size_t)(n * h_count), sizeof(float));
    for (int64_t i = 0; i < n; i++) {
        float timestep = (float)((const int64_t *)t->data)[i];
        assert_ok(eq_denoiser_encode(denoiser, inputs + i * count, timestep, our_h + i * h_count));
        assert_ok(eq_denoiser_decode(denoiser, inputs + i * count, timestep, our_h + i * h_count, our_eps + i * count));
    }
    double h_error = relative_error(our_h, h, n * h_count), eps_error = relative_error(our_eps, eps, n * count);
    print_message("%s: relative error of h %.2e, of eps %.2e\n", backend ? backend : "best", h_error, eps_error);
    assert_true(h_error < limit);
    assert_true(eps_error < limit);
    eq_denoiser_free(denoiser);
    free(inputs);
    free(eps);
    free(h);
    free(our_eps);
    free(our_h);
}

static void single_calls_reference_kernels(void **state)
{
    check_single_calls("ref", 1e-5);
}

static void single_calls_best_kernels(void **state)
{
    check_single_calls(NULL, 1e-5);
}

static void compare_if_there(const char *name, const float *x, int64_t count)
{
    float *expected = channels_last(&reference, name);
    if (!expected)
        return;
    double error = relative_error(x, expected, count);
    print_message("%s: relative error %.2e\n", name, error);
    free(expected);
    assert_true(error < 1e-4);
}

static void run_trajectory(double eta, int64_t micro_batch, const char *after, const char *end)
{
    const eq_tensor *shape = eq_tensor_file_find(&reference, "x");
    const eq_tensor *timesteps = eq_tensor_file_find(&reference, "ddim10_timesteps");
    float *x = channels_last(&reference, "x"), *noise = channels_last(&reference, "noise");
    int64_t count = eq_shape_count(&shape->shape);
    int steps = (int)timesteps->shape.dim[0], channels = (int)shape->shape.dim[1];
    eq_plan plan;
    eq_plan_options options = {.sampler = &eq_sampler_ddim, .steps = steps, .eta = eta};
    assert_ok(eq_plan_new(ctx, &options, &model.schedule, &plan));
    eq_denoiser *denoiser = new_denoiser(&shape->shape, NULL, micro_batch);
    float *output = malloc((size_t)count * sizeof(float));
    for (int i = 0; i < steps; i++) {
        assert_int_equal((int64_t)plan.call[i].timestep, ((const int64_t *)timesteps->data)[i]);
        assert_ok(eq_denoiser_run(denoiser, x, (float)plan.call[i].timestep, output));
        eq_sampler_step(&plan, i,
                        &(eq_step){.pixels = (size_t)(count / channels),
                                   .channels = channels,
                                   .output_channels = channels,
                                   .x = x,
                                   .output = output,
                                   .noise = noise + i * count});
        char name[64];
        snprintf(name, sizeof name, after, i + 1);
        compare_if_there(name, x, count);
    }
    float *last = channels_last(&reference, end);
    assert_non_null(last);
    free(last);
    compare_if_there(end, x, count);
    eq_denoiser_free(denoiser);
    eq_plan_free(&plan);
    free(output);
    free(x);
    free(noise);
}

static void trajectory_without_noise(void **state)
{
    run_trajectory(0, 0, "ddim10_eta0_x_after_%d", "ddim10_eta0_x_after_10");
}

static void trajectory_with_noise(void **state)
{
    run_trajectory(1, 1, "none_%d", "ddim10_eta1_x0");
}

/* What is written again must read back as the same network. */
static void folder_round_trip(void **state)
{
    char folder[] = "/tmp/equipoise-model-XXXXXX";
    assert_non_null(mkdtemp(folder));
    assert_ok(eq_model_save(ctx, folder, &model.unet, model.params, &model.schedule, EQ_F32));
    eq_model copy;
    assert_ok(eq_model_open(ctx, folder, &copy));
    assert_memory_equal(&copy.unet, &model.unet, sizeof copy.unet);
    assert_int_equal(copy.params->count, model.params->count);
    for (int i = 0; i < copy.params->count; i++)
        assert_memory_equal(copy.params->items[i].tensor.data, model.params->items[i].tensor.data,
                            eq_tensor_bytes(&copy.params->items[i].tensor));
    eq_model_close(&copy);
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    if (!fixture_exists("ddpm-unet2d"))
        return FIXTURES_SKIP;
    ctx = eq_context_new();
    if (eq_model_open(ctx, fixture_path("ddpm-unet2d"), &model) != EQ_OK ||
        eq_tensor_file_open(ctx, fixture_path("ddpm-unet2d/reference.safetensors"), &reference) != EQ_OK) {
        print_error("%s\n", eq_last_error(ctx));
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(single_calls_reference_kernels),
        cmocka_unit_test(single_calls_best_kernels),
        cmocka_unit_test(trajectory_without_noise),
        cmocka_unit_test(trajectory_with_noise),
        cmocka_unit_test(folder_round_trip),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_tensor_file_close(&reference);
    eq_model_close(&model);
    eq_context_free(ctx);
    return failed;
}
