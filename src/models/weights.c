#include "models/weights.h"

#include <stdio.h>
#include <stdlib.h>

#include "io/safetensors.h"

enum { NAME_SIZE = 256 };

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

/* Finds a parameter's tensor under its own name or the map's, which goes to `theirs`: "" where there is none. */
static const eq_tensor *find_tensor(const eq_tensor_file *file, const char *name, const eq_name_map *names,
                                    char theirs[NAME_SIZE], eq_weight_part *part)
{
    *part = (eq_weight_part){0};
    theirs[0] = '\0';
    const eq_tensor *tensor = eq_tensor_file_find(file, name);
    if (tensor || !names || !names->name(names->user, name, theirs, NAME_SIZE, part))
        return tensor;
    return eq_tensor_file_find(file, theirs);
}

static eq_status missing_tensor(eq_context *ctx, const eq_param *param, const eq_tensor_file *file, const char *theirs)
{
    bool renamed = theirs[0] && strcmp(theirs, param->name) != 0;
    return eq_fail(ctx, EQ_BAD_INPUT, "%s: no tensor %s%s%s%s; this network needs one of shape %s", file->path,
                   param->name, renamed ? " (or " : "", renamed ? theirs : "", renamed ? ")" : "",
                   eq_shape_format(&param->tensor.shape).text);
}

/* Points the parameter at those rows of `from`, or at a copy of them. */
static eq_status take_part(eq_context *ctx, eq_param *param, const eq_tensor *from, const eq_weight_part *part)
{
    int64_t rows = param->tensor.shape.dim[0];
    size_t row_bytes = eq_tensor_bytes(from) / (size_t)from->shape.dim[0];
    const char *first = (const char *)from->data + (size_t)part->offset * row_bytes;
    if (part->block >= rows) {
        param->tensor.data = (void *)first;
        return EQ_OK;
    }
    char *copy = malloc((size_t)rows * row_bytes);
    if (!copy)
        return eq_fail_memory(ctx, "the network's parameters");
    for (int64_t row = 0; row < rows; row++) {
        int64_t source = row / part->block * part->stride + row % part->block;
        memcpy(copy + (size_t)row * row_bytes, first + (size_t)source * row_bytes, row_bytes);
    }
    free(param->owned);
    param->owned = param->tensor.data = copy;
    return EQ_OK;
}

/* Points the parameter, [rows, columns], at a transposed copy of `from`, [columns, rows]. */
static eq_status take_transposed(eq_context *ctx, eq_param *param, const eq_tensor *from)
{
    size_t rows = (size_t)param->tensor.shape.dim[0], columns = (size_t)param->tensor.shape.dim[1];
    size_t bytes = eq_dtype_size(from->dtype);
    char *copy = malloc(rows * columns * bytes);
    if (!copy)
        return eq_fail_memory(ctx, "the network's parameters");
    for (size_t row = 0; row < rows; row++)
        for (size_t column = 0; column < columns; column++)
            memcpy(copy + (row * columns + column) * bytes, (const char *)from->data + (column * rows + row) * bytes,
                   bytes);
    free(param->owned);
    param->owned = param->tensor.data = copy;
    return EQ_OK;
}

/* The shape of the rows that `part` selects for a parameter of `wanted`; rows that the tensor does not have give a
 * shape that fits nothing. */
static eq_shape part_shape(const eq_shape *shape, const eq_weight_part *part, const eq_shape *wanted)
{
    eq_shape out = *shape;
    if (part->transposed)
        return shape->rank == 2 ? eq_shape_of(shape->dim[1], shape->dim[0]) : eq_shape_of(-1);
    if (part->block < 1 || shape->rank < 1 || wanted->rank < 1)
        return out;
    int64_t rows = wanted->dim[0], blocks = (rows + part->block - 1) / part->block;
    int64_t end = part->offset + (blocks - 1) * part->stride + (rows - (blocks - 1) * part->block);
    out.dim[0] = rows >= 1 && part->offset >= 0 && part->stride >= 0 && end <= shape->dim[0] ? rows : -1;
    return out;
}

