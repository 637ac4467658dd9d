/* The diffusion U-Net, split at its bottleneck: encode(x_t, t) -> h, skips; decode(h, skips, t) -> prediction.
 * Stage 0 of the graph is encode, stage 1 decode; h, the mid-block's output, is the h-space (Kwon et al., ICLR 2023).
 */
#ifndef EQ_MODELS_UNET_H
#define EQ_MODELS_UNET_H

#include "models/layers.h"

enum { EQ_UNET_MAX_LEVELS = 8 };
enum { EQ_UNET_ENCODE = 0, EQ_UNET_DECODE = 1 };

/* Field names follow diffusers' UNet2DModel, whose folder format this is. */
typedef struct eq_unet_config {
    int sample_size; /* pixels a side it was trained at; other sizes work where they divide */
    int in_channels, out_channels;
    int levels;
    int block_out_channels[EQ_UNET_MAX_LEVELS];
    bool down_attention[EQ_UNET_MAX_LEVELS], up_attention[EQ_UNET_MAX_LEVELS];
    bool mid_attention;
    int layers_per_block;
    int attention_head_dim; /* channels of a head; 0: one head of all channels */
    int norm_num_groups;
    float norm_eps;
    bool flip_sin_to_cos;
    float freq_shift;
    int downsample_padding; /* 1: symmetric; 0: a zero row and column at the bottom and right */
    float mid_block_scale_factor;
    bool scale_shift_norm; /* resnet_time_scale_shift: the timestep scales and shifts after the norm (ADM) */
    bool center_input_sample;
} eq_unet_config;

typedef struct eq_unet {
    eq_value sample;     /* input [n, h, w, in_channels] f32 */
    eq_value timestep;   /* input [n] f32 */
    eq_value h;          /* output of stage 0, [n, h', w', c] in the graph's dtype */
    eq_value prediction; /* output of stage 1, [n, h, w, out_channels] f32 */
} eq_unet;

/* Checks ranges and divisibility; the message names the field. `file` is named in it. */
eq_status eq_unet_check(eq_context *ctx, const eq_unet_config *config, const char *file);

/* Describes the network for a batch of n images of h x w into the builder's graph. */
eq_status eq_unet_build(const eq_builder *b, const eq_unet_config *config, int64_t n, int64_t h, int64_t w,
                        eq_unet *out);

/* Declares the parameters (names, shapes, initialisation) into an empty list. */
eq_status eq_unet_declare(eq_params *params, const eq_unet_config *config);

/* Sides must be multiples of this. */
int eq_unet_size_multiple(const eq_unet_config *config);

#endif
