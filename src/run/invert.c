#include "run/invert.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "diffusion/inversion.h"
#include "diffusion/latent.h"
#include "diffusion/timesteps.h"
#include "io/image.h"
#include "io/safetensors.h"
#include "run/prompts.h"

/* What both directions need. */
typedef struct direction {
    const eq_invert_options *options;
    eq_plan plan;
    eq_prompts prompts;
    int *prompt_of; /* [count] */
    eq_condition condition;
    eq_denoiser *denoiser;
    eq_latent_codec *codec; /* of latent models; NULL else */
    eq_sampling sampling;
} direction;

static eq_status make_plan(eq_pipeline *pipeline, const eq_invert_options *o, eq_plan *out)
{
    eq_plan_options plan = {.sampler = &eq_sampler_ddim, .steps = o->steps};
    EQ_TRY(eq_spacing_find(pipeline->ctx, o->spacing ? o->spacing : "default", &plan.spacing));
    return eq_plan_new(pipeline->ctx, &plan, &pipeline->model.schedule, out);
}

static void show_steps(void *user, int done, int steps)
{
    const eq_invert_options *o = user;
    if (o->progress)
        o->progress(o->progress_user, o->count * done, o->count * steps);
}

static void close_direction(direction *d)
{
    eq_denoiser_free(d->denoiser);
    eq_latent_codec_free(d->codec);
    eq_prompts_free(&d->prompts);
    eq_plan_free(&d->plan);
    free(d->prompt_of);
}

/* All images have the one prompt, without a negative one: classifier-free guidance would have steps that cannot be
 * gone back (Mokady et al. 2023, section 3.1). */
static eq_status open_condition(eq_pipeline *pipeline, const eq_invert_options *o, direction *d)
{
    const eq_targets nothing = {0};
    const char *prompt = o->prompt ? o->prompt : "";
    bool given = o->prompt || eq_model_prompted(&pipeline->model);
    float side = (float)eq_model_image_size(&pipeline->model);
    eq_generate_options options = {.count = o->count,
                                   .prompts = &prompt,
                                   .prompt_count = given ? 1 : 0,
                                   .tokenizer = o->tokenizer,
                                   .bf16 = o->bf16};
    EQ_TRY(eq_prompts_encode(pipeline, &options, EQ_TEXT_NONE, &nothing, &d->prompts));
    d->prompt_of = malloc((size_t)o->count * sizeof *d->prompt_of);
    if (!d->prompt_of)
        return eq_fail_memory(pipeline->ctx, "the images' prompts");
    for (int64_t i = 0; i < o->count; i++)
        d->prompt_of[i] = 1; /* row 0 is the negative prompt's */
    d->condition = (eq_condition){.context = d->prompts.context,
                                  .text = d->prompts.text,
                                  .prompt_of = d->prompt_of,
                                  .time_ids = {side, side, 0, 0, side, side}};
    return EQ_OK;
}

static eq_status open_networks(eq_pipeline *pipeline, const eq_invert_options *o, direction *d)
{
    const eq_model *model = &pipeline->model;
    eq_dtype dtype = o->bf16 ? EQ_BF16 : EQ_F32;
    eq_denoiser_options options = {.count = o->count,
                                   .condition = &d->condition,
                                   .micro_batch = o->micro_batch,
                                   .height = model->unet.sample_size,
                                   .width = model->unet.sample_size,
                                   .dtype = dtype};
    EQ_TRY(eq_denoiser_new(pipeline->ctx, &model->unet, model->params, &options, &d->denoiser));
    if (!model->latent)
        return EQ_OK;
    return eq_latent_codec_new(pipeline->ctx, &model->vae, model->vae_params, &(eq_latent_options){.dtype = dtype},
                               &d->codec);
}

/* d stays where it is: the denoiser points into it. close_direction also after a failure. */
static eq_status open_direction(eq_pipeline *pipeline, const eq_invert_options *o, direction *d)
{
    const eq_unet_config *unet = &pipeline->model.unet;
    *d = (direction){.options = o};
    EQ_TRY(make_plan(pipeline, o, &d->plan));
    EQ_TRY(open_condition(pipeline, o, d));
    EQ_TRY(open_networks(pipeline, o, d));
    d->sampling = (eq_sampling){.denoiser = d->denoiser,
                                .plan = &d->plan,
                                .n = o->count,
                                .height = unet->sample_size,
                                .width = unet->sample_size,
                                .channels = unet->in_channels,
                                .output_channels = unet->out_channels,
                                .progress = show_steps,
                                .progress_user = (void *)(uintptr_t)o};
    return EQ_OK;
}

size_t eq_invert_count(const eq_pipeline *pipeline)
{
    const eq_unet_config *unet = &pipeline->model.unet;
    return (size_t)unet->sample_size * (size_t)unet->sample_size * (size_t)unet->in_channels;
}

static size_t pixel_count(const eq_pipeline *pipeline)
{
    size_t side = (size_t)eq_model_image_size(&pipeline->model);
    return side * side * 3;
}

/* Pixels to what the network works on: x [count, image], one image at a time. */
static eq_status encode(eq_pipeline *pipeline, const direction *d, const uint8_t *pixels, float *x)
{
    size_t numbers = pixel_count(pipeline), count = eq_invert_count(pipeline);
    int64_t side = eq_model_image_size(&pipeline->model);
    float *image = d->codec ? malloc(numbers * sizeof *image) : NULL;
    eq_status status = d->codec && !image ? eq_fail_memory(pipeline->ctx, "an image") : EQ_OK;
    for (int64_t i = 0; i < d->options->count && status == EQ_OK; i++, pixels += numbers, x += count) {
        float *to = d->codec ? image : x;
        eq_pixels_to_float(pixels, numbers, to);
        if (d->codec)
            status = eq_latent_encode(d->codec, image, 1, side, side, NULL, 0, x);
    }
    free(image);
    return status;
}

