#include "kernels/ref/ref.h"

/* Index into a tensor of shape `small` of element i of the tensor `large` that it broadcasts to. */
static int64_t small_index(const eq_shape *large, const eq_shape *small, int64_t i)
{
    int64_t index = 0, stride = 1;
    for (int d = large->rank; d-- > 0;) {
        if (small->dim[d] != 1)
            index += i % large->dim[d] * stride;
        i /= large->dim[d];
        stride *= small->dim[d];
    }
    return index;
}

/* in: x; out: sums */
static eq_status run_sum_to(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                            void *const *out, void *scratch)
{
    const float *x = in[0];
    float *y = out[0];
    const eq_shape *large = eq_shape_at(env->graph, node->in[0]), *small = eq_shape_at(env->graph, node->out[0]);
    int64_t count = eq_shape_count(large);
    memset(y, 0, (size_t)eq_shape_count(small) * sizeof(float));
    for (int64_t i = 0; i < count; i++)
        y[small_index(large, small, i)] += x[i];
    return EQ_OK;
}

/* in: x; out: x repeated */
static eq_status run_broadcast_to(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                                  void *const *out, void *scratch)
{
    const float *x = in[0];
    float *y = out[0];
    const eq_shape *large = eq_shape_at(env->graph, node->out[0]), *small = eq_shape_at(env->graph, node->in[0]);
    int64_t count = eq_shape_count(large);
    for (int64_t i = 0; i < count; i++)
        y[i] = x[small_index(large, small, i)];
    return EQ_OK;
}

const eq_kernel eq_ref_sum_to = {.op = "sum_to", .backend = "ref", .run = run_sum_to};
const eq_kernel eq_ref_broadcast_to = {.op = "broadcast_to", .backend = "ref", .run = run_broadcast_to};
