#include "models/transformer.h"

#include <math.h>

/* Unlike the residual blocks', these are not in configurations: the papers' code has them as they are here. */
static const float group_norm_epsilon = 1e-6f, layer_norm_epsilon = 1e-5f;
enum { FEED_FORWARD_FACTOR = 4 };

/* memory: [n, m, e] -> answers[2]: a key and a value, each [n, m, c], for those who ask with `c` channels */
static void answer(const eq_builder *b, eq_value memory, int64_t c, eq_value *answers, const char *name)
{
    answers[0] = eq_layer_linear(b, memory, c, false, EQ_INIT_UNIFORM, EQ_NONE, eq_prefix_format("%s.to_k", name).text);
    answers[1] = eq_layer_linear(b, memory, c, false, EQ_INIT_UNIFORM, EQ_NONE, eq_prefix_format("%s.to_v", name).text);
}

/* x: [n, l, c] normed, asks; answers: of `answer`. -> residual + attention: [n, l, c] */
static eq_value ask(const eq_builder *b, int heads, eq_value x, const eq_value *answers, eq_value residual,
                    const char *name)
{
    int64_t c = eq_channels(b, x);
    eq_value q = eq_layer_linear(b, x, c, false, EQ_INIT_UNIFORM, EQ_NONE, eq_prefix_format("%s.to_q", name).text);
    eq_value mixed =
        eq_attention(b->graph, q, answers[0], answers[1], heads, 1.0f / sqrtf((float)c / (float)heads), false);
    return eq_layer_linear(b, mixed, c, true, EQ_INIT_UNIFORM, residual, eq_prefix_format("%s.to_out.0", name).text);
}

/* GEGLU (Shazeer, "GLU Variants Improve Transformer"): the second half of the inner channels, through GELU, gates the
 * first. x: [n, l, c] normed. -> residual + feed-forward: [n, l, c] */
static eq_value feed_forward(const eq_builder *b, eq_value x, eq_value residual, const char *name)
{
    int64_t c = eq_channels(b, x), inner = FEED_FORWARD_FACTOR * c;
    eq_value both =
        eq_layer_linear(b, x, 2 * inner, true, EQ_INIT_UNIFORM, EQ_NONE, eq_prefix_format("%s.net.0.proj", name).text);
    eq_value gate = eq_activate(b->graph, eq_slice(b->graph, both, 2, inner, inner), EQ_ACT_GELU);
    eq_value gated = eq_multiply(b->graph, eq_slice(b->graph, both, 2, 0, inner), gate);
    return eq_layer_linear(b, gated, c, true, EQ_INIT_UNIFORM, residual, eq_prefix_format("%s.net.2", name).text);
}

static eq_value layer_norm(const eq_builder *b, eq_value x, const char *block, int number)
{
    return eq_layer_layer_norm(b, x, layer_norm_epsilon, eq_prefix_format("%s.norm%d", block, number).text);
}

/* x: [n, l, c] -> [n, l, c] */
static eq_value transformer_block(const eq_builder *b, int heads, eq_value x, const eq_value *answers, const char *name)
{
    eq_value normed = layer_norm(b, x, name, 1), own[2];
    answer(b, normed, eq_channels(b, x), own, eq_prefix_format("%s.attn1", name).text);
    x = ask(b, heads, normed, own, x, eq_prefix_format("%s.attn1", name).text);
    x = ask(b, heads, layer_norm(b, x, name, 2), answers, x, eq_prefix_format("%s.attn2", name).text);
    return feed_forward(b, layer_norm(b, x, name, 3), x, eq_prefix_format("%s.ff", name).text);
}

/* x: [n, h, w, c] for convolutions, of any rank for linear layers. -> residual + projection, like x */
static eq_value projection(const eq_builder *b, bool linear, eq_value x, eq_init init, eq_value residual,
                           const char *name)
{
    int64_t c = eq_channels(b, x);
    return linear ? eq_layer_linear(b, x, c, true, init, residual, name)
                  : eq_layer_conv(b, x, c, 1, (eq_conv){.stride = 1}, init, residual, name);
}

void eq_transformer_answers(const eq_builder *b, const eq_transformer *transformer, eq_value context, int64_t channels,
                            eq_value *answers, const char *name)
{
    for (int i = 0; i < transformer->layers; i++)
        answer(b, context, channels, answers + 2 * i, eq_prefix_format("%s.transformer_blocks.%d.attn2", name, i).text);
}

eq_value eq_spatial_transformer(const eq_builder *b, const eq_transformer *transformer, eq_value x,
                                const eq_value *answers, const char *name)
{
    if (x == EQ_NONE)
        return EQ_NONE;
    const eq_shape shape = *eq_shape_at(b->graph, x);
    eq_shape tokens = eq_shape_of(shape.dim[0], shape.dim[1] * shape.dim[2], shape.dim[3]);
    bool linear = transformer->linear_projection;

    eq_value y = eq_layer_group_norm(b, x, EQ_NONE, transformer->norm_groups, group_norm_epsilon, EQ_ACT_NONE,
                                     eq_prefix_format("%s.norm", name).text);
    y = projection(b, linear, y, EQ_INIT_UNIFORM, EQ_NONE, eq_prefix_format("%s.proj_in", name).text);
    y = eq_reshape(b->graph, y, tokens);
    for (int i = 0; i < transformer->layers; i++)
        y = transformer_block(b, transformer->heads, y, answers + 2 * i,
                              eq_prefix_format("%s.transformer_blocks.%d", name, i).text);
    y = eq_reshape(b->graph, y, shape);
    /* Zero at first: a fresh transformer is the identity. */
    return projection(b, linear, y, EQ_INIT_ZEROS, x, eq_prefix_format("%s.proj_out", name).text);
}
