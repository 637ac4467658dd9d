#include "models/layers.h"

#include <stdio.h>

eq_prefix eq_prefix_format(const char *format, ...)
{
    eq_prefix prefix;
    va_list args;
    va_start(args, format);
    vsnprintf(prefix.text, sizeof prefix.text, format, args);
    va_end(args);
    return prefix;
}

int64_t eq_channels(const eq_builder *b, eq_value x)
{
    if (x == EQ_NONE)
        return 1; /* an earlier fault: the graph says which */
    const eq_shape *shape = eq_shape_at(b->graph, x);
    return shape->dim[shape->rank - 1];
}

eq_value eq_layer_conv(const eq_builder *b, eq_value x, int64_t channels, int kernel, eq_conv conv, eq_init init,
                       eq_value residual, const char *prefix)
{
    int64_t ci = eq_channels(b, x), fan_in = ci * kernel * kernel;
    eq_init bias_init = init == EQ_INIT_ZEROS ? EQ_INIT_ZEROS : EQ_INIT_UNIFORM;
    eq_value weight = eq_params_value(b->params, b->graph, eq_shape_of(channels, ci, kernel, kernel), init, fan_in,
                                      "%s.weight", prefix);
    eq_value bias = eq_params_value(b->params, b->graph, eq_shape_of(channels), bias_init, fan_in, "%s.bias", prefix);
    return eq_conv2d(b->graph, x, weight, bias, residual, conv);
}

eq_value eq_layer_conv3(const eq_builder *b, eq_value x, int64_t channels, eq_init init, eq_value residual,
                        const char *prefix)
{
    return eq_layer_conv(b, x, channels, 3, (eq_conv){1, 1, 1, 1, 1}, init, residual, prefix);
}

eq_value eq_layer_linear(const eq_builder *b, eq_value x, int64_t channels, bool bias, eq_init init, eq_value residual,
                         const char *prefix)
{
    int64_t ci = eq_channels(b, x);
    eq_init bias_init = init == EQ_INIT_ZEROS ? EQ_INIT_ZEROS : EQ_INIT_UNIFORM;
    eq_value weight = eq_params_value(b->params, b->graph, eq_shape_of(channels, ci), init, ci, "%s.weight", prefix);
    eq_value offset = EQ_NONE;
    if (bias)
        offset = eq_params_value(b->params, b->graph, eq_shape_of(channels), bias_init, ci, "%s.bias", prefix);
    return eq_linear(b->graph, x, weight, offset, residual);
}

eq_value eq_layer_group_norm(const eq_builder *b, eq_value x, eq_value shift, int groups, float epsilon,
                             eq_activation activation, const char *prefix)
{
    eq_shape shape = eq_shape_of(eq_channels(b, x));
    eq_value gamma = eq_params_value(b->params, b->graph, shape, EQ_INIT_ONES, 1, "%s.weight", prefix);
    eq_value beta = eq_params_value(b->params, b->graph, shape, EQ_INIT_ZEROS, 1, "%s.bias", prefix);
    return eq_group_norm(b->graph, x, gamma, beta, shift, groups, epsilon, activation);
}

eq_value eq_layer_layer_norm(const eq_builder *b, eq_value x, float epsilon, const char *prefix)
{
    eq_shape shape = eq_shape_of(eq_channels(b, x));
    eq_value gamma = eq_params_value(b->params, b->graph, shape, EQ_INIT_ONES, 1, "%s.weight", prefix);
    eq_value beta = eq_params_value(b->params, b->graph, shape, EQ_INIT_ZEROS, 1, "%s.bias", prefix);
    return eq_layer_norm(b->graph, x, gamma, beta, epsilon);
}
