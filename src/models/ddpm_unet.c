#include "models/ddpm_unet.h"

static eq_status read_levels(eq_context *ctx, const eq_checkpoint_source *source, eq_unet_config *unet)
{
    while (eq_checkpoint_has(source, "down.%d.block.0.norm1.weight", unet->levels))
        unet->levels++;
    while (eq_checkpoint_has(source, "down.0.block.%d.norm1.weight", unet->layers_per_block))
        unet->layers_per_block++;
    if (unet->levels < 1 || unet->levels > EQ_UNET_MAX_LEVELS)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: %d levels (down.0, down.1, ...); expected 1 to %d",
                       source->weights->path, unet->levels, EQ_UNET_MAX_LEVELS);
    for (int level = 0; level < unet->levels; level++) {
        int up = unet->levels - 1 - level;
        unet->heads[level] = 1;
        unet->block_out_channels[level] = eq_checkpoint_size(source, 0, "down.%d.block.0.conv1.weight", level);
        unet->down_attention[level] = eq_checkpoint_has(source, "down.%d.attn.0.q.weight", level);
        unet->up_attention[up] = eq_checkpoint_has(source, "up.%d.attn.0.q.weight", level);
    }
    return EQ_OK;
}

static eq_status check_settings(eq_context *ctx, const eq_checkpoint_source *source, const eq_unet_config *unet)
{
    double multiple[EQ_UNET_MAX_LEVELS];
    int count;
    EQ_TRY(eq_checkpoint_agree(ctx, source, "ch", unet->conv_in_channels));
    EQ_TRY(eq_checkpoint_agree(ctx, source, "in_channels", unet->in_channels));
    EQ_TRY(eq_checkpoint_agree(ctx, source, "out_ch", unet->out_channels));
    EQ_TRY(eq_checkpoint_agree(ctx, source, "num_res_blocks", unet->layers_per_block));
    if (eq_checkpoint_says(source, "ch_mult")) {
        EQ_TRY(eq_checkpoint_numbers(ctx, source, "ch_mult", EQ_UNET_MAX_LEVELS, multiple, &count));
        EQ_TRY(eq_checkpoint_agree_channels(ctx, source, "ch_mult", multiple, count, unet->conv_in_channels, unet));
    }
    return eq_checkpoint_agree_attention(ctx, source, "attn_resolutions", unet);
}

eq_status eq_ddpm_config_read(eq_context *ctx, const eq_checkpoint_source *source, eq_unet_config *out)
{
    /* The sinusoids' frequencies reach 1 / 10000 exactly (a shift of 1), sines come first. */
    *out = (eq_unet_config){.norm_num_groups = 32, .norm_eps = 1e-6f, .freq_shift = 1, .mid_block_scale_factor = 1.0f};
    EQ_TRY(read_levels(ctx, source, out));
    out->in_channels = eq_checkpoint_size(source, 1, "conv_in.weight");
    out->out_channels = eq_checkpoint_size(source, 0, "conv_out.weight");
    out->conv_in_channels = eq_checkpoint_size(source, 0, "conv_in.weight");
    out->time_channels = eq_checkpoint_size(source, 1, "temb.dense.0.weight");
    out->mid_attention = eq_checkpoint_has(source, "mid.attn_1.q.weight");
    EQ_TRY(eq_checkpoint_int(ctx, source, "image_size", 256, 1, 4096, &out->sample_size));
    EQ_TRY(check_settings(ctx, source, out));
    return eq_unet_check(ctx, out, source->settings.object ? source->settings.where : source->weights->path);
}
