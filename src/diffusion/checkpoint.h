/* A pixel diffusion model in one file: a state dictionary of a family known to models/family.h, with or without a
 * model_config.json beside it. */
#ifndef EQ_DIFFUSION_CHECKPOINT_H
#define EQ_DIFFUSION_CHECKPOINT_H

#include "diffusion/schedule.h"
#include "models/checkpoint_settings.h"
#include "models/family.h"
#include "models/unet.h"

/* Loads the network of an open file of the family ADM or DDPM (others are EQ_BAD_USAGE). params: empty, of the caller;
 * they view `weights` afterwards. schedule: freed with eq_schedule_free. Settings that the network does not show are
 * `noise_schedule` or `beta_schedule` ("linear" or "cosine"), `diffusion_steps` or `num_diffusion_timesteps`,
 * `beta_start`, `beta_end` and `predict_xstart`; without them the schedule is linear, of 1000 steps. */
eq_status eq_checkpoint_load(eq_context *ctx, const eq_family *family, const eq_tensor_file *weights,
                             eq_unet_config *unet, eq_params *params, eq_schedule *schedule);
/* The same with settings that are open already, or none. */
eq_status eq_checkpoint_load_source(eq_context *ctx, const eq_family *family, const eq_checkpoint_source *source,
                                    eq_unet_config *unet, eq_params *params, eq_schedule *schedule);

#endif
