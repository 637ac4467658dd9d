#include "kernels/cpu/winograd.h"

#include <omp.h>

#include "kernels/cpu/winograd_points.h"

/* ROWS: tiles that a step of the products takes; a block's products are made for CHUNK panels at a time. */
enum { ROWS = 6, CHUNK = 2, CACHE_NUMBERS = 32 << 10 };
enum { SMALL = 4 << 20 }; /* transformed weights that are not worth a thought */

static bool is_offered(void)
{
#if defined(__GNUC__) && defined(__x86_64__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return false;
#endif
}

bool eq_winograd_plan(const eq_attr *attr, const eq_value_info *x, const eq_shape *weight, const eq_shape *y,
                      eq_winograd *c)
{
    *c = (eq_winograd){.n = x->shape.dim[0],
                       .h = x->shape.dim[1],
                       .w = x->shape.dim[2],
                       .ci = x->shape.dim[3],
                       .ho = y->dim[1],
                       .wo = y->dim[2],
                       .co = y->dim[3],
                       .pad_top = attr->pad_top,
                       .pad_left = attr->pad_left};
    if (!is_offered() || x->dtype != EQ_F32 || attr->stride != 1 || weight->dim[2] != 3 || weight->dim[3] != 3 ||
        c->ci % WIDTH != 0 || c->co % WIDTH != 0)
        return false;
    c->down = (c->ho + OUT - 1) / OUT;
    c->across = (c->wo + OUT - 1) / OUT;
    c->panels = (c->co + PANEL - 1) / PANEL;
    c->threads = omp_get_max_threads();
    c->block = CACHE_NUMBERS / (POINTS * (c->ci + CHUNK * PANEL)) / ROWS * ROWS;
    if (c->block < ROWS)
        c->block = ROWS;
    int64_t picture = c->h * c->w * c->ci + c->ho * c->wo * c->co, weights = eq_winograd_weight_count(c);
    return weights <= SMALL || weights <= 8 * picture;
}

int64_t eq_winograd_weight_count(const eq_winograd *c)
{
    return POINTS * c->panels * c->ci * PANEL;
}

/* --- weights: G g G^T --- */

static void transform_filter(const float taps[9], bool turned, float to[POINTS])
{
    float rows[3][P];
    for (int k = 0; k < 3; k++) {
        float g[3];
        for (int j = 0; j < 3; j++)
            g[j] = turned ? taps[8 - (3 * k + j)] : taps[3 * k + j];
        filter_points(g, rows[k]);
    }
    for (int j = 0; j < P; j++) {
        float column[P];
        filter_points((float[]){rows[0][j], rows[1][j], rows[2][j]}, column);
        for (int i = 0; i < P; i++)
            to[i * P + j] = column[i];
    }
}

void eq_winograd_transform_weights(const eq_winograd *c, const float *weight, float *u)
{
    int64_t point = c->panels * c->ci * PANEL;
#pragma omp parallel for num_threads(c->threads)
    for (int64_t o = 0; o < c->panels * PANEL; o++)
        for (int64_t i = 0; i < c->ci; i++) {
            float all[POINTS] = {0};
            if (o < c->co)
                transform_filter(weight + 9 * (c->turned ? i * c->co + o : o * c->ci + i), c->turned, all);
            for (int p = 0; p < POINTS; p++)
                u[p * point + (o / PANEL * c->ci + i) * PANEL + o % PANEL] = all[p];
        }
}

/* --- pictures: B^T d B --- */

/* from: [36] the tile's pixels, of ci channels each; v: the tile's row of the first point; point: from one point to the
 * next */
TARGET static void transform_picture(const float *const from[POINTS], int64_t ci, float *v, int64_t point)
{
    for (int64_t c = 0; c < ci; c += WIDTH) {
        vec half[P][P]; /* by column, then point down it */
        for (int x = 0; x < P; x++) {
            vec column[P];
#pragma GCC unroll 6
            for (int y = 0; y < P; y++)
                column[y] = VEC(from[y * P + x] + c);
            picture_points(column, half[x]);
        }
        for (int y = 0; y < P; y++) {
            vec row[P], to[P];
#pragma GCC unroll 6
            for (int x = 0; x < P; x++)
                row[x] = half[x][y];
            picture_points(row, to);
#pragma GCC unroll 6
            for (int x = 0; x < P; x++)
                VEC(v + (y * P + x) * point + c) = to[x];
        }
    }
}

void eq_winograd_take_tile(const eq_winograd *c, const float *x, tile t, const float *zero, float *v, int64_t point)
{
    const float *from[POINTS], *image = x + t.image * c->h * c->w * c->ci;
    for (int p = 0; p < POINTS; p++) {
        int64_t iy = t.y - c->pad_top + p / P, ix = t.x - c->pad_left + p % P;
        bool inside = iy >= 0 && iy < c->h && ix >= 0 && ix < c->w;
        from[p] = inside ? image + (iy * c->w + ix) * c->ci : zero;
    }
    transform_picture(from, c->ci, v, point);
}

/* --- products --- */

