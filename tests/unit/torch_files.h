/* What the tests of PyTorch's files share: a pickle of one tensor in either container, and how such bytes are opened or
 * refused. */
#ifndef EQ_TESTS_UNIT_TORCH_FILES_H
#define EQ_TESTS_UNIT_TORCH_FILES_H

#include "io/tensor_file.h"
#include "torch_bytes.h"

static eq_context *ctx;
static const float six[6] = {0, 1, 2, 3, 4, 5};

static const tensor_bytes dense = {"FloatStorage", "0", 6, 0, 2, {2, 3}, {3, 1}};
static const tensor_bytes transposed = {"FloatStorage", "0", 6, 0, 2, {3, 2}, {1, 3}};

/* {name: tensor} */
static inline bytes dict_of(const char *name, const tensor_bytes *tensor, int legacy)
{
    bytes b = {0};
    PUT(&b, "\x80\2}");
    put_text(&b, name);
    put_tensor(&b, tensor, legacy);
    PUT(&b, "s.");
    return b;
}

/* Takes over the pickle. */
static inline bytes zip_of(bytes pickle, const void *storage, size_t size, size_t shift)
{
    zip_bytes z = {0};
    zip_add(&z, "m/data.pkl", pickle.at, pickle.size, 0);
    zip_add(&z, "m/data/0", storage, size, shift);
    zip_add(&z, "m/version", "3\n", 2, 0);
    zip_finish(&z);
    drop(&pickle);
    return z.file;
}

/* Takes over the pickle. */
static inline bytes legacy_of(bytes pickle, const char *key, uint64_t count, const void *storage, size_t size)
{
    bytes b = {0};
    put_legacy_preamble(&b);
    put(&b, pickle.at, pickle.size);
    PUT(&b, "\x80\2]");
    put_text(&b, key);
    PUT(&b, "a.");
    put_number(&b, count, 8);
    put(&b, storage, size);
    drop(&pickle);
    return b;
}

/* In a block of its exact size, aligned as a mapped file is. */
static inline uint8_t *block_of(const bytes *b)
{
    void *block = NULL;
    assert_int_equal(posix_memalign(&block, 4096, b->size ? b->size : 1), 0);
    memcpy(block, b->at, b->size);
    return block;
}

static inline void open_bytes(const bytes *b, uint8_t **block, eq_tensor_file *out)
{
    *block = block_of(b);
    if (eq_tensor_file_from_memory(ctx, *block, b->size, "m.pt", out) != EQ_OK)
        fail_msg("%s", eq_last_error(ctx));
}

/* Takes over the bytes. */
static inline void assert_refused(bytes b, const char *expected)
{
    eq_tensor_file file;
    uint8_t *block = block_of(&b);
    assert_int_equal(eq_tensor_file_from_memory(ctx, block, b.size, "m.pt", &file), EQ_BAD_INPUT);
    if (!strstr(eq_last_error(ctx), expected) || strncmp(eq_last_error(ctx), "m.pt", 4) != 0)
        fail_msg("expected \"%s\" in: %s", expected, eq_last_error(ctx));
    assert_null(file.entries);
    free(block);
    drop(&b);
}

static inline void assert_floats(const eq_tensor_file *file, const char *name, eq_shape shape, const float *expected)
{
    eq_tensor tensor;
    assert_int_equal(eq_tensor_file_get(ctx, file, name, shape, &tensor), EQ_OK);
    assert_int_equal(tensor.dtype, EQ_F32);
    assert_memory_equal(tensor.data, expected, (size_t)eq_shape_count(&shape) * sizeof(float));
}

#endif
