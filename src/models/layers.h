/* Layers with parameters: what networks are written in. Each names its parameters `<prefix>.weight`, `<prefix>.bias`.
 */
#ifndef EQ_MODELS_LAYERS_H
#define EQ_MODELS_LAYERS_H

#include "ops/ops.h"
#include "tensor/params.h"

/* What a network's description carries along. */
typedef struct eq_builder {
    eq_graph *graph;
    eq_params *params;
} eq_builder;

typedef struct eq_prefix {
    char text[192];
} eq_prefix;

/* "down_blocks.%d.resnets.%d" and the like. */
eq_prefix eq_prefix_format(const char *format, ...) EQ_PRINTF(1, 2);

/* Channels of x: its last dimension. */
int64_t eq_channels(const eq_builder *b, eq_value x);

/* x: [n, h, w, ci] -> [n, ho, wo, channels], kernel x kernel. residual as in eq_conv2d. */
eq_value eq_layer_conv(const eq_builder *b, eq_value x, int64_t channels, int kernel, eq_conv conv, eq_init init,
                       eq_value residual, const char *prefix);
/* A 3x3 convolution that keeps the size. */
eq_value eq_layer_conv3(const eq_builder *b, eq_value x, int64_t channels, eq_init init, eq_value residual,
                        const char *prefix);
/* x: [..., ci] -> [..., channels] */
eq_value eq_layer_linear(const eq_builder *b, eq_value x, int64_t channels, bool bias, eq_init init, eq_value residual,
                         const char *prefix);
/* shift as in eq_group_norm. */
eq_value eq_layer_group_norm(const eq_builder *b, eq_value x, eq_value shift, int groups, float epsilon,
                             eq_activation activation, const char *prefix);
eq_value eq_layer_layer_norm(const eq_builder *b, eq_value x, float epsilon, const char *prefix);

#endif
