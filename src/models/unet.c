#include "models/unet.h"

#include <stdlib.h>

#include "models/blocks.h"
#include "models/transformer.h"

/* Keys and values of at most 16 layers in each of at most 8 transformers going down a level, 9 going up, and in the
 * middle one: see eq_unet_check. */
enum { MOST_ANSWERS = 2 * 16 * (EQ_UNET_MAX_LEVELS * (8 + 9) + 1) };

/* What every block needs. */
typedef struct unet_builder {
    const eq_builder *b;
    const eq_unet_config *config;
    eq_block_style style;
    eq_value embedding; /* [n, 4 * channels] timestep embedding, activated */
    eq_value *answers;  /* of the context to all transformers, in the order in which they run */
    eq_value *skips;
    int skip_count;
    eq_value skip_switch[EQ_UNET_MAX_LEVELS]; /* [n, 1, 1, 1] in the graph's dtype, by resolution, or EQ_NONE */
} unet_builder;

/* [n, h, w, c] -> [n, h, w, channels]. scale_factor divides the sum of both branches. */
static eq_value residual_block(const unet_builder *u, eq_value x, int channels, float scale_factor, const char *name)
{
    return eq_residual_block(u->b, &u->style, x, u->embedding, channels, scale_factor, name);
}

static eq_transformer transformer_of(const eq_unet_config *config, int level)
{
    return (eq_transformer){config->norm_num_groups, config->heads[level], config->transformer_layers[level],
                            config->linear_projection};
}

/* Attention over all positions of x [n, h, w, c], and to the context where there is one, with the heads of that level.
 */
static eq_value attention_block(unet_builder *u, eq_value x, int level, float scale_factor, const char *name)
{
    const eq_unet_config *config = u->config;
    if (config->cross_attention_dim == 0)
        return eq_attention_block(u->b, &u->style, x, config->heads[level], scale_factor, name);
    eq_transformer transformer = transformer_of(config, level);
    const eq_value *answers = u->answers;
    u->answers += 2 * transformer.layers;
    return eq_spatial_transformer(u->b, &transformer, x, answers, name);
}

/* x: [n, h, w, c] -> [n, h / 2, w / 2, c] */
static eq_value downsample(const unet_builder *u, eq_value x, const char *name)
{
    int channels = (int)eq_channels(u->b, x);
    if (u->config->resample_blocks)
        return eq_resampling_block(u->b, &u->style, x, u->embedding, channels, EQ_HALVE, 1.0f, name);
    eq_conv halve = u->config->downsample_padding ? (eq_conv){2, 1, 1, 1, 1} : (eq_conv){2, 0, 0, 1, 1};
    return eq_layer_conv(u->b, x, channels, 3, halve, EQ_INIT_UNIFORM, EQ_NONE, eq_prefix_format("%s.conv", name).text);
}

/* x: [n, h, w, c] -> [n, 2 h, 2 w, c] */
static eq_value upsample(const unet_builder *u, eq_value x, const char *name)
{
    int channels = (int)eq_channels(u->b, x);
    if (u->config->resample_blocks)
        return eq_resampling_block(u->b, &u->style, x, u->embedding, channels, EQ_DOUBLE, 1.0f, name);
    return eq_layer_conv3(u->b, eq_upsample(u->b->graph, x), channels, EQ_INIT_UNIFORM, EQ_NONE,
                          eq_prefix_format("%s.conv", name).text);
}

/* x: [n, h, w, c] at a level's resolution, [0] the finest. */
static void push_skip(unet_builder *u, eq_value x, int level)
{
    if (u->config->skip_switches)
        x = eq_multiply(u->b->graph, x, u->skip_switch[level]);
    u->skips[u->skip_count++] = x;
}

static eq_value down_block(unet_builder *u, eq_value x, int level)
{
    const eq_unet_config *config = u->config;
    int channels = config->block_out_channels[level];
    for (int i = 0; i < config->layers_per_block; i++) {
        x = residual_block(u, x, channels, 1.0f, eq_prefix_format("down_blocks.%d.resnets.%d", level, i).text);
        if (config->down_attention[level])
            x = attention_block(u, x, level, 1.0f, eq_prefix_format("down_blocks.%d.attentions.%d", level, i).text);
        push_skip(u, x, level);
    }
    if (level + 1 < config->levels) {
        x = downsample(u, x, eq_prefix_format("down_blocks.%d.downsamplers.0", level).text);
        push_skip(u, x, level + 1);
    }
    return x;
}

static eq_value mid_block(unet_builder *u, eq_value x)
{
    const eq_unet_config *config = u->config;
    int channels = config->block_out_channels[config->levels - 1];
    x = residual_block(u, x, channels, config->mid_block_scale_factor, "mid_block.resnets.0");
    if (config->mid_attention)
        x = attention_block(u, x, config->levels - 1, config->mid_block_scale_factor, "mid_block.attentions.0");
    return residual_block(u, x, channels, config->mid_block_scale_factor, "mid_block.resnets.1");
}

