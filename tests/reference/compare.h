/* Comparing with the fixtures: relative L2 error, and the conversion between their NCHW and our channels last. */
#ifndef EQ_TESTS_COMPARE_H
#define EQ_TESTS_COMPARE_H

#include <math.h>
#include <stdlib.h>

#include "io/tensor_file.h"

/* |a - b| / |b| */
static inline double relative_error(const float *a, const float *b, int64_t count)
{
    double difference = 0, norm = 0;
    for (int64_t i = 0; i < count; i++) {
        difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        norm += (double)b[i] * b[i];
    }
    return sqrt(difference / norm);
}

/* The tensor `name` [n, c, h, w] as [n, h, w, c] floats (other ranks as they are); malloc'ed, NULL when it is not
 * there. */
static inline float *channels_last(const eq_tensor_file *file, const char *name)
{
    const eq_tensor *tensor = eq_tensor_file_find(file, name);
    if (!tensor)
        return NULL;
    int64_t count = eq_shape_count(&tensor->shape);
    float *flat = malloc((size_t)count * sizeof(float)), *out = malloc((size_t)count * sizeof(float));
    eq_tensor_to_f32(tensor, flat);
    int rank = tensor->shape.rank;
    int64_t c = rank >= 3 ? tensor->shape.dim[rank - 3] : 1;
    int64_t pixels = rank >= 3 ? tensor->shape.dim[rank - 2] * tensor->shape.dim[rank - 1] : 1;
    for (int64_t i = 0; i < count; i++) {
        int64_t n = i / (c * pixels), channel = i / pixels % c, pixel = i % pixels;
        out[rank >= 3 ? (n * pixels + pixel) * c + channel : i] = flat[i];
    }
    free(flat);
    return out;
}

#endif
