#include "io/torch_file.h"

#include <stdlib.h>

#include "base/memory.h"
#include "io/torch_parts.h"

/* Compressed, strided and unaligned tensors are copied. Weights hardly compress; even zeroed ones stay below this. */
enum { COPIED_BYTES_PER_FILE_BYTE = 64, COPIED_BYTES_ALWAYS = 1 << 26 };

static void unload_owner(void *pointer)
{
    const eq_torch_owner *owner = pointer;
    eq_mapping_unload(&owner->mapping);
}

static void release_owner(void *pointer)
{
    eq_torch_owner *owner = pointer;
    eq_mapping_close(&owner->mapping);
    for (size_t i = 0; i < owner->copy_count; i++)
        eq_buffer_free(owner->copies[i]);
    free(owner->copies);
    free(owner);
}

eq_status eq_torch_buffer(eq_torch_reader *reader, uint64_t size, void **out)
{
    eq_torch_owner *owner = reader->out->owner;
    if (size > owner->budget)
        return eq_fail(reader->ctx, EQ_BAD_INPUT,
                       "%s: its tensors unpack to more than %d times the %zu bytes of the file; is it damaged, or made "
                       "to fill the memory?",
                       reader->out->path, COPIED_BYTES_PER_FILE_BYTE, reader->size);
    size_t count = owner->copy_count;
    if ((count & (count - 1)) == 0) {
        void **grown = realloc(owner->copies, (count ? 2 * count : 1) * sizeof *grown);
        if (!grown)
            return eq_fail_memory(reader->ctx, "a list of tensors");
        owner->copies = grown;
    }
    void *buffer = eq_buffer_new((size_t)size);
    if (!buffer)
        return eq_fail_memory(reader->ctx, "a tensor");
    owner->copies[owner->copy_count++] = buffer;
    owner->budget -= size;
    *out = buffer;
    return EQ_OK;
}

bool eq_torch_file_is(const uint8_t *bytes, size_t size)
{
    return eq_torch_is_zip(bytes, size) || eq_torch_is_legacy(bytes, size);
}

/* Takes over the mapping: out's owner closes it. */
static eq_status open_owned(eq_context *ctx, const uint8_t *bytes, size_t size, eq_mapping mapping, const char *name,
                            eq_tensor_file *out)
{
    *out = (eq_tensor_file){0};
    eq_tensor_file file = {0};
    eq_torch_owner *owner = calloc(1, sizeof *owner);
    if (!owner) {
        eq_mapping_close(&mapping);
        return eq_fail_memory(ctx, "a tensor file");
    }
    owner->mapping = mapping;
    owner->budget = (uint64_t)size * COPIED_BYTES_PER_FILE_BYTE + COPIED_BYTES_ALWAYS;
    eq_status status = eq_tensor_file_start(ctx, name, &file);
    file.container = eq_torch_is_zip(bytes, size) ? "PyTorch zip" : "PyTorch legacy";
    file.owner = owner;
    file.release = release_owner;
    file.unload = unload_owner;
    eq_torch_reader reader = {.ctx = ctx, .bytes = bytes, .size = size, .out = &file};
    if (status == EQ_OK)
        status = eq_torch_is_zip(bytes, size) ? eq_torch_read_zip(&reader) : eq_torch_read_legacy(&reader);
    if (status == EQ_OK)
        status = eq_tensor_file_finish(ctx, &file);
    if (status != EQ_OK) {
        eq_tensor_file_close(&file);
        return status;
    }
    *out = file;
    return EQ_OK;
}

eq_status eq_torch_file_open(eq_context *ctx, const char *path, eq_tensor_file *out)
{
    eq_mapping mapping;
    *out = (eq_tensor_file){0};
    EQ_TRY(eq_mapping_open(ctx, path, &mapping));
    return open_owned(ctx, mapping.bytes, mapping.size, mapping, path, out);
}

eq_status eq_torch_file_from_memory(eq_context *ctx, const uint8_t *bytes, size_t size, const char *name,
                                    eq_tensor_file *out)
{
    return open_owned(ctx, bytes, size, (eq_mapping){0}, name, out);
}