static eq_value up_block(unet_builder *u, eq_value x, int index)
{
    const eq_unet_config *config = u->config;
    int level = config->levels - 1 - index, channels = config->block_out_channels[level];
    for (int i = 0; i <= config->layers_per_block; i++) {
        eq_value pair[2] = {x, u->skips[--u->skip_count]};
        x = eq_concat(u->b->graph, 2, pair);
        x = residual_block(u, x, channels, 1.0f, eq_prefix_format("up_blocks.%d.resnets.%d", index, i).text);
        if (config->up_attention[index])
            x = attention_block(u, x, level, 1.0f, eq_prefix_format("up_blocks.%d.attentions.%d", index, i).text);
    }
    if (index + 1 < config->levels)
        x = upsample(u, x, eq_prefix_format("up_blocks.%d.upsamplers.0", index).text);
    return x;
}

static int time_channels(const eq_unet_config *config)
{
    return config->time_channels ? config->time_channels : config->block_out_channels[0];
}

/* x: [n, c] -> [n, 4 * time channels] */
static eq_value embedding_layers(const unet_builder *u, eq_value x, const char *name)
{
    const eq_builder *b = u->b;
    int channels = 4 * time_channels(u->config);
    x = eq_layer_linear(b, x, channels, true, EQ_INIT_UNIFORM, EQ_NONE, eq_prefix_format("%s.linear_1", name).text);
    x = eq_activate(b->graph, x, EQ_ACT_SILU);
    return eq_layer_linear(b, x, channels, true, EQ_INIT_UNIFORM, EQ_NONE, eq_prefix_format("%s.linear_2", name).text);
}

/* numbers: [n] f32 -> [n, dim] in the graph's dtype */
static eq_value sinusoids(const unet_builder *u, eq_value numbers, int dim)
{
    eq_graph *g = u->b->graph;
    const eq_unet_config *config = u->config;
    return eq_cast(g, eq_timestep_embedding(g, numbers, dim, config->flip_sin_to_cos, config->freq_shift, 1e4f),
                   g->dtype);
}

/* class_label: [n] i32 -> [n, 4 * time channels] */
static eq_value class_embedding(const unet_builder *u, eq_value class_label)
{
    eq_shape shape = eq_shape_of(u->config->num_class_embeds, 4 * time_channels(u->config));
    eq_value table = eq_params_value(u->b->params, u->b->graph, shape, EQ_INIT_NORMAL, 1, "class_embedding.weight");
    return eq_embedding(u->b->graph, class_label, table);
}

/* SDXL's added conditions. text: [n, c]; time_ids: [n, EQ_UNET_TIME_IDS]. -> [n, 4 * time channels] */
static eq_value added_embedding(const unet_builder *u, eq_value text, eq_value time_ids)
{
    eq_graph *g = u->b->graph;
    int64_t n = eq_shape_at(g, text)->dim[0];
    int dim = u->config->addition_time_dim;
    eq_value ids = sinusoids(u, eq_reshape(g, time_ids, eq_shape_of(n * EQ_UNET_TIME_IDS)), dim);
    ids = eq_reshape(g, ids, eq_shape_of(n, EQ_UNET_TIME_IDS * dim));
    eq_value pair[2] = {eq_cast(g, text, g->dtype), ids};
    return embedding_layers(u, eq_concat(g, 2, pair), "add_embedding");
}

static void answer_transformer(unet_builder *u, eq_value context, int level, const char *name, eq_value **next)
{
    eq_transformer transformer = transformer_of(u->config, level);
    eq_transformer_answers(u->b, &transformer, context, u->config->block_out_channels[level], *next, name);
    *next += 2 * transformer.layers;
}

/* The stage of the context, which is an input unless it is given: what it answers to all transformers, in the order in
 * which they run. */
static void answer_all(unet_builder *u, int64_t n, eq_value given, eq_unet *out)
{
    const eq_unet_config *config = u->config;
    eq_value *next = u->answers;
    int last = config->levels - 1;
    out->context = EQ_NONE;
    if (config->cross_attention_dim == 0)
        return;
    eq_shape shape = eq_shape_of(n, config->context_length, config->cross_attention_dim);
    out->context = given != EQ_NONE ? given : eq_graph_input(u->b->graph, "context", EQ_F32, shape);
    eq_value context = eq_cast(u->b->graph, out->context, u->b->graph->dtype);
    for (int level = 0; level <= last; level++)
        for (int i = 0; config->down_attention[level] && i < config->layers_per_block; i++)
            answer_transformer(u, context, level, eq_prefix_format("down_blocks.%d.attentions.%d", level, i).text,
                               &next);
    if (config->mid_attention)
        answer_transformer(u, context, last, "mid_block.attentions.0", &next);
    for (int index = 0; index <= last; index++)
        for (int i = 0; config->up_attention[index] && i <= config->layers_per_block; i++)
            answer_transformer(u, context, last - index, eq_prefix_format("up_blocks.%d.attentions.%d", index, i).text,
                               &next);
}

