/* The transformer block that CLIP's text and vision encoders are made of: pre-norm self-attention, then two linear
 * layers (Radford et al. 2021). */
#ifndef EQ_MODELS_CLIP_BLOCK_H
#define EQ_MODELS_CLIP_BLOCK_H

#include "models/layers.h"

typedef struct eq_clip_encoder {
    const char *name; /* "text_model" or "vision_model", as transformers has it */
    int hidden_size, intermediate_size, num_attention_heads;
    eq_activation hidden_act;
    float layer_norm_eps;
    bool causal; /* tokens see those before them only */
} eq_clip_encoder;

/* Block number i. x: [n, l, hidden_size] -> like x */
eq_value eq_clip_block(const eq_builder *b, const eq_clip_encoder *encoder, int i, eq_value x);

#endif
