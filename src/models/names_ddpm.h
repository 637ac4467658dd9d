/* Names of the DDPM U-Net in PyTorch that SDEdit published (a port of Ho et al.'s) for our parameters. */
#ifndef EQ_MODELS_NAMES_DDPM_H
#define EQ_MODELS_NAMES_DDPM_H

#include "models/unet.h"
#include "models/weights.h"

/* Views the configuration. */
eq_name_map eq_ddpm_name_map(const eq_unet_config *unet);

#endif