/* Declares the inputs that the network has besides the sample and the context, and makes of them one embedding,
 * activated once for all blocks. */
static void embed_conditions(unet_builder *u, int64_t n, eq_unet *out)
{
    const eq_unet_config *config = u->config;
    eq_graph *g = u->b->graph;
    out->timestep = eq_graph_input(g, "timestep", EQ_F32, eq_shape_of(n));
    out->class_label = out->text = out->time_ids = EQ_NONE;
    eq_value embedding = embedding_layers(u, sinusoids(u, out->timestep, time_channels(config)), "time_embedding");
    if (config->num_class_embeds > 0) {
        out->class_label = eq_graph_input(g, "class_label", EQ_I32, eq_shape_of(n));
        embedding = eq_add(g, embedding, class_embedding(u, out->class_label));
    }
    if (config->addition_time_dim > 0) {
        int64_t text_dim = config->addition_input_dim - EQ_UNET_TIME_IDS * config->addition_time_dim;
        out->text = eq_graph_input(g, "text", EQ_F32, eq_shape_of(n, text_dim));
        out->time_ids = eq_graph_input(g, "time_ids", EQ_F32, eq_shape_of(n, EQ_UNET_TIME_IDS));
        embedding = eq_add(g, embedding, added_embedding(u, out->text, out->time_ids));
    }
    u->embedding = eq_activate(g, embedding, EQ_ACT_SILU);
}

static void declare_skip_switches(unet_builder *u, int64_t n, eq_unet *out)
{
    eq_graph *g = u->b->graph;
    for (int level = 0; level < EQ_UNET_MAX_LEVELS; level++) {
        out->skip_switch[level] = u->skip_switch[level] = EQ_NONE;
        if (!u->config->skip_switches || level >= u->config->levels)
            continue;
        out->skip_switch[level] =
            eq_graph_input(g, eq_prefix_format("skip_switch.%d", level).text, EQ_F32, eq_shape_of(n, 1, 1, 1));
        u->skip_switch[level] = eq_cast(g, out->skip_switch[level], g->dtype);
    }
}

static eq_value center(eq_graph *g, eq_value x)
{
    return eq_add(g, eq_scale(g, x, 2.0f), eq_constant(g, eq_shape_of(1, 1, 1, 1), -1.0f));
}

eq_status eq_unet_build(const eq_builder *b, const eq_unet_config *config, int64_t n, int64_t h, int64_t w,
                        eq_unet *out)
{
    return eq_unet_build_on(b, config, n, h, w, EQ_NONE, out);
}

eq_status eq_unet_build_on(const eq_builder *b, const eq_unet_config *config, int64_t n, int64_t h, int64_t w,
                           eq_value context, eq_unet *out)
{
    eq_graph *g = b->graph;
    eq_value skips[EQ_UNET_MAX_LEVELS * 32], answers[MOST_ANSWERS];
    unet_builder u = {.b = b,
                      .config = config,
                      .style = {.norm_groups = config->norm_num_groups,
                                .norm_eps = config->norm_eps,
                                .scale_shift_norm = config->scale_shift_norm},
                      .answers = answers,
                      .skips = skips};

    answer_all(&u, n, context, out);
    eq_graph_next_stage(g);
    out->sample = eq_graph_input(g, "sample", EQ_F32, eq_shape_of(n, h, w, config->in_channels));
    embed_conditions(&u, n, out);
    declare_skip_switches(&u, n, out);
    eq_value x = config->center_input_sample ? center(g, out->sample) : out->sample;
    int first_channels = config->conv_in_channels ? config->conv_in_channels : config->block_out_channels[0];
    x = eq_layer_conv3(b, eq_cast(g, x, g->dtype), first_channels, EQ_INIT_UNIFORM, EQ_NONE, "conv_in");
    push_skip(&u, x, 0);
    for (int level = 0; level < config->levels; level++)
        x = down_block(&u, x, level);
    out->h = mid_block(&u, x);
    eq_graph_output(g, out->h, "h");

    eq_graph_next_stage(g);
    x = out->h;
    for (int index = 0; index < config->levels; index++)
        x = up_block(&u, x, index);
    x = eq_layer_group_norm(b, x, EQ_NONE, config->norm_num_groups, config->norm_eps, EQ_ACT_SILU, "conv_norm_out");
    x = eq_layer_conv3(b, x, config->out_channels, EQ_INIT_ZEROS, EQ_NONE, "conv_out");
    out->prediction = eq_cast(g, x, EQ_F32);
    eq_graph_output(g, out->prediction, "prediction");
    return eq_graph_status(g);
}

