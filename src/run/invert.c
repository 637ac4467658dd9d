#include "run/invert.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "diffusion/inversion.h"
#include "diffusion/timesteps.h"
#include "io/image.h"
#include "io/safetensors.h"

/* What both directions need. */
typedef struct direction {
    const eq_invert_options *options;
    eq_plan plan;
    eq_denoiser *denoiser;
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
    eq_plan_free(&d->plan);
}

static eq_status open_direction(eq_pipeline *pipeline, const eq_invert_options *o, direction *d)
{
    const eq_unet_config *unet = &pipeline->model.unet;
    *d = (direction){.options = o};
    if (pipeline->model.latent || eq_model_prompted(&pipeline->model))
        return eq_fail(
            pipeline->ctx, EQ_BAD_INPUT,
            "%s: expected a model of pixels without prompts, the only ones whose images can be inverted here",
            pipeline->model.folder);
    EQ_TRY(make_plan(pipeline, o, &d->plan));
    eq_denoiser_options options = {.count = o->count,
                                   .micro_batch = o->micro_batch,
                                   .height = unet->sample_size,
                                   .width = unet->sample_size,
                                   .dtype = o->bf16 ? EQ_BF16 : EQ_F32};
    eq_status status = eq_denoiser_new(pipeline->ctx, unet, pipeline->model.params, &options, &d->denoiser);
    if (status != EQ_OK) {
        close_direction(d);
        return status;
    }
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

static size_t total_count(const eq_pipeline *pipeline, const eq_invert_options *o)
{
    size_t side = (size_t)pipeline->model.unet.sample_size;
    return (size_t)o->count * side * side * 3;
}

eq_status eq_invert_images(eq_pipeline *pipeline, const eq_invert_options *options, const uint8_t *pixels, float *noise)
{
    direction d;
    EQ_TRY(open_direction(pipeline, options, &d));
    size_t total = total_count(pipeline, options);
    for (size_t i = 0; i < total; i++)
        noise[i] = (float)pixels[i] / 127.5f - 1.0f;
    eq_status status = eq_invert(pipeline->ctx, &d.sampling, noise);
    close_direction(&d);
    return status;
}

eq_status eq_reconstruct_images(eq_pipeline *pipeline, const eq_invert_options *options, const float *noise,
                                uint8_t *pixels)
{
    direction d;
    EQ_TRY(open_direction(pipeline, options, &d));
    size_t total = total_count(pipeline, options);
    eq_sampling_state state = {.x = eq_buffer_new(total * sizeof(float))};
    eq_status status = EQ_OK;
    if (state.x) {
        memcpy(state.x, noise, total * sizeof *noise);
        status = eq_sampling_continue(pipeline->ctx, &d.sampling, &state);
    } else {
        status = eq_fail_memory(pipeline->ctx, "the images being sampled");
    }
    if (status == EQ_OK)
        eq_pixels_from_float(state.x, total, pixels);
    eq_buffer_free(state.x);
    close_direction(&d);
    return status;
}

/* [side * side, 3] -> [3, side * side] for each image */
static void channels_first(const float *from, int64_t count, int64_t pixels, float *to)
{
    for (int64_t i = 0; i < count; i++, from += 3 * pixels, to += 3 * pixels)
        for (int64_t p = 0; p < pixels; p++)
            for (int64_t c = 0; c < 3; c++)
                to[c * pixels + p] = from[p * 3 + c];
}

static char *settings_text(eq_pipeline *pipeline, const eq_invert_options *o)
{
    eq_plan plan;
    if (make_plan(pipeline, o, &plan) != EQ_OK)
        return NULL;
    json_t *timesteps = json_array();
    for (int i = 0; i < plan.calls; i++)
        json_array_append_new(timesteps, json_real(plan.call[i].timestep));
    json_t *json = json_pack("{s:s, s:i, s:s, s:o}", "sampler", "ddim", "steps", o->steps, "spacing",
                             eq_spacing_name(plan.spacing), "timesteps", timesteps);
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
    json_decref(json);
    eq_plan_free(&plan);
    return text;
}

eq_status eq_inversion_write(eq_pipeline *pipeline, const eq_invert_options *options, const char *path,
                             const char *const *names, const float *noise)
{
    int64_t side = pipeline->model.unet.sample_size, image = 3 * side * side;
    size_t count = (size_t)options->count;
    eq_named_tensor *tensors = calloc(count + 1, sizeof *tensors);
    float *planes = malloc(count * (size_t)image * sizeof *planes + 1);
    char *settings = settings_text(pipeline, options);
    const char *hash;
    eq_status status = eq_model_hash(pipeline->ctx, &pipeline->model, &hash);
    if (status == EQ_OK && tensors && planes && settings) {
        channels_first(noise, options->count, side * side, planes);
        for (size_t i = 0; i < count; i++) {
            tensors[i].name = names[i];
            tensors[i].tensor = (eq_tensor){EQ_F32, eq_shape_of(3, side, side), planes + i * (size_t)image};
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
