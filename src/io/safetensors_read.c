#include "io/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "io/json.h"

enum { MAX_HEADER_BYTES = 100000000 }; /* the format's own limit */

static const char *const dtype_names[EQ_DTYPE_COUNT] = {
    [EQ_F32] = "F32", [EQ_BF16] = "BF16", [EQ_F16] = "F16", [EQ_F64] = "F64", [EQ_I64] = "I64",
    [EQ_I32] = "I32", [EQ_I16] = "I16",   [EQ_I8] = "I8",   [EQ_U8] = "U8",   [EQ_BOOL] = "BOOL",
};

const char *eq_safetensors_dtype_name(eq_dtype dtype)
{
    return dtype_names[dtype];
}

bool eq_safetensors_dtype_find(const char *name, eq_dtype *out)
{
    for (int i = 0; i < EQ_DTYPE_COUNT; i++) {
        if (strcmp(dtype_names[i], name) == 0) {
            *out = (eq_dtype)i;
            return true;
        }
    }
    return false;
}

/* Room for a tensor that is not aligned in the file; filled when somebody looks for the tensor. */
struct copy {
    void *to;
    const uint8_t *from; /* NULL: it is done */
    size_t size;
};

/* What the tensors' data lie in. */
struct owner {
    eq_mapping mapping;
    struct copy *copies; /* [copy_count] */
    size_t copy_count;
};

static void unload_owner(void *pointer)
{
    const struct owner *owner = pointer;
    eq_mapping_unload(&owner->mapping);
}

static void fetch(void *pointer, const eq_tensor *tensor)
{
    struct owner *owner = pointer;
    for (size_t i = 0; i < owner->copy_count; i++) {
        struct copy *copy = &owner->copies[i];
        if (copy->to == tensor->data && copy->from) {
            memcpy(copy->to, copy->from, copy->size);
            copy->from = NULL;
        }
    }
}

static void release_owner(void *pointer)
{
    struct owner *owner = pointer;
    eq_mapping_close(&owner->mapping);
    for (size_t i = 0; i < owner->copy_count; i++)
        free(owner->copies[i].to);
    free(owner->copies);
    free(owner);
}

/* Where a tensor's data lie, relative to the end of the header. */
struct extent {
    uint64_t begin, end;
    const char *name; /* inside the parsed header */
};

static int compare_extents(const void *a, const void *b)
{
    const struct extent *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

static eq_status read_shape(eq_context *ctx, const eq_json *entry, eq_shape *out)
{
    int64_t dim[EQ_MAX_RANK];
    int rank;
    if (!json_is_array(json_object_get(entry->object, "shape")))
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: \"shape\" should be an array", entry->where);
    EQ_TRY(eq_json_ints(ctx, entry, "shape", 0, INT64_MAX, EQ_MAX_RANK, dim, &rank));
    *out = eq_shape_from(rank, dim);
    return EQ_OK;
}

/* Reads one tensor's description; `size` is that of all data. */
static eq_status read_entry(eq_context *ctx, const eq_json *entry, uint64_t size, eq_tensor *tensor,
                            struct extent *extent)
{
    const char *dtype;
    EQ_TRY(eq_json_string(ctx, entry, "dtype", &dtype));
    if (!eq_safetensors_dtype_find(dtype, &tensor->dtype))
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: elements of type %s are not supported", entry->where, dtype);
    EQ_TRY(read_shape(ctx, entry, &tensor->shape));

    int64_t offsets[2];
    int offset_count, element_size = (int)eq_dtype_size(tensor->dtype);
    EQ_TRY(eq_json_ints(ctx, entry, "data_offsets", 0, INT64_MAX, 2, offsets, &offset_count));
    if (offset_count != 2)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: \"data_offsets\" should be two numbers", entry->where);
    extent->begin = (uint64_t)offsets[0];
    extent->end = (uint64_t)offsets[1];
    if (extent->begin > extent->end || extent->end > size)
        return eq_fail(ctx, EQ_BAD_INPUT,
                       "%s: its data, bytes %llu to %llu, are not inside the %llu bytes of the file; is it truncated?",
                       entry->where, (unsigned long long)extent->begin, (unsigned long long)extent->end,
                       (unsigned long long)size);
    int64_t count;
    if (!eq_shape_checked_count(&tensor->shape, (size_t)element_size, &count) ||
        (uint64_t)count * (uint64_t)element_size != extent->end - extent->begin)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: %s elements of shape %s do not take the stated %llu bytes", entry->where,
                       dtype, eq_shape_format(&tensor->shape).text, (unsigned long long)(extent->end - extent->begin));
    return EQ_OK;
}

/* The tensors must follow each other without gap or overlap and fill the file. */
static eq_status check_cover(eq_context *ctx, const char *name, struct extent *extents, size_t count, uint64_t size)
{
    if (count > 1)
        qsort(extents, count, sizeof *extents, compare_extents);
    uint64_t end = 0;
    for (size_t i = 0; i < count; i++) {
        if (extents[i].begin != end)
            return eq_fail(ctx, EQ_BAD_INPUT, "%s: tensor \"%s\": its data %s", name, extents[i].name,
                           extents[i].begin < end ? "overlap another tensor's" : "do not follow the previous tensor's");
        end = extents[i].end;
    }
    if (end != size)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: %llu bytes follow the last tensor's data", name,
                       (unsigned long long)(size - end));
    return EQ_OK;
}

