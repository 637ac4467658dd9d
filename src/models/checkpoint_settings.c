#include "models/checkpoint_settings.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/path.h"

eq_status eq_checkpoint_source_open(eq_context *ctx, const eq_tensor_file *weights, eq_checkpoint_source *out)
{
    *out = (eq_checkpoint_source){.weights = weights};
    char *folder = eq_path_folder(weights->path);
    char *path = folder ? eq_path_join(folder, "model_config.json") : NULL;
    eq_status status = path ? EQ_OK : eq_fail_memory(ctx, "a path");
    if (status == EQ_OK && eq_path_exists(path))
        status = eq_json_read(ctx, path, &out->settings);
    free(folder);
    free(path);
    return status;
}

void eq_checkpoint_source_close(eq_checkpoint_source *source)
{
    if (source->settings.object)
        eq_json_close(&source->settings);
    *source = (eq_checkpoint_source){0};
}

static const eq_tensor *find(const eq_checkpoint_source *source, const char *format, va_list args)
{
    char name[256];
    vsnprintf(name, sizeof name, format, args);
    return eq_tensor_file_find(source->weights, name);
}

bool eq_checkpoint_has(const eq_checkpoint_source *source, const char *name, ...)
{
    va_list args;
    va_start(args, name);
    const eq_tensor *tensor = find(source, name, args);
    va_end(args);
    return tensor != NULL;
}

int eq_checkpoint_size(const eq_checkpoint_source *source, int dim, const char *name, ...)
{
    va_list args;
    va_start(args, name);
    const eq_tensor *tensor = find(source, name, args);
    va_end(args);
    if (!tensor || dim >= tensor->shape.rank)
        return 0;
    int64_t size = tensor->shape.dim[dim];
    return size > INT_MAX ? INT_MAX : (int)size;
}

bool eq_checkpoint_says(const eq_checkpoint_source *source, const char *key)
{
    return source->settings.object && eq_json_has(&source->settings, key);
}

eq_status eq_checkpoint_int(eq_context *ctx, const eq_checkpoint_source *source, const char *key, int usual, int low,
                            int high, int *out)
{
    int64_t value = usual;
    if (source->settings.object)
        EQ_TRY(eq_json_int_or(ctx, &source->settings, key, usual, low, high, &value));
    *out = (int)value;
    return EQ_OK;
}

eq_status eq_checkpoint_bool(eq_context *ctx, const eq_checkpoint_source *source, const char *key, bool usual,
                             bool *out)
{
    *out = usual;
    return source->settings.object ? eq_json_bool_or(ctx, &source->settings, key, usual, out) : EQ_OK;
}

eq_status eq_checkpoint_agree(eq_context *ctx, const eq_checkpoint_source *source, const char *key, int found)
{
    int said;
    EQ_TRY(eq_checkpoint_int(ctx, source, key, found, 0, INT_MAX, &said));
    if (said != found)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: %s is %d, but by the weights in %s it is %d", source->settings.where,
                       key, said, source->weights->path, found);
    return EQ_OK;
}

eq_status eq_checkpoint_agree_bool(eq_context *ctx, const eq_checkpoint_source *source, const char *key, bool found)
{
    bool said;
    EQ_TRY(eq_checkpoint_bool(ctx, source, key, found, &said));
    if (said != found)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: %s is %s, but by the weights in %s it is %s", source->settings.where,
                       key, said ? "true" : "false", source->weights->path, found ? "true" : "false");
    return EQ_OK;
}

static bool parse_numbers(const char *text, int capacity, double *out, int *count)
{
    while (*text) {
        char *end;
        if (*count == capacity)
            return false;
        out[(*count)++] = strtod(text, &end);
        if (end == text || (*end != ',' && *end != '\0') || (*end == ',' && end[1] == '\0'))
            return false;
        text = *end ? end + 1 : end;
    }
    return true;
}

eq_status eq_checkpoint_numbers(eq_context *ctx, const eq_checkpoint_source *source, const char *key, int capacity,
                                double *out, int *count)
{
    *count = 0;
    if (!eq_checkpoint_says(source, key))
        return EQ_OK;
    const json_t *value = json_object_get(source->settings.object, key), *item;
    size_t i;
    bool valid = json_is_array(value) && json_array_size(value) <= (size_t)capacity;
    if (json_is_string(value))
        valid = parse_numbers(json_string_value(value), capacity, out, count);
    else
        json_array_foreach(value, i, item)
        {
            if (!valid || !(valid = json_is_number(item)))
                break;
            out[(*count)++] = json_number_value(item);
        }
    if (!valid)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: %s: expected at most %d numbers, as in \"1,2,2\" or [1, 2, 2]",
                       source->settings.where, key, capacity);
    return EQ_OK;
}

eq_status eq_checkpoint_agree_channels(eq_context *ctx, const eq_checkpoint_source *source, const char *key,
                                       const double *multiple, int count, int base, const eq_unet_config *unet)
{
    bool same = count == unet->levels;
    for (int i = 0; same && i < count; i++)
        same = floor(multiple[i] * base) == unet->block_out_channels[i];
    if (same)
        return EQ_OK;
    return eq_fail(ctx, EQ_BAD_INPUT, "%s: %s does not go with the weights in %s: %d levels, of %d to %d channels",
                   source->settings.where, key, source->weights->path, unet->levels, unet->block_out_channels[0],
                   unet->block_out_channels[unet->levels - 1]);
}

eq_status eq_checkpoint_agree_attention(eq_context *ctx, const eq_checkpoint_source *source, const char *key,
                                        const eq_unet_config *unet)
{
    double side[2 * EQ_UNET_MAX_LEVELS];
    int count;
    if (!eq_checkpoint_says(source, key) || !eq_checkpoint_says(source, "image_size"))
        return EQ_OK;
    EQ_TRY(eq_checkpoint_numbers(ctx, source, key, 2 * EQ_UNET_MAX_LEVELS, side, &count));
    for (int level = 0; level < unet->levels; level++) {
        bool attends = false;
        for (int i = 0; i < count; i++)
            attends = attends || side[i] * (1 << level) == unet->sample_size;
        if (attends != unet->down_attention[level])
            return eq_fail(ctx, EQ_BAD_INPUT,
                           "%s: %s asks for %s attention at %d pixels a side; the weights in %s have %s",
                           source->settings.where, key, attends ? "an" : "no", unet->sample_size >> level,
                           source->weights->path, attends ? "none" : "one");
    }
    return EQ_OK;
}