eq_status eq_unet_declare(eq_params *params, const eq_unet_config *config)
{
    eq_graph *graph = eq_graph_new(params->ctx, EQ_F32);
    if (!graph)
        return eq_fail_memory(params->ctx, "a graph");
    int side = config->sample_size;
    params->declaring = true;
    eq_unet unused;
    eq_status status = eq_unet_build(&(eq_builder){graph, params}, config, 1, side, side, &unused);
    params->declaring = false;
    eq_graph_free(graph);
    return status;
}

int eq_unet_size_multiple(const eq_unet_config *config)
{
    return 1 << (config->levels - 1);
}

static bool attends(const eq_unet_config *config, int level)
{
    int last = config->levels - 1;
    return config->down_attention[level] || config->up_attention[last - level] ||
           (level == last && config->mid_attention);
}

int eq_unet_head_dim(const eq_unet_config *config)
{
    int dim = 0;
    bool single = true, same = true;
    for (int i = 0; i < config->levels; i++) {
        if (!attends(config, i))
            continue;
        int here = config->block_out_channels[i] / config->heads[i];
        single = single && config->heads[i] == 1;
        same = same && (dim == 0 || here == dim);
        dim = here;
    }
    return single ? 0 : same ? dim : -1;
}

/* What is wrong with one level; NULL if nothing. */
static const char *check_level(const eq_unet_config *config, int level)
{
    int channels = config->block_out_channels[level], heads = config->heads[level];
    if (channels < 2 || channels > 8192 || channels % config->norm_num_groups != 0)
        return "block_out_channels: 2 to 8192, multiples of norm_num_groups";
    if (!attends(config, level))
        return NULL;
    if (heads < 1 || channels % heads != 0)
        return "attention_head_dim: must divide the channels into heads at every level with attention";
    int layers = config->transformer_layers[level];
    if (config->cross_attention_dim > 0 && (layers < 1 || layers > 16))
        return "transformer_layers_per_block: 1 to 16";
    return NULL;
}

eq_status eq_unet_check(eq_context *ctx, const eq_unet_config *config, const char *file)
{
    const char *wrong = NULL;
    int time_dim = config->addition_time_dim;
    if (config->levels < 1 || config->levels > EQ_UNET_MAX_LEVELS)
        wrong = "block_out_channels: 1 to 8 levels";
    else if (config->in_channels < 1 || config->in_channels > 64 || config->out_channels < 1 ||
             config->out_channels > 128)
        wrong = "in_channels, out_channels: 1 to 64 and 1 to 128";
    else if (config->layers_per_block < 1 || config->layers_per_block > 8)
        wrong = "layers_per_block: 1 to 8";
    else if (config->norm_num_groups < 1 || config->norm_eps <= 0)
        wrong = "norm_num_groups, norm_eps: above 0";
    else if (config->mid_block_scale_factor <= 0)
        wrong = "mid_block_scale_factor: above 0";
    else if (config->sample_size < 1 || config->sample_size > 4096 ||
             config->sample_size % eq_unet_size_multiple(config) != 0)
        wrong = "sample_size: 1 to 4096 and a multiple of 2^(levels - 1)";
    else if (config->conv_in_channels < 0 || config->conv_in_channels > 8192 ||
             config->conv_in_channels % config->norm_num_groups != 0)
        wrong = "channels of the first convolution: at most 8192, a multiple of norm_num_groups";
    else if (config->time_channels < 0 || config->time_channels > 8192 || config->time_channels % 2 != 0)
        wrong = "channels of the timestep embedding: even, at most 8192";
    else if (config->num_class_embeds < 0 || config->num_class_embeds > 1000000)
        wrong = "num_class_embeds: at most 1000000";
    else if (config->cross_attention_dim < 0 || config->cross_attention_dim > 16384)
        wrong = "cross_attention_dim: 1 to 16384";
    else if (config->cross_attention_dim > 0 && (config->context_length < 1 || config->context_length > 4096))
        wrong = "the context's length: 1 to 4096";
    else if (time_dim != 0 && (config->cross_attention_dim == 0 || time_dim < 2 || time_dim > 4096))
        wrong = "addition_time_embed_dim: 2 to 4096, in networks with a context";
    else if (time_dim != 0 &&
             (config->addition_input_dim <= EQ_UNET_TIME_IDS * time_dim || config->addition_input_dim > 65536))
        wrong = "projection_class_embeddings_input_dim: above 6 times addition_time_embed_dim";
    for (int i = 0; !wrong && i < config->levels; i++)
        wrong = check_level(config, i);
    return wrong ? eq_fail(ctx, EQ_BAD_INPUT, "%s: %s", file, wrong) : EQ_OK;
}
