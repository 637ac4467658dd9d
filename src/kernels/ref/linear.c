#include "kernels/ref/ref.h"

static int64_t rows_of(const eq_shape *shape)
{
    int64_t rows = 1;
    for (int d = 0; d + 1 < shape->rank; d++)
        rows *= shape->dim[d];
    return rows;
}

/* in: x: [rows, ci], weight: [co, ci], bias: [co], residual: [rows, co]; out: y: [rows, co] */
static eq_status run_linear(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                            void *const *out, void *scratch)
{
    const float *x = in[0], *weight = in[1], *bias = in[2], *residual = in[3];
    float *y = out[0];
    const eq_shape *shape = eq_shape_at(env->graph, node->in[1]);
    int64_t rows = rows_of(eq_shape_at(env->graph, node->in[0])), co = shape->dim[0], ci = shape->dim[1];
#pragma omp parallel for
    for (int64_t at = 0; at < rows * co; at++) {
        const float *from = x + at / co * ci, *w = weight + at % co * ci;
        double sum = bias ? bias[at % co] : 0;
        for (int64_t c = 0; c < ci; c++)
            sum += (double)from[c] * w[c];
        y[at] = eq_ref_activate(node->attr.activation, (float)sum);
        if (residual)
            y[at] += residual[at];
    }
    return EQ_OK;
}

/* in: dy: [rows, co], weight: [co, ci]; out: dx: [rows, ci] */
static eq_status run_linear_grad_input(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                                       void *const *out, void *scratch)
{
    const float *dy = in[0], *weight = in[1];
    float *dx = out[0];
    const eq_shape *shape = eq_shape_at(env->graph, node->in[1]);
    int64_t rows = rows_of(eq_shape_at(env->graph, node->in[0])), co = shape->dim[0], ci = shape->dim[1];
#pragma omp parallel for
    for (int64_t at = 0; at < rows * ci; at++) {
        double sum = 0;
        for (int64_t o = 0; o < co; o++)
            sum += (double)dy[at / ci * co + o] * weight[o * ci + at % ci];
        dx[at] = (float)sum;
    }
    return EQ_OK;
}

/* in: x: [rows, ci], dy: [rows, co]; out: dw: [co, ci], db: [co] */
static eq_status run_linear_grad_weight(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                                        void *const *out, void *scratch)
{
    const float *x = in[0], *dy = in[1];
    float *dw = out[0], *db = out[1];
    int64_t rows = rows_of(eq_shape_at(env->graph, node->in[0]));
    int64_t co = node->attr.shape.dim[0], ci = node->attr.shape.dim[1];
#pragma omp parallel for
    for (int64_t at = 0; at < co * ci; at++) {
        double sum = 0;
        for (int64_t row = 0; row < rows; row++)
            sum += (double)dy[row * co + at / ci] * x[row * ci + at % ci];
        dw[at] = (float)sum;
    }
    if (db)
        eq_ref_sum_rows(dy, rows, co, db);
    return EQ_OK;
}

const eq_kernel eq_ref_linear = {.op = "linear", .backend = "ref", .run = run_linear};
const eq_kernel eq_ref_linear_grad_input = {.op = "linear_grad_input", .backend = "ref", .run = run_linear_grad_input};
const eq_kernel eq_ref_linear_grad_weight = {
    .op = "linear_grad_weight", .backend = "ref", .run = run_linear_grad_weight};
