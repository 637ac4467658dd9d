#include <math.h>

#include "kernels/ref/ref.h"

/* in: x: [rows, c]; out: y: [rows, c] */
static eq_status run_softmax(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                             void *const *out, void *scratch)
{
    const eq_shape *shape = eq_shape_at(env->graph, node->in[0]);
    int64_t c = shape->dim[shape->rank - 1], count = eq_shape_count(shape);
    for (int64_t row = 0; row < count; row += c) {
        const float *x = (const float *)in[0] + row;
        float *y = (float *)out[0] + row, largest = x[0];
        double sum = 0;
        for (int64_t i = 1; i < c; i++)
            largest = fmaxf(largest, x[i]);
        for (int64_t i = 0; i < c; i++) {
            y[i] = expf(x[i] - largest);
            sum += y[i];
        }
        for (int64_t i = 0; i < c; i++)
            y[i] = (float)(y[i] / sum);
    }
    return EQ_OK;
}

/* in: dy, y: [rows, c]; out: dx: [rows, c] */
static eq_status run_softmax_grad(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                                  void *const *out, void *scratch)
{
    const eq_shape *shape = eq_shape_at(env->graph, node->in[1]);
    int64_t c = shape->dim[shape->rank - 1], count = eq_shape_count(shape);
    for (int64_t row = 0; row < count; row += c) {
        const float *dy = (const float *)in[0] + row, *y = (const float *)in[1] + row;
        float *dx = (float *)out[0] + row;
        double mean = 0;
        for (int64_t i = 0; i < c; i++)
            mean += (double)dy[i] * y[i];
        for (int64_t i = 0; i < c; i++)
            dx[i] = (float)(y[i] * (dy[i] - mean));
    }
    return EQ_OK;
}

const eq_kernel eq_ref_softmax = {.op = "softmax", .backend = "ref", .run = run_softmax};
const eq_kernel eq_ref_softmax_grad = {.op = "softmax_grad", .backend = "ref", .run = run_softmax_grad};
