/* CLIP's text tower with its tokenizer: prompts to vectors in the space that images share. */
#ifndef EQ_MODELS_CLIP_PROMPTS_H
#define EQ_MODELS_CLIP_PROMPTS_H

#include "models/clip_model.h"
#include "text/tokenizer.h"

/* Freed by eq_clip_prompts_close, also where opening failed. The model must stay. */
typedef struct eq_clip_prompts {
    eq_context *ctx;
    eq_tokenizer *tokenizer;
    eq_program *program; /* for one prompt */
    eq_clip_text text;
    const eq_clip_text_config *config;
    int32_t *ids; /* [max_position_embeddings] */
} eq_clip_prompts;

/* The vocabulary lies beside the weights in `folder`, as transformers has it, or in its tokenizer/. */
eq_status eq_clip_prompts_open(eq_context *ctx, const char *folder, const eq_clip_model *model, eq_clip_prompts *out);
void eq_clip_prompts_close(eq_clip_prompts *prompts);

/* Adds the prompt's unit vector to sum: [projection_dim]. */
eq_status eq_clip_prompts_add(eq_clip_prompts *prompts, const char *prompt, double *sum);

#endif
