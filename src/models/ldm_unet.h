/* The configuration of latent diffusion's U-Net (Stable Diffusion 1, 2 and XL as single files) from its weights: the
 * files hold none. */
#ifndef EQ_MODELS_LDM_UNET_H
#define EQ_MODELS_LDM_UNET_H

#include "io/tensor_file.h"
#include "models/unet.h"

/* Reads names and shapes of the tensors whose names begin with `prefix` (see models/names_ldm.h). What shapes do not
 * tell is as the families have it: 8 heads everywhere where 1x1 convolutions lead into the transformers (SD 1), heads
 * of 64 channels where linear layers do (SD 2, XL); latents of 64 x 64, and 128 x 128 for XL; contexts of 77 positions;
 * 32 groups in norms. EQ_BAD_INPUT where there is no such network. */
eq_status eq_ldm_unet_config(eq_context *ctx, const eq_tensor_file *file, const char *prefix, eq_unet_config *out);

#endif
