#include "models/adm_unet.h"

/* Levels of channels, residual blocks and attention are counted on the way up: there a change of size is the last
 * module of a block, while on the way down it can look like a residual block of its own. */
eq_status eq_adm_read_levels(eq_context *ctx, const eq_checkpoint_source *source, const char *prefix,
                             const char *attention, eq_unet_config *unet)
{
    int blocks = 0, levels = 1;
    for (; eq_checkpoint_has(source, "%soutput_blocks.%d.0.in_layers.0.weight", prefix, blocks); blocks++)
        for (int module = 1; module <= 2; module++)
            if (eq_checkpoint_has(source, "%soutput_blocks.%d.%d.conv.weight", prefix, blocks, module) ||
                eq_checkpoint_has(source, "%soutput_blocks.%d.%d.in_layers.0.weight", prefix, blocks, module))
                levels++;
    if (levels > EQ_UNET_MAX_LEVELS || blocks < 2 * levels || blocks % levels != 0)
        return eq_fail(ctx, EQ_BAD_INPUT,
                       "%s: %d output blocks on %d levels; expected 2 or more a level, at most %d levels",
                       source->weights->path, blocks, levels, EQ_UNET_MAX_LEVELS);
    unet->levels = levels;
    unet->layers_per_block = blocks / levels - 1;
    for (int level = 0; level < levels; level++) {
        int down = 1 + level * (unet->layers_per_block + 1), up = (levels - 1 - level) * (unet->layers_per_block + 1);
        unet->block_out_channels[level] =
            eq_checkpoint_size(source, 0, "%sinput_blocks.%d.0.out_layers.3.weight", prefix, down);
        unet->down_attention[level] = eq_checkpoint_has(source, "%sinput_blocks.%d.1.%s", prefix, down, attention);
        unet->up_attention[levels - 1 - level] =
            eq_checkpoint_has(source, "%soutput_blocks.%d.1.%s", prefix, up, attention);
    }
    return EQ_OK;
}

static void read_shapes(const eq_checkpoint_source *source, eq_unet_config *unet)
{
    unet->in_channels = eq_checkpoint_size(source, 1, "input_blocks.0.0.weight");
    unet->out_channels = eq_checkpoint_size(source, 0, "out.2.weight");
    unet->conv_in_channels = eq_checkpoint_size(source, 0, "input_blocks.0.0.weight");
    unet->time_channels = eq_checkpoint_size(source, 1, "time_embed.0.weight");
    unet->num_class_embeds = eq_checkpoint_size(source, 0, "label_emb.weight");
    unet->scale_shift_norm = eq_checkpoint_size(source, 0, "input_blocks.1.0.emb_layers.1.weight") ==
                             2 * eq_checkpoint_size(source, 0, "input_blocks.1.0.out_layers.3.weight");
    unet->resample_blocks =
        eq_checkpoint_has(source, "input_blocks.%d.0.in_layers.0.weight", unet->layers_per_block + 1) &&
        unet->levels > 1;
}

/* The channel multiples that guided-diffusion chooses by image size where channel_mult is empty. */
static int usual_multiples(int image_size, double *out)
{
    static const struct {
        int image_size, count;
        double multiple[7];
    } usual[] = {
        {512, 7, {0.5, 1, 1, 2, 2, 4, 4}},
        {256, 6, {1, 1, 2, 2, 4, 4}},
        {128, 5, {1, 1, 2, 3, 4}},
        {64, 4, {1, 2, 3, 4}},
    };
    for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++)
        if (usual[i].image_size == image_size) {
            memcpy(out, usual[i].multiple, sizeof usual[i].multiple);
            return usual[i].count;
        }
    return 0;
}

