/* CLIP's vision transformer (Radford et al., "Learning Transferable Visual Models From Natural Language Supervision",
 * section 2.4; Dosovitskiy et al., ICLR 2021): patches and a class token, pre-norm blocks, the class token's last state
 * projected into the space that texts share. */
#ifndef EQ_MODELS_CLIP_VISION_H
#define EQ_MODELS_CLIP_VISION_H

#include "models/layers.h"

/* Field names follow transformers' CLIPVisionConfig. */
typedef struct eq_clip_vision_config {
    int hidden_size;
    int intermediate_size;
    int num_hidden_layers;
    int num_attention_heads;
    int image_size; /* a multiple of patch_size */
    int patch_size;
    eq_activation hidden_act; /* EQ_ACT_QUICK_GELU or EQ_ACT_GELU */
    float layer_norm_eps;
    int projection_dim;
} eq_clip_vision_config;

/* Checks ranges and divisibility; the message names the field. `file` is named in it. */
eq_status eq_clip_vision_check(eq_context *ctx, const eq_clip_vision_config *config, const char *file);

/* x: [n, image_size, image_size, 3], normalised -> [n, projection_dim] */
eq_value eq_clip_vision_build(const eq_builder *b, const eq_clip_vision_config *config, eq_value x);
/* Declares the parameters (transformers' names) into an empty list. */
eq_status eq_clip_vision_declare(eq_params *params, const eq_clip_vision_config *config);

#endif
