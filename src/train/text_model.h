/* What a run that trains a model of latents and text has besides: autoencoder, tokenizer, data, sheets of samples that
 * follow captions, and the whole folder. */
#ifndef EQ_TRAIN_TEXT_MODEL_H
#define EQ_TRAIN_TEXT_MODEL_H

#include "train/diffusion_run.h"

/* Zeroed before it is opened. */
typedef struct eq_training_text {
    eq_model_vae vae;
    eq_tokenizer *tokenizer;
    eq_latent_set set;
} eq_training_text;

/* Opens what the run names, and completes the networks' configurations in `training`: sizes, channels, vocabulary. */
eq_status eq_training_text_open(eq_context *ctx, const eq_diffusion_run *run, eq_diffusion_training *training,
                                eq_training_text *out);
void eq_training_text_close(eq_training_text *text);

/* Samples with the trainer's parameters as they are, from the same noise every time. images: [count, size, size, 3]
 * out, of `count` captions spread over the set. */
eq_status eq_training_text_sample(eq_context *ctx, const eq_training_text *text, const eq_diffusion_trainer *trainer,
                                  int count, int steps, double cfg, float *images);

/* Writes the model. */
eq_status eq_training_text_save(eq_context *ctx, const eq_training_text *text, const eq_diffusion_trainer *trainer,
                                const eq_diffusion_run *run);

#endif
