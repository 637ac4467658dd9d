#include "kernels/ref/ref.h"

/* in: x; out: the same numbers. The program converts around a kernel of float32, which is all there is to do. */
static eq_status run_cast(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in, void *const *out,
                          void *scratch)
{
    memcpy(out[0], in[0], (size_t)eq_shape_count(eq_shape_at(env->graph, node->in[0])) * sizeof(float));
    return EQ_OK;
}

const eq_kernel eq_ref_cast = {.op = "cast", .backend = "ref", .run = run_cast};
