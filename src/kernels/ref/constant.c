#include "kernels/ref/ref.h"

/* out: filled with attr.scale */
static eq_status run_constant(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                              void *const *out, void *scratch)
{
    float *y = out[0];
    int64_t count = eq_shape_count(eq_shape_at(env->graph, node->out[0]));
    for (int64_t i = 0; i < count; i++)
        y[i] = node->attr.scale;
    return EQ_OK;
}

const eq_kernel eq_ref_constant = {.op = "constant", .backend = "ref", .run = run_constant};
