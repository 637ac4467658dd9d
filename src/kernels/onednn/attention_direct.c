#include "kernels/onednn/attention_direct.h"

#include <omp.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__) && (defined(__clang__) || __GNUC__ >= 12)
#include <immintrin.h>

#define DIRECT        __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")))
#define DIRECT_INLINE static inline __attribute__((always_inline)) DIRECT

enum {
    LANES = 16,
    ROWS = 6,           /* queries that a product handles at a time: with 4 vectors of columns, 24 sums in registers */
    WIDEST = 4,         /* vectors of columns in a product */
    TILE = 16 * ROWS,   /* queries that a block of keys is used for while it is near */
    BLOCK = 256,        /* keys */
    LEAST_KEYS = 16,    /* fewer are not worth it */
    MOST_CHANNELS = 256 /* of a head; beyond, oneDNN's products run at full rate */
};

/* What a thread works in. Pairs: two numbers that a dot product takes together lie side by side.
 * k: panels of up to 64 keys, each [size / 2, keys, 2]; v: panels of up to 64 channels, each [keys / 2, channels, 2] */
typedef struct workspace {
    uint16_t *k, *v, *q;  /* q: [TILE, size] */
    float *scores;        /* [ROWS, BLOCK] times log2(e) scale */
    uint16_t *p;          /* [ROWS, BLOCK] */
    float *y;             /* [TILE, columns] sums */
    float *largest, *sum; /* [TILE] of scores so far */
} workspace;

static int64_t up_to_lanes(int64_t count)
{
    return (count + LANES - 1) / LANES * LANES;
}

/* Places the parts one after another; with memory NULL only counts. */
static size_t lay_out(const eq_attention *a, char *memory, workspace *w)
{
    size_t keys = (size_t)up_to_lanes(a->lk), columns = (size_t)up_to_lanes(a->size), at = 0;
    const struct {
        void **place;
        size_t bytes;
    } parts[] = {{(void **)&w->k, keys * (size_t)a->size * sizeof(uint16_t)},
                 {(void **)&w->v, keys * columns * sizeof(uint16_t)},
                 {(void **)&w->q, TILE * (size_t)a->size * sizeof(uint16_t)},
                 {(void **)&w->scores, ROWS * BLOCK * sizeof(float)},
                 {(void **)&w->p, ROWS * BLOCK * sizeof(uint16_t)},
                 {(void **)&w->y, TILE * columns * sizeof(float)},
                 {(void **)&w->largest, TILE * sizeof(float)},
                 {(void **)&w->sum, TILE * sizeof(float)}};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        *parts[i].place = memory ? memory + at : NULL;
        at += (parts[i].bytes + 63) / 64 * 64;
    }
    return at;
}

bool eq_attention_direct_offered(const eq_attention *a)
{
    return a->dtype == EQ_BF16 && !a->causal && a->size % 2 == 0 && a->size <= MOST_CHANNELS && a->lk >= LEAST_KEYS &&
           __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}

size_t eq_attention_direct_scratch(const eq_attention *a, int threads)
{
    workspace w;
    return lay_out(a, NULL, &w) * (size_t)threads;
}

/* --- packing --- */

static uint32_t pair_at(const uint16_t *numbers)
{
    uint32_t pair;
    memcpy(&pair, numbers, sizeof pair);
    return pair;
}

/* k: rows a->c apart. Keys that fill up the last vector are zero. */
static void pack_keys(const eq_attention *a, const uint16_t *k, uint16_t *packed)
{
    int64_t pairs = a->size / 2, all = up_to_lanes(a->lk);
    for (int64_t first = 0; first < all; first += WIDEST * LANES) {
        int64_t width = all - first < WIDEST * LANES ? all - first : WIDEST * LANES;
        uint32_t *panel = (uint32_t *)(void *)packed + first * pairs;
        for (int64_t p = 0; p < pairs; p++)
            for (int64_t j = 0; j < width; j++)
                panel[p * width + j] = first + j < a->lk ? pair_at(k + (first + j) * a->c + 2 * p) : 0;
    }
}

