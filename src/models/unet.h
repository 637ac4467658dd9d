/* The diffusion U-Net, split at its bottleneck: encode(x_t, t, context) -> h, skips; decode(h, skips, t, context) ->
 * prediction. Encode and decode are stages of the graph; h, the mid-block's output, is the h-space (Kwon et al.,
 * ICLR 2023). One configuration covers the unconditional networks of pixels and the text-conditional ones of latents;
 * other file formats differ in names only. */
#ifndef EQ_MODELS_UNET_H
#define EQ_MODELS_UNET_H

#include "models/layers.h"

enum { EQ_UNET_MAX_LEVELS = 8 };
/* Stages. The first is what depends on the context alone, the keys and values of all attention to it: once it has run,
 * the others can run any number of times with the same carry buffer. Without a context it is empty. */
enum { EQ_UNET_CONTEXT = 0, EQ_UNET_ENCODE = 1, EQ_UNET_DECODE = 2 };
/* SDXL's micro-conditioning: original height and width, crop's top and left, target height and width. */
enum { EQ_UNET_TIME_IDS = 6 };

/* Field names follow diffusers' UNet2DModel and UNet2DConditionModel. Arrays by level: [0] is the finest; up_attention
 * alone counts from the coarsest, as the up blocks do. The middle block is like the coarsest level. */
typedef struct eq_unet_config {
    int sample_size; /* pixels a side it was trained at; other sizes work where they divide */
    int in_channels, out_channels;
    int levels;
    int block_out_channels[EQ_UNET_MAX_LEVELS];
    bool down_attention[EQ_UNET_MAX_LEVELS], up_attention[EQ_UNET_MAX_LEVELS];
    bool mid_attention;
    int layers_per_block;
    int heads[EQ_UNET_MAX_LEVELS]; /* of attention; of no matter at levels that do not attend */
    int norm_num_groups;
    float norm_eps;
    bool flip_sin_to_cos;
    float freq_shift;
    int downsample_padding; /* 1: symmetric; 0: a zero row and column at the bottom and right */
    float mid_block_scale_factor;
    bool scale_shift_norm; /* resnet_time_scale_shift: the timestep scales and shifts after the norm (ADM) */
    bool resample_blocks;  /* sizes change in residual blocks, not by convolutions (resblock_updown of ADM) */
    bool center_input_sample;
    int conv_in_channels; /* of the first convolution's output; 0: block_out_channels[0] */
    int time_channels;    /* sinusoids of the timestep embedding, which is 4 times as wide; 0: block_out_channels[0] */
    int num_class_embeds; /* classes that images can be asked for; 0: none */

    /* Networks with a context (text): transformers, which attend to it, take the place of plain attention. */
    int cross_attention_dim; /* channels of the context; 0: no context, and nothing of what follows */
    int context_length;      /* positions of the context: the text encoder's, 77 for CLIP */
    int transformer_layers[EQ_UNET_MAX_LEVELS]; /* blocks in each transformer */
    bool linear_projection;                     /* into and out of transformers; else 1x1 convolutions */
    int addition_time_dim;                      /* SDXL: sinusoids of each time id; 0: no added conditions */
    int addition_input_dim;                     /* SDXL: channels of pooled text and all time ids' sinusoids */

    bool skip_switches; /* skips get inputs to switch them off with, in training; a way of building, not of the file */
} eq_unet_config;

typedef struct eq_unet {
    eq_value sample;      /* input [n, h, w, in_channels] f32 */
    eq_value timestep;    /* input [n] f32 */
    eq_value class_label; /* input [n] i32, 0 to num_class_embeds - 1; EQ_NONE without */
    eq_value context;     /* input [n, context_length, cross_attention_dim] f32; EQ_NONE without */
    eq_value text;        /* SDXL: input [n, addition_input_dim - 6 * addition_time_dim] f32, pooled; EQ_NONE without */
    eq_value time_ids;    /* SDXL: input [n, EQ_UNET_TIME_IDS] f32; EQ_NONE without */
    eq_value skip_switch[EQ_UNET_MAX_LEVELS]; /* with skip_switches: inputs [n, 1, 1, 1] f32, of the skips of each
                                                 resolution, [0] the finest: 1 keeps, 0 drops */
    eq_value h;                               /* output of encode, [n, h', w', c] in the graph's dtype */
    eq_value prediction;                      /* output of decode, [n, h, w, out_channels] f32 */
} eq_unet;

/* Checks ranges and divisibility; the message names the field. `file` is named in it. */
eq_status eq_unet_check(eq_context *ctx, const eq_unet_config *config, const char *file);

/* Describes the network for a batch of n images of h x w into the builder's graph. */
eq_status eq_unet_build(const eq_builder *b, const eq_unet_config *config, int64_t n, int64_t h, int64_t w,
                        eq_unet *out);

/* The same with a context, [n, context_length, cross_attention_dim], that the graph computes (a text transformer that
 * is trained along), in place of an input. */
eq_status eq_unet_build_on(const eq_builder *b, const eq_unet_config *config, int64_t n, int64_t h, int64_t w,
                           eq_value context, eq_unet *out);

/* Declares the parameters (names, shapes, initialisation) into an empty list. */
eq_status eq_unet_declare(eq_params *params, const eq_unet_config *config);

/* Channels of a head, where they are the same at all levels that attend; 0 where all have one head; -1 else. */
int eq_unet_head_dim(const eq_unet_config *config);

/* Sides must be multiples of this. */
int eq_unet_size_multiple(const eq_unet_config *config);

#endif
