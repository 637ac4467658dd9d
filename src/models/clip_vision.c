#include "models/clip_vision.h"

#include "models/clip_block.h"

eq_status eq_clip_vision_check(eq_context *ctx, const eq_clip_vision_config *config, const char *file)
{
    const char *wrong = NULL;
    if (config->hidden_size < 1 || config->hidden_size > 1 << 16)
        wrong = "hidden_size: 1 to 65536";
    else if (config->intermediate_size < 1 || config->intermediate_size > 1 << 18)
        wrong = "intermediate_size: 1 to 262144";
    else if (config->num_hidden_layers < 1 || config->num_hidden_layers > 256)
        wrong = "num_hidden_layers: 1 to 256";
    else if (config->num_attention_heads < 1 || config->hidden_size % config->num_attention_heads != 0)
        wrong = "num_attention_heads: a divisor of hidden_size";
    else if (config->patch_size < 1 || config->image_size < config->patch_size || config->image_size > 1024 ||
             config->image_size % config->patch_size != 0)
        wrong = "image_size: up to 1024 and a multiple of patch_size";
    else if (config->hidden_act != EQ_ACT_QUICK_GELU && config->hidden_act != EQ_ACT_GELU)
        wrong = "hidden_act: quick_gelu or gelu";
    else if (!(config->layer_norm_eps >= 0 && config->layer_norm_eps < 1))
        wrong = "layer_norm_eps: 0 to 1";
    else if (config->projection_dim < 1 || config->projection_dim > 1 << 16)
        wrong = "projection_dim: 1 to 65536";
    return wrong ? eq_fail(ctx, EQ_BAD_INPUT, "%s: vision: %s", file, wrong) : EQ_OK;
}

/* A parameter as an activation of that shape. */
static eq_value table(const eq_builder *b, eq_shape stored, eq_shape shape, const char *name)
{
    eq_value value = eq_params_value(b->params, b->graph, stored, EQ_INIT_NORMAL, 1, "%s", name);
    return value == EQ_NONE ? value : eq_reshape(b->graph, eq_cast(b->graph, value, b->graph->dtype), shape);
}

/* The class token, then the patches, row by row, and where each is. x: [n, size, size, 3] -> [n, 1 + patches, c] */
static eq_value embed(const eq_builder *b, const eq_clip_vision_config *config, eq_value x)
{
    eq_graph *g = b->graph;
    int64_t c = config->hidden_size, p = config->patch_size, n = x == EQ_NONE ? 1 : eq_shape_at(g, x)->dim[0];
    int64_t patches = (int64_t)(config->image_size / config->patch_size) * (config->image_size / config->patch_size);
    eq_value weight = eq_params_value(b->params, g, eq_shape_of(c, 3, p, p), EQ_INIT_UNIFORM, 3 * p * p,
                                      "vision_model.embeddings.patch_embedding.weight");
    x = eq_conv2d(g, x, weight, EQ_NONE, EQ_NONE, (eq_conv){.stride = (int)p});
    eq_value token = table(b, eq_shape_of(c), eq_shape_of(1, 1, c), "vision_model.embeddings.class_embedding");
    eq_value zeros = eq_cast(g, eq_constant(g, eq_shape_of(n, 1, c), 0), g->dtype);
    /* Tokens are joined in the one long row that they are in memory. */
    eq_value rows[] = {eq_add(g, zeros, token), eq_reshape(g, x, eq_shape_of(n, 1, patches * c))};
    x = eq_reshape(g, eq_concat(g, 2, rows), eq_shape_of(n, 1 + patches, c));
    eq_value places = table(b, eq_shape_of(1 + patches, c), eq_shape_of(1, 1 + patches, c),
                            "vision_model.embeddings.position_embedding.weight");
    return eq_add(g, x, places);
}

static eq_clip_encoder encoder_of(const eq_clip_vision_config *config)
{
    return (eq_clip_encoder){.name = "vision_model",
                             .hidden_size = config->hidden_size,
                             .intermediate_size = config->intermediate_size,
                             .num_attention_heads = config->num_attention_heads,
                             .hidden_act = config->hidden_act,
                             .layer_norm_eps = config->layer_norm_eps,
                             .causal = false};
}

eq_value eq_clip_vision_build(const eq_builder *b, const eq_clip_vision_config *config, eq_value x)
{
    eq_clip_encoder encoder = encoder_of(config);
    x = embed(b, config, x);
    x = eq_layer_layer_norm(b, x, config->layer_norm_eps, "vision_model.pre_layrnorm"); /* sic */
    for (int i = 0; i < config->num_hidden_layers; i++)
        x = eq_clip_block(b, &encoder, i, x);
    if (x == EQ_NONE)
        return EQ_NONE;
    int64_t n = eq_shape_at(b->graph, x)->dim[0];
    x = eq_reshape(b->graph, eq_slice(b->graph, x, 1, 0, 1), eq_shape_of(n, config->hidden_size));
    x = eq_layer_layer_norm(b, x, config->layer_norm_eps, "vision_model.post_layernorm");
    return eq_layer_linear(b, x, config->projection_dim, false, EQ_INIT_UNIFORM, EQ_NONE, "visual_projection");
}

eq_status eq_clip_vision_declare(eq_params *params, const eq_clip_vision_config *config)
{
    eq_graph *graph = eq_graph_new(params->ctx, EQ_F32);
    if (!graph)
        return eq_fail_memory(params->ctx, "a graph");
    int64_t size = config->image_size;
    params->declaring = true;
    eq_clip_vision_build(&(eq_builder){graph, params}, config,
                         eq_graph_input(graph, "images", EQ_F32, eq_shape_of(1, size, size, 3)));
    params->declaring = false;
    eq_status status = eq_graph_status(graph);
    eq_graph_free(graph);
    return status;
}