/* Columns of panel `i` of v: vectors are dealt evenly. */
static int64_t panel_start(const eq_attention *a, int64_t i)
{
    int64_t vectors = up_to_lanes(a->size) / LANES, panels = (vectors + WIDEST - 1) / WIDEST;
    return i * vectors / panels * LANES;
}

static int64_t panel_count(const eq_attention *a)
{
    return (up_to_lanes(a->size) / LANES + WIDEST - 1) / WIDEST;
}

static void pack_values(const eq_attention *a, const uint16_t *v, uint16_t *packed)
{
    static const uint16_t zeros[WIDEST * LANES];
    int64_t all = up_to_lanes(a->lk);
    for (int64_t i = 0; i < panel_count(a); i++) {
        int64_t first = panel_start(a, i), width = panel_start(a, i + 1) - first;
        uint32_t *panel = (uint32_t *)(void *)(packed + first * all);
        int64_t real = a->size - first < width ? a->size - first : width;
        memset(panel, 0, (size_t)(all * width) * sizeof *packed);
        for (int64_t key = 0; key < a->lk; key += 2) {
            const uint16_t *even = v + key * a->c + first, *odd = key + 1 < a->lk ? even + a->c : zeros;
            for (int64_t j = 0; j < real; j++)
                panel[key / 2 * width + j] = even[j] | (uint32_t)odd[j] << 16;
        }
    }
}

static void pack_queries(const eq_attention *a, const uint16_t *q, int64_t rows, uint16_t *packed)
{
    for (int64_t r = 0; r < rows; r++)
        memcpy(packed + r * a->size, q + r * a->c, (size_t)a->size * sizeof *packed);
    memset(packed + rows * a->size, 0, (size_t)((TILE - rows) * a->size) * sizeof *packed);
}

/* --- products --- */

/* sums: [ROWS][vectors] += left: [ROWS, `step` apart] right: [pairs, 16 * vectors, 2] */
DIRECT_INLINE void multiply(const uint16_t *left, int64_t step, const uint16_t *right, int64_t pairs, int vectors,
                            __m512 sums[ROWS][WIDEST])
{
    for (int64_t p = 0; p < pairs; p++, right += 2 * LANES * vectors) {
        __m512bh columns[WIDEST];
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++)
            columns[j] = (__m512bh)_mm512_loadu_si512(right + 2 * LANES * j);
#pragma GCC unroll 6
        for (int r = 0; r < ROWS; r++) {
            __m512bh row = (__m512bh)_mm512_set1_epi32((int)pair_at(left + r * step + 2 * p));
#pragma GCC unroll 4
            for (int j = 0; j < vectors; j++)
                sums[r][j] = _mm512_dpbf16_ps(sums[r][j], row, columns[j]);
        }
    }
}

/* scores of ROWS queries against 16 * vectors keys, into rows BLOCK apart */
DIRECT_INLINE void score_panel(const uint16_t *q, int64_t size, const uint16_t *k, float scale, int vectors,
                               float *scores)
{
    __m512 sums[ROWS][WIDEST];
#pragma GCC unroll 6
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++)
            sums[r][j] = _mm512_setzero_ps();
    multiply(q, size, k, size / 2, vectors, sums);
#pragma GCC unroll 6
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++)
            _mm512_storeu_ps(scores + r * BLOCK + LANES * j, _mm512_mul_ps(sums[r][j], _mm512_set1_ps(scale)));
}

