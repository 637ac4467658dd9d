#include "tensor/tensor.h"

#include <stdio.h>

static const struct {
    const char *name;
    size_t size;
} dtypes[EQ_DTYPE_COUNT] = {
    [EQ_F32] = {"f32", 4}, [EQ_BF16] = {"bf16", 2}, [EQ_F16] = {"f16", 2}, [EQ_F64] = {"f64", 8},
    [EQ_I64] = {"i64", 8}, [EQ_I32] = {"i32", 4},   [EQ_I16] = {"i16", 2}, [EQ_I8] = {"i8", 1},
    [EQ_U8] = {"u8", 1},   [EQ_BOOL] = {"bool", 1},
};

const char *eq_dtype_name(eq_dtype dtype)
{
    return dtypes[dtype].name;
}

size_t eq_dtype_size(eq_dtype dtype)
{
    return dtypes[dtype].size;
}

eq_shape eq_shape_from(int rank, const int64_t *dim)
{
    eq_shape shape = {.rank = rank};
    for (int i = 0; i < rank; i++)
        shape.dim[i] = dim[i];
    return shape;
}

bool eq_shape_equal(const eq_shape *a, const eq_shape *b)
{
    if (a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i])
            return false;
    return true;
}

int64_t eq_shape_count(const eq_shape *shape)
{
    int64_t count = 1;
    for (int i = 0; i < shape->rank; i++)
        count *= shape->dim[i];
    return count;
}

bool eq_shape_checked_count(const eq_shape *shape, size_t size, int64_t *count)
{
    const uint64_t limit = (uint64_t)1 << 62;
    uint64_t product = size;
    int64_t elements = 1;
    for (int i = 0; i < shape->rank; i++)
        if (shape->dim[i] < 0)
            return false;
    for (int i = 0; i < shape->rank; i++) {
        if (shape->dim[i] == 0) {
            *count = 0;
            return true;
        }
        if (product > limit / (uint64_t)shape->dim[i])
            return false;
        product *= (uint64_t)shape->dim[i];
        elements *= shape->dim[i];
    }
    *count = elements;
    return true;
}

eq_shape_text eq_shape_format(const eq_shape *shape)
{
    eq_shape_text out = {"["};
    size_t used = 1;
    for (int i = 0; i < shape->rank; i++)
        used += (size_t)snprintf(out.text + used, sizeof out.text - used, "%s%lld", i ? ", " : "",
                                 (long long)shape->dim[i]);
    snprintf(out.text + used, sizeof out.text - used, "]");
    return out;
}

size_t eq_tensor_bytes(const eq_tensor *tensor)
{
    return (size_t)eq_shape_count(&tensor->shape) * eq_dtype_size(tensor->dtype);
}

float eq_f16_to_f32(uint16_t value)
{
    uint32_t sign = (uint32_t)(value & 0x8000u) << 16;
    uint32_t exponent = (value >> 10) & 0x1fu;
    uint32_t fraction = value & 0x3ffu;
    uint32_t bits;
    float out;
    if (exponent == 0) { /* zero and subnormals: fraction * 2^-24 exactly */
        out = (float)fraction * 0x1p-24f;
        return sign ? -out : out;
    }
    if (exponent == 31)
        bits = sign | 0x7f800000u | (fraction << 13);
    else
        bits = sign | ((exponent + 112u) << 23) | (fraction << 13);
    memcpy(&out, &bits, sizeof out);
    return out;
}

/* Without branches, for vector units: the exponent is shifted into place as a float's and multiplied up, which also
 * takes care of subnormals. */
void eq_f16_row_to_f32(const uint16_t *from, size_t count, float *to)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t magnitude = (uint32_t)(from[i] & 0x7fffu) << 13, bits;
        float value;
        memcpy(&value, &magnitude, sizeof value);
        value *= 0x1p112f;
        memcpy(&bits, &value, sizeof bits);
        bits |= magnitude >= 0x0f800000u ? 0x7f800000u : 0; /* infinity and NaN */
        bits |= (uint32_t)(from[i] & 0x8000u) << 16;
        memcpy(&to[i], &bits, sizeof bits);
    }
}

uint16_t eq_f32_to_f16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint16_t sign = (uint16_t)((bits >> 16) & 0x8000u);
    uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u)
        return sign | 0x7e00u;
    if (magnitude >= 0x477ff000u) /* rounds to 65536 or more */
        return sign | 0x7c00u;
    if (magnitude < 0x38800000u) { /* below 2^-14: subnormal; adding 0.5 lets the hardware round at 2^-24 */
        float shifted;
        memcpy(&shifted, &magnitude, sizeof shifted);
        shifted += 0.5f;
        memcpy(&bits, &shifted, sizeof bits);
        return sign | (uint16_t)(bits - 0x3f000000u);
    }
    uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
    return sign | (uint16_t)((rounded >> 13) - (112u << 10));
}

void eq_tensor_to_f32(const eq_tensor *tensor, float *out)
{
    size_t count = (size_t)eq_shape_count(&tensor->shape);
    const void *data = tensor->data;
    switch (tensor->dtype) {
    case EQ_F32: memcpy(out, data, count * sizeof(float)); break;
    case EQ_BF16:
        for (size_t i = 0; i < count; i++)
            out[i] = eq_bf16_to_f32(((const uint16_t *)data)[i]);
        break;
    case EQ_F16:
        for (size_t i = 0; i < count; i++)
            out[i] = eq_f16_to_f32(((const uint16_t *)data)[i]);
        break;
    case EQ_F64:
        for (size_t i = 0; i < count; i++)
            out[i] = (float)((const double *)data)[i];
        break;
    case EQ_I64:
        for (size_t i = 0; i < count; i++)
            out[i] = (float)((const int64_t *)data)[i];
        break;
    case EQ_I32:
        for (size_t i = 0; i < count; i++)
            out[i] = (float)((const int32_t *)data)[i];
        break;
    case EQ_I16:
        for (size_t i = 0; i < count; i++)
            out[i] = ((const int16_t *)data)[i];
        break;
    case EQ_I8:
        for (size_t i = 0; i < count; i++)
            out[i] = ((const int8_t *)data)[i];
        break;
    case EQ_U8:
    case EQ_BOOL:
        for (size_t i = 0; i < count; i++)
            out[i] = ((const uint8_t *)data)[i];
        break;
    case EQ_DTYPE_COUNT: break;
    }
}
