/* Recording h of the Stable Diffusion fixture: in groups that cut across prompts, with classifier-free guidance, and of
 * images that are encoded and inverted, it is what the network gives for each image by itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/path.h"
#include "diffusion/ddim.h"
#include "diffusion/latent.h"
#include "diffusion/prompt.h"
#include "reference/fixtures.h"
#include "run/record.h"
#include "temporary.h"
#include "train/h_store.h"
#include "unit/tiny.h"

enum { IMAGES = 5, STEPS = 4 };

/* Half precision keeps 11 bits of each number. */
static const double HALF = 0x1p-11;

static eq_context *ctx;
static void *folder;
static eq_pipeline *pipeline;
static const char *const prompts[] = {"a photo of a female person", "a photo of a male person"};
static const int64_t prompt_images[] = {2, 3};
static float *context; /* [negative or empty, first, second prompt] [context count] */
static size_t context_count;

static int setup(void **state)
{
    if (temporary_setup(&folder) != 0)
        return -1;
    eq_prompt_encoder *encoder;
    const char *model = fixture_path("stable-diffusion-tiny");
    eq_prompt_options options = {.tokenizer = fixture_path("clip-tokenizer")};
    assert_ok(eq_pipeline_open(ctx, model, &pipeline));
    assert_ok(eq_prompt_encoder_open(ctx, model, &options, &encoder));
    context_count = (size_t)eq_prompt_length(encoder) * (size_t)eq_prompt_width(encoder);
    context = malloc(3 * context_count * sizeof *context);
    assert_non_null(context);
    for (int i = 0; i < 3; i++)
        assert_ok(eq_prompt_encode(ctx, encoder, i == 0 ? "" : prompts[i - 1], context + (size_t)i * context_count,
                                   NULL, NULL));
    eq_prompt_encoder_close(encoder);
    return 0;
}

static int teardown(void **state)
{
    free(context);
    eq_pipeline_close(pipeline);
    return temporary_teardown(&folder);
}

static eq_record_options options_of(int64_t micro_batch)
{
    return (eq_record_options){.count = IMAGES,
                               .steps = STEPS,
                               .every = 1,
                               .seed = 5,
                               .micro_batch = micro_batch,
                               .tokenizer = fixture_path("clip-tokenizer")};
}

static eq_denoiser *open_denoiser(int64_t rows, const eq_condition *condition)
{
    eq_denoiser *denoiser;
    int side = pipeline->model.unet.sample_size;
    eq_denoiser_options options = {.count = rows, .height = side, .width = side, .condition = condition};
    assert_ok(eq_denoiser_new(ctx, &pipeline->model.unet, pipeline->model.params, &options, &denoiser));
    return denoiser;
}

static void open_plan(eq_plan *plan)
{
    assert_ok(eq_plan_new(ctx, &(eq_plan_options){.sampler = &eq_sampler_ddim, .steps = STEPS},
                          &pipeline->model.schedule, plan));
}

static void assert_row(const eq_h_store *store, int t, int64_t image, const float *expected)
{
    float *h = malloc((size_t)store->h_count * sizeof *h);
    assert_non_null(h);
    eq_f16_row_to_f32(store->h + (t * store->images + image) * store->h_count, (size_t)store->h_count, h);
    double error = tiny_relative_error(h, expected, (size_t)store->h_count);
    if (error >= HALF)
        fail_msg("h of image %lld at timestep %d is off by %g", (long long)image, t, error);
    free(h);
}

/* --- samples --- */

/* Keeps h of every step. */
typedef struct kept {
    float *h; /* [STEPS, count] */
    size_t count;
} kept;

static bool always(const void *user, int step)
{
    return true;
}

static eq_status keep(void *user, int step, double timestep, double beta, float *h)
{
    kept *k = user;
    memcpy(k->h + (size_t)step * k->count, h, k->count * sizeof *h);
    return EQ_OK;
}

/* One image by itself. */
static void sample_alone(const eq_plan *plan, int64_t image, int prompt, kept *k)
{
    const eq_unet_config *unet = &pipeline->model.unet;
    int prompt_of[2] = {0, prompt};
    eq_condition condition = {.context = context, .prompt_of = prompt_of};
    eq_denoiser *denoiser = open_denoiser(2, &condition);
    float *x = malloc((size_t)(unet->sample_size * unet->sample_size * unet->in_channels) * sizeof *x);
    assert_non_null(x);
    assert_ok(eq_sample(ctx,
                        &(eq_sampling){.denoiser = denoiser,
                                       .cfg = 3,
                                       .plan = plan,
                                       .n = 1,
                                       .first_index = image,
                                       .height = unet->sample_size,
                                       .width = unet->sample_size,
                                       .channels = unet->in_channels,
                                       .output_channels = unet->out_channels,
                                       .seed = 5,
                                       .hook = {.user = k, .active = always, .apply = keep}},
                        x));
    free(x);
    eq_denoiser_free(denoiser);
}

