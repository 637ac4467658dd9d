/* A residual network with group norm (pre-activation; He et al., ECCV 2016). */
#include "models/classifier.h"

enum { GROUPS = 4 };
static const float epsilon = 1e-5f;

/* x: [n, h, w, c] -> [n, h / stride, w / stride, channels] */
static eq_value block(const eq_builder *b, eq_value x, int channels, int stride, const char *name)
{
    eq_value h =
        eq_layer_group_norm(b, x, EQ_NONE, GROUPS, epsilon, EQ_ACT_SILU, eq_prefix_format("%s.norm1", name).text);
    eq_value shortcut = x;
    if (stride != 1 || eq_channels(b, x) != channels)
        shortcut = eq_layer_conv(b, h, channels, 1, (eq_conv){.stride = stride}, EQ_INIT_UNIFORM, EQ_NONE,
                                 eq_prefix_format("%s.shortcut", name).text);
    h = eq_layer_conv(b, h, channels, 3, (eq_conv){stride, 1, 1, 1, 1}, EQ_INIT_UNIFORM, EQ_NONE,
                      eq_prefix_format("%s.conv1", name).text);
    h = eq_layer_group_norm(b, h, EQ_NONE, GROUPS, epsilon, EQ_ACT_SILU, eq_prefix_format("%s.norm2", name).text);
    return eq_layer_conv3(b, h, channels, EQ_INIT_UNIFORM, shortcut, eq_prefix_format("%s.conv2", name).text);
}

static eq_value build(const eq_builder *b, const eq_classifier_config *config, eq_value x)
{
    x = eq_layer_conv3(b, x, config->channels[0], EQ_INIT_UNIFORM, EQ_NONE, "stem");
    for (int s = 0; s < config->stages; s++)
        for (int i = 0; i < config->blocks; i++)
            x = block(b, x, config->channels[s], s > 0 && i == 0 ? 2 : 1, eq_prefix_format("stages.%d.%d", s, i).text);
    x = eq_layer_group_norm(b, x, EQ_NONE, GROUPS, epsilon, EQ_ACT_SILU, "norm");
    if (x == EQ_NONE)
        return EQ_NONE;
    const int64_t *d = eq_shape_at(b->graph, x)->dim;
    int64_t n = d[0], channels = d[3];
    x = eq_average_pool(b->graph, x, (int)d[1], 1, 0);
    return eq_reshape(b->graph, x, eq_shape_of(n, channels));
}

const eq_classifier_trunk eq_trunk_resnet = {
    .name = "resnet", .summary = "residual blocks, global average", .build = build};
