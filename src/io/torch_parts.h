/* What the readers of PyTorch's two containers share. */
#ifndef EQ_IO_TORCH_PARTS_H
#define EQ_IO_TORCH_PARTS_H

#include "base/file.h"
#include "io/tensor_file.h"
#include "io/unpickle.h"

/* Owns what the tensors' data lie in. */
typedef struct eq_torch_owner {
    eq_mapping mapping; /* zeroed when the bytes are somebody else's */
    void **copies;      /* [copy_count] */
    size_t copy_count;
    uint64_t budget; /* bytes that may still be copied or inflated, so that a small file cannot take all memory */
} eq_torch_owner;

/* A file being read. Bytes: [size], all of it. */
typedef struct eq_torch_reader {
    eq_context *ctx;
    const uint8_t *bytes;
    size_t size;
    eq_tensor_file *out; /* its owner is an eq_torch_owner */
    /* The bytes of a whole storage, aligned for its elements: [storage->total elements]. Called only for storages that
     * are wanted. `at`: in the pickle, for messages. */
    eq_status (*find)(struct eq_torch_reader *reader, const eq_pickle *pickle, const eq_pickle_storage *storage,
                      size_t at, const uint8_t **data);
    void *container; /* the container's own, for `find` */
} eq_torch_reader;

/* A buffer that lives as long as the tensors, counted against the budget. */
eq_status eq_torch_buffer(eq_torch_reader *reader, uint64_t size, void **out);

/* Adds the tensors below the pickle's root to reader->out, see doc/formats.md for their names. */
eq_status eq_torch_add_tensors(eq_torch_reader *reader, eq_pickle *pickle);

/* The two containers; they fill reader->out up to eq_tensor_file_finish. */
eq_status eq_torch_read_zip(eq_torch_reader *reader);
eq_status eq_torch_read_legacy(eq_torch_reader *reader);
bool eq_torch_is_zip(const uint8_t *bytes, size_t size);
bool eq_torch_is_legacy(const uint8_t *bytes, size_t size);

#endif
