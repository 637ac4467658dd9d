#include "kernels/ref/ref.h"

/* Rows of the images of x [n, ..., c]. */
static int64_t rows_per_image(const eq_shape *x)
{
    return eq_shape_count(x) / x->dim[0] / x->dim[x->rank - 1];
}

/* in: x [n, ..., c], scale [n, c], shift [n, c]; out: y like x */
static eq_status run_scale_shift(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                                 void *const *out, void *scratch)
{
    const float *x = in[0], *scale = in[1], *shift = in[2];
    float *y = out[0];
    const eq_shape *shape = eq_shape_at(env->graph, node->in[0]);
    int64_t c = shape->dim[shape->rank - 1], image = rows_per_image(shape) * c, count = eq_shape_count(shape);
    for (int64_t i = 0; i < count; i++) {
        int64_t at = i / image * c + i % c;
        y[i] = x[i] * (1.0f + scale[at]) + shift[at];
    }
    return EQ_OK;
}

/* in: dy, x, scale; out: dx, dscale, dshift */
static eq_status run_scale_shift_grad(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                                      void *const *out, void *scratch)
{
    const float *dy = in[0], *x = in[1], *scale = in[2];
    float *dx = out[0], *dscale = out[1], *dshift = out[2];
    const eq_shape *shape = eq_shape_at(env->graph, node->in[1]);
    int64_t c = shape->dim[shape->rank - 1], image = rows_per_image(shape) * c, count = eq_shape_count(shape);
    memset(dscale, 0, (size_t)(shape->dim[0] * c) * sizeof(float));
    memset(dshift, 0, (size_t)(shape->dim[0] * c) * sizeof(float));
    for (int64_t i = 0; i < count; i++) {
        int64_t at = i / image * c + i % c;
        dx[i] = dy[i] * (1.0f + scale[at]);
        dscale[at] += dy[i] * x[i];
        dshift[at] += dy[i];
    }
    return EQ_OK;
}

const eq_kernel eq_ref_scale_shift = {.op = "scale_shift", .backend = "ref", .run = run_scale_shift};
const eq_kernel eq_ref_scale_shift_grad = {.op = "scale_shift_grad", .backend = "ref", .run = run_scale_shift_grad};
