/* Residual and self-attention blocks, shared by the diffusion U-Net and the autoencoder. */
#ifndef EQ_MODELS_BLOCKS_H
#define EQ_MODELS_BLOCKS_H

#include "models/layers.h"

/* For networks that are run in tiles: the statistics of their norms, in the order of the description. */
enum { EQ_MAX_NORMS = 160 }; /* more than 8 levels of 9 residual blocks have */
typedef struct eq_norm_list {
    bool given; /* they use statistics that the caller fills in, rather than those of the window */
    int count;
    float epsilon;                 /* of the norms: std is sqrt(variance + epsilon) */
    eq_value window[EQ_MAX_NORMS]; /* inputs [4] i32, as in eq_group_norm_tile */
    eq_value seen[EQ_MAX_NORMS];   /* outputs [n, groups, 2] f32: mean, 1 / std of the window */
    eq_value used[EQ_MAX_NORMS];   /* inputs, like these, where they are given, else EQ_NONE */
} eq_norm_list;

/* What all blocks of a network have in common. */
typedef struct eq_block_style {
    int norm_groups;
    float norm_eps;
    bool scale_shift_norm; /* the embedding scales and shifts after the second norm, instead of being added before */
    eq_norm_list *norms;   /* NULL: norms keep their statistics to themselves */
} eq_block_style;

/* A group norm in that style; shift as in eq_group_norm. */
eq_value eq_block_norm(const eq_builder *b, const eq_block_style *style, eq_value x, eq_value shift,
                       eq_activation activation, const char *prefix);

/* x: [n, h, w, c] -> [n, h, w, channels]. embedding: [n, e] activated timestep embedding, or EQ_NONE where the network
 * has none. scale_factor divides the sum of both branches. */
eq_value eq_residual_block(const eq_builder *b, const eq_block_style *style, eq_value x, eq_value embedding,
                           int channels, float scale_factor, const char *name);

typedef enum eq_resample { EQ_KEEP_SIZE, EQ_HALVE, EQ_DOUBLE } eq_resample;

/* A residual block that halves (2x2 means) or doubles (nearest) the image's sides in both of its branches, before the
 * first convolution (Song et al. 2021 after BigGAN; ADM's resblock_updown). -> [n, h', w', channels] */
eq_value eq_resampling_block(const eq_builder *b, const eq_block_style *style, eq_value x, eq_value embedding,
                             int channels, eq_resample resample, float scale_factor, const char *name);

/* Self-attention over all positions of x [n, h, w, c] in `heads` heads. scale_factor as above. */
eq_value eq_attention_block(const eq_builder *b, const eq_block_style *style, eq_value x, int heads, float scale_factor,
                            const char *name);

#endif
