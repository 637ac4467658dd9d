#include "io/tensor_file.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/file_hash.h"
#include "base/path.h"
#include "io/safetensors.h"
#include "io/shards.h"
#include "io/torch_file.h"

enum { HEAD_BYTES = 512 };

eq_status eq_tensor_file_start(eq_context *ctx, const char *path, eq_tensor_file *out)
{
    *out = (eq_tensor_file){.path = strdup(path)};
    return out->path ? EQ_OK : eq_fail_memory(ctx, "a file name");
}

/* Makes room for one more element; capacities are powers of two, so that none need be kept. */
static eq_status grow(eq_context *ctx, void *array, size_t count, size_t element)
{
    if (count & (count - 1))
        return EQ_OK;
    void *old;
    memcpy(&old, array, sizeof old);
    void *grown = realloc(old, (count ? count * 2 : 1) * element);
    if (!grown)
        return eq_fail_memory(ctx, "a list of tensors");
    memcpy(array, &grown, sizeof grown);
    return EQ_OK;
}

eq_status eq_tensor_file_add(eq_context *ctx, eq_tensor_file *file, const char *name, const eq_tensor *tensor)
{
    EQ_TRY(grow(ctx, &file->entries, file->count, sizeof *file->entries));
    char *copy = strdup(name);
    if (!copy)
        return eq_fail_memory(ctx, "a tensor's name");
    file->entries[file->count++] = (eq_named_tensor){copy, *tensor};
    return EQ_OK;
}

eq_status eq_tensor_file_add_metadata(eq_context *ctx, eq_tensor_file *file, const char *key, const char *value)
{
    EQ_TRY(grow(ctx, &file->metadata, file->metadata_count, sizeof *file->metadata));
    eq_metadata pair = {strdup(key), strdup(value)};
    if (!pair.key || !pair.value) {
        free((char *)pair.key);
        free((char *)pair.value);
        return eq_fail_memory(ctx, "metadata");
    }
    file->metadata[file->metadata_count++] = pair;
    return EQ_OK;
}

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const eq_named_tensor *)a)->name, ((const eq_named_tensor *)b)->name);
}

eq_status eq_tensor_file_finish(eq_context *ctx, eq_tensor_file *file)
{
    if (file->count > 1)
        qsort(file->entries, file->count, sizeof *file->entries, compare_entries);
    for (size_t i = 1; i < file->count; i++)
        if (strcmp(file->entries[i - 1].name, file->entries[i].name) == 0)
            return eq_fail(ctx, EQ_BAD_INPUT, "%s: the tensor \"%s\" occurs twice", file->path, file->entries[i].name);
    return EQ_OK;
}

/* The first bytes of a file, fewer where it is shorter. */
static eq_status read_head(eq_context *ctx, const char *path, uint8_t head[HEAD_BYTES], size_t *size)
{
    eq_mapping mapping;
    EQ_TRY(eq_mapping_open(ctx, path, &mapping));
    *size = mapping.size < HEAD_BYTES ? mapping.size : HEAD_BYTES;
    if (*size)
        memcpy(head, mapping.bytes, *size);
    eq_mapping_close(&mapping);
    return EQ_OK;
}

/* A safetensors file begins with the length of its header, a JSON object. Text cannot be such a length: it would be
 * beyond 2^56. */
static bool is_json(const uint8_t *head, size_t size)
{
    return size >= 8 && head[0] == '{' && head[7] != 0;
}

/* Whether it begins as a safetensors file: the length of its header, less than 2^56, and the header. */
static bool is_safetensors(const uint8_t *head, size_t size)
{
    return size > 8 && head[7] == 0 && head[8] == '{';
}

/* A pickle by itself holds no tensors' data. */
static eq_status refuse_pickle(eq_context *ctx, const uint8_t *head, size_t size, const char *name)
{
    if (size < 2 || head[0] != 0x80 || head[1] > 5 || is_safetensors(head, size))
        return EQ_OK;
    return eq_fail(ctx, EQ_BAD_INPUT,
                   "%s: byte 2: a pickle, but not what torch.save writes: PyTorch's magic number expected", name);
}