static eq_status load_param(eq_context *ctx, eq_param *param, const eq_tensor_file *file, const eq_name_map *names,
                            const eq_tensor **found)
{
    char theirs[NAME_SIZE];
    eq_weight_part part;
    const eq_tensor *tensor = *found = find_tensor(file, param->name, names, theirs, &part);
    if (!tensor)
        return missing_tensor(ctx, param, file, theirs);
    const char *name = theirs[0] ? theirs : param->name;
    eq_shape shape = part_shape(&tensor->shape, &part, &param->tensor.shape);
    if (!same_numbers(&shape, &param->tensor.shape))
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: %s is %s, the configuration wants %s%s", file->path, name,
                       eq_shape_format(&tensor->shape).text, part.block ? "rows for a part of " : "",
                       eq_shape_format(&param->tensor.shape).text);
    if (tensor->dtype != EQ_F32 && tensor->dtype != EQ_BF16 && tensor->dtype != EQ_F16)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: %s is %s; weights must be f32, bf16 or f16", file->path, name,
                       eq_dtype_name(tensor->dtype));
    param->tensor.dtype = tensor->dtype;
    param->tensor.data = tensor->data;
    if (part.transposed)
        return take_transposed(ctx, param, tensor);
    return part.block ? take_part(ctx, param, tensor, &part) : EQ_OK;
}

static bool contains(const eq_tensor *const *list, int count, const eq_tensor *tensor)
{
    for (int i = 0; i < count; i++)
        if (list[i] == tensor)
            return true;
    return false;
}

/* One warning for each that is left out, up to a number that can be read. */
static void list_unused(eq_context *ctx, const char *path, const char *name, size_t number)
{
    enum { LISTED = 50 };
    if (number <= LISTED)
        eq_log(ctx, EQ_LOG_WARNING, "%s: not used: %s", path, name);
    else if (number == LISTED + 1)
        eq_log(ctx, EQ_LOG_WARNING, "%s: not used: more tensors", path);
}

/* Names the first tensors of the file that no parameter took, or all of them in warnings where that is allowed. taken:
 * [count] */
static eq_status check_unused(eq_context *ctx, const eq_tensor_file *file, const eq_name_map *names,
                              const eq_tensor *const *taken, int count)
{
    const char *prefix = names && names->prefix ? names->prefix : "";
    char list[400] = "";
    size_t used = 0, extra = 0;
    for (size_t i = 0; i < file->count; i++) {
        const eq_named_tensor *entry = &file->entries[i];
        if (strncmp(entry->name, prefix, strlen(prefix)) != 0 || contains(taken, count, &entry->tensor))
            continue;
        extra++;
        if (eq_allow_unused(ctx))
            list_unused(ctx, file->path, entry->name, extra);
        else if (extra <= 3)
            used += (size_t)snprintf(list + used, used < sizeof list ? sizeof list - used : 0, "%s%s",
                                     extra > 1 ? ", " : "", entry->name);
        if (used >= sizeof list)
            used = sizeof list - 1;
    }
    if (extra == 0 || eq_allow_unused(ctx))
        return EQ_OK;
    return eq_fail(ctx, EQ_BAD_INPUT,
                   "%s: %zu tensors that this network has no use for: %s%s; is the configuration right? --allow-unused "
                   "leaves them out",
                   file->path, extra, list, extra > 3 ? ", ..." : "");
}

eq_status eq_weights_load(eq_context *ctx, eq_params *params, const eq_tensor_file *file, const eq_name_map *names)
{
    const eq_tensor **taken = calloc((size_t)params->count + 1, sizeof(eq_tensor *));
    if (!taken)
        return eq_fail_memory(ctx, "a list of tensors");
    eq_status status = EQ_OK;
    for (int i = 0; i < params->count && status == EQ_OK; i++)
        status = load_param(ctx, &params->items[i], file, names, &taken[i]);
    if (status == EQ_OK)
        status = check_unused(ctx, file, names, taken, params->count);
    free(taken);
    return status;
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

eq_status eq_weights_check_total(eq_context *ctx, const eq_tensor_file *file, const eq_params *params)
{
    int64_t numbers = 0;
    for (size_t i = 0; i < file->count; i++)
        numbers += eq_shape_count(&file->entries[i].tensor.shape);
    return numbers >= params->total
               ? EQ_OK
               : eq_fail(ctx, EQ_BAD_INPUT, "%s: %lld numbers, but a network of these channels has %lld", file->path,
                         (long long)numbers, (long long)params->total);
}
