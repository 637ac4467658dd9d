/* conv2d_grad_weight where Winograd's filtering serves: the transpose of the convolution's way, block by block of
 * tiles. With V the transformed pictures and Y the transformed gradients of the results, V^T Y at each of 36 points is
 * the gradient of the transformed weights. */
#include <stdlib.h>

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/winograd_points.h"

/* Tiles of a block, which all threads share; input channels that a step of the products takes. */
enum { BLOCK = 96, ROWS = 4 };

/* in: x: [n, h, w, ci], dy: [n, ho, wo, co]; out: dw: [co, ci, 3, 3], db: [co] */
static bool plan(const eq_graph *graph, const eq_node *node, eq_winograd *conv)
{
    return eq_winograd_plan(&node->attr, eq_info(graph, node->in[0]), &node->attr.shape,
                            eq_shape_at(graph, node->in[1]), conv);
}

static bool supports(const eq_graph *graph, const eq_node *node)
{
    eq_winograd conv;
    return plan(graph, node, &conv);
}

typedef struct space {
    int64_t columns; /* of y and du: co, and room to the panel's end */
    float *v;        /* [36, BLOCK, ci] */
    float *y;        /* [36, BLOCK, columns] */
    float *du;       /* [36, ci, columns] */
    float *zero;     /* [ci] */
    float *sums;     /* [BLOCK, co]: of each tile's gradients */
    double *total;   /* [co]: of all */
} space;

static size_t scratch_bytes_of(const eq_winograd *c)
{
    int64_t columns = c->panels * PANEL, floats = POINTS * BLOCK * (c->ci + columns) + POINTS * c->ci * columns;
    return (size_t)columns * sizeof(double) + (size_t)(floats + c->ci + BLOCK * c->co) * sizeof(float);
}

static space lay_out(const eq_winograd *c, void *scratch)
{
    space s = {.columns = c->panels * PANEL, .total = scratch};
    s.du = (float *)(s.total + s.columns);
    s.zero = s.du + POINTS * c->ci * s.columns;
    s.v = s.zero + c->ci;
    s.y = s.v + POINTS * BLOCK * c->ci;
    s.sums = s.y + POINTS * BLOCK * s.columns;
    return s;
}

static eq_status prepare(const eq_kernel_env *env, const eq_node *node, void **kept, size_t *scratch_bytes)
{
    eq_winograd *conv = malloc(sizeof *conv);
    if (!conv)
        return eq_fail_memory(env->ctx, node->op->name);
    plan(env->graph, node, conv);
    *scratch_bytes = scratch_bytes_of(conv);
    *kept = conv;
    return EQ_OK;
}

/* A dy A^T of a tile and the sum of its pixels. dy: the tile's first pixel; high, wide: how much of the tile there is;
 * y: its row at the first point; point: from one point to the next; sums: [co] */
TARGET static void transform_gradient(const eq_winograd *c, const float *dy, int64_t high, int64_t wide, float *y,
                                      int64_t point, float *sums)
{
    for (int64_t k = 0; k < c->co; k += WIDTH) {
        vec half[OUT][P], sum = {0};
        for (int64_t r = 0; r < OUT; r++) {
            vec row[OUT] = {0};
            for (int64_t x = 0; x < wide && r < high; x++) {
                row[x] = VEC(dy + (r * c->wo + x) * c->co + k);
                sum += row[x];
            }
            result_gradient_points(row, half[r]);
        }
        VEC(sums + k) = sum;
        for (int x = 0; x < P; x++) {
            vec column[OUT], to[P];
            for (int r = 0; r < OUT; r++)
                column[r] = half[r][x];
            result_gradient_points(column, to);
            for (int p = 0; p < P; p++)
                VEC(y + (p * P + x) * point + k) = to[p];
        }
    }
}

