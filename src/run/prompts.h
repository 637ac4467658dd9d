/* The prompts of a run as the network takes them, and which images each is of. */
#ifndef EQ_RUN_PROMPTS_H
#define EQ_RUN_PROMPTS_H

#include "run/pipeline.h"

typedef struct eq_prompts {
    int count;      /* of prompts; 0: the model takes none */
    float *context; /* [1 + count, length, width], owned: the negative prompt's, then each prompt's */
    float *text;    /* [1 + count, pooled] or NULL, owned: the same of pooled states (Stable Diffusion XL) */
    int64_t *first; /* [count + 1], owned: images first[i] .. first[i + 1] - 1 of the run are of prompt i */
} eq_prompts;

/* Opens the model's text encoder, encodes, and closes it. Without a text encoder in the model, prompts are
 * EQ_BAD_USAGE; with one, so is a run without a prompt. Freed with eq_prompts_free. */
eq_status eq_prompts_encode(eq_pipeline *pipeline, const eq_generate_options *options, eq_prompts *out);
void eq_prompts_free(eq_prompts *prompts);

/* The prompt of image number `image` of the run. */
int eq_prompts_of(const eq_prompts *prompts, int64_t image);

#endif
