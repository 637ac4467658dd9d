/* permute: output dimension i is input dimension attr.perm[i]. */
#include "ops/ops.h"
#include "ops/table.h"

static eq_status infer(eq_graph *graph, eq_node *node)
{
    const eq_value_info *x = eq_info(graph, node->in[0]);
    eq_shape shape = {.rank = x->shape.rank};
    unsigned seen = 0;
    for (int d = 0; d < shape.rank; d++) {
        int from = node->attr.perm[d];
        if (from < 0 || from >= shape.rank || (seen & (1u << from)))
            return eq_graph_fail(graph, node, "perm does not name each of the %d dimensions once", shape.rank);
        seen |= 1u << from;
        shape.dim[d] = x->shape.dim[from];
    }
    eq_node_output(graph, node, 0, x->dtype, shape);
    return EQ_OK;
}

static void backward(eq_graph *graph, const eq_node *node, const eq_value *dout, eq_value *din)
{
    int inverse[EQ_MAX_RANK] = {0};
    for (int d = 0; d < eq_shape_at(graph, node->in[0])->rank; d++)
        inverse[node->attr.perm[d]] = d;
    din[0] = eq_permute(graph, dout[0], inverse);
}

const eq_op eq_op_permute = {.name = "permute", .infer = infer, .backward = backward};

eq_value eq_permute(eq_graph *g, eq_value x, const int *perm)
{
    if (x == EQ_NONE)
        return EQ_NONE;
    eq_attr attr = {0};
    for (int d = 0; d < eq_shape_at(g, x)->rank; d++)
        attr.perm[d] = perm[d];
    return eq_graph_add(g, &eq_op_permute, 1, &x, 1, &attr);
}
