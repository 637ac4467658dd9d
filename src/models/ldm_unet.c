#include "models/ldm_unet.h"

#include "models/adm_unet.h"

/* What the families have in common, and how they differ where shapes do not show it. */
enum {
    CONTEXT_LENGTH = 77,
    SD1_HEADS = 8,
    SD2_HEAD_CHANNELS = 64,
    LATENT_SIDE = 64,
    XL_LATENT_SIDE = 128,
    XL_TIME_CHANNELS = 256, /* sinusoids of each time id */
    MAX_DEPTH = 16,
};

static int transformer_depth(const eq_checkpoint_source *source, const char *block)
{
    int depth = 0;
    while (depth <= MAX_DEPTH && eq_checkpoint_has(source, "%s.transformer_blocks.%d.norm1.weight", block, depth))
        depth++;
    return depth;
}

/* The block that shows a level's transformers: on the way down, up, or in the middle; "" where it has none. */
static eq_prefix attention_block_of(const eq_unet_config *unet, const char *prefix, int level)
{
    int blocks = unet->layers_per_block + 1, last = unet->levels - 1;
    if (unet->down_attention[level])
        return eq_prefix_format("%sinput_blocks.%d.1", prefix, 1 + level * blocks);
    if (unet->up_attention[last - level])
        return eq_prefix_format("%soutput_blocks.%d.1", prefix, (last - level) * blocks);
    return level == last ? eq_prefix_format("%smiddle_block.1", prefix) : (eq_prefix){""};
}

static void read_transformers(const eq_checkpoint_source *source, const char *prefix, eq_unet_config *unet)
{
    unet->mid_attention = true;
    unet->context_length = CONTEXT_LENGTH;
    unet->cross_attention_dim =
        eq_checkpoint_size(source, 1, "%smiddle_block.1.transformer_blocks.0.attn2.to_k.weight", prefix);
    /* A linear layer's weight has no third dimension. */
    unet->linear_projection = eq_checkpoint_size(source, 2, "%smiddle_block.1.proj_in.weight", prefix) == 0;
    for (int level = 0; level < unet->levels; level++) {
        eq_prefix block = attention_block_of(unet, prefix, level);
        int channels = unet->block_out_channels[level];
        unet->transformer_layers[level] = block.text[0] ? transformer_depth(source, block.text) : 1;
        unet->heads[level] = SD1_HEADS;
        if (unet->linear_projection)
            unet->heads[level] = channels % SD2_HEAD_CHANNELS == 0 ? channels / SD2_HEAD_CHANNELS : 0;
    }
}

static void read_conditions(const eq_checkpoint_source *source, const char *prefix, eq_unet_config *unet)
{
    unet->in_channels = eq_checkpoint_size(source, 1, "%sinput_blocks.0.0.weight", prefix);
    unet->conv_in_channels = eq_checkpoint_size(source, 0, "%sinput_blocks.0.0.weight", prefix);
    unet->out_channels = eq_checkpoint_size(source, 0, "%sout.2.weight", prefix);
    unet->time_channels = eq_checkpoint_size(source, 1, "%stime_embed.0.weight", prefix);
    unet->addition_input_dim = eq_checkpoint_size(source, 1, "%slabel_emb.0.0.weight", prefix);
    unet->addition_time_dim = unet->addition_input_dim > 0 ? XL_TIME_CHANNELS : 0;
    unet->sample_size = unet->addition_input_dim > 0 ? XL_LATENT_SIDE : LATENT_SIDE;
    /* 0 means the same in both: what other formats' configurations say. */
    if (unet->conv_in_channels == unet->block_out_channels[0])
        unet->conv_in_channels = 0;
    if (unet->time_channels == unet->block_out_channels[0])
        unet->time_channels = 0;
}

eq_status eq_ldm_unet_config(eq_context *ctx, const eq_tensor_file *file, const char *prefix, eq_unet_config *out)
{
    eq_checkpoint_source source = {.weights = file};
    *out = (eq_unet_config){.norm_num_groups = 32,
                            .norm_eps = 1e-5f,
                            .flip_sin_to_cos = true,
                            .downsample_padding = 1,
                            .mid_block_scale_factor = 1.0f};
    EQ_TRY(eq_adm_read_levels(ctx, &source, prefix, "proj_in.weight", out));
    read_transformers(&source, prefix, out);
    read_conditions(&source, prefix, out);
    if (out->cross_attention_dim == 0)
        return eq_fail(ctx, EQ_BAD_INPUT,
                       "%s: no %smiddle_block.1.transformer_blocks.0.attn2.to_k.weight; only latent diffusion U-Nets "
                       "that attend to a text are supported",
                       file->path, prefix);
    return eq_unet_check(ctx, out, file->path);
}
