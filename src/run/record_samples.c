/* h of the model's own samples, recorded while they come about. */
#include <stdlib.h>

#include "io/image.h"
#include "run/recording.h"

/* x: [n, image] out */
static eq_status sample(eq_recording *r, float *x)
{
    eq_sampling sampling = eq_recording_sampling(r);
    sampling.hook = eq_h_recorder(&r->writer);
    return eq_sample(r->pipeline->ctx, &sampling, x);
}

/* x: [n, image] -> pixels: [n, side, side, 3]; image: [side, side, 3], scratch of latent models */
static eq_status to_pixels(eq_recording *r, const float *x, float *image, uint8_t *pixels)
{
    size_t count = eq_recording_count(r), bytes = eq_recording_bytes(r);
    int64_t side = r->pipeline->model.unet.sample_size;
    for (int64_t i = 0; i < r->n; i++) {
        const float *from = x + (size_t)i * count;
        if (r->codec) {
            EQ_TRY(eq_latent_decode(r->codec, from, 1, side, side, image));
            from = image;
        }
        eq_pixels_from_float(from, bytes, pixels + (size_t)i * bytes);
    }
    return EQ_OK;
}

static eq_status sample_groups(eq_recording *r, const eq_record_pixels *finished, float *x, float *image,
                               uint8_t *pixels)
{
    for (int64_t first = 0; first < r->options->count; first += r->n) {
        EQ_TRY(eq_recording_begin(r, first));
        EQ_TRY(sample(r, x));
        if (!finished)
            continue;
        EQ_TRY(to_pixels(r, x, image, pixels));
        EQ_TRY(finished->apply(finished->user, first, r->n, pixels));
    }
    return EQ_OK;
}

eq_status eq_record_samples(eq_pipeline *pipeline, const eq_record_options *options, const char *path,
                            const eq_record_pixels *finished)
{
    eq_recording r = {.pipeline = pipeline, .options = options};
    eq_status status = eq_recording_open(&r, path, false);
    if (status != EQ_OK)
        return eq_recording_close(&r, status);
    float *x = malloc((size_t)r.most * eq_recording_count(&r) * sizeof *x);
    float *image = malloc(eq_recording_bytes(&r) * sizeof *image);
    uint8_t *pixels = malloc((size_t)r.most * eq_recording_bytes(&r));
    status = x && image && pixels ? sample_groups(&r, finished, x, image, pixels)
                                  : eq_fail_memory(pipeline->ctx, "the samples");
    free(x);
    free(image);
    free(pixels);
    return eq_recording_close(&r, status);
}
