/* What group_norm and its gradient share. An image is read twice: once for sums per channel, once to write the result;
 * with enough images each stays in its thread's cache in between. Where channels are few, `fold` pixels are taken as
 * one of width = fold * c channels, so that the inner loops are long. Sums are float32 over blocks of EQ_NORM_BLOCK of
 * these and double across blocks, in the blocks' order, so threads do not matter. */
#ifndef EQ_KERNELS_CPU_GROUP_NORM_H
#define EQ_KERNELS_CPU_GROUP_NORM_H

#include "kernels/cpu/simd.h"

enum { EQ_NORM_BLOCK = 64, EQ_NORM_SUMS = 3, EQ_NORM_TABLES = 8 };

typedef struct eq_norm_layout {
    int64_t n, rows, c, groups, per_group, blocks;
    int64_t fold, width; /* pixels taken as one; fold * c */
    int64_t block;       /* pixels in one */
    eq_dtype dtype;
    bool silu;
    bool split; /* few images: threads share each; otherwise they take whole images */
} eq_norm_layout;

/* Scratch of one image. */
typedef struct eq_norm_space {
    double *total;  /* [EQ_NORM_SUMS, width] sums over the image */
    float *table;   /* [EQ_NORM_TABLES, width] what the passes need per channel, repeated over the fold */
    float *partial; /* [blocks, EQ_NORM_SUMS, width] sums over the blocks */
} eq_norm_space;

/* x: [n, ..., c] */
eq_norm_layout eq_norm_layout_of(const eq_graph *graph, const eq_node *node, eq_value x);
/* Scratch for all images. */
size_t eq_norm_scratch_bytes(const eq_norm_layout *l);
eq_norm_space eq_norm_space_at(const eq_norm_layout *l, void *scratch, int64_t image);

/* Fills row `table` of the space's table with data[image * c ... ] (any floating dtype), or with zeros. */
void eq_norm_load_table(const eq_norm_layout *l, eq_norm_space space, int table, const eq_graph *graph, eq_value value,
                        const void *data, int64_t image);
/* Repeats the first c entries of a row of the table over the fold. */
void eq_norm_repeat(const eq_norm_layout *l, float *row);
/* space.total[0 .. sums - 1, 0 .. c - 1] = space.partial summed over blocks and fold; rows of c follow each other. */
void eq_norm_add_blocks(const eq_norm_layout *l, eq_norm_space space, int sums);

/* Runs `work` for every image i, on threads unless they share each image. A region with a single thread around theirs
 * would do for both, but libgomp starts new threads for every region inside another. */
#define EQ_NORM_FOR_IMAGES(l, i, work)                                                                                 \
    do {                                                                                                               \
        if ((l).split)                                                                                                 \
            for (int64_t i = 0; i < (l).n; i++)                                                                        \
                work;                                                                                                  \
        else                                                                                                           \
            _Pragma("omp parallel for schedule(static)") for (int64_t i = 0; i < (l).n; i++) work;                     \
    } while (0)

static inline int64_t eq_norm_block_rows(const eq_norm_layout *l, int64_t block)
{
    return eq_min_i64(l->block, l->rows - block * l->block);
}

#endif
