/* Taking our parameter names (diffusers') apart, for formats that call the same parts of a U-Net otherwise. */
#ifndef EQ_MODELS_UNET_NAMES_H
#define EQ_MODELS_UNET_NAMES_H

#include <stdbool.h>
#include <stddef.h>

typedef enum eq_unet_part {
    EQ_PART_OTHER, /* conv_in, time_embedding, conv_out, ...: `rest` is the whole name */
    EQ_PART_DOWN_RESNET,
    EQ_PART_DOWN_ATTENTION,
    EQ_PART_DOWNSAMPLER,
    EQ_PART_MID_RESNET,
    EQ_PART_MID_ATTENTION,
    EQ_PART_UP_RESNET,
    EQ_PART_UP_ATTENTION,
    EQ_PART_UPSAMPLER,
} eq_unet_part;

/* Where a parameter is: "down_blocks.1.resnets.0.norm1.weight" is number 0 of the residual blocks of block 1, and
 * `rest`, a view of the name, is "norm1.weight". */
typedef struct eq_unet_place {
    eq_unet_part part;
    int block; /* of down_blocks or up_blocks, counted in the order in which they run */
    int index;
    const char *rest;
} eq_unet_place;

eq_unet_place eq_unet_place_of(const char *name);

/* What a module is called elsewhere. Tables end with a NULL row. */
typedef struct eq_module_name {
    const char *ours, *theirs;
} eq_module_name;

/* Of "<module>.weight" the row of <module>, and through `parameter` the ".weight"; NULL if the table lacks it. */
const eq_module_name *eq_module_find(const eq_module_name *table, const char *name, const char **parameter);

#endif
