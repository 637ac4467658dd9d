/* A whole training run of a diffusion model: from a folder of images to a model folder, with checkpoints, sample sheets
 * and exact resume. */
#ifndef EQ_TRAIN_DIFFUSION_RUN_H
#define EQ_TRAIN_DIFFUSION_RUN_H

#include "train/diffusion_trainer.h"
#include "train/training_loop.h"

typedef struct eq_diffusion_run {
    const char *images;                     /* folder */
    const char *captions, *vae, *tokenizer; /* of models of latents and text: a table and two folders; else NULL */
    int size;                               /* of their images, in pixels a side */
    eq_diffusion_training training;         /* of models of text, what autoencoder and tokenizer decide is filled in */
    eq_schedule_config schedule;
    eq_training_course course; /* sheets show samples of the moving average */
    bool strict;               /* an unreadable image is an error */
    eq_dtype save_dtype;       /* of the weights in the model folder */
} eq_diffusion_run;

/* See eq_training_loop_run. */
eq_status eq_diffusion_run_train(eq_context *ctx, const eq_diffusion_run *run, bool *finished);

#endif
