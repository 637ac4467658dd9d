#include "kernels/ref/ref.h"

/* Strides of `shape` seen through the larger shape `full`: 0 along dimensions that are repeated. */
static void broadcast_strides(const eq_shape *shape, const eq_shape *full, int64_t *stride)
{
    int64_t step = 1;
    for (int d = full->rank; d-- > 0;) {
        stride[d] = shape->dim[d] == 1 ? 0 : step;
        step *= shape->dim[d];
    }
}

/* Index into an operand of element i of the result. */
static int64_t operand_index(const eq_shape *full, const int64_t *stride, int64_t i)
{
    int64_t at = 0;
    for (int d = full->rank; d-- > 0;) {
        at += i % full->dim[d] * stride[d];
        i /= full->dim[d];
    }
    return at;
}

/* in: a, b; out: a + b */
static eq_status run_add(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in, void *const *out,
                         void *scratch)
{
    const float *a = in[0], *b = in[1];
    float *y = out[0];
    const eq_shape *full = eq_shape_at(env->graph, node->out[0]);
    int64_t stride_a[EQ_MAX_RANK], stride_b[EQ_MAX_RANK], count = eq_shape_count(full);
    broadcast_strides(eq_shape_at(env->graph, node->in[0]), full, stride_a);
    broadcast_strides(eq_shape_at(env->graph, node->in[1]), full, stride_b);
    for (int64_t i = 0; i < count; i++)
        y[i] = a[operand_index(full, stride_a, i)] + b[operand_index(full, stride_b, i)];
    return EQ_OK;
}

/* in: a, b; out: a * b */
static eq_status run_multiply(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                              void *const *out, void *scratch)
{
    const float *a = in[0], *b = in[1];
    float *y = out[0];
    const eq_shape *full = eq_shape_at(env->graph, node->out[0]);
    int64_t stride_a[EQ_MAX_RANK], stride_b[EQ_MAX_RANK], count = eq_shape_count(full);
    broadcast_strides(eq_shape_at(env->graph, node->in[0]), full, stride_a);
    broadcast_strides(eq_shape_at(env->graph, node->in[1]), full, stride_b);
    for (int64_t i = 0; i < count; i++)
        y[i] = a[operand_index(full, stride_a, i)] * b[operand_index(full, stride_b, i)];
    return EQ_OK;
}

const eq_kernel eq_ref_add = {.op = "add", .backend = "ref", .run = run_add};
const eq_kernel eq_ref_multiply = {.op = "multiply", .backend = "ref", .run = run_multiply};
