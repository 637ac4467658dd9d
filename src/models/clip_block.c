#include "models/clip_block.h"

#include <math.h>

/* x: [n, l, c] -> [n, l, co] by the linear `layer` of block i. */
static eq_value linear(const eq_builder *b, const eq_clip_encoder *encoder, int i, const char *layer, eq_value x,
                       int64_t co, eq_value residual)
{
    eq_prefix prefix = eq_prefix_format("%s.encoder.layers.%d.%s", encoder->name, i, layer);
    return eq_layer_linear(b, x, co, true, EQ_INIT_UNIFORM, residual, prefix.text);
}

static eq_value norm(const eq_builder *b, const eq_clip_encoder *encoder, int i, const char *layer, eq_value x)
{
    eq_prefix prefix = eq_prefix_format("%s.encoder.layers.%d.%s", encoder->name, i, layer);
    return eq_layer_layer_norm(b, x, encoder->layer_norm_eps, prefix.text);
}

eq_value eq_clip_block(const eq_builder *b, const eq_clip_encoder *encoder, int i, eq_value x)
{
    int64_t c = encoder->hidden_size;
    float scale = 1 / sqrtf((float)(c / encoder->num_attention_heads));
    eq_value h = norm(b, encoder, i, "layer_norm1", x);
    eq_value q = linear(b, encoder, i, "self_attn.q_proj", h, c, EQ_NONE);
    eq_value k = linear(b, encoder, i, "self_attn.k_proj", h, c, EQ_NONE);
    eq_value v = linear(b, encoder, i, "self_attn.v_proj", h, c, EQ_NONE);
    h = eq_attention(b->graph, q, k, v, encoder->num_attention_heads, scale, encoder->causal);
    x = linear(b, encoder, i, "self_attn.out_proj", h, c, x);
    h = norm(b, encoder, i, "layer_norm2", x);
    h = linear(b, encoder, i, "mlp.fc1", h, encoder->intermediate_size, EQ_NONE);
    return linear(b, encoder, i, "mlp.fc2", eq_activate(b->graph, h, encoder->hidden_act), c, x);
}
