#include "kernels/ref/ref.h"

/* in: x; out: x * attr.scale */
static eq_status run_scale(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                           void *const *out, void *scratch)
{
    const float *x = in[0];
    float *y = out[0];
    int64_t count = eq_shape_count(eq_shape_at(env->graph, node->in[0]));
    for (int64_t i = 0; i < count; i++)
        y[i] = x[i] * node->attr.scale;
    return EQ_OK;
}

const eq_kernel eq_ref_scale = {.op = "scale", .backend = "ref", .run = run_scale};
