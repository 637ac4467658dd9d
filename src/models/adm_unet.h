/* The configuration of guided-diffusion's UNetModel (Dhariwal & Nichol 2021, "ADM"; the P2-weighting models of Choi et
 * al. 2022 are of the same code), from a checkpoint without one. */
#ifndef EQ_MODELS_ADM_UNET_H
#define EQ_MODELS_ADM_UNET_H

#include "models/checkpoint_settings.h"
#include "models/unet.h"

typedef struct eq_adm_config {
    eq_unet_config unet;
    bool new_attention_order; /* see models/names_adm.h */
} eq_adm_config;

/* The network as the weights' shapes show it. Settings are called as guided-diffusion's options. Where they do not say,
 * image_size is 256, heads have 64 channels (num_head_channels; or num_heads), and use_new_attention_order is false. */
eq_status eq_adm_config_read(eq_context *ctx, const eq_checkpoint_source *source, eq_adm_config *out);

/* Levels, residual blocks of each, channels and attention from the names and shapes below `prefix`; also of the
 * networks that are laid out in the same way. attention: a tensor of every attention block, "qkv.weight". */
eq_status eq_adm_read_levels(eq_context *ctx, const eq_checkpoint_source *source, const char *prefix,
                             const char *attention, eq_unet_config *unet);

#endif
