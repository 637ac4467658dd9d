/* Element types, shapes and views of tensor data. */
#ifndef EQ_TENSOR_TENSOR_H
#define EQ_TENSOR_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"

typedef enum eq_dtype {
    EQ_F32,
    EQ_BF16,
    EQ_F16,
    EQ_F64,
    EQ_I64,
    EQ_I32,
    EQ_I16,
    EQ_I8,
    EQ_U8,
    EQ_BOOL,
    EQ_DTYPE_COUNT
} eq_dtype;

enum { EQ_MAX_RANK = 5 };

/* Row-major: the last dimension varies fastest. rank 0 is a scalar. */
typedef struct eq_shape {
    int rank;
    int64_t dim[EQ_MAX_RANK];
} eq_shape;

/* A view: dense, row-major; data belongs to somebody else. */
typedef struct eq_tensor {
    eq_dtype dtype;
    eq_shape shape;
    void *data;
} eq_tensor;

/* "f32", "bf16", ... */
const char *eq_dtype_name(eq_dtype dtype);
/* Bytes of one element. */
size_t eq_dtype_size(eq_dtype dtype);

/* eq_shape_of(n, h, w, c): a shape of as many dimensions as arguments. */
#define eq_shape_of(...)                                                                                               \
    eq_shape_from((int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]){__VA_ARGS__})
eq_shape eq_shape_from(int rank, const int64_t *dim);
bool eq_shape_equal(const eq_shape *a, const eq_shape *b);
/* Product of the dimensions; the shape is one that eq_shape_checked_count accepted. */
int64_t eq_shape_count(const eq_shape *shape);
/* The same for shapes from files: false when a dimension is negative or the byte size of `size`-byte elements would not
 * fit in 62 bits. */
bool eq_shape_checked_count(const eq_shape *shape, size_t size, int64_t *count);

/* "[2, 3, 64, 64]" */
typedef struct eq_shape_text {
    char text[128];
} eq_shape_text;
eq_shape_text eq_shape_format(const eq_shape *shape);

size_t eq_tensor_bytes(const eq_tensor *tensor);

/* Converts any floating or integer dtype; out: [count] floats. */
void eq_tensor_to_f32(const eq_tensor *tensor, float *out);

/* bfloat16: the upper half of a float32. Rounds to nearest even; NaN stays NaN. */
static inline float eq_bf16_to_f32(uint16_t value)
{
    uint32_t bits = (uint32_t)value << 16;
    float out;
    memcpy(&out, &bits, sizeof out);
    return out;
}

static inline uint16_t eq_f32_to_bf16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    uint32_t quiet_nan = (bits >> 16) | 0x40u;
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? quiet_nan : rounded);
}

float eq_f16_to_f32(uint16_t value);
uint16_t eq_f32_to_f16(float value);
/* The same of many; equal to the bit, but for the payload of NaN. */
void eq_f16_row_to_f32(const uint16_t *from, size_t count, float *to);

#endif
