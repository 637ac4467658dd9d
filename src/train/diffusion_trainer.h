/* Trains a U-Net on images, or on latents with captions, where the text transformer that reads them is trained along.
 */
#ifndef EQ_TRAIN_DIFFUSION_TRAINER_H
#define EQ_TRAIN_DIFFUSION_TRAINER_H

#include "diffusion/forward.h"
#include "models/clip_text.h"
#include "models/unet.h"
#include "train/dataset.h"
#include "train/latent_set.h"
#include "train/trainer.h"

enum { EQ_TIMESTEP_POWER_MAX = 8 };

typedef struct eq_diffusion_training {
    eq_unet_config unet;      /* sample_size: the images' */
    eq_clip_text_config text; /* of models of text, whose unet.cross_attention_dim is its hidden_size */
    double caption_dropout;   /* how often the text is the empty one, in [0, 1]: what classifier-free guidance needs */
    eq_loss_weighting weighting;
    eq_optimiser_options optimiser;
    int batch;
    bool flip; /* mirror half of the visits */
    /* Probability with which a visit loses skips at timesteps of more noise than signal: those of a random number of
     * the coarsest resolutions, never the finest. What the network can then still know of the image has to pass
     * through h, which is what guidance turns. 0: never. */
    double skip_dropout;
    /* Timesteps are drawn with a density that grows as t^(power - 1): 1 draws all alike, larger numbers draw more of
     * the noisy ones, where the composition and with it the frequencies of attributes are decided. At least 1. */
    double timestep_power;
    uint64_t seed;
    const eq_params *initial; /* of the same network, to start from; NULL: fresh ones from the seed. Not owned */
    eq_dtype dtype;           /* of activations; parameters and their updates are float32 */
} eq_diffusion_training;

/* One of the two. */
typedef struct eq_diffusion_data {
    const eq_dataset *images;
    const eq_latent_set *latents; /* for U-Nets with a context */
} eq_diffusion_data;

typedef struct eq_diffusion_trainer {
    eq_diffusion_training options;
    const eq_schedule *schedule; /* not owned */
    eq_diffusion_data data;      /* not owned */
    eq_params *params;           /* owned: the U-Net's, then the text transformer's */
    int unet_params;             /* how many of them are the U-Net's */
    eq_trainer core;
    eq_order order;
    eq_unet unet;
    eq_clip_text text;
    int32_t *ids; /* [batch, length] tokens of a step's captions, owned */
    eq_value target, weight;
} eq_diffusion_trainer;

/* The data's size must be options->unet.sample_size. */
eq_status eq_diffusion_trainer_open(eq_context *ctx, const eq_diffusion_training *options, const eq_schedule *schedule,
                                    eq_diffusion_data data, eq_diffusion_trainer *out);
void eq_diffusion_trainer_close(eq_diffusion_trainer *trainer);

/* The timestep that visit number `visit` trains at, of 0..timesteps - 1. */
int eq_diffusion_training_timestep(const eq_diffusion_training *training, int64_t visit, int timesteps);

/* One update on the next batch. Everything random in it depends on (seed, step) only. */
eq_status eq_diffusion_trainer_step(eq_diffusion_trainer *trainer, double *loss, double *gradient_norm);

/* The parameters of the two networks by themselves: views, valid as long as the trainer. */
eq_params eq_diffusion_trainer_unet(const eq_diffusion_trainer *trainer);
eq_params eq_diffusion_trainer_text(const eq_diffusion_trainer *trainer);

#endif
