/* Tensors seen as [n, rows, c], for what is summed, repeated or scaled over the rows. Sums are float32 over blocks of
 * EQ_BLOCK_ROWS rows and double across blocks, in their order, so threads do not matter. */
#ifndef EQ_KERNELS_CPU_ROWS_H
#define EQ_KERNELS_CPU_ROWS_H

#include "kernels/cpu/simd.h"

enum { EQ_BLOCK_ROWS = 64 };

typedef struct eq_rows {
    int64_t n, rows, c;
    int64_t blocks; /* of rows */
} eq_rows;

/* [n, ..., c] */
eq_rows eq_rows_of(const eq_shape *shape);
/* Whether `small` is `large` but for dimensions of 1 that follow each other: the rows. */
bool eq_rows_between(const eq_shape *large, const eq_shape *small, eq_rows *rows);

static inline int64_t eq_block_rows(const eq_rows *rows, int64_t block)
{
    return eq_min_i64(EQ_BLOCK_ROWS, rows->rows - block * EQ_BLOCK_ROWS);
}

/* out: [c] of dtype = factor times the sum over blocks of partial: [blocks, stride], of whose rows c count */
void eq_sum_blocks(const float *partial, int64_t blocks, int64_t stride, int64_t c, float factor, void *out,
                   eq_dtype dtype);

/* data: `count` floats of any dtype, from element `offset` on, as float32 */
void eq_floats_of(const void *data, eq_dtype dtype, int64_t offset, int64_t count, float *out);

#endif