/* du += v^T y. v: [count, ci], from a column on; y: [count, columns], from a panel on; du: [ROWS, columns] */
TARGET static void multiply(int64_t count, const float *v, int64_t ci, const float *y, int64_t columns, float *du)
{
    vec sum[ROWS][2];
#pragma GCC unroll 4
    for (int r = 0; r < ROWS; r++) {
        sum[r][0] = VEC(du + r * columns);
        sum[r][1] = VEC(du + r * columns + WIDTH);
    }
    for (int64_t t = 0; t < count; t++) {
        vec low = VEC(y + t * columns), high = VEC(y + t * columns + WIDTH);
#pragma GCC unroll 4
        for (int r = 0; r < ROWS; r++) {
            sum[r][0] += v[t * ci + r] * low;
            sum[r][1] += v[t * ci + r] * high;
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < ROWS; r++) {
        VEC(du + r * columns) = sum[r][0];
        VEC(du + r * columns + WIDTH) = sum[r][1];
    }
}

static void take_gradient(const eq_winograd *c, const float *dy, tile t, const space *s, int64_t row)
{
    transform_gradient(c, dy + ((t.image * c->ho + t.y) * c->wo + t.x) * c->co, eq_min_i64(OUT, c->ho - t.y),
                       eq_min_i64(OUT, c->wo - t.x), s->y + row * s->columns, BLOCK * s->columns,
                       s->sums + row * c->co);
}

static void multiply_point(const eq_winograd *c, int64_t p, int64_t rows, const space *s)
{
    for (int64_t j = 0; j < s->columns; j += PANEL)
        for (int64_t i = 0; i < c->ci; i += ROWS)
            multiply(rows, s->v + p * BLOCK * c->ci + i, c->ci, s->y + p * BLOCK * s->columns + j, s->columns,
                     s->du + (p * c->ci + i) * s->columns + j);
}

/* dw: [co, ci, 3, 3] = G^T du G */
static void give_weights(const eq_winograd *c, const space *s, float *dw)
{
#pragma omp parallel for num_threads(c->threads)
    for (int64_t o = 0; o < c->co; o++)
        for (int64_t i = 0; i < c->ci; i++) {
            float rows[P][3];
            for (int y = 0; y < P; y++) {
                float u[P];
                for (int x = 0; x < P; x++)
                    u[x] = s->du[((y * P + x) * c->ci + i) * s->columns + o];
                filter_gradient_points(u, rows[y]);
            }
            for (int x = 0; x < 3; x++) {
                float u[P], taps[3];
                for (int y = 0; y < P; y++)
                    u[y] = rows[y][x];
                filter_gradient_points(u, taps);
                for (int y = 0; y < 3; y++)
                    dw[((o * c->ci + i) * 3 + y) * 3 + x] = taps[y];
            }
        }
}

static void add_sums(const eq_winograd *c, int64_t rows, const space *s)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < c->co; k++)
            s->total[k] += (double)s->sums[r * c->co + k];
}

static eq_status run(const eq_kernel_env *env, const eq_node *node, void *kept, void *const *in, void *const *out,
                     void *scratch)
{
    const eq_winograd *c = kept;
    const float *x = in[0], *dy = in[1];
    float *db = out[1];
    space s = lay_out(c, scratch);
    memset(scratch, 0, (size_t)((unsigned char *)s.v - (unsigned char *)scratch));
    int64_t tiles = c->n * c->down * c->across;
#pragma omp parallel num_threads(c->threads)
    for (int64_t first = 0; first < tiles; first += BLOCK) {
        int64_t rows = eq_min_i64(BLOCK, tiles - first);
#pragma omp for schedule(static)
        for (int64_t r = 0; r < rows; r++) {
            eq_winograd_take_tile(c, x, tile_at(c, first + r), s.zero, s.v + r * c->ci, BLOCK * c->ci);
            take_gradient(c, dy, tile_at(c, first + r), &s, r);
        }
#pragma omp single nowait
        add_sums(c, rows, &s);
#pragma omp for schedule(static)
        for (int64_t p = 0; p < POINTS; p++)
            multiply_point(c, p, rows, &s);
    }
    give_weights(c, &s, out[0]);
    for (int64_t k = 0; db && k < c->co; k++)
        db[k] = (float)s.total[k];
    return EQ_OK;
}

const eq_kernel eq_cpu_conv2d_grad_weight = {.op = "conv2d_grad_weight",
                                             .backend = "cpu",
                                             .supports = supports,
                                             .prepare = prepare,
                                             .run = run,
                                             .release = free,
                                             .any_dtype = true};