eq_status eq_tensor_file_open_single(eq_context *ctx, const char *path, eq_tensor_file *out)
{
    uint8_t head[HEAD_BYTES];
    size_t size;
    *out = (eq_tensor_file){0};
    EQ_TRY(read_head(ctx, path, head, &size));
    if (eq_torch_file_is(head, size))
        return eq_torch_file_open(ctx, path, out);
    EQ_TRY(refuse_pickle(ctx, head, size, path));
    return eq_safetensors_open(ctx, path, out);
}

eq_status eq_tensor_file_open(eq_context *ctx, const char *path, eq_tensor_file *out)
{
    uint8_t head[HEAD_BYTES];
    size_t size;
    *out = (eq_tensor_file){0};
    EQ_TRY(read_head(ctx, path, head, &size));
    if (eq_path_has_extension(path, ".index.json") || is_json(head, size))
        return eq_shards_open(ctx, path, out);
    return eq_tensor_file_open_single(ctx, path, out);
}

eq_status eq_tensor_file_probe(eq_context *ctx, const char *path, bool *is)
{
    uint8_t head[HEAD_BYTES];
    size_t size;
    *is = false;
    EQ_TRY(read_head(ctx, path, head, &size));
    *is = eq_torch_file_is(head, size) || is_safetensors(head, size);
    return EQ_OK;
}

eq_status eq_tensor_file_from_memory(eq_context *ctx, const uint8_t *bytes, size_t size, const char *name,
                                     eq_tensor_file *out)
{
    if (eq_torch_file_is(bytes, size))
        return eq_torch_file_from_memory(ctx, bytes, size, name, out);
    *out = (eq_tensor_file){0};
    EQ_TRY(refuse_pickle(ctx, bytes, size, name));
    return eq_safetensors_from_memory(ctx, bytes, size, name, out);
}

void eq_tensor_file_close(eq_tensor_file *file)
{
    if (!file)
        return;
    for (size_t i = 0; i < file->count; i++)
        free((char *)file->entries[i].name);
    for (size_t i = 0; i < file->metadata_count; i++) {
        free((char *)file->metadata[i].key);
        free((char *)file->metadata[i].value);
    }
    free(file->entries);
    free(file->metadata);
    free(file->path);
    if (file->release)
        file->release(file->owner);
    *file = (eq_tensor_file){0};
}

void eq_tensor_file_unload(const eq_tensor_file *file)
{
    if (file->unload)
        file->unload(file->owner);
}

eq_status eq_tensor_file_hash(eq_context *ctx, const eq_tensor_file *file, char hex[65])
{
    return eq_shards_are(file) ? eq_shards_hash(ctx, file, hex) : eq_file_hash(ctx, file->path, hex);
}

const eq_tensor *eq_tensor_file_peek(const eq_tensor_file *file, const char *name)
{
    if (file->count == 0)
        return NULL;
    eq_named_tensor wanted = {.name = name};
    const eq_named_tensor *entry = bsearch(&wanted, file->entries, file->count, sizeof *file->entries, compare_entries);
    return entry ? &entry->tensor : NULL;
}

const eq_tensor *eq_tensor_file_find(const eq_tensor_file *file, const char *name)
{
    const eq_tensor *tensor = eq_tensor_file_peek(file, name);
    if (tensor && file->fetch)
        file->fetch(file->owner, tensor);
    return tensor;
}

const char *eq_tensor_file_metadata(const eq_tensor_file *file, const char *key)
{
    for (size_t i = 0; i < file->metadata_count; i++)
        if (strcmp(file->metadata[i].key, key) == 0)
            return file->metadata[i].value;
    return NULL;
}

eq_status eq_tensor_file_get(eq_context *ctx, const eq_tensor_file *file, const char *name, eq_shape shape,
                             eq_tensor *out)
{
    const eq_tensor *tensor = eq_tensor_file_find(file, name);
    if (!tensor)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: the tensor \"%s\" is missing; is this the right file for this model?",
                       file->path, name);
    if (!eq_shape_equal(&tensor->shape, &shape))
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: the tensor \"%s\" should have the shape %s, found %s", file->path, name,
                       eq_shape_format(&shape).text, eq_shape_format(&tensor->shape).text);
    *out = *tensor;
    return EQ_OK;
}
