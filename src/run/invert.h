/* Images to the noise a model makes them from, and back: the check of how far inversion can be trusted. */
#ifndef EQ_RUN_INVERT_H
#define EQ_RUN_INVERT_H

#include "run/pipeline.h"

typedef struct eq_invert_options {
    int64_t count;       /* images */
    int steps;           /* of DDIM */
    const char *spacing; /* of its timesteps; NULL: the model's */
    int64_t micro_batch; /* 0: chosen */
    bool bf16;
    eq_generate_progress progress; /* steps of images */
    void *progress_user;
} eq_invert_options;

/* pixels: [count, size, size, 3] of the model's size; noise: [count, size, size, 3] out, at the first timestep. */
eq_status eq_invert_images(eq_pipeline *pipeline, const eq_invert_options *options, const uint8_t *pixels,
                           float *noise);

/* Samples from that noise at eta 0 along the same timesteps. pixels: [count, size, size, 3] out. */
eq_status eq_reconstruct_images(eq_pipeline *pipeline, const eq_invert_options *options, const float *noise,
                                uint8_t *pixels);

/* A tensor [3, size, size] f32 an image, under the image's name, and what it was made with. */
eq_status eq_inversion_write(eq_pipeline *pipeline, const eq_invert_options *options, const char *path,
                             const char *const *names, const float *noise);

/* Peak signal-to-noise ratio of 8-bit images in dB; infinite where they are the same. */
double eq_psnr(const uint8_t *a, const uint8_t *b, size_t count);

#endif
