/* The safetensors container: an 8-byte little-endian header length, a JSON header of names, dtypes, shapes and
 * offsets, then the data. Everything is little-endian, as are the machines this library runs on. */
#ifndef EQ_IO_SAFETENSORS_H
#define EQ_IO_SAFETENSORS_H

#include "base/file.h"
#include "io/tensor_file.h"

/* Readers; see eq_tensor_file_open, which chooses among them. Files must be as the format's definition says: the
 * tensors cover the data without gap or overlap. EQ_BAD_INPUT names the file, the tensor and the fault. Tensors whose
 * place is not aligned for their type are copied, all others are views. */
eq_status eq_safetensors_open(eq_context *ctx, const char *path, eq_tensor_file *out);
eq_status eq_safetensors_from_memory(eq_context *ctx, const uint8_t *bytes, size_t size, const char *name,
                                     eq_tensor_file *out);

/* Writes a file of tensors that are all in memory, in any order. Replaces `path` only when all is written. */
eq_status eq_safetensors_write(eq_context *ctx, const char *path, const eq_named_tensor *tensors, size_t count,
                               const eq_metadata *metadata, size_t metadata_count);

/* The same in pieces, for data that do not fit in memory. Ended by exactly one of eq_safetensors_writer_commit and
 * eq_safetensors_writer_abort. A zeroed writer may be aborted. */
typedef struct eq_safetensors_writer {
    eq_file_writer file;
    uint64_t remaining; /* data bytes still to come */
    int64_t start;      /* of the data in the file */
} eq_safetensors_writer;

/* Writes the header. `tensors` (their data are not looked at) is sorted into the order in which the data must follow:
 * by size of element, largest first, so that all are aligned, then by name. EQ_BAD_USAGE for repeated or reserved
 * names. */
eq_status eq_safetensors_writer_open(eq_context *ctx, const char *path, eq_named_tensor *tensors, size_t count,
                                     const eq_metadata *metadata, size_t metadata_count, eq_safetensors_writer *out);
/* The next bytes of data; pieces need not match tensors. */
eq_status eq_safetensors_writer_data(eq_context *ctx, eq_safetensors_writer *writer, const void *bytes, size_t size);
/* What follows goes to `offset`, counted from the begin of the data; for data that do not come in the file's order. No
 * byte may be written twice: how many came is all that is checked in the end. */
eq_status eq_safetensors_writer_seek(eq_context *ctx, eq_safetensors_writer *writer, uint64_t offset);
/* Fails, and leaves no file, when data are missing. */
eq_status eq_safetensors_writer_commit(eq_context *ctx, eq_safetensors_writer *writer);
void eq_safetensors_writer_abort(eq_safetensors_writer *writer);

/* The format's name of a dtype ("F32"), and back; false when there is none. */
const char *eq_safetensors_dtype_name(eq_dtype dtype);
bool eq_safetensors_dtype_find(const char *name, eq_dtype *out);

#endif
