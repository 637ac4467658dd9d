#include "models/vae.h"

static const float norm_epsilon = 1e-6f;

static eq_block_style style_of(const eq_vae_config *config, eq_norm_list *norms)
{
    return (eq_block_style){.norm_groups = config->norm_num_groups, .norm_eps = norm_epsilon, .norms = norms};
}

static eq_value residual(const eq_builder *b, const eq_block_style *style, eq_value x, int channels, eq_prefix name)
{
    return eq_residual_block(b, style, x, EQ_NONE, channels, 1.0f, name.text);
}

/* x: [n, h, w, c], c: channels of the coarsest level. side: "encoder" or "decoder" */
static eq_value mid_block(const eq_builder *b, const eq_block_style *style, eq_value x, const char *side)
{
    int channels = (int)eq_channels(b, x);
    x = residual(b, style, x, channels, eq_prefix_format("%s.mid_block.resnets.0", side));
    x = eq_attention_block(b, style, x, 1, 1.0f, eq_prefix_format("%s.mid_block.attentions.0", side).text);
    return residual(b, style, x, channels, eq_prefix_format("%s.mid_block.resnets.1", side));
}

static eq_value conv1(const eq_builder *b, eq_value x, int channels, const char *name)
{
    return eq_layer_conv(b, x, channels, 1, (eq_conv){.stride = 1}, EQ_INIT_UNIFORM, EQ_NONE, name);
}

static eq_value conv3(const eq_builder *b, eq_value x, int channels, const char *name)
{
    return eq_layer_conv3(b, x, channels, EQ_INIT_UNIFORM, EQ_NONE, name);
}

eq_value eq_vae_encode(const eq_builder *b, const eq_vae_config *config, eq_value image)
{
    return eq_vae_encode_coarse(b, config, eq_vae_encode_fine(b, config, image, 0, NULL), 0);
}

/* The encoder's level, with what halves the sides after it, but for the last. */
static eq_value down_block(const eq_builder *b, const eq_vae_config *config, const eq_block_style *style, eq_value x,
                           int level)
{
    int channels = config->block_out_channels[level];
    for (int i = 0; i < config->layers_per_block; i++)
        x = residual(b, style, x, channels, eq_prefix_format("encoder.down_blocks.%d.resnets.%d", level, i));
    if (level + 1 == config->levels)
        return x;
    return eq_layer_conv(b, x, channels, 3, (eq_conv){2, 0, 0, 1, 1}, EQ_INIT_UNIFORM, EQ_NONE,
                         eq_prefix_format("encoder.down_blocks.%d.downsamplers.0.conv", level)
                             .text); /* a zero row and column at the bottom and right */
}

eq_value eq_vae_encode_fine(const eq_builder *b, const eq_vae_config *config, eq_value image, int cut,
                            eq_norm_list *norms)
{
    eq_block_style style = style_of(config, norms);
    eq_value x = conv3(b, eq_cast(b->graph, image, b->graph->dtype), config->block_out_channels[0], "encoder.conv_in");
    for (int level = 0; level < cut; level++)
        x = down_block(b, config, &style, x, level);
    return x;
}

eq_value eq_vae_encode_coarse(const eq_builder *b, const eq_vae_config *config, eq_value x, int cut)
{
    eq_block_style style = style_of(config, NULL);
    for (int level = cut; level < config->levels; level++)
        x = down_block(b, config, &style, x, level);
    x = mid_block(b, &style, x, "encoder");
    x = eq_block_norm(b, &style, x, EQ_NONE, EQ_ACT_SILU, "encoder.conv_norm_out");
    x = conv3(b, x, 2 * config->latent_channels, "encoder.conv_out");
    return eq_cast(b->graph, conv1(b, x, 2 * config->latent_channels, "quant_conv"), EQ_F32);
}

/* From the result back to the image: a halving looks up to two pixels past twice the distance, every 3x3 convolution
 * one further; in pixels of the result, rounded up. */
int eq_vae_encode_reach(const eq_vae_config *config, int cut)
{
    int reach = 0;
    for (int level = cut - 1; level >= 0; level--)
        reach = 2 * reach + 2 + 2 * config->layers_per_block;
    return (reach + 1 + (1 << cut) - 1) >> cut;
}

static eq_value up_block(const eq_builder *b, const eq_vae_config *config, const eq_block_style *style, eq_value x,
                         int index)
{
    int channels = config->block_out_channels[config->levels - 1 - index];
    for (int i = 0; i <= config->layers_per_block; i++)
        x = residual(b, style, x, channels, eq_prefix_format("decoder.up_blocks.%d.resnets.%d", index, i));
    return x;
}

