/* Recording h for the training of attribute predictors. Images go through in groups that fit memory; neither their
 * pixels nor their h are ever there all together. */
#ifndef EQ_RUN_RECORD_H
#define EQ_RUN_RECORD_H

#include "run/pipeline.h"

typedef struct eq_record_options {
    int64_t count; /* images */
    int steps;     /* of sampling */
    int every;     /* a head for every so many steps, 1 or more */
    double eta;
    uint64_t seed;
    int64_t micro_batch; /* rows through the network at a time, of which classifier-free guidance takes two an image;
                            0: chosen */
    bool bf16;
    /* Models with a text encoder, as in eq_generate_options: */
    const char *const *prompts;
    const int64_t *prompt_images; /* NULL: all of the one prompt */
    int prompt_count;             /* 0: of images, the empty prompt; samples need one */
    const char *negative_prompt;  /* samples only, as is cfg */
    double cfg;
    const char *tokenizer;
    eq_generate_progress progress;
    void *progress_user;
} eq_record_options;

/* Sees or fills the pixels [n, side, side, 3] RGB of images first, first + 1, ...; side: eq_model_image_size. */
typedef struct eq_record_pixels {
    void *user;
    eq_status (*apply)(void *user, int64_t first, int64_t n, uint8_t *pixels);
} eq_record_pixels;

/* From the model's own samples: they are what guidance will meet, and their h costs nothing extra. Samples unguided
 * with DDIM and writes h to `path`: with classifier-free guidance, h of the conditional half. `finished` sees each
 * group's images; NULL: none are asked for, and latents are not decoded. */
eq_status eq_record_samples(eq_pipeline *pipeline, const eq_record_options *options, const char *path,
                            const eq_record_pixels *finished);

/* From images, which `load` fills in: encoded to latents where the model is one of latents, then noised in closed form
 * to the timesteps of such a run, or inverted by DDIM (without classifier-free guidance), and encoded there. */
eq_status eq_record_images(eq_pipeline *pipeline, const eq_record_options *options, const eq_record_pixels *load,
                           bool invert, const char *path);

#endif
