/* upsample by two, nearest, and its gradient: sums of two by two. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/simd.h"

static bool supports(const eq_graph *graph, const eq_node *node)
{
    return eq_is_f32_or_bf16(graph, node->in[0]);
}

/* in: x: [n, h, w, c]; out: [n, 2h, 2w, c] */
static eq_status run(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in, void *const *out,
                     void *scratch)
{
    const eq_value_info *x = eq_info(env->graph, node->in[0]);
    const int64_t *dim = x->shape.dim;
    int64_t lines = dim[0] * dim[1], w = dim[2];
    size_t pixel = (size_t)dim[3] * eq_dtype_size(x->dtype), line = (size_t)w * pixel;
#pragma omp parallel for schedule(static) if ((size_t)lines * line > 1 << 16)
    for (int64_t r = 0; r < lines; r++) {
        const unsigned char *from = (const unsigned char *)in[0] + (size_t)r * line;
        unsigned char *to = (unsigned char *)out[0] + (size_t)r * 4 * line;
        for (int64_t k = 0; k < 2 * w; k++)
            memcpy(to + (size_t)k * pixel, from + (size_t)(k / 2) * pixel, pixel);
        memcpy(to + 2 * line, to, 2 * line);
    }
    return EQ_OK;
}

/* dy: two lines of [2w, c]; dx: a line of [w, c] */
EQ_INLINE void sum_line_body(const void *dy, int64_t w, int64_t c, void *dx, int dtype)
{
    for (int64_t x = 0; x < w; x++) {
        int64_t upper = 2 * x * c, lower = upper + 2 * w * c;
#pragma omp simd
        for (int64_t k = 0; k < c; k++)
            eq_store(dx, x * c + k, dtype,
                     (eq_load(dy, upper + k, dtype) + eq_load(dy, upper + c + k, dtype)) +
                         (eq_load(dy, lower + k, dtype) + eq_load(dy, lower + c + k, dtype)));
    }
}

EQ_CLONES static void sum_line(const void *dy, int64_t w, int64_t c, void *dx, eq_dtype type)
{
    EQ_FOR_DTYPE(type, sum_line_body(dy, w, c, dx, dtype));
}

/* in: dy: [n, 2h, 2w, c]; out: dx: [n, h, w, c] */
static eq_status run_grad(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in, void *const *out,
                          void *scratch)
{
    const eq_value_info *dx = eq_info(env->graph, node->out[0]);
    const int64_t *dim = dx->shape.dim;
    int64_t lines = dim[0] * dim[1], w = dim[2], c = dim[3];
#pragma omp parallel for schedule(static) if (lines * w * c > 1 << 14)
    for (int64_t r = 0; r < lines; r++)
        sum_line(eq_at(in[0], r * 4 * w * c, dx->dtype), w, c, eq_at_mutable(out[0], r * w * c, dx->dtype), dx->dtype);
    return EQ_OK;
}

const eq_kernel eq_cpu_upsample = {
    .op = "upsample", .backend = "cpu", .supports = supports, .run = run, .any_dtype = true};
const eq_kernel eq_cpu_upsample_grad = {
    .op = "upsample_grad", .backend = "cpu", .supports = supports, .run = run_grad, .any_dtype = true};
