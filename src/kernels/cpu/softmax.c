/* softmax over the last dimension and its gradient. */
#include <math.h>

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/rows.h"

/* e^d for d <= 0, 0 where it underflows; NaN stays NaN. */
EQ_INLINE float exp_below(float d)
{
    return d >= -87.3f ? eq_exp(d) : d < -87.3f ? 0.0f : d;
}

/* x, y: [rows, c] */
EQ_INLINE void softmax_body(const void *x, int64_t rows, int64_t c, void *y, int dtype)
{
    for (int64_t at = 0; at < rows * c; at += c) {
        float max = -INFINITY, sum = 0;
#pragma omp simd reduction(max : max)
        for (int64_t k = 0; k < c; k++) {
            float v = eq_load(x, at + k, dtype);
            max = max > v ? max : v;
        }
#pragma omp simd reduction(+ : sum)
        for (int64_t k = 0; k < c; k++)
            sum += exp_below(eq_load(x, at + k, dtype) - max);
        float factor = 1.0f / sum;
#pragma omp simd
        for (int64_t k = 0; k < c; k++)
            eq_store(y, at + k, dtype, exp_below(eq_load(x, at + k, dtype) - max) * factor);
    }
}

EQ_CLONES static void softmax(const void *x, int64_t rows, int64_t c, void *y, eq_dtype type)
{
    EQ_FOR_DTYPE(type, softmax_body(x, rows, c, y, dtype));
}

/* dx = y (dy - sum(dy y)). dy, y, dx: [rows, c] */
EQ_INLINE void gradient_body(const void *dy, const void *y, int64_t rows, int64_t c, void *dx, int dtype)
{
    for (int64_t at = 0; at < rows * c; at += c) {
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t k = 0; k < c; k++)
            sum += eq_load(dy, at + k, dtype) * eq_load(y, at + k, dtype);
#pragma omp simd
        for (int64_t k = 0; k < c; k++)
            eq_store(dx, at + k, dtype, eq_load(y, at + k, dtype) * (eq_load(dy, at + k, dtype) - sum));
    }
}

EQ_CLONES static void gradient(const void *dy, const void *y, int64_t rows, int64_t c, void *dx, eq_dtype type)
{
    EQ_FOR_DTYPE(type, gradient_body(dy, y, rows, c, dx, dtype));
}

static bool supports(const eq_graph *graph, const eq_node *node)
{
    eq_dtype dtype = eq_info(graph, node->out[0])->dtype;
    for (int i = 0; i < node->inputs; i++)
        if (eq_info(graph, node->in[i])->dtype != dtype)
            return false;
    return eq_is_f32_or_bf16(graph, node->out[0]);
}

/* All but the last dimension, and the last. */
static void rows_of(const eq_shape *shape, int64_t *rows, int64_t *c)
{
    *c = shape->dim[shape->rank - 1];
    *rows = 1;
    for (int d = 0; d < shape->rank - 1; d++)
        *rows *= shape->dim[d];
}

/* in: x; out: y, like x */
static eq_status run(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in, void *const *out,
                     void *scratch)
{
    const eq_value_info *x = eq_info(env->graph, node->in[0]);
    int64_t rows, c;
    rows_of(&x->shape, &rows, &c);
#pragma omp parallel for schedule(static) if (rows * c > 1 << 13)
    for (int64_t r = 0; r < rows; r++)
        softmax(eq_at(in[0], r * c, x->dtype), 1, c, eq_at_mutable(out[0], r * c, x->dtype), x->dtype);
    return EQ_OK;
}

/* in: dy, y; out: dx, like y */
static eq_status run_grad(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in, void *const *out,
                          void *scratch)
{
    const eq_value_info *y = eq_info(env->graph, node->in[1]);
    int64_t rows, c;
    rows_of(&y->shape, &rows, &c);
#pragma omp parallel for schedule(static) if (rows * c > 1 << 14)
    for (int64_t r = 0; r < rows; r++)
        gradient(eq_at(in[0], r * c, y->dtype), eq_at(in[1], r * c, y->dtype), 1, c,
                 eq_at_mutable(out[0], r * c, y->dtype), y->dtype);
    return EQ_OK;
}

const eq_kernel eq_cpu_softmax = {
    .op = "softmax", .backend = "cpu", .supports = supports, .run = run, .any_dtype = true};
const eq_kernel eq_cpu_softmax_grad = {
    .op = "softmax_grad", .backend = "cpu", .supports = supports, .run = run_grad, .any_dtype = true};
