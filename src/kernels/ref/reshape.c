#include "kernels/ref/ref.h"

/* in: x; out: a copy. Runs only where the result is bound to memory of its own; else reshape is a view. */
static eq_status run_reshape(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                             void *const *out, void *scratch)
{
    const eq_value_info *x = eq_info(env->graph, node->in[0]);
    memcpy(out[0], in[0], (size_t)eq_shape_count(&x->shape) * eq_dtype_size(x->dtype));
    return EQ_OK;
}

const eq_kernel eq_ref_reshape = {.op = "reshape", .backend = "ref", .run = run_reshape, .any_dtype = true};
