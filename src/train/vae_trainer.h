/* Trains the autoencoder of latent diffusion models on a folder of images: reconstruction, sharp edges, and a mild pull
 * of the latents towards the standard normal (Rombach et al., CVPR 2022, section 3.1, without its discriminator). */
#ifndef EQ_TRAIN_VAE_TRAINER_H
#define EQ_TRAIN_VAE_TRAINER_H

#include "models/vae.h"
#include "train/dataset.h"
#include "train/trainer.h"

typedef enum eq_vae_loss {
    EQ_VAE_L1, /* mean of |difference|: sharper */
    EQ_VAE_L2, /* mean of its square */
} eq_vae_loss;

typedef struct eq_vae_training {
    eq_vae_config vae;
    int size; /* of the images: a multiple of eq_vae_scale */
    eq_vae_loss loss;
    double edge_weight; /* of the mean absolute error of differences between neighbouring pixels; 0: none */
    double kl_weight;   /* of the divergence from the standard normal, mean over the latents' numbers */
    eq_optimiser_options optimiser;
    int batch;
    bool flip; /* mirror half of the visits */
    uint64_t seed;
    const eq_params *initial; /* of the same network, to start from; NULL: fresh ones from the seed. Not owned */
    eq_dtype dtype;           /* of activations; parameters and their updates are float32 */
} eq_vae_training;

typedef struct eq_vae_trainer {
    eq_vae_training options;
    const eq_dataset *data; /* not owned */
    int64_t count;          /* of its images, from the first: what is learnt from */
    eq_params *params;      /* owned */
    eq_trainer core;
    eq_order order;
    eq_value image, noise;
} eq_vae_trainer;

/* The dataset's size must be options->size. count: images to learn from, 1 to data->count. */
eq_status eq_vae_trainer_open(eq_context *ctx, const eq_vae_training *options, const eq_dataset *data, int64_t count,
                              eq_vae_trainer *out);
void eq_vae_trainer_close(eq_vae_trainer *trainer);

/* One update on the next batch. Everything random in it depends on (seed, step) only. */
eq_status eq_vae_trainer_step(eq_vae_trainer *trainer, double *loss, double *gradient_norm);

#endif
