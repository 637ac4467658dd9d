/* What attention does between its matrix products, row by row, in float32. */
#include "kernels/cpu/simd.h"
#include "kernels/onednn/attention.h"

enum { TILE = 128, MIN_TILE = 16, SCORES = 1 << 18 }; /* at most SCORES scores in a tile, unless it is the smallest */

eq_attention eq_attention_of(const eq_graph *graph, const eq_node *node)
{
    const eq_value_info *q = eq_info(graph, node->in[0]);
    eq_attention a = {.n = q->shape.dim[0],
                      .lq = q->shape.dim[1],
                      .lk = eq_shape_at(graph, node->in[1])->dim[1],
                      .c = q->shape.dim[2],
                      .heads = node->attr.heads,
                      .size = q->shape.dim[2] / node->attr.heads,
                      .scale = node->attr.scale,
                      .causal = node->attr.causal,
                      .dtype = q->dtype};
    int64_t most = SCORES / a.lk;
    most = most < MIN_TILE ? MIN_TILE : most > TILE ? TILE : most;
    a.tiles = (a.lq + most - 1) / most;
    a.tile = a.tiles > 0 ? (a.lq + a.tiles - 1) / a.tiles : 1;
    return a;
}

void eq_attention_gather(const eq_attention *a, const void *from, int64_t rows, void *to)
{
    size_t element = eq_dtype_size(a->dtype), row = (size_t)a->size * element;
    for (int64_t r = 0; r < rows; r++)
        memcpy((char *)to + (size_t)r * row, (const char *)from + (size_t)(r * a->c) * element, row);
    memset((char *)to + (size_t)rows * row, 0, (size_t)(a->tile - rows) * row);
}

EQ_INLINE float weights_of_row(const float *scores, int64_t keys, float scale, void *p, int64_t at, int dtype)
{
    float largest = scale * scores[0], sum = 0, poison = 0;
#pragma omp simd reduction(max : largest)
    for (int64_t j = 1; j < keys; j++) {
        float s = scale * scores[j];
        largest = s > largest ? s : largest;
    }
#pragma omp simd reduction(+ : sum, poison)
    for (int64_t j = 0; j < keys; j++) {
        float s = scale * scores[j] - largest, e = eq_exp(s);
        sum += e;
        poison += s - s; /* NaN where s is infinite or NaN: eq_exp would hide it */
        eq_store(p, at + j, dtype, e);
    }
    return 1.0f / (sum + poison);
}

EQ_INLINE void weights_of_tile(const eq_attention *a, const float *scores, int64_t first, void *p, float *factor,
                               int dtype)
{
    for (int64_t r = 0; r < a->tile; r++) {
        int64_t keys = a->causal ? eq_min_i64(first + r + 1, a->lk) : a->lk;
        factor[r] = weights_of_row(scores + r * a->lk, keys, a->scale, p, r * a->lk, dtype);
        for (int64_t j = keys; j < a->lk; j++)
            eq_store(p, r * a->lk + j, dtype, 0);
    }
}

EQ_CLONES
void eq_attention_weights(const eq_attention *a, const float *scores, int64_t first, void *p, float *factor)
{
    EQ_FOR_DTYPE(a->dtype, weights_of_tile(a, scores, first, p, factor, dtype));
}

EQ_INLINE void scatter_tile(const eq_attention *a, const float *from, const float *factor, int64_t rows, void *y,
                            int dtype)
{
    for (int64_t r = 0; r < rows; r++) {
        float by = factor ? factor[r] : 1;
#pragma omp simd
        for (int64_t i = 0; i < a->size; i++)
            eq_store(y, r * a->c + i, dtype, by * from[r * a->size + i]);
    }
}

EQ_CLONES
void eq_attention_scatter(const eq_attention *a, const float *from, const float *factor, int64_t rows, void *y)
{
    EQ_FOR_DTYPE(a->dtype, scatter_tile(a, from, factor, rows, y, dtype));
}

EQ_INLINE void score_gradient_of_tile(const eq_attention *a, const float *p, const float *dp, void *ds, int dtype)
{
    for (int64_t r = 0; r < a->tile; r++, p += a->lk, dp += a->lk) {
        float expected = 0;
#pragma omp simd reduction(+ : expected)
        for (int64_t j = 0; j < a->lk; j++)
            expected += p[j] * dp[j];
#pragma omp simd
        for (int64_t j = 0; j < a->lk; j++)
            eq_store(ds, r * a->lk + j, dtype, a->scale * p[j] * (dp[j] - expected));
    }
}

EQ_CLONES
void eq_attention_score_gradient(const eq_attention *a, const float *p, const float *dp, void *ds)
{
    EQ_FOR_DTYPE(a->dtype, score_gradient_of_tile(a, p, dp, ds, dtype));
}

EQ_CLONES
void eq_attention_normalise(const eq_attention *a, float *p, const float *factor, uint16_t *copy)
{
    for (int64_t r = 0; r < a->tile; r++) {
#pragma omp simd
        for (int64_t j = r * a->lk; j < (r + 1) * a->lk; j++)
            p[j] *= factor[r];
        if (copy) {
#pragma omp simd
            for (int64_t j = r * a->lk; j < (r + 1) * a->lk; j++)
                copy[j] = eq_f32_to_bf16(p[j]);
        }
    }
}
