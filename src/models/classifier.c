#include "models/classifier.h"

#include "base/attribute.h"

static const eq_classifier_trunk *const trunks[] = {
    &eq_trunk_resnet,
    &eq_trunk_convnet,
};

const eq_classifier_trunk *eq_trunk_at(int i)
{
    return i >= 0 && i < (int)(sizeof trunks / sizeof trunks[0]) ? trunks[i] : NULL;
}

const eq_classifier_trunk *eq_trunk_find(const char *name)
{
    for (int i = 0; eq_trunk_at(i); i++)
        if (strcmp(trunks[i]->name, name) == 0)
            return trunks[i];
    return NULL;
}

static bool has_unique_names(const eq_classifier_config *config, int index)
{
    const eq_attribute *attribute = &config->attributes[index];
    for (int k = 0; k < attribute->classes; k++)
        if (eq_class_find(attribute, attribute->class_names[k]) != k)
            return false;
    return eq_attribute_find(config->attributes, config->attribute_count, attribute->name) == index;
}

eq_status eq_classifier_check(eq_context *ctx, const eq_classifier_config *config, const char *file)
{
    const char *wrong = NULL;
    int halvings = config->trunk->last_halves ? config->stages : config->stages - 1;
    if (config->stages < 1 || config->stages > EQ_CLASSIFIER_MAX_STAGES)
        wrong = "channels: 1 to 8 stages";
    else if (config->blocks < 1 || config->blocks > 8)
        wrong = "blocks: 1 to 8";
    else if (config->attribute_count < 1 || config->attribute_count > EQ_CLASSIFIER_MAX_ATTRIBUTES)
        wrong = "attributes: 1 to 16";
    else if (config->size < 8 || config->size > 1024 || config->size % (1 << halvings) != 0)
        wrong = config->trunk->last_halves ? "size: 8 to 1024 and a multiple of 2^stages"
                                           : "size: 8 to 1024 and a multiple of 2^(stages - 1)";
    for (int i = 0; !wrong && i < config->stages; i++)
        if (config->channels[i] < 4 || config->channels[i] > 4096 || config->channels[i] % 4 != 0)
            wrong = "channels: 4 to 4096, multiples of 4";
    for (int i = 0; !wrong && i < config->attribute_count; i++)
        if (config->attributes[i].classes < 2 || config->attributes[i].classes > 256)
            wrong = "attributes: 2 to 256 classes each";
        else if (!has_unique_names(config, i))
            wrong = "attributes: names must differ, and those of an attribute's classes";
    return wrong ? eq_fail(ctx, EQ_BAD_INPUT, "%s: %s", file, wrong) : EQ_OK;
}

void eq_classifier_config_free(eq_classifier_config *config)
{
    for (int i = 0; i < config->attribute_count; i++)
        eq_attribute_clear(&config->attributes[i]);
    config->attribute_count = 0;
}

eq_status eq_classifier_apply(const eq_builder *b, const eq_classifier_config *config, eq_value images,
                              eq_classifier_values *out)
{
    eq_graph *g = b->graph;
    out->images = images;
    eq_value features = config->trunk->build(b, config, eq_cast(g, images, g->dtype));
    for (int i = 0; i < config->attribute_count; i++) {
        eq_value logits = eq_layer_linear(b, features, config->attributes[i].classes, true, EQ_INIT_UNIFORM, EQ_NONE,
                                          eq_prefix_format("heads.%d", i).text);
        out->logits[i] = eq_cast(g, logits, EQ_F32);
        eq_graph_output(g, out->logits[i], NULL);
    }
    out->features = eq_cast(g, features, EQ_F32);
    eq_graph_output(g, out->features, "features");
    return eq_graph_status(g);
}

eq_status eq_classifier_build(const eq_builder *b, const eq_classifier_config *config, int64_t n,
                              eq_classifier_values *out)
{
    eq_value images = eq_graph_input(b->graph, "images", EQ_F32, eq_shape_of(n, config->size, config->size, 3));
    return eq_classifier_apply(b, config, images, out);
}

eq_status eq_classifier_declare(eq_params *params, const eq_classifier_config *config)
{
    eq_graph *graph = eq_graph_new(params->ctx, EQ_F32);
    if (!graph)
        return eq_fail_memory(params->ctx, "a graph");
    params->declaring = true;
    eq_classifier_values unused;
    eq_status status = eq_classifier_build(&(eq_builder){graph, params}, config, 1, &unused);
    params->declaring = false;
    eq_graph_free(graph);
    return status;
}
