/* Checkpoints of one file, written under another format's names. */
#ifndef EQ_TESTS_UNIT_CHECKPOINT_FILE_H
#define EQ_TESTS_UNIT_CHECKPOINT_FILE_H

#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "io/safetensors.h"
#include "models/weights.h"

/* Parameter files being made: tensors by their name there. */
typedef struct file_maker {
    eq_named_tensor tensors[1024];
    size_t count;
} file_maker;

static inline eq_tensor *add_tensor(file_maker *file, const char *name, eq_shape shape)
{
    for (size_t i = 0; i < file->count; i++)
        if (strcmp(file->tensors[i].name, name) == 0)
            return &file->tensors[i].tensor;
    assert_true(file->count < 1024);
    eq_named_tensor *added = &file->tensors[file->count++];
    *added = (eq_named_tensor){strdup(name), {EQ_F32, shape, calloc((size_t)eq_shape_count(&shape), sizeof(float))}};
    return &added->tensor;
}

/* Writes a query, key or value into the fused tensor, row by row as the original code would read it. */
static inline void fuse(eq_tensor *to, const eq_tensor *from, int which, int heads, bool new_order)
{
    int64_t channels = from->shape.dim[0], head = channels / heads, row = eq_shape_count(&from->shape) / channels;
    for (int64_t i = 0; i < channels; i++) {
        int64_t place = new_order ? which * channels + i : (i / head * 3 + which) * head + i % head;
        memcpy((float *)to->data + place * row, (const float *)from->data + i * row, (size_t)row * sizeof(float));
    }
}

static inline void add_param(file_maker *file, const eq_name_map *map, const eq_param *param, bool new_order)
{
    char name[256];
    eq_weight_part part = {0};
    assert_true(map->name(map->user, param->name, name, sizeof name, &part));
    eq_shape shape = param->tensor.shape;
    if (!strstr(name, ".qkv.")) {
        assert_int_equal(part.block, 0);
        memcpy(add_tensor(file, name, shape)->data, param->tensor.data, eq_tensor_bytes(&param->tensor));
        return;
    }
    int which = strstr(param->name, ".query.") ? 0 : strstr(param->name, ".key.") ? 1 : 2;
    shape.dim[0] *= 3;
    if (shape.rank == 2)
        shape = eq_shape_of(shape.dim[0], shape.dim[1], 1);
    fuse(add_tensor(file, name, shape), &param->tensor, which, (int)(param->tensor.shape.dim[0] / 16), new_order);
}

/* A parameter of OpenCLIP's: queries, keys and values under each other in one tensor, the projection transposed. */
static inline void add_open_clip_param(file_maker *file, const eq_name_map *map, const eq_param *param)
{
    char name[256];
    eq_weight_part part = {0};
    assert_true(map->name(map->user, param->name, name, sizeof name, &part));
    eq_shape shape = param->tensor.shape;
    size_t bytes = eq_tensor_bytes(&param->tensor);
    if (strstr(name, ".in_proj_")) {
        size_t which = strstr(param->name, ".q_proj.") ? 0 : strstr(param->name, ".k_proj.") ? 1 : 2;
        shape.dim[0] *= 3;
        memcpy((char *)add_tensor(file, name, shape)->data + which * bytes, param->tensor.data, bytes);
    } else if (strcmp(param->name, "text_projection.weight") == 0) {
        int64_t rows = shape.dim[0], columns = shape.dim[1];
        const float *from = param->tensor.data;
        float *to = add_tensor(file, name, eq_shape_of(columns, rows))->data;
        for (int64_t i = 0; i < rows * columns; i++)
            to[i % columns * rows + i / columns] = from[i];
    } else {
        memcpy(add_tensor(file, name, shape)->data, param->tensor.data, bytes);
    }
}

static inline void free_maker(file_maker *file)
{
    for (size_t i = 0; i < file->count; i++) {
        free((char *)file->tensors[i].name);
        free(file->tensors[i].tensor.data);
    }
    free(file);
}

/* Writes "<folder>/model.pt", and settings beside it unless they are NULL. Returns its path, static. */
static inline const char *write_checkpoint(eq_context *ctx, const char *folder, const eq_params *params,
                                           const eq_name_map *map, bool new_order, const char *settings)
{
    static char path[600];
    file_maker *file = calloc(1, sizeof *file);
    for (int i = 0; i < params->count; i++)
        add_param(file, map, &params->items[i], new_order);
    snprintf(path, sizeof path, "%s/model_config.json", folder);
    remove(path);
    if (settings)
        assert_int_equal(eq_file_write(ctx, path, settings, strlen(settings)), EQ_OK);
    snprintf(path, sizeof path, "%s/model.pt", folder);
    assert_int_equal(eq_safetensors_write(ctx, path, file->tensors, file->count, NULL, 0), EQ_OK);
    free_maker(file);
    return path;
}

#endif
