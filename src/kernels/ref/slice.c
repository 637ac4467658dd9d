#include "kernels/ref/ref.h"

typedef struct slice_geometry {
    int64_t blocks;      /* product of the dimensions before the axis */
    int64_t whole, part; /* numbers a block of the large and of the small tensor */
    int64_t offset;      /* of the part in the whole */
} slice_geometry;

static slice_geometry geometry(const eq_node *node, const eq_shape *large, const eq_shape *small)
{
    slice_geometry g = {.blocks = 1, .whole = 1, .part = 1, .offset = node->attr.offset};
    for (int d = 0; d < large->rank; d++) {
        if (d < node->attr.axis)
            g.blocks *= large->dim[d];
        else {
            g.whole *= large->dim[d];
            g.part *= small->dim[d];
        }
        if (d > node->attr.axis)
            g.offset *= large->dim[d];
    }
    return g;
}

/* in: x; out: its part */
static eq_status run_slice(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                           void *const *out, void *scratch)
{
    slice_geometry g = geometry(node, eq_shape_at(env->graph, node->in[0]), eq_shape_at(env->graph, node->out[0]));
    for (int64_t b = 0; b < g.blocks; b++)
        memcpy((float *)out[0] + b * g.part, (const float *)in[0] + b * g.whole + g.offset,
               (size_t)g.part * sizeof(float));
    return EQ_OK;
}

/* in: dy; out: dx, zeros but for the part */
static eq_status run_slice_grad(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                                void *const *out, void *scratch)
{
    slice_geometry g = geometry(node, eq_shape_at(env->graph, node->out[0]), eq_shape_at(env->graph, node->in[0]));
    memset(out[0], 0, (size_t)(g.blocks * g.whole) * sizeof(float));
    for (int64_t b = 0; b < g.blocks; b++)
        memcpy((float *)out[0] + b * g.whole + g.offset, (const float *)in[0] + b * g.part,
               (size_t)g.part * sizeof(float));
    return EQ_OK;
}

const eq_kernel eq_ref_slice = {.op = "slice", .backend = "ref", .run = run_slice};
const eq_kernel eq_ref_slice_grad = {.op = "slice_grad", .backend = "ref", .run = run_slice_grad};
