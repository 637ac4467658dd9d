/* Names of latent diffusion's UNetModel (Rombach et al.; Stable Diffusion 1, 2 and XL as single files) for ours. */
#ifndef EQ_MODELS_NAMES_LDM_H
#define EQ_MODELS_NAMES_LDM_H

#include "models/unet.h"
#include "models/weights.h"

/* Where the U-Net's names begin in whole checkpoints. */
#define EQ_LDM_UNET_PREFIX "model.diffusion_model."

typedef struct eq_ldm_names {
    const eq_unet_config *unet;
    const char *prefix; /* "" where the file holds the U-Net alone */
} eq_ldm_names;

/* Views `names`, and what it points to. */
eq_name_map eq_ldm_name_map(const eq_ldm_names *names);

#endif
