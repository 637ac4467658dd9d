/* Inversion of images with the Stable Diffusion fixture: the latents' way to noise is that of the steps by hand, with
 * the empty prompt and with one, and so is the way from noise to
 * pictures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "diffusion/latent.h"
#include "diffusion/prompt.h"
#include "diffusion/sampling.h"
#include "io/image.h"
#include "reference/fixtures.h"
#include "run/invert.h"
#include "unit/tiny.h"

enum { IMAGES = 2, STEPS = 4 };

static eq_context *ctx;
static eq_pipeline *pipeline;
static size_t bytes, numbers; /* of an image: pixels, and latents */
static uint8_t *pictures;     /* [IMAGES, bytes] */
static float *latents;        /* [IMAGES, numbers] */

static int setup(void **state)
{
    assert_ok(eq_pipeline_open(ctx, fixture_path("stable-diffusion-tiny"), &pipeline));
    const eq_model *model = &pipeline->model;
    int64_t side = eq_model_image_size(model), latent_side = model->unet.sample_size;
    bytes = (size_t)(side * side * 3);
    numbers = eq_invert_count(pipeline);
    assert_int_equal(numbers, latent_side * latent_side * model->unet.in_channels);
    pictures = malloc(IMAGES * bytes);
    latents = malloc(IMAGES * numbers * sizeof *latents);
    float *x = malloc(IMAGES * bytes * sizeof *x);
    for (size_t k = 0; k < IMAGES * bytes; k++) {
        pictures[k] = (uint8_t)(127.5 + 100 * sin(0.017 * (double)(k % bytes) * (double)(1 + k / bytes)));
        x[k] = (float)pictures[k] / 127.5f - 1.0f;
    }
    eq_latent_codec *codec;
    assert_ok(eq_latent_codec_new(ctx, &model->vae, model->vae_params, &(eq_latent_options){0}, &codec));
    assert_ok(eq_latent_encode(codec, x, IMAGES, side, side, NULL, 0, latents));
    eq_latent_codec_free(codec);
    free(x);
    return 0;
}

static int teardown(void **state)
{
    eq_pipeline_close(pipeline);
    free(pictures);
    free(latents);
    return 0;
}

static eq_invert_options options_of(int steps, const char *prompt)
{
    return (eq_invert_options){.count = IMAGES,
                               .steps = steps,
                               .micro_batch = 1,
                               .prompt = prompt,
                               .tokenizer = fixture_path("clip-tokenizer")};
}

/* The prompt's context; malloc'ed. */
static float *context_of(const char *prompt)
{
    eq_prompt_encoder *encoder;
    eq_prompt_options options = {.tokenizer = fixture_path("clip-tokenizer")};
    assert_ok(eq_prompt_encoder_open(ctx, pipeline->model.folder, &options, &encoder));
    float *context = malloc((size_t)eq_prompt_length(encoder) * (size_t)eq_prompt_width(encoder) * sizeof *context);
    assert_ok(eq_prompt_encode(ctx, encoder, prompt, context, NULL, NULL));
    eq_prompt_encoder_close(encoder);
    return context;
}

/* The network and the plan by themselves; x: [IMAGES, numbers] latents in, noise out, or the other way. */
static void by_hand(const char *prompt, bool invert, float *x)
{
    const eq_model *model = &pipeline->model;
    const eq_unet_config *unet = &model->unet;
    float *context = context_of(prompt), *output = malloc(IMAGES * numbers * sizeof *output);
    static const int prompt_of[IMAGES] = {0};
    eq_condition condition = {.context = context, .prompt_of = prompt_of};
    eq_denoiser_options options = {
        .count = IMAGES, .height = unet->sample_size, .width = unet->sample_size, .condition = &condition};
    eq_denoiser *denoiser;
    eq_plan plan;
    assert_ok(eq_denoiser_new(ctx, unet, model->params, &options, &denoiser));
    assert_ok(
        eq_plan_new(ctx, &(eq_plan_options){.sampler = &eq_sampler_ddim, .steps = STEPS}, &model->schedule, &plan));
    for (int i = 0; i < STEPS; i++) {
        const eq_plan_call *call = &plan.call[invert ? STEPS - 1 - i : i];
        double next = i == STEPS - 1 ? model->schedule.final_alpha_cumprod : call[invert ? -1 : 1].alpha_cumprod;
        if (invert && i == STEPS - 1)
            break;
        assert_ok(eq_denoiser_run(denoiser, x, (float)call->timestep, output));
        /* DDIM without noise is one formula in both directions. */
        for (size_t k = 0; k < IMAGES * numbers; k++) {
            double clean = (x[k] - sqrt(1 - call->alpha_cumprod) * output[k]) / sqrt(call->alpha_cumprod);
            x[k] = (float)(sqrt(next) * clean + sqrt(1 - next) * output[k]);
        }
    }
    eq_plan_free(&plan);
    eq_denoiser_free(denoiser);
    free(context);
    free(output);
}

static void latents_go_to_noise(void **state)
{
    static const char *const prompts[] = {NULL, "a photo of a female person"};
    float *noise[2], *expected = malloc(IMAGES * numbers * sizeof *expected);
    for (int i = 0; i < 2; i++) {
        eq_invert_options options = options_of(STEPS, prompts[i]);
        noise[i] = malloc(IMAGES * numbers * sizeof *noise[i]);
        assert_ok(eq_invert_images(pipeline, &options, pictures, noise[i]));
        memcpy(expected, latents, IMAGES * numbers * sizeof *expected);
        by_hand(prompts[i] ? prompts[i] : "", true, expected);
        assert_true(tiny_relative_error(noise[i], expected, IMAGES * numbers) < 1e-5);
    }
    assert_true(tiny_relative_error(noise[0], noise[1], IMAGES * numbers) > 1e-3); /* the prompt counts */
    free(noise[0]);
    free(noise[1]);
    free(expected);
}

static void noise_goes_to_pictures(void **state)
{
    static const char prompt[] = "a photo of a female person";
    const eq_model *model = &pipeline->model;
    int64_t latent_side = model->unet.sample_size;
    eq_invert_options options = options_of(STEPS, prompt);
    uint8_t *found = malloc(IMAGES * bytes), *expected = malloc(IMAGES * bytes);
    float *x = tiny_normals(8, IMAGES * numbers), *image = malloc(IMAGES * bytes * sizeof *image);
    assert_ok(eq_reconstruct_images(pipeline, &options, x, found));
    by_hand(prompt, false, x);
    eq_latent_codec *codec;
    assert_ok(eq_latent_codec_new(ctx, &model->vae, model->vae_params, &(eq_latent_options){0}, &codec));
    assert_ok(eq_latent_decode(codec, x, IMAGES, latent_side, latent_side, image));
    eq_latent_codec_free(codec);
    eq_pixels_from_float(image, IMAGES * bytes, expected);
    assert_true(eq_psnr(found, expected, IMAGES * bytes) > 70); /* a few bytes that were rounded the other way */
    free(found);
    free(expected);
    free(x);
    free(image);
}

int main(void)
{
    if (!fixture_exists("stable-diffusion-tiny") || !fixture_exists("clip-tokenizer"))
        return FIXTURES_SKIP;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(latents_go_to_noise),
        cmocka_unit_test(noise_goes_to_pictures),
    };
    ctx = eq_context_new();
    int failed = cmocka_run_group_tests(tests, setup, teardown);
    eq_context_free(ctx);
    return failed;
}
