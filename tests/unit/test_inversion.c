/* Inversion of images: what the loop does, how near sampling comes back, and the file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <omp.h>

#include "diffusion/ddim.h"
#include "diffusion/denoiser.h"
#include "io/safetensors.h"
#include "run/invert.h"
#include "temporary.h"
#include "unit/tiny.h"

enum { IMAGES = 3 };

static eq_context *ctx;
static void *folder;
static eq_pipeline *pipeline;
static uint8_t pixels[IMAGES * TINY_PIXELS];

static int setup(void **state)
{
    if (temporary_setup(&folder) != 0)
        return -1;
    eq_unet_config unet = tiny_unet();
    char *model = eq_path_join(folder, "model");
    assert_ok(tiny_model(ctx, model, &unet, 3));
    assert_ok(eq_pipeline_open(ctx, model, &pipeline));
    free(model);
    /* Smooth pictures, each another. */
    for (int i = 0; i < IMAGES * TINY_PIXELS; i++)
        pixels[i] = (uint8_t)(127.5 + 100 * sin(0.013 * (i % TINY_PIXELS) * (1 + i / TINY_PIXELS)));
    return 0;
}

static int teardown(void **state)
{
    eq_pipeline_close(pipeline);
    return temporary_teardown(&folder);
}

/* The loop, by hand. */
static void noise_is_what_the_steps_lead_to(void **state)
{
    eq_invert_options options = {.count = IMAGES, .steps = 4, .micro_batch = 2};
    float noise[IMAGES * TINY_PIXELS], x[IMAGES * TINY_PIXELS], prediction[IMAGES * TINY_PIXELS];
    assert_ok(eq_invert_images(pipeline, &options, pixels, noise));

    const eq_model *model = &pipeline->model;
    eq_denoiser *denoiser;
    assert_ok(eq_denoiser_new(
        ctx, &model->unet, model->params,
        &(eq_denoiser_options){.count = IMAGES, .height = TINY_SIDE, .width = TINY_SIDE, .dtype = EQ_F32}, &denoiser));
    static const int timesteps[] = {0, 250, 500, 750};
    for (int i = 0; i < IMAGES * TINY_PIXELS; i++)
        x[i] = (float)pixels[i] / 127.5f - 1;
    for (int k = 0; k < 3; k++) {
        assert_ok(eq_denoiser_run(denoiser, x, (float)timesteps[k], prediction));
        eq_ddim_invert(
            &model->schedule, model->schedule.alphas_cumprod[timesteps[k]],
            model->schedule.alphas_cumprod[timesteps[k + 1]],
            &(eq_step){
                .pixels = IMAGES * TINY_PIXELS / 3, .channels = 3, .output_channels = 3, .x = x, .output = prediction});
    }
    assert_true(tiny_relative_error(noise, x, IMAGES * TINY_PIXELS) < 1e-5);
    assert_true(tiny_relative_error(noise, noise + TINY_PIXELS, TINY_PIXELS) > 0.1);
    eq_denoiser_free(denoiser);
}

static double reconstruction(int steps)
{
    eq_invert_options options = {.count = IMAGES, .steps = steps};
    float noise[IMAGES * TINY_PIXELS];
    uint8_t back[IMAGES * TINY_PIXELS];
    assert_ok(eq_invert_images(pipeline, &options, pixels, noise));
    assert_ok(eq_reconstruct_images(pipeline, &options, noise, back));
    return eq_psnr(back, pixels, sizeof back);
}

/* Up and down again is exact in the limit: of first order, ten times the steps are worth up to 20 dB. (The network is
 * random: taken as v its path is smooth all the way, and what it predicts of the image is not clamped, which could not
 * be undone. A trained network's path is smooth however it predicts.) */
