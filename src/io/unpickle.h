/* Reads the pickles inside PyTorch's files without executing them. The values that checkpoints consist of are known
 * (none, numbers, text, lists, tuples, sets, dictionaries, storages, tensors); a pickle that asks for anything else is
 * refused. */
#ifndef EQ_IO_UNPICKLE_H
#define EQ_IO_UNPICKLE_H

#include <stddef.h>
#include <stdint.h>

#include "tensor/tensor.h"

typedef enum eq_pickle_kind {
    EQ_PICKLE_NONE,
    EQ_PICKLE_BOOL,
    EQ_PICKLE_INT,
    EQ_PICKLE_LONG, /* an integer of more than 64 bits: `text` are its bytes, little-endian two's complement */
    EQ_PICKLE_FLOAT,
    EQ_PICKLE_TEXT,
    EQ_PICKLE_BYTES,
    EQ_PICKLE_TUPLE,
    EQ_PICKLE_LIST,
    EQ_PICKLE_SET,
    EQ_PICKLE_DICT,
    EQ_PICKLE_GLOBAL,
    EQ_PICKLE_STORAGE,
    EQ_PICKLE_TENSOR
} eq_pickle_kind;

typedef struct eq_pickle_value eq_pickle_value;

/* Points into the pickle; not terminated, and may hold any bytes. */
typedef struct eq_pickle_text {
    const char *bytes;
    size_t length;
} eq_pickle_text;

/* For dictionaries key, value, key, value, ... */
typedef struct eq_pickle_items {
    eq_pickle_value **value;
    size_t count, capacity;
} eq_pickle_items;

/* A run of `count` elements from element `first` of the file's storage `key`, which has `total` of them. */
typedef struct eq_pickle_storage {
    eq_pickle_text key;
    eq_dtype dtype;
    int64_t total, first, count;
    const eq_pickle_value *previous; /* the storage made before this one; NULL for the first */
} eq_pickle_storage;

/* The element at index (i, j, ...) is element offset + i * stride[0] + j * stride[1] + ... of the storage. Shape and
 * stride are tuples of as many integers. */
typedef struct eq_pickle_tensor {
    const eq_pickle_value *storage;
    int64_t offset;
    const eq_pickle_value *shape, *stride;
} eq_pickle_tensor;

struct eq_pickle_value {
    eq_pickle_kind kind;
    bool visited;  /* for those who walk the values: containers may hold themselves */
    size_t offset; /* where in the pickle it was made */
    union {
        bool truth;
        int64_t integer;
        double real;
        eq_pickle_text text;
        eq_pickle_items items;
        int global; /* see io/unpickle_globals.h */
        eq_pickle_storage storage;
        eq_pickle_tensor tensor;
    };
};

struct eq_pickle_chunk;

/* Freed by eq_pickle_free; the values belong to it. A zeroed one may be freed. */
typedef struct eq_pickle {
    const char *where;                 /* the file, for messages; the caller's */
    uint64_t base;                     /* where in the file the pickle begins */
    size_t used;                       /* bytes that it takes */
    size_t value_count, element_count; /* values made, and elements of containers, so far */
    size_t storage_count;
    const eq_pickle_value *last_storage; /* the others by storage.previous */
    struct eq_pickle_chunk *chunks;
    eq_pickle_value *root;
} eq_pickle;

/* Limits: far above what checkpoints need, low enough that no file takes all memory. */
enum {
    EQ_PICKLE_MAX_BYTES = 1 << 26,
    EQ_PICKLE_MAX_VALUES = 1 << 22, /* and as many elements of containers */
    EQ_PICKLE_MAX_MEMO = 1 << 22,
    EQ_PICKLE_MAX_STACK = 1 << 20,
    EQ_PICKLE_MAX_MARKS = 1 << 10
};

/* Reads one pickle, protocols 2 to 5, from the beginning of bytes[size], which must stay as they are for as long as the
 * values are used. EQ_BAD_INPUT names `where`, the byte (counted from the file's beginning, given that of the pickle,
 * `base`), what was expected and what was found; for a global that is not known its module and name. */
eq_status eq_unpickle(eq_context *ctx, const uint8_t *bytes, size_t size, const char *where, uint64_t base,
                      eq_pickle *out);
void eq_pickle_free(eq_pickle *pickle);

/* The value under a text key of a dictionary, the first if it occurs again; NULL when there is none. */
eq_pickle_value *eq_pickle_find(const eq_pickle_value *dict, const char *key);
bool eq_pickle_text_is(const eq_pickle_value *value, const char *text);
const char *eq_pickle_kind_name(eq_pickle_kind kind);

/* Text from a file fit for a message: cut after 80 bytes, control characters replaced. */
typedef struct eq_pickle_shown {
    char text[96];
} eq_pickle_shown;
eq_pickle_shown eq_pickle_show(eq_pickle_text text);

/* eq_fail(EQ_BAD_INPUT) with "where: byte N: " before the message; at: offset in the pickle. */
eq_status eq_pickle_fail(eq_context *ctx, const eq_pickle *pickle, size_t at, const char *format, ...) EQ_PRINTF(4, 5);

/* A value that counts toward the limits and belongs to the pickle. */
eq_status eq_pickle_new(eq_context *ctx, eq_pickle *pickle, eq_pickle_kind kind, size_t offset, eq_pickle_value **out);
eq_status eq_pickle_append(eq_context *ctx, eq_pickle *pickle, eq_pickle_value *container, eq_pickle_value *item);

#endif
