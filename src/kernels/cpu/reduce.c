/* Sums over pixels and what undoes them: sum_to, average_pool over whole images and its gradient. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/rows.h"

/* out: [c] sums of x: [rows, c] */
EQ_INLINE void sum_rows_body(const void *x, int64_t rows, int64_t c, float *restrict out, int dtype)
{
    memset(out, 0, (size_t)c * sizeof(float));
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4) {
        int64_t r0 = r * c, r1 = r0 + c, r2 = r1 + c, r3 = r2 + c;
#pragma omp simd
        for (int64_t k = 0; k < c; k++)
            out[k] += (eq_load(x, r0 + k, dtype) + eq_load(x, r1 + k, dtype)) +
                      (eq_load(x, r2 + k, dtype) + eq_load(x, r3 + k, dtype));
    }
    for (; r < rows; r++)
#pragma omp simd
        for (int64_t k = 0; k < c; k++)
            out[k] += eq_load(x, r * c + k, dtype);
}

EQ_CLONES static void sum_rows(const void *x, int64_t rows, int64_t c, float *out, eq_dtype type)
{
    EQ_FOR_DTYPE(type, sum_rows_body(x, rows, c, out, dtype));
}

/* x: [n, rows, c] of dtype; y: [n, c] of dtype: factor times the sums; partial: [n, blocks, c] */
static void sum_images(const eq_rows *s, const void *x, eq_dtype dtype, float factor, float *partial, void *y)
{
    int64_t work = s->n * s->blocks;
#pragma omp parallel for schedule(static) if (s->n * s->rows * s->c > 1 << 15)
    for (int64_t w = 0; w < work; w++) {
        int64_t i = w / s->blocks, b = w % s->blocks;
        sum_rows(eq_at(x, (i * s->rows + b * EQ_BLOCK_ROWS) * s->c, dtype), eq_block_rows(s, b), s->c,
                 partial + w * s->c, dtype);
    }
    for (int64_t i = 0; i < s->n; i++)
        eq_sum_blocks(partial + i * s->blocks * s->c, s->blocks, s->c, s->c, factor, eq_at_mutable(y, i * s->c, dtype),
                      dtype);
}

static eq_rows rows_between(const eq_graph *graph, eq_value large, eq_value small)
{
    eq_rows rows;
    eq_rows_between(eq_shape_at(graph, large), eq_shape_at(graph, small), &rows);
    return rows;
}

/* Of one dtype, and rows long enough for vectors. */
static bool supports_between(const eq_graph *graph, eq_value large, eq_value small)
{
    eq_rows rows;
    return eq_rows_between(eq_shape_at(graph, large), eq_shape_at(graph, small), &rows) && rows.c >= 8 &&
           eq_is_f32_or_bf16(graph, large) && eq_info(graph, large)->dtype == eq_info(graph, small)->dtype;
}

static bool supports_sum_to(const eq_graph *graph, const eq_node *node)
{
    return supports_between(graph, node->in[0], node->out[0]);
}

static eq_status prepare(const eq_kernel_env *env, const eq_node *node, void **state, size_t *scratch_bytes)
{
    eq_rows rows = rows_between(env->graph, node->in[0], node->out[0]);
    *scratch_bytes = (size_t)(rows.n * rows.blocks * rows.c) * sizeof(float);
    return EQ_OK;
}

/* in: x: [n, rows, c]; out: [n, 1, c] */
static eq_status run_sum_to(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                            void *const *out, void *scratch)
{
    eq_rows rows = rows_between(env->graph, node->in[0], node->out[0]);
    sum_images(&rows, in[0], eq_info(env->graph, node->in[0])->dtype, 1.0f, scratch, out[0]);
    return EQ_OK;
}

/* --- average_pool over whole images --- */

/* x: [n, h, w, c]; y: [n, 1, 1, c] */
static bool is_global_pool(const eq_graph *graph, const eq_node *node, eq_value x, eq_value y)
{
    const int64_t *large = eq_shape_at(graph, x)->dim, *small = eq_shape_at(graph, y)->dim;
    const eq_attr *a = &node->attr;
    return a->kernel == large[1] && a->kernel == large[2] && small[1] == 1 && small[2] == 1 && a->pad_top == 0 &&
           a->pad_left == 0 && supports_between(graph, x, y);
}

static bool supports_pool(const eq_graph *graph, const eq_node *node)
{
    return is_global_pool(graph, node, node->in[0], node->out[0]);
}

static eq_status run_pool(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in, void *const *out,
                          void *scratch)
{
    eq_rows rows = rows_between(env->graph, node->in[0], node->out[0]);
    sum_images(&rows, in[0], eq_info(env->graph, node->in[0])->dtype, 1.0f / (float)rows.rows, scratch, out[0]);
    return EQ_OK;
}

static bool supports_pool_grad(const eq_graph *graph, const eq_node *node)
{
    return is_global_pool(graph, node, node->out[0], node->in[0]);
}

EQ_INLINE void spread_body(const void *dy, int64_t rows, int64_t c, float factor, void *dx, int dtype)
{
    for (int64_t r = 0; r < rows; r++)
#pragma omp simd
        for (int64_t k = 0; k < c; k++)
            eq_store(dx, r * c + k, dtype, eq_load(dy, k, dtype) * factor);
}

EQ_CLONES static void spread(const void *dy, int64_t rows, int64_t c, float factor, void *dx, eq_dtype type)
{
    EQ_FOR_DTYPE(type, spread_body(dy, rows, c, factor, dx, dtype));
}

/* in: dy: [n, 1, 1, c]; out: dx: [n, h, w, c] */
static eq_status run_pool_grad(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                               void *const *out, void *scratch)
{
    eq_rows rows = rows_between(env->graph, node->out[0], node->in[0]);
    eq_dtype dtype = eq_info(env->graph, node->in[0])->dtype;
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < rows.n; i++)
        spread(eq_at(in[0], i * rows.c, dtype), rows.rows, rows.c, 1.0f / (float)rows.rows,
               eq_at_mutable(out[0], i * rows.rows * rows.c, dtype), dtype);
    return EQ_OK;
}

const eq_kernel eq_cpu_sum_to = {.op = "sum_to",
                                 .backend = "cpu",
                                 .supports = supports_sum_to,
                                 .prepare = prepare,
                                 .run = run_sum_to,
                                 .any_dtype = true};
const eq_kernel eq_cpu_average_pool = {.op = "average_pool",
                                       .backend = "cpu",
                                       .supports = supports_pool,
                                       .prepare = prepare,
                                       .run = run_pool,
                                       .any_dtype = true};
const eq_kernel eq_cpu_average_pool_grad = {.op = "average_pool_grad",
                                            .backend = "cpu",
                                            .supports = supports_pool_grad,
                                            .run = run_pool_grad,
                                            .any_dtype = true};