/* What follows up block `index`, but for the last. */
static eq_value upsample(const eq_builder *b, const eq_vae_config *config, eq_value x, int index)
{
    if (index + 1 == config->levels)
        return x;
    return conv3(b, eq_upsample(b->graph, x), (int)eq_channels(b, x),
                 eq_prefix_format("decoder.up_blocks.%d.upsamplers.0.conv", index).text);
}

eq_value eq_vae_decode_coarse(const eq_builder *b, const eq_vae_config *config, eq_value z, int cut)
{
    eq_graph *g = b->graph;
    eq_block_style style = style_of(config, NULL);
    eq_value x = conv1(b, eq_cast(g, z, g->dtype), config->latent_channels, "post_quant_conv");
    x = conv3(b, x, config->block_out_channels[config->levels - 1], "decoder.conv_in");
    x = mid_block(b, &style, x, "decoder");
    for (int index = 0; index < cut; index++) {
        x = up_block(b, config, &style, x, index);
        if (index + 1 < cut)
            x = upsample(b, config, x, index);
    }
    return x;
}

eq_value eq_vae_decode_fine(const eq_builder *b, const eq_vae_config *config, eq_value coarse, int cut,
                            eq_norm_list *norms)
{
    eq_block_style style = style_of(config, norms);
    eq_value x = upsample(b, config, coarse, cut - 1);
    for (int index = cut; index < config->levels; index++)
        x = upsample(b, config, up_block(b, config, &style, x, index), index);
    x = eq_block_norm(b, &style, x, EQ_NONE, EQ_ACT_SILU, "decoder.conv_norm_out");
    return eq_cast(b->graph, conv3(b, x, config->out_channels, "decoder.conv_out"), EQ_F32);
}

/* From the picture back: every 3x3 convolution looks one pixel further, every upsampling halves the distance. */
int eq_vae_decode_reach(const eq_vae_config *config, int cut)
{
    int reach = 1;
    for (int index = config->levels - 1; index >= cut; index--) {
        reach += 2 * (config->layers_per_block + 1);
        reach = (reach + 1 + 1) / 2; /* the upsampling's convolution, then rounded up */
    }
    return reach;
}

eq_status eq_vae_declare(eq_params *params, const eq_vae_config *config)
{
    eq_graph *graph = eq_graph_new(params->ctx, EQ_F32);
    if (!graph)
        return eq_fail_memory(params->ctx, "a graph");
    eq_builder b = {graph, params};
    int side = eq_vae_scale(config);
    params->declaring = true;
    eq_vae_encode(&b, config, eq_graph_input(graph, "image", EQ_F32, eq_shape_of(1, side, side, config->in_channels)));
    eq_value z = eq_graph_input(graph, "z", EQ_F32, eq_shape_of(1, 1, 1, config->latent_channels));
    eq_vae_decode_fine(&b, config, eq_vae_decode_coarse(&b, config, z, 1), 1, NULL);
    params->declaring = false;
    eq_status status = eq_graph_status(graph);
    eq_graph_free(graph);
    return status;
}

int eq_vae_scale(const eq_vae_config *config)
{
    return 1 << (config->levels - 1);
}

eq_status eq_vae_check(eq_context *ctx, const eq_vae_config *config, const char *file)
{
    const char *wrong = NULL;
    if (config->levels < 1 || config->levels > EQ_VAE_MAX_LEVELS)
        wrong = "block_out_channels: 1 to 8 levels";
    else if (config->in_channels < 1 || config->in_channels > 64 || config->out_channels < 1 ||
             config->out_channels > 64)
        wrong = "in_channels, out_channels: 1 to 64";
    else if (config->latent_channels < 1 || config->latent_channels > 64)
        wrong = "latent_channels: 1 to 64";
    else if (config->layers_per_block < 1 || config->layers_per_block > 8)
        wrong = "layers_per_block: 1 to 8";
    else if (config->norm_num_groups < 1)
        wrong = "norm_num_groups: above 0";
    else if (!(config->scaling_factor > 0))
        wrong = "scaling_factor: above 0";
    for (int i = 0; !wrong && i < config->levels; i++)
        if (config->block_out_channels[i] < 1 || config->block_out_channels[i] > 8192 ||
            config->block_out_channels[i] % config->norm_num_groups != 0)
            wrong = "block_out_channels: 1 to 8192, multiples of norm_num_groups";
    return wrong ? eq_fail(ctx, EQ_BAD_INPUT, "%s: %s", file, wrong) : EQ_OK;
}
