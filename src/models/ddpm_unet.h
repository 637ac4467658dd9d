/* The configuration of the DDPM U-Net that SDEdit published checkpoints of (Ho et al. 2020, appendix B), from a
 * checkpoint without one. */
#ifndef EQ_MODELS_DDPM_UNET_H
#define EQ_MODELS_DDPM_UNET_H

#include "models/checkpoint_settings.h"
#include "models/unet.h"

/* The network as the weights' shapes show it. Settings are called as in that code's configuration (ch, ch_mult, ...).
 * Where they do not say, image_size is 256. */
eq_status eq_ddpm_config_read(eq_context *ctx, const eq_checkpoint_source *source, eq_unet_config *out);

#endif
