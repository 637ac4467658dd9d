/* The U-Net of a diffusers folder: `unet/config.json` and `unet/diffusion_pytorch_model.safetensors`. */
#ifndef EQ_MODELS_DIFFUSERS_UNET_H
#define EQ_MODELS_DIFFUSERS_UNET_H

#include "models/unet.h"

/* Reads a config.json of class UNet2DModel, or UNet2DConditionModel as Stable Diffusion 1, 2 and XL have it. What this
 * network cannot do is EQ_BAD_INPUT that names the key. */
eq_status eq_unet_config_read(eq_context *ctx, const char *path, eq_unet_config *out);
/* The same from memory; `name` stands for the file in messages. */
eq_status eq_unet_config_parse(eq_context *ctx, const char *text, size_t size, const char *name, eq_unet_config *out);

/* Writes it so that diffusers loads the folder: the same keys. */
eq_status eq_unet_config_write(eq_context *ctx, const char *path, const eq_unet_config *config);

#endif