static void samples_of_prompts(void **state)
{
    char *path = eq_path_join(folder, "samples");
    eq_record_options o = options_of(4); /* two images at a time: one group has both prompts */
    o.prompts = prompts;
    o.prompt_images = prompt_images;
    o.prompt_count = 2;
    o.cfg = 3;
    assert_ok(eq_record_samples(pipeline, &o, path, NULL));
    eq_h_store store;
    eq_plan plan;
    assert_ok(eq_h_store_open(ctx, path, &store));
    open_plan(&plan);
    assert_int_equal(store.timesteps, STEPS);
    const char *hash;
    assert_ok(eq_model_hash(ctx, &pipeline->model, &hash));
    assert_string_equal(store.model_hash, hash);
    kept k = {.count = (size_t)store.h_count};
    k.h = malloc(STEPS * k.count * sizeof *k.h);
    assert_non_null(k.h);
    for (int64_t image = 0; image < IMAGES; image++) {
        sample_alone(&plan, image, image < prompt_images[0] ? 1 : 2, &k);
        for (int t = 0; t < STEPS; t++)
            assert_row(&store, t, image, k.h + (size_t)t * k.count);
    }
    free(k.h);
    eq_plan_free(&plan);
    eq_h_store_close(&store);
    free(path);
}

/* --- images --- */

static eq_status load(void *user, int64_t first, int64_t n, uint8_t *pixels)
{
    int side = eq_model_image_size(&pipeline->model);
    int64_t bytes = (int64_t)side * side * 3;
    for (int64_t k = 0; k < n * bytes; k++)
        pixels[k] = (uint8_t)((first + k / bytes + 1) * (k % bytes) / 7);
    return EQ_OK;
}

static void encode_picture(int64_t image, float *latents)
{
    int side = eq_model_image_size(&pipeline->model);
    size_t bytes = (size_t)side * (size_t)side * 3;
    uint8_t *pixels = malloc(bytes);
    float *x = malloc(bytes * sizeof *x);
    assert_true(pixels && x);
    load(NULL, image, 1, pixels);
    for (size_t k = 0; k < bytes; k++)
        x[k] = (float)pixels[k] / 127.5f - 1.0f;
    eq_latent_codec *codec;
    assert_ok(
        eq_latent_codec_new(ctx, &pipeline->model.vae, pipeline->model.vae_params, &(eq_latent_options){0}, &codec));
    assert_ok(eq_latent_encode(codec, x, 1, side, side, NULL, 0, latents));
    eq_latent_codec_free(codec);
    free(pixels);
    free(x);
}

/* prompt: of the context. */
static void check_inverted(const eq_h_store *store, int64_t image, int prompt)
{
    const eq_unet_config *unet = &pipeline->model.unet;
    size_t pixels = (size_t)unet->sample_size * (size_t)unet->sample_size;
    eq_condition condition = {.context = context, .prompt_of = &prompt};
    eq_denoiser *denoiser = open_denoiser(1, &condition);
    float *x = malloc(pixels * (size_t)unet->in_channels * sizeof *x);
    float *output = malloc(pixels * (size_t)unet->out_channels * sizeof *output);
    float *h = malloc((size_t)store->h_count * sizeof *h);
    assert_true(x && output && h);
    eq_plan plan;
    open_plan(&plan);
    encode_picture(image, x);
    for (int t = 0; t < STEPS; t++) {
        const eq_plan_call *call = &plan.call[STEPS - 1 - t];
        assert_int_equal(store->timestep[t], (int64_t)call->timestep);
        assert_ok(eq_denoiser_encode(denoiser, x, (float)call->timestep, h));
        assert_row(store, t, image, h);
        if (t == STEPS - 1)
            break;
        assert_ok(eq_denoiser_run(denoiser, x, (float)call->timestep, output));
        eq_ddim_invert(&pipeline->model.schedule, call->alpha_cumprod, call[-1].alpha_cumprod,
                       &(eq_step){.pixels = pixels,
                                  .channels = unet->in_channels,
                                  .output_channels = unet->out_channels,
                                  .x = x,
                                  .output = output});
    }
    eq_plan_free(&plan);
    free(x);
    free(output);
    free(h);
    eq_denoiser_free(denoiser);
}

static void inverted_images(void **state)
{
    char *path = eq_path_join(folder, "images");
    for (int prompt = 0; prompt < 2; prompt++) { /* the empty one; the first */
        eq_record_options o = options_of(2);
        o.prompts = prompts;
        o.prompt_count = prompt;
        assert_ok(eq_record_images(pipeline, &o, &(eq_record_pixels){NULL, load}, true, path));
        eq_h_store store;
        assert_ok(eq_h_store_open(ctx, path, &store));
        for (int64_t image = 0; image < IMAGES; image++)
            check_inverted(&store, image, prompt);
        eq_h_store_close(&store);
    }
    free(path);
}

int main(void)
{
    if (!fixture_exists("stable-diffusion-tiny") || !fixture_exists("clip-tokenizer"))
        return FIXTURES_SKIP;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_of_prompts),
        cmocka_unit_test(inverted_images),
    };
    ctx = eq_context_new();
    int failed = cmocka_run_group_tests(tests, setup, teardown);
    eq_context_free(ctx);
    return failed;
}
