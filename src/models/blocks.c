#include "models/blocks.h"

#include <math.h>

eq_value eq_block_norm(const eq_builder *b, const eq_block_style *style, eq_value x, eq_value shift,
                       eq_activation activation, const char *prefix)
{
    eq_graph *g = b->graph;
    eq_norm_list *norms = style->norms;
    int groups = style->norm_groups;
    if (!norms)
        return eq_layer_group_norm(b, x, shift, groups, style->norm_eps, activation, prefix);
    if (x == EQ_NONE)
        return EQ_NONE;
    eq_shape shape = eq_shape_of(eq_channels(b, x)), stats = eq_shape_of(eq_shape_at(g, x)->dim[0], groups, 2);
    eq_value gamma = eq_params_value(b->params, g, shape, EQ_INIT_ONES, 1, "%s.weight", prefix);
    eq_value beta = eq_params_value(b->params, g, shape, EQ_INIT_ZEROS, 1, "%s.bias", prefix);
    eq_value window = eq_graph_input(g, eq_prefix_format("%s.window", prefix).text, EQ_I32, eq_shape_of(4));
    eq_value used = EQ_NONE;
    if (norms->given)
        used = eq_graph_input(g, eq_prefix_format("%s.used", prefix).text, EQ_F32, stats);
    eq_value y = eq_group_norm_tile(g, x, gamma, beta, shift, used, window, groups, style->norm_eps, activation);
    if (y == EQ_NONE)
        return EQ_NONE;
    eq_value seen = y + 1; /* the norm's second output */
    eq_graph_output(g, seen, eq_prefix_format("%s.seen", prefix).text);
    norms->epsilon = style->norm_eps;
    norms->window[norms->count] = window;
    norms->used[norms->count] = used;
    norms->seen[norms->count++] = seen;
    return y;
}

/* The second norm of a residual block, which takes in the embedding. h: [n, h, w, c] -> the same, activated. */
static eq_value embedded_norm(const eq_builder *b, const eq_block_style *style, eq_value h, eq_value embedding,
                              const char *name)
{
    int64_t channels = eq_channels(b, h);
    eq_prefix norm = eq_prefix_format("%s.norm2", name);
    eq_value time = EQ_NONE;
    if (embedding != EQ_NONE)
        time = eq_layer_linear(b, embedding, style->scale_shift_norm ? 2 * channels : channels, true, EQ_INIT_UNIFORM,
                               EQ_NONE, eq_prefix_format("%s.time_emb_proj", name).text);
    if (time == EQ_NONE || !style->scale_shift_norm)
        return eq_block_norm(b, style, h, time, EQ_ACT_SILU, norm.text);
    eq_value scale = eq_slice(b->graph, time, 1, 0, channels);
    eq_value shift = eq_slice(b->graph, time, 1, channels, channels);
    h = eq_block_norm(b, style, h, EQ_NONE, EQ_ACT_NONE, norm.text);
    return eq_activate(b->graph, eq_scale_shift(b->graph, h, scale, shift), EQ_ACT_SILU);
}

static eq_value resampled(const eq_builder *b, eq_value x, eq_resample resample)
{
    switch (resample) {
    case EQ_HALVE: return eq_average_pool(b->graph, x, 2, 2, 0);
    case EQ_DOUBLE: return eq_upsample(b->graph, x);
    case EQ_KEEP_SIZE: break;
    }
    return x;
}

eq_value eq_resampling_block(const eq_builder *b, const eq_block_style *style, eq_value x, eq_value embedding,
                             int channels, eq_resample resample, float scale_factor, const char *name)
{
    eq_value h = eq_block_norm(b, style, x, EQ_NONE, EQ_ACT_SILU, eq_prefix_format("%s.norm1", name).text);
    h = resampled(b, h, resample);
    x = resampled(b, x, resample);
    h = eq_layer_conv3(b, h, channels, EQ_INIT_UNIFORM, EQ_NONE, eq_prefix_format("%s.conv1", name).text);
    h = embedded_norm(b, style, h, embedding, name);
    if (eq_channels(b, x) != channels)
        x = eq_layer_conv(b, x, channels, 1, (eq_conv){.stride = 1}, EQ_INIT_UNIFORM, EQ_NONE,
                          eq_prefix_format("%s.conv_shortcut", name).text);
    /* Zero at first: a fresh block is the identity, which deep networks train from more easily. */
    h = eq_layer_conv3(b, h, channels, EQ_INIT_ZEROS, x, eq_prefix_format("%s.conv2", name).text);
    return eq_scale(b->graph, h, 1.0f / scale_factor);
}

eq_value eq_residual_block(const eq_builder *b, const eq_block_style *style, eq_value x, eq_value embedding,
                           int channels, float scale_factor, const char *name)
{
    return eq_resampling_block(b, style, x, embedding, channels, EQ_KEEP_SIZE, scale_factor, name);
}

eq_value eq_attention_block(const eq_builder *b, const eq_block_style *style, eq_value x, int heads, float scale_factor,
                            const char *name)
{
    if (x == EQ_NONE)
        return EQ_NONE;
    const eq_shape shape = *eq_shape_at(b->graph, x);
    int64_t n = shape.dim[0], positions = shape.dim[1] * shape.dim[2], c = shape.dim[3];

    eq_value tokens = eq_reshape(b->graph, x, eq_shape_of(n, positions, c));
    eq_value normed =
        eq_block_norm(b, style, tokens, EQ_NONE, EQ_ACT_NONE, eq_prefix_format("%s.group_norm", name).text);
    eq_value q = eq_layer_linear(b, normed, c, true, EQ_INIT_UNIFORM, EQ_NONE, eq_prefix_format("%s.query", name).text);
    eq_value k = eq_layer_linear(b, normed, c, true, EQ_INIT_UNIFORM, EQ_NONE, eq_prefix_format("%s.key", name).text);
    eq_value v = eq_layer_linear(b, normed, c, true, EQ_INIT_UNIFORM, EQ_NONE, eq_prefix_format("%s.value", name).text);
    eq_value mixed = eq_attention(b->graph, q, k, v, heads, 1.0f / sqrtf((float)c / (float)heads), false);
    eq_value y = eq_layer_linear(b, mixed, c, true, EQ_INIT_ZEROS, tokens, eq_prefix_format("%s.proj_attn", name).text);
    return eq_scale(b->graph, eq_reshape(b->graph, y, shape), 1.0f / scale_factor);
}
