/* Prompts to what a U-Net is told of them: the tokenizer and text transformer of a model folder, or both pairs of
 * Stable Diffusion XL. Encode all prompts of a run, then close: the text models' weights are not needed any more. */
#ifndef EQ_DIFFUSION_PROMPT_H
#define EQ_DIFFUSION_PROMPT_H

#include "io/tensor_file.h"

typedef struct eq_prompt_encoder eq_prompt_encoder;

typedef struct eq_prompt_options {
    const char *tokenizer; /* a tokenizer's folder; NULL: the model folder's "tokenizer" */
    eq_dtype dtype;        /* of activations: EQ_F32 or EQ_BF16 */
    const char *backend;   /* as in eq_program_options */
} eq_prompt_options;

/* Whether the folder is that of a model that takes prompts: it has a "text_encoder". */
bool eq_prompt_needed(const char *model_folder);

/* Opens "tokenizer" and "text_encoder" of a model folder, with "tokenizer_2" and "text_encoder_2" where they are there.
 * Closed with eq_prompt_encoder_close. EQ_BAD_INPUT names the file and the fault. */
eq_status eq_prompt_encoder_open(eq_context *ctx, const char *model_folder, const eq_prompt_options *options,
                                 eq_prompt_encoder **out);

/* The text models of a single-file Stable Diffusion 1.x, 2.x or XL checkpoint, which must stay open until the close.
 * Such files hold no tokenizer: options->tokenizer names its folder, CLIP's for all of them; OpenCLIP's models are
 * given its ids padded with 0. */
eq_status eq_prompt_encoder_open_checkpoint(eq_context *ctx, const eq_tensor_file *checkpoint,
                                            const eq_prompt_options *options, eq_prompt_encoder **out);
void eq_prompt_encoder_close(eq_prompt_encoder *encoder);

/* Tokens of a prompt, start, end and padding included. */
int eq_prompt_length(const eq_prompt_encoder *encoder);
/* Numbers a token: the U-Net's cross_attention_dim. */
int eq_prompt_width(const eq_prompt_encoder *encoder);
/* Numbers of the pooled state (Stable Diffusion XL); 0: there is none. */
int eq_prompt_pooled_width(const eq_prompt_encoder *encoder);

/* context: [length, width]; pooled: [pooled_width], or NULL. One text model gives its last states, normalised; two give
 * their penultimate states side by side, and the second one its pooled state. text NULL: no prompt, which is the empty
 * one, or zeros where model_index.json says "force_zeros_for_empty_prompt". *truncated (may be NULL) tells whether the
 * text was too long; the log shows what was cut off. */
eq_status eq_prompt_encode(eq_context *ctx, eq_prompt_encoder *encoder, const char *text, float *context, float *pooled,
                           bool *truncated);

#endif