/* Points tensor->data at its bytes, or at room for an aligned copy of them: memory that is not touched yet. */
static eq_status place(eq_context *ctx, const uint8_t *bytes, struct owner *owner, eq_tensor *tensor)
{
    if ((uintptr_t)bytes % eq_dtype_size(tensor->dtype) == 0) {
        tensor->data = (void *)bytes;
        return EQ_OK;
    }
    size_t size = eq_tensor_bytes(tensor);
    struct copy *copies = realloc(owner->copies, (owner->copy_count + 1) * sizeof *copies);
    if (!copies)
        return eq_fail_memory(ctx, "a tensor");
    owner->copies = copies;
    tensor->data = malloc(size + 1);
    if (!tensor->data)
        return eq_fail_memory(ctx, "a tensor");
    copies[owner->copy_count++] = (struct copy){tensor->data, bytes, size};
    return EQ_OK;
}

static eq_status read_metadata(eq_context *ctx, json_t *map, eq_tensor_file *out)
{
    if (!json_is_object(map))
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: \"__metadata__\" should be an object of strings", out->path);
    const char *key;
    json_t *value;
    json_object_foreach(map, key, value)
    {
        if (!json_is_string(value))
            return eq_fail(ctx, EQ_BAD_INPUT, "%s: metadata \"%s\" should be a string", out->path, key);
        EQ_TRY(eq_tensor_file_add_metadata(ctx, out, key, json_string_value(value)));
    }
    return EQ_OK;
}

/* data: [size], what follows the header. Fills out->entries. */
static eq_status read_header(eq_context *ctx, const eq_json *header, const uint8_t *data, uint64_t size,
                             eq_tensor_file *out)
{
    struct owner *owner = out->owner;
    struct extent *extents = calloc(json_object_size(header->object) + 1, sizeof *extents);
    if (!extents)
        return eq_fail_memory(ctx, "a list of tensors");
    eq_status status = EQ_OK;
    size_t count = 0;
    const char *key;
    json_t *value;
    json_object_foreach(header->object, key, value)
    {
        if (strcmp(key, "__metadata__") == 0) {
            EQ_TRY_GOTO(status, read_metadata(ctx, value, out), done);
            continue;
        }
        eq_json entry;
        eq_tensor tensor = {0};
        EQ_TRY_GOTO(status, eq_json_object(ctx, header, key, &entry), done);
        EQ_TRY_GOTO(status, read_entry(ctx, &entry, size, &tensor, &extents[count]), done);
        extents[count].name = key;
        EQ_TRY_GOTO(status, place(ctx, data + extents[count].begin, owner, &tensor), done);
        EQ_TRY_GOTO(status, eq_tensor_file_add(ctx, out, key, &tensor), done);
        count++;
    }
    EQ_TRY_GOTO(status, check_cover(ctx, out->path, extents, count, size), done);
    status = eq_tensor_file_finish(ctx, out);
done:
    free(extents);
    return status;
}

static eq_status parse(eq_context *ctx, const uint8_t *bytes, size_t size, eq_tensor_file *out)
{
    uint64_t length = 0;
    if (size < 8)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: %zu bytes are too few for a safetensors file", out->path, size);
    for (int i = 0; i < 8; i++)
        length |= (uint64_t)bytes[i] << (8 * i);
    if (length > MAX_HEADER_BYTES || length > size - 8)
        return eq_fail(ctx, EQ_BAD_INPUT,
                       "%s: not a safetensors file, or truncated: the stated header of %llu bytes does not fit",
                       out->path, (unsigned long long)length);
    eq_json header;
    EQ_TRY(eq_json_parse(ctx, (const char *)bytes + 8, (size_t)length, out->path, &header));
    eq_status status = read_header(ctx, &header, bytes + 8 + length, size - 8 - length, out);
    eq_json_close(&header);
    return status;
}

/* Takes over the mapping: out's owner closes it. */
static eq_status open_owned(eq_context *ctx, const uint8_t *bytes, size_t size, eq_mapping mapping, const char *name,
                            eq_tensor_file *out)
{
    *out = (eq_tensor_file){0};
    eq_tensor_file file = {0};
    struct owner *owner = calloc(1, sizeof *owner);
    if (!owner) {
        eq_mapping_close(&mapping);
        return eq_fail_memory(ctx, "a tensor file");
    }
    owner->mapping = mapping;
    eq_status status = eq_tensor_file_start(ctx, name, &file);
    file.container = "safetensors";
    file.owner = owner;
    file.release = release_owner;
    file.unload = unload_owner;
    file.fetch = fetch;
    if (status == EQ_OK)
        status = parse(ctx, bytes, size, &file);
    if (status != EQ_OK) {
        eq_tensor_file_close(&file);
        return status;
    }
    *out = file;
    return EQ_OK;
}

eq_status eq_safetensors_from_memory(eq_context *ctx, const uint8_t *bytes, size_t size, const char *name,
                                     eq_tensor_file *out)
{
    return open_owned(ctx, bytes, size, (eq_mapping){0}, name, out);
}

eq_status eq_safetensors_open(eq_context *ctx, const char *path, eq_tensor_file *out)
{
    eq_mapping mapping;
    *out = (eq_tensor_file){0};
    EQ_TRY(eq_mapping_open(ctx, path, &mapping));
    return open_owned(ctx, mapping.bytes, mapping.size, mapping, path, out);
}
