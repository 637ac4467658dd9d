/* Recording h for the training of attribute predictors. */
#ifndef EQ_RUN_RECORD_H
#define EQ_RUN_RECORD_H

#include "run/pipeline.h"

/* From the model's own samples: they are what guidance will meet, and their h costs nothing extra. */
typedef struct eq_record_options {
    int64_t count; /* images */
    int steps;     /* of sampling */
    int every;     /* a head for every so many steps, 1 or more */
    double eta;
    uint64_t seed;
    int64_t micro_batch; /* 0: chosen */
    bool bf16;
    eq_generate_progress progress;
    void *progress_user;
} eq_record_options;

/* Samples unguided with DDIM and writes h to `path`. pixels: [count, size, size, 3] RGB out, malloc'ed, the caller
 * frees it. */
eq_status eq_record_samples(eq_pipeline *pipeline, const eq_record_options *options, const char *path,
                            uint8_t **pixels);

/* From images: noised in closed form to the timesteps of such a run, or inverted by DDIM, and encoded there. pixels:
 * [count, size, size, 3]. */
eq_status eq_record_images(eq_pipeline *pipeline, const eq_record_options *options, const uint8_t *pixels, bool invert,
                           const char *path);

#endif
