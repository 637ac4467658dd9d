#include "models/weights.h"

#include <stdio.h>
#include <stdlib.h>

#include "io/safetensors.h"

/* Finds a parameter's tensor under its own name or an alias of it. */
static const eq_tensor *find_tensor(const eq_tensor_file *file, const char *name, const eq_name_alias *aliases)
{
    const eq_tensor *tensor = eq_tensor_file_find(file, name);
    for (; !tensor && aliases && aliases->ours; aliases++) {
        const char *at = strstr(name, aliases->ours);
        char other[256];
        if (!at)
            continue;
        snprintf(other, sizeof other, "%.*s%s%s", (int)(at - name), name, aliases->theirs, at + strlen(aliases->ours));
        tensor = eq_tensor_file_find(file, other);
    }
    return tensor;
}

static eq_shape without_trailing_ones(const eq_shape *shape)
{
    eq_shape out = *shape;
    while (out.rank > 1 && out.dim[out.rank - 1] == 1)
        out.rank--;
    return out;
}

static bool same_numbers(const eq_shape *a, const eq_shape *b)
{
    eq_shape x = without_trailing_ones(a), y = without_trailing_ones(b);
    return eq_shape_equal(&x, &y);
}

/* Names the first tensors of the file that no parameter took. */
static eq_status unused_tensors(eq_context *ctx, const eq_params *params, const eq_tensor_file *file)
{
    char names[400] = "";
    size_t used = 0, extra = 0;
    for (size_t i = 0; i < file->count; i++) {
        bool taken = false;
        for (int p = 0; p < params->count && !taken; p++)
            taken = params->items[p].tensor.data == file->entries[i].tensor.data;
        if (taken)
            continue;
        if (extra++ < 3)
            used += (size_t)snprintf(names + used, used < sizeof names ? sizeof names - used : 0, "%s%s",
                                     extra > 1 ? ", " : "", file->entries[i].name);
        if (used >= sizeof names)
            used = sizeof names - 1;
    }
    return eq_fail(ctx, EQ_BAD_INPUT,
                   "%s: %zu tensors that this network has no use for: %s%s; is the configuration right?", file->path,
                   extra, names, extra > 3 ? ", ..." : "");
}

eq_status eq_weights_load(eq_context *ctx, eq_params *params, const eq_tensor_file *file, const eq_name_alias *aliases)
{
    for (int i = 0; i < params->count; i++) {
        eq_param *param = &params->items[i];
        const eq_tensor *found = find_tensor(file, param->name, aliases);
        if (!found)
            return eq_fail(ctx, EQ_BAD_INPUT, "%s: no tensor %s; this network needs one of shape %s", file->path,
                           param->name, eq_shape_format(&param->tensor.shape).text);
        if (!same_numbers(&found->shape, &param->tensor.shape))
            return eq_fail(ctx, EQ_BAD_INPUT, "%s: %s is %s, the configuration wants %s", file->path, param->name,
                           eq_shape_format(&found->shape).text, eq_shape_format(&param->tensor.shape).text);
        if (found->dtype != EQ_F32 && found->dtype != EQ_BF16 && found->dtype != EQ_F16)
            return eq_fail(ctx, EQ_BAD_INPUT, "%s: %s is %s; weights must be f32, bf16 or f16", file->path, param->name,
                           eq_dtype_name(found->dtype));
        param->tensor.dtype = found->dtype;
        param->tensor.data = found->data;
    }
    return file->count == (size_t)params->count ? EQ_OK : unused_tensors(ctx, params, file);
}

/* A copy of the parameter's numbers in `dtype`; malloc'ed. */
static void *converted(const eq_tensor *tensor, eq_dtype dtype)
{
    int64_t count = eq_shape_count(&tensor->shape);
    float *numbers = malloc((size_t)count * sizeof(float) + 1);
    if (!numbers)
        return NULL;
    eq_tensor_to_f32(tensor, numbers);
    /* Narrowed in place: each 2-byte result lies before the 4-byte number still to be read. */
    for (int64_t i = 0; dtype != EQ_F32 && i < count; i++) {
        float value;
        memcpy(&value, (char *)numbers + (size_t)i * sizeof value, sizeof value);
        uint16_t half = dtype == EQ_BF16 ? eq_f32_to_bf16(value) : eq_f32_to_f16(value);
        memcpy((char *)numbers + (size_t)i * sizeof half, &half, sizeof half);
    }
    return numbers;
}

eq_status eq_weights_save(eq_context *ctx, const eq_params *params, const char *path, eq_dtype dtype,
                          const eq_metadata *metadata, size_t metadata_count)
{
    size_t count = (size_t)params->count;
    eq_named_tensor *tensors = calloc(count + 1, sizeof *tensors);
    eq_status status = tensors ? EQ_OK : eq_fail_memory(ctx, "the weights to write");
    for (size_t i = 0; status == EQ_OK && i < count; i++) {
        const eq_param *param = &params->items[i];
        tensors[i].name = param->name;
        tensors[i].tensor = (eq_tensor){dtype, param->tensor.shape, converted(&param->tensor, dtype)};
        if (!tensors[i].tensor.data)
            status = eq_fail_memory(ctx, "the weights to write");
    }
    if (status == EQ_OK)
        status = eq_safetensors_write(ctx, path, tensors, count, metadata, metadata_count);
    for (size_t i = 0; tensors && i < count; i++)
        free(tensors[i].tensor.data);
    free(tensors);
    return status;
}
