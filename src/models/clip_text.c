#include "models/clip_text.h"

#include "models/clip_block.h"

eq_status eq_clip_text_check(eq_context *ctx, const eq_clip_text_config *config, const char *file)
{
    const char *wrong = NULL;
    if (config->vocab_size < 1 || config->vocab_size > 1 << 24)
        wrong = "vocab_size: 1 to 2^24";
    else if (config->hidden_size < 1 || config->hidden_size > 1 << 16)
        wrong = "hidden_size: 1 to 65536";
    else if (config->intermediate_size < 1 || config->intermediate_size > 1 << 18)
        wrong = "intermediate_size: 1 to 262144";
    else if (config->num_hidden_layers < 1 || config->num_hidden_layers > 256)
        wrong = "num_hidden_layers: 1 to 256";
    else if (config->num_attention_heads < 1 || config->hidden_size % config->num_attention_heads != 0)
        wrong = "num_attention_heads: a divisor of hidden_size";
    else if (config->max_position_embeddings < 2 || config->max_position_embeddings > 1 << 16)
        wrong = "max_position_embeddings: 2 to 65536";
    else if (config->hidden_act != EQ_ACT_QUICK_GELU && config->hidden_act != EQ_ACT_GELU)
        wrong = "hidden_act: quick_gelu or gelu";
    else if (!(config->layer_norm_eps >= 0 && config->layer_norm_eps < 1))
        wrong = "layer_norm_eps: 0 to 1";
    else if (config->projection_dim < 0 || config->projection_dim > 1 << 16)
        wrong = "projection_dim: 0 to 65536";
    return wrong ? eq_fail(ctx, EQ_BAD_INPUT, "%s: %s", file, wrong) : EQ_OK;
}

/* ids: [n, l] -> [n, l, c] */
static eq_value embed(const eq_builder *b, const eq_clip_text_config *config, eq_value ids, eq_value positions)
{
    int64_t c = config->hidden_size;
    eq_value tokens = eq_params_value(b->params, b->graph, eq_shape_of(config->vocab_size, c), EQ_INIT_NORMAL, 1,
                                      "text_model.embeddings.token_embedding.weight");
    eq_value places = eq_params_value(b->params, b->graph, eq_shape_of(config->max_position_embeddings, c),
                                      EQ_INIT_NORMAL, 1, "text_model.embeddings.position_embedding.weight");
    return eq_add(b->graph, eq_embedding(b->graph, ids, tokens), eq_embedding(b->graph, positions, places));
}

static eq_clip_encoder encoder_of(const eq_clip_text_config *config)
{
    return (eq_clip_encoder){.name = "text_model",
                             .hidden_size = config->hidden_size,
                             .intermediate_size = config->intermediate_size,
                             .num_attention_heads = config->num_attention_heads,
                             .hidden_act = config->hidden_act,
                             .layer_norm_eps = config->layer_norm_eps,
                             .causal = true};
}

/* Selects each text's end by a product with ones and zeros, and projects it. x: [n, l, c] -> [n, projection_dim] */
static eq_value pool(const eq_builder *b, const eq_clip_text_config *config, eq_value pick, eq_value x, int64_t n)
{
    eq_graph *g = b->graph;
    eq_value end = eq_matmul(g, eq_cast(g, pick, g->dtype), x, false, false);
    eq_value projected =
        eq_layer_linear(b, end, config->projection_dim, false, EQ_INIT_UNIFORM, EQ_NONE, "text_projection");
    return eq_reshape(g, projected, eq_shape_of(n, config->projection_dim));
}

static eq_value output(const eq_builder *b, eq_value x, const char *name)
{
    eq_value out = eq_cast(b->graph, x, EQ_F32);
    eq_graph_output(b->graph, out, name);
    return out;
}

eq_status eq_clip_text_build(const eq_builder *b, const eq_clip_text_config *config, int64_t n, int64_t l,
                             eq_clip_text *out)
{
    eq_graph *g = b->graph;
    eq_clip_encoder encoder = encoder_of(config);
    out->ids = eq_graph_input(g, "ids", EQ_I32, eq_shape_of(n, l));
    out->positions = eq_graph_input(g, "positions", EQ_I32, eq_shape_of(1, l));
    out->pick = out->pooled = EQ_NONE;
    eq_value x = embed(b, config, out->ids, out->positions), penultimate = EQ_NONE;
    for (int i = 0; i < config->num_hidden_layers; i++) {
        penultimate = x;
        x = eq_clip_block(b, &encoder, i, x);
    }
    x = eq_layer_layer_norm(b, x, config->layer_norm_eps, "text_model.final_layer_norm");
    if (config->projection_dim) {
        out->pick = eq_graph_input(g, "pick", EQ_F32, eq_shape_of(n, 1, l));
        out->pooled = output(b, pool(b, config, out->pick, x, n), "pooled");
    }
    out->last = output(b, x, "last");
    out->penultimate = output(b, penultimate, "penultimate");
    return eq_graph_status(g);
}

eq_status eq_clip_text_declare(eq_params *params, const eq_clip_text_config *config)
{
    eq_graph *graph = eq_graph_new(params->ctx, EQ_F32);
    if (!graph)
        return eq_fail_memory(params->ctx, "a graph");
    params->declaring = true;
    eq_clip_text unused;
    eq_status status = eq_clip_text_build(&(eq_builder){graph, params}, config, 1, 1, &unused);
    params->declaring = false;
    eq_graph_free(graph);
    return status;
}

void eq_clip_text_fill(eq_program *program, const eq_clip_text *text, const int32_t *ids, int32_t eos)
{
    const eq_shape *shape = eq_shape_at(eq_program_graph(program), text->ids);
    int64_t n = shape->dim[0], l = shape->dim[1];
    int32_t *positions = eq_program_data(program, text->positions);
    memcpy(eq_program_data(program, text->ids), ids, (size_t)(n * l) * sizeof *ids);
    for (int64_t i = 0; i < l; i++)
        positions[i] = (int32_t)i;
    if (text->pick == EQ_NONE)
        return;
    float *pick = eq_program_data(program, text->pick);
    memset(pick, 0, (size_t)(n * l) * sizeof *pick);
    for (int64_t i = 0; i < n; i++) {
        int64_t end = 0;
        while (end < l - 1 && ids[i * l + end] != eos)
            end++;
        pick[i * l + end] = 1;
    }
}
