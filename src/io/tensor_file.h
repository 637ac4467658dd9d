/* Named tensors from a file, whatever its container. */
#ifndef EQ_IO_TENSOR_FILE_H
#define EQ_IO_TENSOR_FILE_H

#include "tensor/tensor.h"

typedef struct eq_named_tensor {
    const char *name;
    eq_tensor tensor;
} eq_named_tensor;

typedef struct eq_metadata {
    const char *key, *value;
} eq_metadata;

/* entries: [count] sorted by name, names unique; metadata: [metadata_count] in the file's order. The strings and
 * arrays belong to the structure. The tensors' data are read-only (they may lie in a mapped file), aligned to their
 * elements, and valid until eq_tensor_file_close: they belong to `owner`, which `release` gives up. */
typedef struct eq_tensor_file {
    char *path;
    const char *container; /* "safetensors", "PyTorch zip", "PyTorch legacy", "shards" */
    size_t count;
    eq_named_tensor *entries;
    size_t metadata_count;
    eq_metadata *metadata;
    void *owner;
    void (*release)(void *owner);
    void (*unload)(void *owner); /* see eq_tensor_file_unload; may be NULL */
    /* Makes the tensor's data, which may be an empty place until somebody looks for the tensor; may be NULL. */
    void (*fetch)(void *owner, const eq_tensor *tensor);
} eq_tensor_file;

/* Opens a file of any container, told by its content: safetensors, PyTorch's zip archives and its older sequence of
 * pickles, or a JSON index with its shards of any of these. */
eq_status eq_tensor_file_open(eq_context *ctx, const char *path, eq_tensor_file *out);
/* The same without indexes: for the shards that one lists. */
eq_status eq_tensor_file_open_single(eq_context *ctx, const char *path, eq_tensor_file *out);
/* Whether the file begins as one of the containers does (an index does not: any JSON could be one). */
eq_status eq_tensor_file_probe(eq_context *ctx, const char *path, bool *is);
/* Reads one file's content from memory, which must stay as it is until the close; `name` stands for the file. */
eq_status eq_tensor_file_from_memory(eq_context *ctx, const uint8_t *bytes, size_t size, const char *name,
                                     eq_tensor_file *out);
void eq_tensor_file_close(eq_tensor_file *file);
/* Gives back the memory of tensors that lie in a mapped file; they are read again where they are touched again. For
 * weights that have been packed. */
void eq_tensor_file_unload(const eq_tensor_file *file);

/* SHA-256 of what it holds, as eq_file_hash remembers it: of the file, or for an index of the SHA-256 of its shards, a
 * line each in the order of their names. */
eq_status eq_tensor_file_hash(eq_context *ctx, const eq_tensor_file *file, char hex[65]);

/* NULL when there is none of that name. Only what is looked for is read from the disk: of the other entries' tensors
 * type and shape are known, but their data must not be used. */
const eq_tensor *eq_tensor_file_find(const eq_tensor_file *file, const char *name);
const char *eq_tensor_file_metadata(const eq_tensor_file *file, const char *key);

/* The tensor that must be there, with that shape; EQ_BAD_INPUT names file, tensor, and both shapes. */
eq_status eq_tensor_file_get(eq_context *ctx, const eq_tensor_file *file, const char *name, eq_shape shape,
                             eq_tensor *out);

/* The same without reading it, for containers of containers. */
const eq_tensor *eq_tensor_file_peek(const eq_tensor_file *file, const char *name);

/* For readers of containers. Start names the file; add copies names; finish sorts, and refuses repeated names. After
 * a failure eq_tensor_file_close cleans up. */
eq_status eq_tensor_file_start(eq_context *ctx, const char *path, eq_tensor_file *out);
eq_status eq_tensor_file_add(eq_context *ctx, eq_tensor_file *file, const char *name, const eq_tensor *tensor);
eq_status eq_tensor_file_add_metadata(eq_context *ctx, eq_tensor_file *file, const char *key, const char *value);
eq_status eq_tensor_file_finish(eq_context *ctx, eq_tensor_file *file);

#endif
