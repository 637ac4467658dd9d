#include "models/names_ldm_vae.h"

#include <stdio.h>

#include "models/checkpoint_settings.h"
#include "models/unet_names.h"

#define PREFIX "first_stage_model."

static const eq_module_name resnet_names[] = {
    {"norm1", "norm1"}, {"conv1", "conv1"}, {"norm2", "norm2"}, {"conv2", "conv2"}, {"conv_shortcut", "nin_shortcut"},
    {NULL, NULL},
};
static const eq_module_name attention_names[] = {
    {"group_norm", "norm"}, {"query", "q"}, {"key", "k"}, {"value", "v"}, {"proj_attn", "proj_out"}, {NULL, NULL},
};
static const eq_module_name resampler_names[] = {{"conv", "conv"}, {NULL, NULL}};
static const eq_module_name other_names[] = {
    {"conv_in", "conv_in"},
    {"conv_norm_out", "norm_out"},
    {"conv_out", "conv_out"},
    {NULL, NULL},
};

static const eq_module_name *names_within(eq_unet_part part)
{
    switch (part) {
    case EQ_PART_MID_ATTENTION: return attention_names;
    case EQ_PART_DOWNSAMPLER:
    case EQ_PART_UPSAMPLER: return resampler_names;
    case EQ_PART_OTHER: return other_names;
    default: return resnet_names;
    }
}

/* The block that a part of our encoder or decoder is in: "up.3.block.0.". Theirs counts the decoder's levels from the
 * finest, too. */
static eq_prefix block_of(const eq_vae_config *config, const eq_unet_place *place)
{
    int up = config->levels - 1 - place->block;
    switch (place->part) {
    case EQ_PART_DOWN_RESNET: return eq_prefix_format("down.%d.block.%d.", place->block, place->index);
    case EQ_PART_DOWNSAMPLER: return eq_prefix_format("down.%d.downsample.", place->block);
    case EQ_PART_MID_RESNET: return eq_prefix_format("mid.block_%d.", place->index + 1);
    case EQ_PART_MID_ATTENTION: return eq_prefix_format("mid.attn_%d.", place->index + 1);
    case EQ_PART_UP_RESNET: return eq_prefix_format("up.%d.block.%d.", up, place->index);
    case EQ_PART_UPSAMPLER: return eq_prefix_format("up.%d.upsample.", up);
    default: return (eq_prefix){""};
    }
}

static bool ldm_name(const void *user, const char *ours, char *theirs, size_t size, eq_weight_part *part)
{
    static const char *const sides[] = {"encoder.", "decoder."};
    for (int i = 0; i < 2; i++) {
        size_t length = strlen(sides[i]);
        if (strncmp(ours, sides[i], length) != 0)
            continue;
        eq_unet_place place = eq_unet_place_of(ours + length);
        const char *parameter;
        const eq_module_name *module = eq_module_find(names_within(place.part), place.rest, &parameter);
        if (!module)
            return false;
        snprintf(theirs, size, PREFIX "%s%s%s%s", sides[i], block_of(user, &place).text, module->theirs, parameter);
        return true;
    }
    snprintf(theirs, size, PREFIX "%s", ours); /* quant_conv, post_quant_conv */
    return true;
}

eq_name_map eq_ldm_vae_names(const eq_vae_config *config)
{
    return (eq_name_map){.name = ldm_name, .user = config, .prefix = PREFIX};
}

static bool bare_name(const void *user, const char *ours, char *theirs, size_t size, eq_weight_part *part)
{
    char prefixed[256];
    if (!ldm_name(user, ours, prefixed, sizeof prefixed, part))
        return false;
    snprintf(theirs, size, "%s", prefixed + sizeof PREFIX - 1);
    return true;
}

eq_name_map eq_ldm_vae_bare_names(const eq_vae_config *config)
{
    return (eq_name_map){.name = bare_name, .user = config};
}

static bool is_sdxl(const eq_tensor_file *file)
{
    static const char start[] = "conditioner.";
    for (size_t i = 0; i < file->count; i++)
        if (strncmp(file->entries[i].name, start, sizeof start - 1) == 0)
            return true;
    return false;
}

static eq_status config_under(eq_context *ctx, const eq_tensor_file *file, const char *prefix, eq_vae_config *out)
{
    eq_checkpoint_source source = {.weights = file};
    *out = (eq_vae_config){
        .in_channels = eq_checkpoint_size(&source, 1, "%sencoder.conv_in.weight", prefix),
        .out_channels = eq_checkpoint_size(&source, 0, "%sdecoder.conv_out.weight", prefix),
        .latent_channels = eq_checkpoint_size(&source, 0, "%spost_quant_conv.weight", prefix),
        .norm_num_groups = 32,
        .scaling_factor = is_sdxl(file) ? 0.13025f : 0.18215f,
    };
    if (!out->in_channels || !out->out_channels || !out->latent_channels)
        return eq_fail(
            ctx, EQ_BAD_INPUT,
            "%s: no autoencoder %s%s: no %sencoder.conv_in.weight, decoder.conv_out.weight or post_quant_conv.weight",
            file->path, prefix[0] ? "under " : "in it", prefix, prefix);
    int channels;
    while (out->levels < EQ_VAE_MAX_LEVELS &&
           (channels = eq_checkpoint_size(&source, 0, "%sencoder.down.%d.block.0.conv1.weight", prefix, out->levels)) >
               0)
        out->block_out_channels[out->levels++] = channels;
    while (out->layers_per_block <= 8 &&
           eq_checkpoint_has(&source, "%sencoder.down.0.block.%d.conv1.weight", prefix, out->layers_per_block))
        out->layers_per_block++;
    return eq_vae_check(ctx, out, file->path);
}

eq_status eq_ldm_vae_config(eq_context *ctx, const eq_tensor_file *file, eq_vae_config *out)
{
    return config_under(ctx, file, PREFIX, out);
}

eq_status eq_ldm_vae_bare_config(eq_context *ctx, const eq_tensor_file *file, eq_vae_config *out)
{
    return config_under(ctx, file, "", out);
}