static eq_status check_channels(eq_context *ctx, const eq_checkpoint_source *source, const eq_unet_config *unet)
{
    double multiple[EQ_UNET_MAX_LEVELS];
    int count;
    if (!eq_checkpoint_says(source, "channel_mult"))
        return EQ_OK;
    EQ_TRY(eq_checkpoint_numbers(ctx, source, "channel_mult", EQ_UNET_MAX_LEVELS, multiple, &count));
    if (count == 0)
        count = usual_multiples(unet->sample_size, multiple);
    return eq_checkpoint_agree_channels(ctx, source, "channel_mult", multiple, count, unet->time_channels, unet);
}

static eq_status check_settings(eq_context *ctx, const eq_checkpoint_source *source, const eq_unet_config *unet)
{
    EQ_TRY(eq_checkpoint_agree(ctx, source, "num_channels", unet->time_channels));
    EQ_TRY(eq_checkpoint_agree(ctx, source, "num_res_blocks", unet->layers_per_block));
    EQ_TRY(eq_checkpoint_agree_bool(ctx, source, "use_scale_shift_norm", unet->scale_shift_norm));
    EQ_TRY(eq_checkpoint_agree_bool(ctx, source, "learn_sigma", unet->out_channels == 2 * unet->in_channels));
    EQ_TRY(eq_checkpoint_agree_bool(ctx, source, "class_cond", unet->num_class_embeds > 0));
    if (unet->levels > 1)
        EQ_TRY(eq_checkpoint_agree_bool(ctx, source, "resblock_updown", unet->resample_blocks));
    EQ_TRY(check_channels(ctx, source, unet));
    return eq_checkpoint_agree_attention(ctx, source, "attention_resolutions", unet);
}

/* num_head_channels is -1 where num_heads counts. */
static eq_status read_heads(eq_context *ctx, const eq_checkpoint_source *source, eq_unet_config *unet)
{
    int head_channels, heads;
    bool by_number = eq_checkpoint_says(source, "num_heads");
    EQ_TRY(eq_checkpoint_int(ctx, source, "num_head_channels", by_number ? -1 : 64, -1, 8192, &head_channels));
    EQ_TRY(eq_checkpoint_int(ctx, source, "num_heads", 4, 1, 8192, &heads));
    for (int i = 0; i < unet->levels; i++) {
        int channels = unet->block_out_channels[i], by = head_channels > 0 ? head_channels : heads;
        unet->heads[i] = channels % by != 0 ? 0 : head_channels > 0 ? channels / head_channels : heads;
        bool attends = unet->down_attention[i] || unet->up_attention[unet->levels - 1 - i] || i == unet->levels - 1;
        if (attends && unet->heads[i] == 0)
            return eq_fail(ctx, EQ_BAD_INPUT,
                           "%s: %d channels cannot be cut into %s %d: give num_head_channels, or num_heads, in a "
                           "model_config.json beside it",
                           source->weights->path, channels, head_channels > 0 ? "heads of" : "a number of heads,", by);
    }
    return EQ_OK;
}

eq_status eq_adm_config_read(eq_context *ctx, const eq_checkpoint_source *source, eq_adm_config *out)
{
    *out = (eq_adm_config){.unet = {.mid_attention = true,
                                    .norm_num_groups = 32,
                                    .norm_eps = 1e-5f,
                                    .flip_sin_to_cos = true,
                                    .downsample_padding = 1,
                                    .mid_block_scale_factor = 1.0f}};
    eq_unet_config *unet = &out->unet;
    EQ_TRY(eq_adm_read_levels(ctx, source, "", "qkv.weight", unet));
    read_shapes(source, unet);
    EQ_TRY(eq_checkpoint_int(ctx, source, "image_size", 256, 1, 4096, &unet->sample_size));
    EQ_TRY(read_heads(ctx, source, unet));
    EQ_TRY(eq_checkpoint_bool(ctx, source, "use_new_attention_order", false, &out->new_attention_order));
    EQ_TRY(check_settings(ctx, source, unet));
    return eq_unet_check(ctx, unet, source->settings.object ? source->settings.where : source->weights->path);
}
