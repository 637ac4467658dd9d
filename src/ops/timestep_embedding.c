/* timestep_embedding: sines and cosines of t at geometrically spaced frequencies (Ho et al., "Denoising Diffusion
 * Probabilistic Models", appendix B). No gradient. */
#include "ops/check.h"
#include "ops/ops.h"
#include "ops/table.h"

/* input: t: [n] f32; output: [n, attr.shape.dim[1]] f32 */
static eq_status infer(eq_graph *graph, eq_node *node)
{
    const eq_attr *attr = &node->attr;
    EQ_TRY(eq_check_dtype(graph, node, 0, "t", EQ_F32));
    EQ_TRY(eq_check_rank(graph, node, 0, "t", 1, 1));
    int64_t batch = eq_shape_at(graph, node->in[0])->dim[0], dim = attr->shape.dim[1];
    if (attr->shape.rank != 2 || attr->shape.dim[0] != batch)
        return eq_graph_fail(graph, node, "the result is %s, expected [%lld, dim]", eq_shape_format(&attr->shape).text,
                             (long long)batch);
    if (dim < 2)
        return eq_graph_fail(graph, node, "dim is %lld, expected 2 or more", (long long)dim);
    if (!((float)(dim / 2) > attr->frequency_shift))
        return eq_graph_fail(graph, node, "the frequency shift %g leaves nothing of the %lld frequencies",
                             (double)attr->frequency_shift, (long long)(dim / 2));
    if (!(attr->max_period > 0))
        return eq_graph_fail(graph, node, "the maximal period is %g, expected more than 0", (double)attr->max_period);
    eq_node_output(graph, node, 0, EQ_F32, attr->shape);
    return EQ_OK;
}

const eq_op eq_op_timestep_embedding = {.name = "timestep_embedding", .infer = infer};

eq_value eq_timestep_embedding(eq_graph *g, eq_value t, int dim, bool flip_sin_to_cos, float frequency_shift,
                               float max_period)
{
    if (eq_graph_status(g) != EQ_OK)
        return EQ_NONE;
    return eq_graph_add(g, &eq_op_timestep_embedding, 1, &t, 1,
                        &(eq_attr){.shape = eq_shape_of(eq_shape_at(g, t)->dim[0], dim),
                                   .flip_sin_to_cos = flip_sin_to_cos,
                                   .frequency_shift = frequency_shift,
                                   .max_period = max_period});
}