DIRECT static void score_block(const eq_attention *a, const workspace *w, const uint16_t *q, int64_t first,
                               int64_t keys, float scale)
{
    for (int64_t j = 0; j < keys; j += WIDEST * LANES) {
        const uint16_t *k = w->k + (first + j) * a->size;
        switch ((keys - j + LANES - 1) / LANES) {
        case 1: score_panel(q, a->size, k, scale, 1, w->scores + j); break;
        case 2: score_panel(q, a->size, k, scale, 2, w->scores + j); break;
        case 3: score_panel(q, a->size, k, scale, 3, w->scores + j); break;
        default: score_panel(q, a->size, k, scale, 4, w->scores + j); break;
        }
    }
}

/* y: rows `columns` apart = factor[row] y + p v */
DIRECT_INLINE void value_panel(const uint16_t *p, const uint16_t *v, int64_t pairs, int vectors, const float *factor,
                               int64_t columns, float *y)
{
    __m512 sums[ROWS][WIDEST];
#pragma GCC unroll 6
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++)
            sums[r][j] = _mm512_mul_ps(_mm512_loadu_ps(y + r * columns + LANES * j), _mm512_set1_ps(factor[r]));
    multiply(p, BLOCK, v, pairs, vectors, sums);
#pragma GCC unroll 6
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++)
            _mm512_storeu_ps(y + r * columns + LANES * j, sums[r][j]);
}

DIRECT static void add_values(const eq_attention *a, const workspace *w, int64_t first, int64_t keys,
                              const float *factor, float *y)
{
    int64_t columns = up_to_lanes(a->size), all = up_to_lanes(a->lk), pairs = up_to_lanes(keys) / 2;
    for (int64_t i = 0; i < panel_count(a); i++) {
        int64_t start = panel_start(a, i), width = panel_start(a, i + 1) - start;
        const uint16_t *v = w->v + start * all + first * width;
        switch (width / LANES) {
        case 1: value_panel(w->p, v, pairs, 1, factor, columns, y + start); break;
        case 2: value_panel(w->p, v, pairs, 2, factor, columns, y + start); break;
        case 3: value_panel(w->p, v, pairs, 3, factor, columns, y + start); break;
        default: value_panel(w->p, v, pairs, 4, factor, columns, y + start); break;
        }
    }
}

/* --- the softmax --- */

/* 2^x for x <= 0, within 9e-6; at least 2^-126; NaN stays. */
DIRECT_INLINE __m512 power_of_two(__m512 x)
{
    x = _mm512_max_ps(_mm512_set1_ps(-126), x); /* the second operand where one is NaN */
    __m512 n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), r = _mm512_sub_ps(x, n);
    /* (2^r - 1) / r interpolated on |r| <= 1/2 */
    __m512 p = _mm512_set1_ps(0.00965671029f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.0558382829f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.240225301f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.693136734f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1));
    return _mm512_scalef_ps(p, n);
}

DIRECT_INLINE __mmask16 lanes_of(int64_t left)
{
    return left >= LANES ? (__mmask16)0xffff : (__mmask16)((1u << left) - 1);
}

/* One row of a block: p = 2^(score - largest so far). Returns what earlier sums are to be multiplied by. */
DIRECT_INLINE float weigh_row(const float *scores, int64_t keys, uint16_t *p, float *largest, float *sum)
{
    const __m512 lowest = _mm512_set1_ps(-3e38f);
    __m512 most = lowest, total = _mm512_setzero_ps(), poison = _mm512_setzero_ps();
    for (int64_t j = 0; j < keys; j += LANES)
        most = _mm512_max_ps(most, _mm512_mask_loadu_ps(lowest, lanes_of(keys - j), scores + j));
    float before = *largest, now = _mm512_reduce_max_ps(most);
    now = now > before ? now : before;
    __m512 offset = _mm512_set1_ps(now);
    for (int64_t j = 0; j < keys; j += LANES) {
        __mmask16 lanes = lanes_of(keys - j);
        __m512 s = _mm512_sub_ps(_mm512_loadu_ps(scores + j), offset);
        __m512 e = _mm512_maskz_mov_ps(lanes, power_of_two(s));
        total = _mm512_add_ps(total, e);
        poison = _mm512_mask_add_ps(poison, lanes, poison, _mm512_sub_ps(s, s)); /* NaN where s is not finite */
        _mm256_storeu_si256((__m256i *)(void *)(p + j), (__m256i)_mm512_cvtneps_pbh(e));
    }
    float factor = _mm_cvtss_f32(_mm512_castps512_ps128(power_of_two(_mm512_set1_ps(before - now))));
    *sum = *sum * factor + _mm512_reduce_add_ps(_mm512_add_ps(total, poison));
    *largest = now;
    return factor;
}

