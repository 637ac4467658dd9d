/* What attention and its gradient share. Work is cut into heads, and a head's queries into tiles of equal size (the
 * last is filled up with zeros); the scores of one tile against all keys, [tile, lk], are all that a thread holds. */
#ifndef EQ_KERNELS_ONEDNN_ATTENTION_H
#define EQ_KERNELS_ONEDNN_ATTENTION_H

#include "kernels/kernel.h"

typedef struct eq_attention {
    int64_t n, lq, lk, c, heads, size; /* size: channels of a head */
    int64_t tile, tiles;               /* queries in a tile, tiles in a head */
    float scale;
    bool causal;
    eq_dtype dtype;
} eq_attention;

eq_attention eq_attention_of(const eq_graph *graph, const eq_node *node);

/* The index, in elements, where a head begins in a tensor of `length` rows; head counts over the batch, too. */
static inline int64_t eq_attention_start(const eq_attention *a, int64_t head, int64_t length)
{
    return head / a->heads * length * a->c + head % a->heads * a->size;
}

/* How many of the tile's rows are queries. */
static inline int64_t eq_attention_rows(const eq_attention *a, int64_t tile)
{
    int64_t rest = a->lq - tile * a->tile;
    return rest < a->tile ? rest : a->tile;
}

/* from: rows a->c apart; to: [a->tile, size], zeros after `rows` */
void eq_attention_gather(const eq_attention *a, const void *from, int64_t rows, void *to);

/* scores: [a->tile, lk], of the tile that starts at query `first` -> p: exp(scale s - largest of the row) in a->dtype
 * (may be `scores` itself when that is f32), 0 for keys that are not seen; factor: [a->tile], 1 / sum of a row */
void eq_attention_weights(const eq_attention *a, const float *scores, int64_t first, void *p, float *factor);

/* y: rows a->c apart = factor[row] * from: [rows, size]; factor NULL: 1 */
void eq_attention_scatter(const eq_attention *a, const float *from, const float *factor, int64_t rows, void *y);

/* Gradient of the scores from that of the probabilities. p: [a->tile, lk], probabilities; dp: [a->tile, lk] -> ds, in
 * a->dtype (may be `dp` itself when that is f32) */
void eq_attention_score_gradient(const eq_attention *a, const float *p, const float *dp, void *ds);

/* p: [a->tile, lk] in float32, multiplied by the row's factor -> p, and a copy in bfloat16 unless `copy` is NULL */
void eq_attention_normalise(const eq_attention *a, float *p, const float *factor, uint16_t *copy);

#endif
