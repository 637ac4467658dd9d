#include "kernels/ref/ref.h"

/* in: x_0, x_1, ...; out: joined along the last axis */
static eq_status run_concat(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                            void *const *out, void *scratch)
{
    const eq_shape *full = eq_shape_at(env->graph, node->out[0]);
    int64_t width = full->dim[full->rank - 1], rows = eq_shape_count(full) / width, offset = 0;
    for (int i = 0; i < node->inputs; i++) {
        const float *x = in[i];
        int64_t here = eq_shape_at(env->graph, node->in[i])->dim[full->rank - 1];
        for (int64_t r = 0; r < rows; r++)
            memcpy((float *)out[0] + r * width + offset, x + r * here, (size_t)here * sizeof(float));
        offset += here;
    }
    return EQ_OK;
}

const eq_kernel eq_ref_concat = {.op = "concat", .backend = "ref", .run = run_concat};
