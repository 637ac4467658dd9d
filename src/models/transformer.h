/* The transformer that text-conditional U-Nets put after a residual block: Rombach et al., "High-Resolution Image
 * Synthesis with Latent Diffusion Models", section 3.3; diffusers' Transformer2DModel. */
#ifndef EQ_MODELS_TRANSFORMER_H
#define EQ_MODELS_TRANSFORMER_H

#include "models/layers.h"

typedef struct eq_transformer {
    int norm_groups;        /* of the norm before the projection */
    int heads;              /* of both attentions; divide the channels */
    int layers;             /* blocks */
    bool linear_projection; /* into and out of the blocks; else 1x1 convolutions */
} eq_transformer;

/* What a context [n, l, e] answers the blocks of a transformer over `channels` channels with: a key and a value, each
 * [n, l, channels], for every layer. They depend on nothing else, and can be computed long before. answers: [layers, 2]
 * out */
void eq_transformer_answers(const eq_builder *b, const eq_transformer *transformer, eq_value context, int64_t channels,
                            eq_value *answers, const char *name);

/* Every position of x [n, h, w, c] attends to all positions, and to the context by its answers. -> [n, h, w, c] */
eq_value eq_spatial_transformer(const eq_builder *b, const eq_transformer *transformer, eq_value x,
                                const eq_value *answers, const char *name);

#endif