static void more_steps_come_nearer(void **state)
{
    eq_schedule_config *config = &pipeline->model.schedule.config, kept = *config;
    config->prediction = EQ_PREDICT_V;
    config->clip_sample = false;
    double few = reconstruction(10), many = reconstruction(100);
    *config = kept;
    print_message("PSNR %.1f dB with 10 steps, %.1f dB with 100\n", few, many);
    assert_true(many > few + 10);
    assert_true(many > 30);
}

static void the_file_has_the_images_by_name(void **state)
{
    static const char *const names[IMAGES] = {"b.png", "sub/a.jpg", "c.webp"};
    eq_invert_options options = {.count = IMAGES, .steps = 2, .spacing = "trailing"};
    float noise[IMAGES * TINY_PIXELS];
    for (int i = 0; i < IMAGES * TINY_PIXELS; i++)
        noise[i] = (float)i;
    char *path = eq_path_join(folder, "noise.safetensors");
    assert_ok(eq_inversion_write(pipeline, &options, path, names, noise));
    eq_tensor_file file;
    assert_ok(eq_safetensors_open(ctx, path, &file));
    assert_int_equal(file.count, IMAGES);
    for (int i = 0; i < IMAGES; i++) {
        const eq_tensor *tensor = eq_tensor_file_find(&file, names[i]);
        assert_non_null(tensor);
        assert_int_equal(tensor->shape.rank, 3);
        assert_int_equal(tensor->shape.dim[0], 3);
        assert_int_equal(tensor->shape.dim[2], TINY_SIDE);
        for (int c = 0; c < 3; c++)
            for (int p = 0; p < TINY_SIDE * TINY_SIDE; p++)
                assert_true(((const float *)tensor->data)[c * TINY_SIDE * TINY_SIDE + p] ==
                            noise[i * TINY_PIXELS + p * 3 + c]);
    }
    const char *settings = NULL;
    for (size_t i = 0; i < file.metadata_count; i++)
        if (strcmp(file.metadata[i].key, "settings") == 0)
            settings = file.metadata[i].value;
    assert_non_null(settings);
    assert_non_null(strstr(settings, "\"spacing\":\"trailing\",\"timesteps\":[999.0,499.0]"));
    eq_tensor_file_close(&file);
    free(path);
}

static void psnr(void **state)
{
    static const uint8_t a[] = {0, 100, 255, 7}, b[] = {0, 110, 255, 7};
    assert_near(eq_psnr(a, b, 4), 10 * log10(255.0 * 255 / 25), 1e-9);
    assert_true(isinf(eq_psnr(a, a, 4)));
}

static void bad_options(void **state)
{
    float noise[TINY_PIXELS];
    eq_invert_options options = {.count = 1, .steps = 1001};
    assert_fails(eq_invert_images(pipeline, &options, pixels, noise), EQ_BAD_USAGE, "1..1000");
    options = (eq_invert_options){.count = 1, .steps = 5, .spacing = "sideways"};
    assert_fails(eq_invert_images(pipeline, &options, pixels, noise), EQ_BAD_USAGE, "sideways");
    options = (eq_invert_options){.count = 1, .steps = 5, .prompt = "a portrait"};
    assert_fails(eq_invert_images(pipeline, &options, pixels, noise), EQ_BAD_USAGE, "takes no prompt");
    /* One step: nothing lies between an image and its only timestep. */
    options = (eq_invert_options){.count = 1, .steps = 1};
    assert_ok(eq_invert_images(pipeline, &options, pixels, noise));
    assert_near(noise[0], (float)pixels[0] / 127.5f - 1, 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(noise_is_what_the_steps_lead_to),
        cmocka_unit_test(more_steps_come_nearer),
        cmocka_unit_test(the_file_has_the_images_by_name),
        cmocka_unit_test(psnr),
        cmocka_unit_test(bad_options),
    };
    ctx = eq_context_new();
    omp_set_num_threads(1); /* the network is tiny */
    int failed = cmocka_run_group_tests(tests, setup, teardown);
    eq_context_free(ctx);
    return failed;
}
