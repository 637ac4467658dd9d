#include "models/names_ddpm.h"

#include <stdio.h>

#include "models/unet_names.h"

static const eq_module_name resnet_names[] = {
    {"norm1", "norm1"}, {"conv1", "conv1"}, {"time_emb_proj", "temb_proj"},
    {"norm2", "norm2"}, {"conv2", "conv2"}, {"conv_shortcut", "nin_shortcut"},
    {NULL, NULL},
};

static const eq_module_name attention_names[] = {
    {"group_norm", "norm"}, {"query", "q"}, {"key", "k"}, {"value", "v"}, {"proj_attn", "proj_out"}, {NULL, NULL},
};

static const eq_module_name resample_names[] = {{"conv", "conv"}, {NULL, NULL}};

static const eq_module_name other_names[] = {
    {"conv_in", "conv_in"},
    {"time_embedding.linear_1", "temb.dense.0"},
    {"time_embedding.linear_2", "temb.dense.1"},
    {"conv_norm_out", "norm_out"},
    {"conv_out", "conv_out"},
    {NULL, NULL},
};

typedef struct block_names {
    eq_prefix prefix;
    const eq_module_name *modules;
} block_names;

/* Levels count from the finest on the way up too. */
static block_names names_of(const eq_unet_config *unet, const eq_unet_place *place)
{
    int level = place->block, up = unet->levels - 1 - place->block, i = place->index;
    switch (place->part) {
    case EQ_PART_DOWN_RESNET: return (block_names){eq_prefix_format("down.%d.block.%d.", level, i), resnet_names};
    case EQ_PART_DOWN_ATTENTION: return (block_names){eq_prefix_format("down.%d.attn.%d.", level, i), attention_names};
    case EQ_PART_DOWNSAMPLER: return (block_names){eq_prefix_format("down.%d.downsample.", level), resample_names};
    case EQ_PART_MID_RESNET: return (block_names){eq_prefix_format("mid.block_%d.", i + 1), resnet_names};
    case EQ_PART_MID_ATTENTION: return (block_names){eq_prefix_format("mid.attn_%d.", i + 1), attention_names};
    case EQ_PART_UP_RESNET: return (block_names){eq_prefix_format("up.%d.block.%d.", up, i), resnet_names};
    case EQ_PART_UP_ATTENTION: return (block_names){eq_prefix_format("up.%d.attn.%d.", up, i), attention_names};
    case EQ_PART_UPSAMPLER: return (block_names){eq_prefix_format("up.%d.upsample.", up), resample_names};
    case EQ_PART_OTHER: break;
    }
    return (block_names){{""}, other_names};
}

static bool ddpm_name(const void *user, const char *ours, char *theirs, size_t size, eq_weight_part *part)
{
    eq_unet_place place = eq_unet_place_of(ours);
    block_names names = names_of(user, &place);
    const char *parameter;
    const eq_module_name *module = eq_module_find(names.modules, place.rest, &parameter);
    if (module)
        snprintf(theirs, size, "%s%s%s", names.prefix.text, module->theirs, parameter);
    return module != NULL;
}

eq_name_map eq_ddpm_name_map(const eq_unet_config *unet)
{
    return (eq_name_map){.name = ddpm_name, .user = unet};
}
