/* scale_shift, x (1 + scale) + shift with scale and shift per image and channel, and its gradient. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/rows.h"

/* x, y: [rows, c]; factor, shift: [c] */
EQ_INLINE void apply_body(const void *x, int64_t rows, int64_t c, const float *restrict factor,
                          const float *restrict shift, void *y, int dtype)
{
    for (int64_t r = 0; r < rows; r++)
#pragma omp simd
        for (int64_t k = 0; k < c; k++)
            eq_store(y, r * c + k, dtype, eq_load(x, r * c + k, dtype) * factor[k] + shift[k]);
}

EQ_CLONES static void apply(const void *x, int64_t rows, int64_t c, const float *factor, const float *shift, void *y,
                            eq_dtype type)
{
    EQ_FOR_DTYPE(type, apply_body(x, rows, c, factor, shift, y, dtype));
}

/* dx = dy * factor; dscale, dshift: [c] sums of dy x and of dy. dy, x, dx: [rows, c] */
EQ_INLINE void gradient_body(const void *dy, const void *x, int64_t rows, int64_t c, const float *restrict factor,
                             void *dx, float *restrict dscale, float *restrict dshift, int dtype)
{
    memset(dscale, 0, (size_t)c * sizeof(float));
    memset(dshift, 0, (size_t)c * sizeof(float));
    for (int64_t r = 0; r < rows; r++)
#pragma omp simd
        for (int64_t k = 0; k < c; k++) {
            float g = eq_load(dy, r * c + k, dtype);
            dscale[k] += g * eq_load(x, r * c + k, dtype);
            dshift[k] += g;
            eq_store(dx, r * c + k, dtype, g * factor[k]);
        }
}

EQ_CLONES static void gradient(const void *dy, const void *x, int64_t rows, int64_t c, const float *factor, void *dx,
                               float *dscale, float *dshift, eq_dtype type)
{
    EQ_FOR_DTYPE(type, gradient_body(dy, x, rows, c, factor, dx, dscale, dshift, dtype));
}

static bool supports(const eq_graph *graph, const eq_node *node)
{
    return eq_is_f32_or_bf16(graph, node->in[0]) &&
           eq_info(graph, node->in[0])->dtype == eq_info(graph, node->out[0])->dtype;
}

static bool supports_grad(const eq_graph *graph, const eq_node *node)
{
    return supports(graph, node) && eq_info(graph, node->in[0])->dtype == eq_info(graph, node->in[1])->dtype &&
           eq_is_f32_or_bf16(graph, node->in[2]);
}

/* Scratch: 1 + scale and shift, [2, n, c]; for the gradient, 1 + scale and sums [n, blocks, 2, c]. */
static eq_status prepare(const eq_kernel_env *env, const eq_node *node, void **state, size_t *scratch_bytes)
{
    eq_rows s = eq_rows_of(eq_shape_at(env->graph, node->in[0]));
    *scratch_bytes = (size_t)(2 * s.n * s.c * (s.blocks + 1)) * sizeof(float);
    return EQ_OK;
}

/* factor: [n, c] = 1 + scale */
static void load_factor(const eq_rows *s, const void *scale, eq_dtype dtype, float *factor)
{
    eq_floats_of(scale, dtype, 0, s->n * s->c, factor);
    for (int64_t k = 0; k < s->n * s->c; k++)
        factor[k] += 1.0f;
}

/* in: x: [n, rows, c], scale, shift: [n, c]; out: y, like x */
static eq_status run(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in, void *const *out,
                     void *scratch)
{
    const eq_graph *graph = env->graph;
    eq_rows s = eq_rows_of(eq_shape_at(graph, node->in[0]));
    eq_dtype dtype = eq_info(graph, node->in[0])->dtype;
    float *factor = scratch, *shift = factor + s.n * s.c;
    load_factor(&s, in[1], eq_info(graph, node->in[1])->dtype, factor);
    eq_floats_of(in[2], eq_info(graph, node->in[2])->dtype, 0, s.n * s.c, shift);
    int64_t work = s.n * s.blocks;
#pragma omp parallel for schedule(static) if (s.n * s.rows * s.c > 1 << 15)
    for (int64_t w = 0; w < work; w++) {
        int64_t i = w / s.blocks, b = w % s.blocks, at = (i * s.rows + b * EQ_BLOCK_ROWS) * s.c;
        apply(eq_at(in[0], at, dtype), eq_block_rows(&s, b), s.c, factor + i * s.c, shift + i * s.c,
              eq_at_mutable(out[0], at, dtype), dtype);
    }
    return EQ_OK;
}

/* in: dy, x: [n, rows, c], scale: [n, c]; out: dx, like x, dscale, dshift: [n, c] */
static eq_status run_grad(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in, void *const *out,
                          void *scratch)
{
    const eq_graph *graph = env->graph;
    eq_rows s = eq_rows_of(eq_shape_at(graph, node->in[0]));
    eq_dtype dtype = eq_info(graph, node->in[0])->dtype, small = eq_info(graph, node->in[2])->dtype;
    float *factor = scratch, *sums = factor + s.n * s.c;
    load_factor(&s, in[2], small, factor);
    int64_t work = s.n * s.blocks;
#pragma omp parallel for schedule(static) if (s.n * s.rows * s.c > 1 << 15)
    for (int64_t w = 0; w < work; w++) {
        int64_t i = w / s.blocks, b = w % s.blocks, at = (i * s.rows + b * EQ_BLOCK_ROWS) * s.c;
        float *dscale = sums + w * 2 * s.c;
        gradient(eq_at(in[0], at, dtype), eq_at(in[1], at, dtype), eq_block_rows(&s, b), s.c, factor + i * s.c,
                 eq_at_mutable(out[0], at, dtype), dscale, dscale + s.c, dtype);
    }
    for (int64_t i = 0; i < s.n; i++) {
        const float *image = sums + i * s.blocks * 2 * s.c;
        eq_sum_blocks(image, s.blocks, 2 * s.c, s.c, 1.0f, eq_at_mutable(out[1], i * s.c, small), small);
        eq_sum_blocks(image + s.c, s.blocks, 2 * s.c, s.c, 1.0f, eq_at_mutable(out[2], i * s.c, small), small);
    }
    return EQ_OK;
}

const eq_kernel eq_cpu_scale_shift = {
    .op = "scale_shift", .backend = "cpu", .supports = supports, .prepare = prepare, .run = run, .any_dtype = true};
const eq_kernel eq_cpu_scale_shift_grad = {.op = "scale_shift_grad",
                                           .backend = "cpu",
                                           .supports = supports_grad,
                                           .prepare = prepare,
                                           .run = run_grad,
                                           .any_dtype = true};