/* The way back. */
static eq_status decode(eq_pipeline *pipeline, const direction *d, const float *x, uint8_t *pixels)
{
    size_t numbers = pixel_count(pipeline), count = eq_invert_count(pipeline);
    int64_t side = pipeline->model.unet.sample_size;
    float *image = d->codec ? malloc(numbers * sizeof *image) : NULL;
    eq_status status = d->codec && !image ? eq_fail_memory(pipeline->ctx, "an image") : EQ_OK;
    for (int64_t i = 0; i < d->options->count && status == EQ_OK; i++, pixels += numbers, x += count) {
        if (d->codec)
            status = eq_latent_decode(d->codec, x, 1, side, side, image);
        if (status == EQ_OK)
            eq_pixels_from_float(d->codec ? image : x, numbers, pixels);
    }
    free(image);
    return status;
}

eq_status eq_invert_images(eq_pipeline *pipeline, const eq_invert_options *options, const uint8_t *pixels, float *noise)
{
    direction d;
    eq_status status = open_direction(pipeline, options, &d);
    if (status == EQ_OK)
        status = encode(pipeline, &d, pixels, noise);
    if (status == EQ_OK)
        status = eq_invert(pipeline->ctx, &d.sampling, noise);
    close_direction(&d);
    return status;
}

static eq_status sample(eq_pipeline *pipeline, const direction *d, const float *noise, uint8_t *pixels)
{
    size_t bytes = (size_t)d->options->count * eq_invert_count(pipeline) * sizeof *noise;
    eq_sampling_state state = {.x = eq_buffer_new(bytes)};
    if (!state.x)
        return eq_fail_memory(pipeline->ctx, "the images being sampled");
    memcpy(state.x, noise, bytes);
    eq_status status = eq_sampling_continue(pipeline->ctx, &d->sampling, &state);
    if (status == EQ_OK)
        status = decode(pipeline, d, state.x, pixels);
    eq_buffer_free(state.x);
    return status;
}

eq_status eq_reconstruct_images(eq_pipeline *pipeline, const eq_invert_options *options, const float *noise,
                                uint8_t *pixels)
{
    direction d;
    eq_status status = open_direction(pipeline, options, &d);
    if (status == EQ_OK)
        status = sample(pipeline, &d, noise, pixels);
    close_direction(&d);
    return status;
}

/* [pixels, channels] -> [channels, pixels] for each image */
static void channels_first(const float *from, int64_t count, int64_t pixels, int64_t channels, float *to)
{
    for (int64_t i = 0; i < count; i++, from += channels * pixels, to += channels * pixels)
        for (int64_t p = 0; p < pixels; p++)
            for (int64_t c = 0; c < channels; c++)
                to[c * pixels + p] = from[p * channels + c];
}

static char *settings_text(eq_pipeline *pipeline, const eq_invert_options *o)
{
    eq_plan plan;
    if (make_plan(pipeline, o, &plan) != EQ_OK)
        return NULL;
    json_t *timesteps = json_array();
    for (int i = 0; i < plan.calls; i++)
        json_array_append_new(timesteps, json_real(plan.call[i].timestep));
    json_t *json = json_pack("{s:s, s:i, s:s, s:o, s:s*}", "sampler", "ddim", "steps", o->steps, "spacing",
                             eq_spacing_name(plan.spacing), "timesteps", timesteps, "prompt",
                             eq_model_prompted(&pipeline->model) ? o->prompt ? o->prompt : "" : NULL);
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
    json_decref(json);
    eq_plan_free(&plan);
    return text;
}

eq_status eq_inversion_write(eq_pipeline *pipeline, const eq_invert_options *options, const char *path,
                             const char *const *names, const float *noise)
{
    int64_t side = pipeline->model.unet.sample_size, channels = pipeline->model.unet.in_channels;
    int64_t image = channels * side * side;
    size_t count = (size_t)options->count;
    eq_named_tensor *tensors = calloc(count + 1, sizeof *tensors);
    float *planes = malloc(count * (size_t)image * sizeof *planes + 1);
    char *settings = settings_text(pipeline, options);
    const char *hash;
    eq_status status = eq_model_hash(pipeline->ctx, &pipeline->model, &hash);
    if (status == EQ_OK && tensors && planes && settings) {
        channels_first(noise, options->count, side * side, channels, planes);
        for (size_t i = 0; i < count; i++) {
            tensors[i].name = names[i];
            tensors[i].tensor = (eq_tensor){EQ_F32, eq_shape_of(channels, side, side), planes + i * (size_t)image};
        }
        const eq_metadata metadata[] = {
            {"format", "equipoise inverted images 1"}, {"model", hash}, {"settings", settings}};
        status = eq_safetensors_write(pipeline->ctx, path, tensors, count, metadata, 3);
    } else if (status == EQ_OK) {
        status = eq_fail_memory(pipeline->ctx, "the noise to write");
    }
    free(tensors);
    free(planes);
    free(settings);
    return status;
}

double eq_psnr(const uint8_t *a, const uint8_t *b, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return sum > 0 ? 10 * log10(255.0 * 255.0 * (double)count / sum) : INFINITY;
}
