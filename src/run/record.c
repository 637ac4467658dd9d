#include "run/record.h"

#include <stdlib.h>

#include "base/rng.h"
#include "diffusion/forward.h"
#include "diffusion/inversion.h"
#include "io/image.h"
#include "train/h_store.h"

/* What both ways of recording share. */
typedef struct recording {
    eq_pipeline *pipeline;
    const eq_record_options *options;
    eq_plan plan;
    eq_denoiser *denoiser;
    int heads;
    int64_t *timesteps; /* [heads] in the order of writing */
    int *steps;         /* [heads] */
    eq_h_writer writer;
} recording;

static size_t image_count(const recording *r)
{
    size_t side = (size_t)r->pipeline->model.unet.sample_size;
    return side * side * 3;
}

static void close_recording(recording *r)
{
    eq_denoiser_free(r->denoiser);
    eq_plan_free(&r->plan);
    free(r->timesteps);
    free(r->steps);
}

/* ascending: timesteps are visited from clean to noisy. */
static eq_status open_recording(recording *r, const char *path, bool ascending)
{
    const eq_record_options *o = r->options;
    eq_context *ctx = r->pipeline->ctx;
    const eq_model *model = &r->pipeline->model;
    eq_plan_options plan = {.sampler = &eq_sampler_ddim, .steps = o->steps, .eta = o->eta};
    EQ_TRY(eq_plan_new(ctx, &plan, &model->schedule, &r->plan));
    eq_denoiser_options options = {.count = o->count,
                                   .micro_batch = o->micro_batch,
                                   .height = model->unet.sample_size,
                                   .width = model->unet.sample_size,
                                   .dtype = o->bf16 ? EQ_BF16 : EQ_F32};
    EQ_TRY(eq_denoiser_new(ctx, &model->unet, model->params, &options, &r->denoiser));
    r->heads = (r->plan.steps + o->every - 1) / o->every;
    r->timesteps = calloc((size_t)r->heads, sizeof *r->timesteps);
    r->steps = calloc((size_t)r->heads, sizeof *r->steps);
    if (!r->timesteps || !r->steps)
        return eq_fail_memory(ctx, "timesteps");
    /* Counted from the last step, so that the cleanest timestep has a head of its own. */
    for (int i = 0; i < r->heads; i++) {
        int step = r->plan.steps - 1 - i * o->every, at = ascending ? i : r->heads - 1 - i;
        r->steps[at] = step;
        r->timesteps[at] = (int64_t)r->plan.call[step].timestep;
    }
    return eq_h_writer_open(ctx, path, r->timesteps, r->steps, r->heads, o->count, model->h_shape, model->hash,
                            &r->writer);
}

static void show_steps(void *user, int done, int steps)
{
    const recording *r = user;
    if (r->options->progress)
        r->options->progress(r->options->progress_user, r->options->count * done, r->options->count * steps);
}

static eq_sampling sampling_of(recording *r)
{
    const eq_unet_config *unet = &r->pipeline->model.unet;
    return (eq_sampling){.denoiser = r->denoiser,
                         .plan = &r->plan,
                         .n = r->options->count,
                         .height = unet->sample_size,
                         .width = unet->sample_size,
                         .channels = unet->in_channels,
                         .output_channels = unet->out_channels,
                         .seed = r->options->seed,
                         .progress = show_steps,
                         .progress_user = r};
}

static eq_status sample_recorded(recording *r, float *x)
{
    eq_sampling sampling = sampling_of(r);
    sampling.hook = eq_h_recorder(&r->writer);
    return eq_sample(r->pipeline->ctx, &sampling, x);
}

static eq_status finish(recording *r, eq_status status)
{
    if (status == EQ_OK)
        status = eq_h_writer_commit(&r->writer);
    else
        eq_h_writer_abort(&r->writer);
    close_recording(r);
    return status;
}

eq_status eq_record_samples(eq_pipeline *pipeline, const eq_record_options *options, const char *path, uint8_t **pixels)
{
    recording r = {.pipeline = pipeline, .options = options};
    *pixels = NULL;
    eq_status status = open_recording(&r, path, false);
    size_t total = (size_t)options->count * image_count(&r);
    float *x = status == EQ_OK ? malloc(total * sizeof *x) : NULL;
    *pixels = malloc(total);
    if (status == EQ_OK && (!x || !*pixels))
        status = eq_fail_memory(pipeline->ctx, "the samples");
    if (status == EQ_OK)
        status = sample_recorded(&r, x);
    if (status == EQ_OK)
        eq_pixels_from_float(x, total, *pixels);
    free(x);
    status = finish(&r, status);
    if (status != EQ_OK) {
        free(*pixels);
        *pixels = NULL;
    }
    return status;
}

/* One timestep further from clean to noisy. x0, x: [count, image]; prediction as scratch. */
static eq_status noise_to(recording *r, int step, const float *x0, float *x)
{
    size_t count = image_count(r);
    double alpha = r->plan.call[step].alpha_cumprod;
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < r->options->count; i++) {
        eq_rng rng = eq_rng_make(r->options->seed, (uint64_t)i, (uint32_t)step + 1);
        eq_rng_normals(&rng, x + (size_t)i * count, count);
        eq_add_noise(alpha, count, x0 + (size_t)i * count, x + (size_t)i * count, x + (size_t)i * count);
    }
    return EQ_OK;
}

static eq_status record_all(recording *r, const float *x0, bool invert, float *x, float *prediction, float *h)
{
    size_t total = (size_t)r->options->count * image_count(r);
    memcpy(x, x0, total * sizeof *x);
    eq_sampling sampling = sampling_of(r);
    for (int step = r->plan.steps - 1; step >= 0; step--) {
        float timestep = (float)r->plan.call[step].timestep;
        if (invert && step < r->plan.steps - 1)
            EQ_TRY(eq_invert_call(&sampling, step + 1, x, prediction));
        bool wanted = r->writer.written < r->heads && r->steps[r->writer.written] == step;
        if (wanted && !invert)
            EQ_TRY(noise_to(r, step, x0, x));
        if (wanted) {
            EQ_TRY(eq_denoiser_encode(r->denoiser, x, timestep, h));
            EQ_TRY(eq_h_writer_add(&r->writer, h));
        }
        show_steps(r, r->plan.steps - step, r->plan.steps);
    }
    return EQ_OK;
}

eq_status eq_record_images(eq_pipeline *pipeline, const eq_record_options *options, const uint8_t *pixels, bool invert,
                           const char *path)
{
    recording r = {.pipeline = pipeline, .options = options};
    eq_status status = open_recording(&r, path, true);
    if (status != EQ_OK)
        return finish(&r, status);
    size_t total = (size_t)options->count * image_count(&r);
    size_t outputs = total / 3 * (size_t)pipeline->model.unet.out_channels;
    float *x0 = malloc(total * sizeof *x0), *x = malloc(total * sizeof *x);
    float *prediction = malloc(outputs * sizeof *prediction);
    float *h = malloc((size_t)options->count * (size_t)eq_denoiser_h_count(r.denoiser) * sizeof *h);
    if (x0 && x && prediction && h) {
        for (size_t i = 0; i < total; i++)
            x0[i] = (float)pixels[i] / 127.5f - 1.0f;
        status = record_all(&r, x0, invert, x, prediction, h);
    } else {
        status = eq_fail_memory(pipeline->ctx, "the images to record");
    }
    free(x0);
    free(x);
    free(prediction);
    free(h);
    return finish(&r, status);
}