/* m = v u. v: [ROWS, ci]; u: [ci, PANEL]; m: [ROWS, PANEL], its rows `width` apart */
TARGET static void multiply(int64_t ci, const float *v, const float *u, float *m, int64_t width)
{
    vec sum[ROWS][2] = {0};
    for (int64_t k = 0; k < ci; k++) {
        vec low = VEC(u + k * PANEL), high = VEC(u + k * PANEL + WIDTH);
#pragma GCC unroll 6
        for (int r = 0; r < ROWS; r++) {
            sum[r][0] += v[r * ci + k] * low;
            sum[r][1] += v[r * ci + k] * high;
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < ROWS; r++) {
        VEC(m + r * width) = sum[r][0];
        VEC(m + r * width + WIDTH) = sum[r][1];
    }
}

/* --- results: A^T m A --- */

EQ_INLINE void activate(vec *v, eq_activation activation)
{
    for (int k = 0; k < WIDTH; k++)
        (*v)[k] = eq_activate_value(activation, (*v)[k]);
}

/* m: a tile's channels at the first point; width: of the chunk; y, residual: the tile's first pixel at these channels;
 * high, wide: how much of the tile there is */
TARGET static void transform_result(const eq_winograd *conv, const float *m, int64_t point, int64_t width,
                                    const float *bias, const float *residual, float *y, int64_t high, int64_t wide)
{
    for (int64_t c = 0; c < width; c += WIDTH) {
        vec half[P][OUT];
        for (int x = 0; x < P; x++) {
            vec column[P];
#pragma GCC unroll 6
            for (int p = 0; p < P; p++)
                column[p] = VEC(m + (p * P + x) * point + c);
            result_points(column, half[x]);
        }
        vec add = {0};
        if (bias)
            add = VEC(bias + c);
        for (int64_t r = 0; r < high; r++) {
            vec row[P], to[OUT];
#pragma GCC unroll 6
            for (int x = 0; x < P; x++)
                row[x] = half[x][r];
            result_points(row, to);
            for (int64_t x = 0; x < wide; x++) {
                int64_t at = (r * conv->wo + x) * conv->co + c;
                vec value = to[x] + add;
                if (conv->activation != EQ_ACT_NONE)
                    activate(&value, conv->activation);
                if (residual)
                    value += VEC(residual + at);
                VEC(y + at) = value;
            }
        }
    }
}

/* --- blocks of tiles --- */

typedef struct space {
    float *v;    /* [36, block, ci] */
    float *m;    /* [36, block, CHUNK * PANEL] */
    float *zero; /* [ci]: what lies outside */
} space;

static int64_t space_numbers(const eq_winograd *c)
{
    return (POINTS * c->block * (c->ci + CHUNK * PANEL) + c->ci + 15) / 16 * 16;
}

size_t eq_winograd_scratch_bytes(const eq_winograd *c)
{
    return (size_t)(space_numbers(c) * c->threads) * sizeof(float);
}

static void give_tile(const eq_winograd *c, const space *s, int64_t row, tile t, int64_t channel, const float *bias,
                      const float *residual, float *y)
{
    int64_t at = ((t.image * c->ho + t.y) * c->wo + t.x) * c->co + channel, chunk = CHUNK * PANEL;
    transform_result(c, s->m + row * chunk, c->block * chunk, eq_min_i64(chunk, c->co - channel),
                     bias ? bias + channel : NULL, residual ? residual + at : NULL, y + at,
                     eq_min_i64(OUT, c->ho - t.y), eq_min_i64(OUT, c->wo - t.x));
}

/* m at the panels from `first`. */
static void multiply_chunk(const eq_winograd *c, const float *u, int64_t first, int64_t rows, const space *s)
{
    int64_t last = eq_min_i64(first + CHUNK, c->panels), chunk = CHUNK * PANEL;
    for (int64_t p = 0; p < POINTS; p++)
        for (int64_t j = first; j < last; j++)
            for (int64_t r = 0; r < rows; r += ROWS)
                multiply(c->ci, s->v + (p * c->block + r) * c->ci, u + (p * c->panels + j) * c->ci * PANEL,
                         s->m + (p * c->block + r) * chunk + (j - first) * PANEL, chunk);
}

void eq_winograd_run(const eq_winograd *c, const float *x, const float *u, const float *bias, const float *residual,
                     float *y, void *scratch)
{
    int64_t tiles = c->n * c->down * c->across, blocks = (tiles + c->block - 1) / c->block;
#pragma omp parallel num_threads(c->threads)
    {
        space s = {.v = (float *)scratch + space_numbers(c) * omp_get_thread_num()};
        s.m = s.v + POINTS * c->block * c->ci;
        s.zero = s.m + POINTS * c->block * CHUNK * PANEL;
        /* The last block's products take rows that no tile has filled, too: nobody reads what comes of them. */
        memset(s.zero, 0, (size_t)c->ci * sizeof(float));
#pragma omp for schedule(static)
        for (int64_t b = 0; b < blocks; b++) {
            int64_t first = b * c->block, rows = eq_min_i64(c->block, tiles - first);
            for (int64_t r = 0; r < rows; r++)
                eq_winograd_take_tile(c, x, tile_at(c, first + r), s.zero, s.v + r * c->ci, c->block * c->ci);
            for (int64_t j = 0; j < c->panels; j += CHUNK) {
                multiply_chunk(c, u, j, rows, &s);
                for (int64_t r = 0; r < rows; r++)
                    give_tile(c, &s, r, tile_at(c, first + r), j * PANEL, bias, residual, y);
            }
        }
    }
}
