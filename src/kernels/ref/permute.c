#include "kernels/ref/ref.h"

/* in: x; out: x with its dimensions in the order of attr.perm */
static eq_status run_permute(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                             void *const *out, void *scratch)
{
    const float *x = in[0];
    float *y = out[0];
    const eq_shape *from = eq_shape_at(env->graph, node->in[0]), *to = eq_shape_at(env->graph, node->out[0]);
    int64_t stride[EQ_MAX_RANK], step = 1, count = eq_shape_count(to);
    for (int d = from->rank; d-- > 0;) {
        stride[d] = step;
        step *= from->dim[d];
    }
    for (int64_t i = 0; i < count; i++) {
        int64_t rest = i, at = 0;
        for (int d = to->rank; d-- > 0;) {
            at += rest % to->dim[d] * stride[node->attr.perm[d]];
            rest /= to->dim[d];
        }
        y[i] = x[at];
    }
    return EQ_OK;
}

const eq_kernel eq_ref_permute = {.op = "permute", .backend = "ref", .run = run_permute};
