/* The prompts of a run as the network takes them, and which images each is of. */
#ifndef EQ_RUN_PROMPTS_H
#define EQ_RUN_PROMPTS_H

#include "run/pipeline.h"
#include "run/wording.h"

typedef struct eq_prompts {
    int count;          /* of prompts as given; 0: the model takes none */
    eq_wording wording; /* owned: what is encoded */
    eq_encoded *encoded;
    const float *context; /* [1 + texts, length, width] of `encoded`: the negative prompt's, then the wording's texts */
    const float *text;    /* [1 + texts, pooled] or NULL: the same of pooled states (Stable Diffusion XL) */
    int64_t *first;       /* [count + 1], owned: images first[i] .. first[i + 1] - 1 of the run are of prompt i */
} eq_prompts;

/* Words the prompts as the method asks, opens the model's text encoder, encodes, and closes it; where the pipeline has
 * encoded the same texts last, it need not. Without a text encoder in the model, prompts are EQ_BAD_USAGE; with one, so
 * is a run without a prompt. Freed with eq_prompts_free. */
eq_status eq_prompts_encode(eq_pipeline *pipeline, const eq_generate_options *options, eq_text_rule rule,
                            const eq_targets *targets, eq_prompts *out);
void eq_prompts_free(eq_prompts *prompts);

/* The prompt of image number `image` of the run. */
int eq_prompts_of(const eq_prompts *prompts, int64_t image);

/* The text that image number `image` of the run is told, with its cells as in wording.h. It counts from 0, so that its
 * row in `context` is one more. */
int eq_prompts_text_of(const eq_prompts *prompts, int64_t image, const eq_targets *targets, const int *cells,
                       int64_t stride);

#endif
