/* A plain convolutional network with max pooling and a hidden layer over the whole map (after VGG; Simonyan &
 * Zisserman, ICLR 2015): another way of looking than the residual network's, for evaluators. */
#include "models/classifier.h"

enum { GROUPS = 4, HIDDEN = 128 };
static const float epsilon = 1e-5f;

/* x: [n, h, w, c] -> [n, h, w, channels] */
static eq_value convolve(const eq_builder *b, eq_value x, int channels, const char *name)
{
    x = eq_layer_conv3(b, x, channels, EQ_INIT_UNIFORM, EQ_NONE, eq_prefix_format("%s.conv", name).text);
    x = eq_layer_group_norm(b, x, EQ_NONE, GROUPS, epsilon, EQ_ACT_NONE, eq_prefix_format("%s.norm", name).text);
    return eq_activate(b->graph, x, EQ_ACT_RELU);
}

static eq_value build(const eq_builder *b, const eq_classifier_config *config, eq_value x)
{
    for (int s = 0; s < config->stages; s++) {
        for (int i = 0; i < config->blocks; i++)
            x = convolve(b, x, config->channels[s], eq_prefix_format("stages.%d.%d", s, i).text);
        x = eq_max_pool(b->graph, x, 2, 2, 0);
    }
    if (x == EQ_NONE)
        return EQ_NONE;
    const eq_shape shape = *eq_shape_at(b->graph, x);
    x = eq_reshape(b->graph, x, eq_shape_of(shape.dim[0], shape.dim[1] * shape.dim[2] * shape.dim[3]));
    x = eq_layer_linear(b, x, HIDDEN, true, EQ_INIT_UNIFORM, EQ_NONE, "hidden");
    return eq_activate(b->graph, x, EQ_ACT_RELU);
}

const eq_classifier_trunk eq_trunk_convnet = {.name = "convnet",
                                              .summary = "convolutions and max pooling, one hidden layer",
                                              .last_halves = true,
                                              .build = build};
