#include "models/unet_names.h"

#include <stdio.h>
#include <string.h>

eq_unet_place eq_unet_place_of(const char *name)
{
    static const struct {
        const char *format;
        eq_unet_part part;
        int numbers; /* in the format: block and index, or the index alone */
    } parts[] = {
        {"down_blocks.%d.resnets.%d.%n", EQ_PART_DOWN_RESNET, 2},
        {"down_blocks.%d.attentions.%d.%n", EQ_PART_DOWN_ATTENTION, 2},
        {"down_blocks.%d.downsamplers.%d.%n", EQ_PART_DOWNSAMPLER, 2},
        {"up_blocks.%d.resnets.%d.%n", EQ_PART_UP_RESNET, 2},
        {"up_blocks.%d.attentions.%d.%n", EQ_PART_UP_ATTENTION, 2},
        {"up_blocks.%d.upsamplers.%d.%n", EQ_PART_UPSAMPLER, 2},
        {"mid_block.resnets.%d.%n", EQ_PART_MID_RESNET, 1},
        {"mid_block.attentions.%d.%n", EQ_PART_MID_ATTENTION, 1},
    };
    eq_unet_place place = {.part = EQ_PART_OTHER, .rest = name};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        int first = 0, second = 0, used = 0;
        if (parts[i].numbers == 2)
            sscanf(name, parts[i].format, &first, &second, &used);
        else
            sscanf(name, parts[i].format, &second, &used);
        if (used > 0)
            return (eq_unet_place){parts[i].part, first, second, name + used};
    }
    return place;
}

const eq_module_name *eq_module_find(const eq_module_name *table, const char *name, const char **parameter)
{
    const char *dot = strrchr(name, '.');
    size_t length = dot ? (size_t)(dot - name) : strlen(name);
    *parameter = name + length;
    for (; table->ours; table++)
        if (strlen(table->ours) == length && strncmp(table->ours, name, length) == 0)
            return table;
    return NULL;
}
