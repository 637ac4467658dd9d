#include "io/safetensors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

static int compare_layout(const void *a, const void *b)
{
    const eq_named_tensor *x = a, *y = b;
    size_t x_size = eq_dtype_size(x->tensor.dtype), y_size = eq_dtype_size(y->tensor.dtype);
    if (x_size != y_size)
        return x_size > y_size ? -1 : 1;
    return strcmp(x->name, y->name);
}

static json_t *describe(const eq_tensor *tensor, uint64_t begin, uint64_t end)
{
    json_t *shape = json_array();
    for (int i = 0; i < tensor->shape.rank; i++)
        json_array_append_new(shape, json_integer(tensor->shape.dim[i]));
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", eq_safetensors_dtype_name(tensor->dtype), "shape", shape,
                     "data_offsets", (json_int_t)begin, (json_int_t)end);
}

/* json_object_set_new refuses names that are not UTF-8, and a NULL value when memory is out. */
static eq_status set(eq_context *ctx, json_t *object, const char *key, json_t *value)
{
    if (json_object_get(object, key)) {
        json_decref(value);
        return eq_fail(ctx, EQ_BAD_USAGE, "the name \"%s\" was given twice for a tensor file", key);
    }
    if (json_object_set_new(object, key, value) != 0)
        return eq_fail(ctx, EQ_BAD_USAGE, "\"%s\" cannot be written to a tensor file: is it valid UTF-8?", key);
    return EQ_OK;
}

/* *header: the text, malloc'ed; *data_bytes: what must follow it. */
static eq_status make_header(eq_context *ctx, const eq_named_tensor *tensors, size_t count, const eq_metadata *metadata,
                             size_t metadata_count, char **header, uint64_t *data_bytes)
{
    eq_status status = EQ_OK;
    uint64_t offset = 0;
    json_t *root = json_object();
    if (metadata_count > 0) {
        json_t *map = json_object();
        EQ_TRY_GOTO(status, set(ctx, root, "__metadata__", map), done);
        for (size_t i = 0; i < metadata_count; i++)
            EQ_TRY_GOTO(status, set(ctx, map, metadata[i].key, json_string(metadata[i].value)), done);
    }
    for (size_t i = 0; i < count; i++) {
        const eq_tensor *tensor = &tensors[i].tensor;
        int64_t elements;
        if (strcmp(tensors[i].name, "__metadata__") == 0) {
            status = eq_fail(ctx, EQ_BAD_USAGE, "\"__metadata__\" cannot be a tensor's name");
            goto done;
        }
        if (!eq_shape_checked_count(&tensor->shape, eq_dtype_size(tensor->dtype), &elements)) {
            status = eq_fail(ctx, EQ_BAD_USAGE, "the tensor \"%s\" has the impossible shape %s", tensors[i].name,
                             eq_shape_format(&tensor->shape).text);
            goto done;
        }
        uint64_t end = offset + (uint64_t)elements * eq_dtype_size(tensor->dtype);
        EQ_TRY_GOTO(status, set(ctx, root, tensors[i].name, describe(tensor, offset, end)), done);
        offset = end;
    }
    *header = json_dumps(root, JSON_COMPACT);
    *data_bytes = offset;
    if (!*header)
        status = eq_fail_memory(ctx, "a tensor file's header");
done:
    json_decref(root);
    return status;
}

/* The length, the header, and spaces up to a multiple of 8. */
static eq_status write_header(eq_context *ctx, eq_file_writer *file, const char *header)
{
    static const char spaces[8] = "        ";
    size_t length = strlen(header), padding = (8 - length % 8) % 8;
    uint8_t prefix[8];
    for (int i = 0; i < 8; i++)
        prefix[i] = (uint8_t)((uint64_t)(length + padding) >> (8 * i));
    EQ_TRY(eq_file_writer_write(ctx, file, prefix, sizeof prefix));
    EQ_TRY(eq_file_writer_write(ctx, file, header, length));
    return eq_file_writer_write(ctx, file, spaces, padding);
}

eq_status eq_safetensors_writer_open(eq_context *ctx, const char *path, eq_named_tensor *tensors, size_t count,
                                     const eq_metadata *metadata, size_t metadata_count, eq_safetensors_writer *out)
{
    *out = (eq_safetensors_writer){0};
    char *header = NULL;
    uint64_t data_bytes = 0;
    if (count > 1)
        qsort(tensors, count, sizeof *tensors, compare_layout);
    EQ_TRY(make_header(ctx, tensors, count, metadata, metadata_count, &header, &data_bytes));
    eq_safetensors_writer writer = {.remaining = data_bytes};
    eq_status status = eq_file_writer_open(ctx, path, &writer.file);
    if (status == EQ_OK)
        status = write_header(ctx, &writer.file, header);
    free(header);
    if (status == EQ_OK && (writer.start = ftello(writer.file.stream)) < 0)
        status = eq_fail_system(ctx, "write", path, errno);
    if (status != EQ_OK) {
        eq_safetensors_writer_abort(&writer);
        return status;
    }
    *out = writer;
    return EQ_OK;
}

eq_status eq_safetensors_writer_data(eq_context *ctx, eq_safetensors_writer *writer, const void *bytes, size_t size)
{
    if (size > writer->remaining)
        return eq_fail(ctx, EQ_BAD_USAGE, "%s: more data were given than its header announces", writer->file.path);
    writer->remaining -= size;
    return eq_file_writer_write(ctx, &writer->file, bytes, size);
}

eq_status eq_safetensors_writer_seek(eq_context *ctx, eq_safetensors_writer *writer, uint64_t offset)
{
    if (fseeko(writer->file.stream, writer->start + (off_t)offset, SEEK_SET) != 0)
        return eq_fail_system(ctx, "write", writer->file.path, errno);
    return EQ_OK;
}

eq_status eq_safetensors_writer_commit(eq_context *ctx, eq_safetensors_writer *writer)
{
    if (writer->remaining > 0) {
        eq_status status = eq_fail(ctx, EQ_BAD_USAGE, "%s: %llu bytes fewer data were given than its header announces",
                                   writer->file.path, (unsigned long long)writer->remaining);
        eq_safetensors_writer_abort(writer);
        return status;
    }
    return eq_file_writer_commit(ctx, &writer->file);
}

void eq_safetensors_writer_abort(eq_safetensors_writer *writer)
{
    if (!writer)
        return;
    eq_file_writer_abort(&writer->file);
    writer->remaining = 0;
}

eq_status eq_safetensors_write(eq_context *ctx, const char *path, const eq_named_tensor *tensors, size_t count,
                               const eq_metadata *metadata, size_t metadata_count)
{
    eq_named_tensor *sorted = malloc((count + 1) * sizeof *sorted);
    if (!sorted)
        return eq_fail_memory(ctx, "a list of tensors");
    if (count > 0)
        memcpy(sorted, tensors, count * sizeof *sorted);
    eq_safetensors_writer writer;
    eq_status status;
    EQ_TRY_GOTO(status, eq_safetensors_writer_open(ctx, path, sorted, count, metadata, metadata_count, &writer), done);
    for (size_t i = 0; i < count; i++) {
        const eq_tensor *tensor = &sorted[i].tensor;
        status = eq_safetensors_writer_data(ctx, &writer, tensor->data, eq_tensor_bytes(tensor));
        if (status != EQ_OK) {
            eq_safetensors_writer_abort(&writer);
            goto done;
        }
    }
    status = eq_safetensors_writer_commit(ctx, &writer);
done:
    free(sorted);
    return status;
}
