/* average_pool over 2x2 squares, and its gradient. Squares at an odd side's edge would be cut: they are left to the
 * reference kernel. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/simd.h"

/* x: [n, h, w, c], sides even; y: [n, h / 2, w / 2, c] */
static bool is_halving(const eq_graph *graph, const eq_node *node, eq_value x, eq_value y)
{
    const int64_t *large = eq_shape_at(graph, x)->dim;
    const eq_attr *a = &node->attr;
    return a->kernel == 2 && a->stride == 2 && a->pad_top == 0 && a->pad_left == 0 && large[1] % 2 == 0 &&
           large[2] % 2 == 0 && eq_is_f32_or_bf16(graph, x) && eq_info(graph, x)->dtype == eq_info(graph, y)->dtype;
}

static bool supports(const eq_graph *graph, const eq_node *node)
{
    return is_halving(graph, node, node->in[0], node->out[0]);
}

static bool supports_grad(const eq_graph *graph, const eq_node *node)
{
    return is_halving(graph, node, node->out[0], node->in[0]);
}

/* above, below: [2 * w, c]; y: [w, c] */
EQ_INLINE void average_body(const void *above, const void *below, int64_t w, int64_t c, void *y, int dtype)
{
    for (int64_t i = 0; i < w; i++) {
        int64_t left = 2 * i * c, right = left + c;
#pragma omp simd
        for (int64_t k = 0; k < c; k++)
            eq_store(y, i * c + k, dtype,
                     0.25f * (eq_load(above, left + k, dtype) + eq_load(above, right + k, dtype) +
                              eq_load(below, left + k, dtype) + eq_load(below, right + k, dtype)));
    }
}

EQ_CLONES static void average_row(const void *above, const void *below, int64_t w, int64_t c, void *y, eq_dtype type)
{
    EQ_FOR_DTYPE(type, average_body(above, below, w, c, y, dtype));
}

/* dy: [w, c]; dx: [2 * w, c], one of two rows that are alike */
EQ_INLINE void spread_body(const void *dy, int64_t w, int64_t c, void *dx, int dtype)
{
    for (int64_t i = 0; i < w; i++)
#pragma omp simd
        for (int64_t k = 0; k < c; k++) {
            float share = 0.25f * eq_load(dy, i * c + k, dtype);
            eq_store(dx, 2 * i * c + k, dtype, share);
            eq_store(dx, (2 * i + 1) * c + k, dtype, share);
        }
}

EQ_CLONES static void spread_row(const void *dy, int64_t w, int64_t c, void *dx, eq_dtype type)
{
    EQ_FOR_DTYPE(type, spread_body(dy, w, c, dx, dtype));
}

static eq_status run(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in, void *const *out,
                     void *scratch)
{
    const eq_value_info *y = eq_info(env->graph, node->out[0]);
    int64_t rows = y->shape.dim[0] * y->shape.dim[1], w = y->shape.dim[2], c = y->shape.dim[3];
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++)
        average_row(eq_at(in[0], 4 * row * w * c, y->dtype), eq_at(in[0], (4 * row + 2) * w * c, y->dtype), w, c,
                    eq_at_mutable(out[0], row * w * c, y->dtype), y->dtype);
    return EQ_OK;
}

static eq_status run_grad(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in, void *const *out,
                          void *scratch)
{
    const eq_value_info *dy = eq_info(env->graph, node->in[0]);
    int64_t rows = dy->shape.dim[0] * dy->shape.dim[1], w = dy->shape.dim[2], c = dy->shape.dim[3];
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < 2 * rows; row++)
        spread_row(eq_at(in[0], row / 2 * w * c, dy->dtype), w, c, eq_at_mutable(out[0], 2 * row * w * c, dy->dtype),
                   dy->dtype);
    return EQ_OK;
}

const eq_kernel eq_cpu_halve = {
    .op = "average_pool", .backend = "cpu", .supports = supports, .run = run, .any_dtype = true};
const eq_kernel eq_cpu_halve_grad = {
    .op = "average_pool_grad", .backend = "cpu", .supports = supports_grad, .run = run_grad, .any_dtype = true};
