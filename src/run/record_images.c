/* h of images, noised in closed form or inverted by DDIM. */
#include <stdlib.h>

#include "base/rng.h"
#include "diffusion/forward.h"
#include "diffusion/inversion.h"
#include "io/image.h"
#include "run/recording.h"

/* What the images of a group are while they go from clean to noisy. */
typedef struct images {
    const eq_record_pixels *load;
    bool invert;
    uint8_t *pixels;   /* [n, side, side, 3] */
    float *image;      /* [side, side, 3], scratch of latent models */
    float *x0, *x;     /* [n, image] clean; at the current timestep */
    float *prediction; /* [n, output] */
    float *h;          /* [n, h count] */
    bool encoded;      /* h is that of x at the current timestep: the network has to be run from there on only */
} images;

static eq_status allocate(const eq_recording *r, images *m)
{
    size_t n = (size_t)r->most, count = eq_recording_count(r), bytes = eq_recording_bytes(r);
    const eq_unet_config *unet = &r->pipeline->model.unet;
    size_t outputs = count / (size_t)unet->in_channels * (size_t)unet->out_channels;
    m->pixels = malloc(n * bytes);
    m->image = malloc(bytes * sizeof *m->image);
    m->x0 = malloc(n * count * sizeof *m->x0);
    m->x = malloc(n * count * sizeof *m->x);
    m->prediction = malloc(n * outputs * sizeof *m->prediction);
    m->h = malloc(n * (size_t)eq_shape_count(&r->pipeline->model.h_shape) * sizeof *m->h);
    bool complete = m->pixels && m->image && m->x0 && m->x && m->prediction && m->h;
    return complete ? EQ_OK : eq_fail_memory(r->pipeline->ctx, "the images to record");
}

static void free_images(images *m)
{
    free(m->pixels);
    free(m->image);
    free(m->x0);
    free(m->x);
    free(m->prediction);
    free(m->h);
}

/* Pixels to what the network works on. */
static eq_status encode(eq_recording *r, images *m)
{
    size_t count = eq_recording_count(r), bytes = eq_recording_bytes(r);
    int64_t side = eq_model_image_size(&r->pipeline->model);
    for (int64_t i = 0; i < r->n; i++) {
        const uint8_t *pixels = m->pixels + (size_t)i * bytes;
        float *x0 = m->x0 + (size_t)i * count, *image = r->codec ? m->image : x0;
        eq_pixels_to_float(pixels, bytes, image);
        if (r->codec)
            EQ_TRY(eq_latent_encode(r->codec, image, 1, side, side, NULL, 0, x0));
    }
    return EQ_OK;
}

/* x0 to the noise level of `step`, with noise of its own there. */
static void noise_to(const eq_recording *r, int step, images *m)
{
    size_t count = eq_recording_count(r);
    double alpha = r->plan.call[step].alpha_cumprod;
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < r->n; i++) {
        float *x = m->x + (size_t)i * count;
        eq_rng rng = eq_rng_make(r->options->seed, (uint64_t)(r->first + i), (uint32_t)step + 1);
        eq_rng_normals(&rng, x, count);
        eq_add_noise(alpha, count, m->x0 + (size_t)i * count, x, x);
    }
}

/* DDIM inversion: x at the noise level of `step` + 1 (nearer to the image) moves to that of `step` with the noise that
 * the network sees now. */
static eq_status invert_to(eq_recording *r, const eq_sampling *sampling, int step, images *m)
{
    if (!m->encoded)
        return eq_invert_call(sampling, step + 1, m->x, m->prediction);
    float timestep = (float)r->plan.call[step + 1].timestep;
    EQ_TRY(eq_denoiser_decode(r->denoiser, m->x, timestep, m->h, m->prediction));
    eq_invert_step(sampling, step + 1, m->x, m->prediction);
    return EQ_OK;
}

static eq_status record_group(eq_recording *r, images *m)
{
    eq_sampling sampling = eq_recording_sampling(r);
    int last = r->plan.steps - 1;
    memcpy(m->x, m->x0, (size_t)r->n * eq_recording_count(r) * sizeof *m->x);
    for (int step = last; step >= 0; step--) {
        bool wanted = r->writer.written < r->heads && r->steps[r->writer.written] == step;
        if (m->invert && step < last)
            EQ_TRY(invert_to(r, &sampling, step, m));
        if (wanted && !m->invert)
            noise_to(r, step, m);
        if (wanted) {
            EQ_TRY(eq_denoiser_encode(r->denoiser, m->x, (float)r->plan.call[step].timestep, m->h));
            EQ_TRY(eq_h_writer_add(&r->writer, m->h));
        }
        m->encoded = wanted;
        eq_recording_progress(r, r->plan.steps - step);
    }
    return EQ_OK;
}

static eq_status record_groups(eq_recording *r, images *m)
{
    EQ_TRY(allocate(r, m));
    for (int64_t first = 0; first < r->options->count; first += r->n) {
        EQ_TRY(eq_recording_begin(r, first));
        EQ_TRY(m->load->apply(m->load->user, first, r->n, m->pixels));
        EQ_TRY(encode(r, m));
        EQ_TRY(record_group(r, m));
    }
    return EQ_OK;
}

eq_status eq_record_images(eq_pipeline *pipeline, const eq_record_options *options, const eq_record_pixels *load,
                           bool invert, const char *path)
{
    eq_recording r = {.pipeline = pipeline, .options = options};
    images m = {.load = load, .invert = invert};
    eq_status status = eq_recording_open(&r, path, true);
    if (status == EQ_OK)
        status = record_groups(&r, &m);
    free_images(&m);
    return eq_recording_close(&r, status);
}
