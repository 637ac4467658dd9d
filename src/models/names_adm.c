#include "models/names_adm.h"

#include <stdio.h>

static const eq_module_name resnet_names[] = {
    {"norm1", "in_layers.0"},
    {"conv1", "in_layers.2"},
    {"time_emb_proj", "emb_layers.1"},
    {"norm2", "out_layers.0"},
    {"conv2", "out_layers.3"},
    {"conv_shortcut", "skip_connection"},
    {NULL, NULL},
};

static const eq_module_name attention_names[] = {
    {"group_norm", "norm"}, {"query", "qkv"}, {"key", "qkv"}, {"value", "qkv"}, {"proj_attn", "proj_out"}, {NULL, NULL},
};

static const eq_module_name other_names[] = {
    {"conv_in", "input_blocks.0.0"},
    {"time_embedding.linear_1", "time_embed.0"},
    {"time_embedding.linear_2", "time_embed.2"},
    {"class_embedding", "label_emb"},
    {"conv_norm_out", "out.0"},
    {"conv_out", "out.2"},
    {NULL, NULL},
};

static const eq_module_name downsample_names[] = {{"conv", "op"}, {NULL, NULL}};
static const eq_module_name upsample_names[] = {{"conv", "conv"}, {NULL, NULL}};

/* Input block 0 is conv_in; then every residual block,
 * and every change of size on the way down, counts as one. On the way up, the change of size is the last module of its
 * level's last block. */
eq_prefix eq_adm_block_of(const eq_unet_config *unet, const eq_unet_place *place)
{
    int first = place->block * (unet->layers_per_block + 1);
    switch (place->part) {
    case EQ_PART_DOWN_RESNET: return eq_prefix_format("input_blocks.%d.0", 1 + first + place->index);
    case EQ_PART_DOWN_ATTENTION: return eq_prefix_format("input_blocks.%d.1", 1 + first + place->index);
    case EQ_PART_DOWNSAMPLER: return eq_prefix_format("input_blocks.%d.0", 1 + first + unet->layers_per_block);
    case EQ_PART_MID_RESNET: return eq_prefix_format("middle_block.%d", 2 * place->index);
    case EQ_PART_MID_ATTENTION: return eq_prefix_format("middle_block.%d", 2 * place->index + 1);
    case EQ_PART_UP_RESNET: return eq_prefix_format("output_blocks.%d.0", first + place->index);
    case EQ_PART_UP_ATTENTION: return eq_prefix_format("output_blocks.%d.1", first + place->index);
    case EQ_PART_UPSAMPLER:
        return eq_prefix_format("output_blocks.%d.%d", first + unet->layers_per_block,
                                place->block < unet->levels && unet->up_attention[place->block] ? 2 : 1);
    case EQ_PART_OTHER: break;
    }
    return (eq_prefix){""};
}

static const eq_module_name *names_within(const eq_unet_config *unet, eq_unet_part part)
{
    switch (part) {
    case EQ_PART_DOWNSAMPLER: return unet->resample_blocks ? resnet_names : downsample_names;
    case EQ_PART_UPSAMPLER: return unet->resample_blocks ? resnet_names : upsample_names;
    case EQ_PART_DOWN_ATTENTION:
    case EQ_PART_MID_ATTENTION:
    case EQ_PART_UP_ATTENTION: return attention_names;
    case EQ_PART_OTHER: return other_names;
    default: return resnet_names;
    }
}

/* Which rows of a fused qkv are a query's, key's or value's. */
static eq_weight_part part_of_qkv(const eq_adm_names *names, const eq_unet_place *place, char query_key_or_value)
{
    const eq_unet_config *unet = names->unet;
    int level = place->part == EQ_PART_DOWN_ATTENTION ? place->block
                : place->part == EQ_PART_UP_ATTENTION ? unet->levels - 1 - place->block
                                                      : unet->levels - 1;
    int channels = unet->block_out_channels[level];
    int block = names->new_attention_order ? channels : channels / unet->heads[level];
    int which = query_key_or_value == 'q' ? 0 : query_key_or_value == 'k' ? 1 : 2;
    return (eq_weight_part){.offset = which * block, .block = block, .stride = 3 * block};
}

static bool adm_name(const void *user, const char *ours, char *theirs, size_t size, eq_weight_part *part)
{
    const eq_adm_names *names = user;
    eq_unet_place place = eq_unet_place_of(ours);
    const char *parameter;
    const eq_module_name *module = eq_module_find(names_within(names->unet, place.part), place.rest, &parameter);
    if (!module)
        return false;
    eq_prefix block = eq_adm_block_of(names->unet, &place);
    snprintf(theirs, size, "%s%s%s%s", block.text, block.text[0] ? "." : "", module->theirs, parameter);
    if (strcmp(module->theirs, "qkv") == 0)
        *part = part_of_qkv(names, &place, module->ours[0]);
    return true;
}

eq_name_map eq_adm_name_map(const eq_adm_names *names)
{
    return (eq_name_map){.name = adm_name, .user = names};
}
