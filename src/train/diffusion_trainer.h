/* Trains a pixel U-Net on a folder of images. */
#ifndef EQ_TRAIN_DIFFUSION_TRAINER_H
#define EQ_TRAIN_DIFFUSION_TRAINER_H

#include "diffusion/forward.h"
#include "models/unet.h"
#include "train/dataset.h"
#include "train/trainer.h"

typedef struct eq_diffusion_training {
    eq_unet_config unet; /* sample_size: the images' */
    eq_loss_weighting weighting;
    eq_optimiser_options optimiser;
    int batch;
    bool flip; /* mirror half of the visits */
    /* Probability with which a visit loses skips at timesteps of more noise than signal: those of a random number of
     * the coarsest resolutions, never the finest. What the network can then still know of the image has to pass
     * through h, which is what guidance turns. 0: never. */
    double skip_dropout;
    uint64_t seed;
    const eq_params *initial; /* of the same network, to start from; NULL: fresh ones from the seed. Not owned */
    eq_dtype dtype;           /* of activations; parameters and their updates are float32 */
} eq_diffusion_training;

typedef struct eq_diffusion_trainer {
    eq_diffusion_training options;
    const eq_schedule *schedule; /* not owned */
    const eq_dataset *data;      /* not owned */
    eq_params *params;           /* owned */
    eq_trainer core;
    eq_order order;
    eq_unet unet;
    eq_value target, weight;
} eq_diffusion_trainer;

/* The dataset's size must be options->unet.sample_size. */
eq_status eq_diffusion_trainer_open(eq_context *ctx, const eq_diffusion_training *options, const eq_schedule *schedule,
                                    const eq_dataset *data, eq_diffusion_trainer *out);
void eq_diffusion_trainer_close(eq_diffusion_trainer *trainer);

/* One update on the next batch. Everything random in it depends on (seed, step) only. */
eq_status eq_diffusion_trainer_step(eq_diffusion_trainer *trainer, double *loss, double *gradient_norm);

#endif
