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
    const char *prompt;            /* of models with a text encoder, what all images show; NULL: the empty one */
    const char *tokenizer;         /* as in eq_generate_options */
    eq_generate_progress progress; /* steps of images */
    void *progress_user;
} eq_invert_options;

/* Numbers of one image as the network sees it: of pixels, or of latents. */
size_t eq_invert_count(const eq_pipeline *pipeline);

/* pixels: [count, size, size, 3], size: eq_model_image_size; noise: [count, side, side, channels] out, at the first
 * timestep, side and channels of the network's input. Images are encoded to latents where the model is one of latents;
 * there is no classifier-free guidance. */
eq_status eq_invert_images(eq_pipeline *pipeline, const eq_invert_options *options, const uint8_t *pixels,
                           float *noise);

/* Samples from that noise at eta 0 along the same timesteps, with the same prompt. pixels: [count, size, size, 3] out.
 */
eq_status eq_reconstruct_images(eq_pipeline *pipeline, const eq_invert_options *options, const float *noise,
                                uint8_t *pixels);

/* A tensor [channels, side, side] f32 an image, under the image's name, and what it was made with. */
eq_status eq_inversion_write(eq_pipeline *pipeline, const eq_invert_options *options, const char *path,
                             const char *const *names, const float *noise);

/* Peak signal-to-noise ratio of 8-bit images in dB; infinite where they are the same. */
double eq_psnr(const uint8_t *a, const uint8_t *b, size_t count);

#endif