/* --- heads --- */

/* The tile's queries lie in w->q. y: the tile's first element, rows a->c apart */
DIRECT static void run_tile(const eq_attention *a, const workspace *w, int64_t rows, uint16_t *y)
{
    int64_t columns = up_to_lanes(a->size), groups = (rows + ROWS - 1) / ROWS;
    const float scale = a->scale * 1.44269504f; /* log2(e) */
    memset(w->y, 0, (size_t)(TILE * columns) * sizeof *w->y);
    for (int64_t r = 0; r < TILE; r++) {
        w->largest[r] = -3e38f;
        w->sum[r] = 0;
    }
    for (int64_t first = 0; first < a->lk; first += BLOCK) {
        int64_t keys = a->lk - first < BLOCK ? a->lk - first : BLOCK;
        for (int64_t g = 0; g < groups; g++) {
            float factor[ROWS];
            score_block(a, w, w->q + g * ROWS * a->size, first, keys, scale);
            for (int64_t r = 0; r < ROWS; r++)
                factor[r] = weigh_row(w->scores + r * BLOCK, keys, w->p + r * BLOCK, &w->largest[g * ROWS + r],
                                      &w->sum[g * ROWS + r]);
            add_values(a, w, first, keys, factor, w->y + g * ROWS * columns);
        }
    }
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < a->size; i += LANES) {
            __m512 s = _mm512_div_ps(_mm512_loadu_ps(w->y + r * columns + i), _mm512_set1_ps(w->sum[r]));
            _mm256_mask_storeu_epi16(y + r * a->c + i, lanes_of(a->size - i), (__m256i)_mm512_cvtneps_pbh(s));
        }
}

DIRECT void eq_attention_direct_run(const eq_attention *a, int threads, const uint16_t *q, const uint16_t *k,
                                    const uint16_t *v, uint16_t *y, void *scratch)
{
    int64_t tiles = (a->lq + TILE - 1) / TILE, items = a->n * a->heads * tiles;
#pragma omp parallel num_threads(threads)
    {
        /* A thread's items follow one another, so it packs a head once. */
        workspace w;
        size_t own = lay_out(a, NULL, &w);
        int64_t packed = -1;
        lay_out(a, (char *)scratch + own * (size_t)omp_get_thread_num(), &w);
#pragma omp for schedule(static)
        for (int64_t item = 0; item < items; item++) {
            int64_t head = item / tiles, row = item % tiles * TILE, rows = a->lq - row < TILE ? a->lq - row : TILE;
            int64_t at_k = eq_attention_start(a, head, a->lk), at_q = eq_attention_start(a, head, a->lq) + row * a->c;
            if (head != packed) {
                pack_keys(a, k + at_k, w.k);
                pack_values(a, v + at_k, w.v);
                packed = head;
            }
            pack_queries(a, q + at_q, rows, w.q);
            run_tile(a, &w, rows, y + at_q);
        }
    }
}

#else

bool eq_attention_direct_offered(const eq_attention *a)
{
    return false;
}

size_t eq_attention_direct_scratch(const eq_attention *a, int threads)
{
    return 0;
}

void eq_attention_direct_run(const eq_attention *a, int threads, const uint16_t *q, const uint16_t *k,
                             const uint16_t *v, uint16_t *y, void *scratch)
{
}

#endif
