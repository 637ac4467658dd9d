#include "kernels/cpu/rows.h"

static void count_blocks(eq_rows *rows)
{
    rows->blocks = (rows->rows + EQ_BLOCK_ROWS - 1) / EQ_BLOCK_ROWS;
}

eq_rows eq_rows_of(const eq_shape *shape)
{
    eq_rows rows = {.n = shape->dim[0], .rows = 1, .c = shape->dim[shape->rank - 1]};
    for (int d = 1; d < shape->rank - 1; d++)
        rows.rows *= shape->dim[d];
    count_blocks(&rows);
    return rows;
}

bool eq_rows_between(const eq_shape *large, const eq_shape *small, eq_rows *rows)
{
    *rows = (eq_rows){1, 1, 1, 1};
    int d = 0;
    for (; d < large->rank && small->dim[d] == large->dim[d]; d++)
        rows->n *= large->dim[d];
    for (; d < large->rank && small->dim[d] == 1; d++)
        rows->rows *= large->dim[d];
    for (; d < large->rank && small->dim[d] == large->dim[d]; d++)
        rows->c *= large->dim[d];
    count_blocks(rows);
    return d == large->rank;
}

enum { CHUNK = 64 };

EQ_CLONES static void sum_chunk(const float *partial, int64_t blocks, int64_t stride, int64_t c, float factor,
                                void *out, eq_dtype dtype)
{
    double sum[CHUNK] = {0};
    for (int64_t b = 0; b < blocks; b++)
#pragma omp simd
        for (int64_t k = 0; k < c; k++)
            sum[k] += (double)partial[b * stride + k];
    for (int64_t k = 0; k < c; k++)
        eq_store(out, k, (int)dtype, (float)sum[k] * factor);
}

void eq_sum_blocks(const float *partial, int64_t blocks, int64_t stride, int64_t c, float factor, void *out,
                   eq_dtype dtype)
{
#pragma omp parallel for schedule(static) if (blocks * c > 1 << 16)
    for (int64_t k = 0; k < c; k += CHUNK)
        sum_chunk(partial + k, blocks, stride, eq_min_i64(CHUNK, c - k), factor, eq_at_mutable(out, k, dtype), dtype);
}

void eq_floats_of(const void *data, eq_dtype dtype, int64_t offset, int64_t count, float *out)
{
    eq_tensor part = {dtype, eq_shape_of(count), (void *)eq_at(data, offset, dtype)};
    eq_tensor_to_f32(&part, out);
}
