/* A whole training run of an autoencoder: from a folder of images to a diffusers "vae" folder. */
#ifndef EQ_TRAIN_VAE_RUN_H
#define EQ_TRAIN_VAE_RUN_H

#include "train/training_loop.h"
#include "train/vae_trainer.h"

typedef struct eq_vae_run {
    const char *images; /* folder */
    eq_vae_training training;
    eq_training_course course; /* `out` is the autoencoder's folder; sheets show originals beside their results */
    bool strict;               /* an unreadable image is an error */
    eq_dtype save_dtype;       /* of the weights in the folder */
} eq_vae_run;

/* Measured on images that were not learnt from: a tenth, at most 256, the last in the folder's order. */
typedef struct eq_vae_quality {
    int64_t images;
    double psnr;       /* dB, mean over images, of 8-bit results from the latents' means */
    double latent_std; /* of all numbers of the means; the scaling factor is its inverse */
} eq_vae_quality;

/* See eq_training_loop_run. The folder's scaling_factor makes latents vary by 1. */
eq_status eq_vae_run_train(eq_context *ctx, const eq_vae_run *run, bool *finished, eq_vae_quality *quality);

#endif
