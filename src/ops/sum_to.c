/* sum_to: sums over the dimensions in which attr.shape is 1. broadcast_to: the opposite, repeats along them. */
#include "ops/ops.h"
#include "ops/table.h"

static eq_value broadcast_to(eq_graph *g, eq_value x, eq_shape shape)
{
    return eq_graph_add(g, &eq_op_broadcast_to, 1, &x, 1, &(eq_attr){.shape = shape});
}

/* Whether `small` is `large` with some dimensions shrunk to 1. */
static bool shrinks_to(const eq_shape *large, const eq_shape *small)
{
    if (large->rank != small->rank)
        return false;
    for (int d = 0; d < large->rank; d++)
        if (small->dim[d] != large->dim[d] && small->dim[d] != 1)
            return false;
    return true;
}

static eq_status infer_sum(eq_graph *graph, eq_node *node)
{
    const eq_value_info *x = eq_info(graph, node->in[0]);
    if (!shrinks_to(&x->shape, &node->attr.shape))
        return eq_graph_fail(graph, node, "%s does not sum to %s", eq_shape_format(&x->shape).text,
                             eq_shape_format(&node->attr.shape).text);
    eq_node_output(graph, node, 0, x->dtype, node->attr.shape);
    return EQ_OK;
}

static void backward_sum(eq_graph *graph, const eq_node *node, const eq_value *dout, eq_value *din)
{
    din[0] = broadcast_to(graph, dout[0], *eq_shape_at(graph, node->in[0]));
}

static eq_status infer_broadcast(eq_graph *graph, eq_node *node)
{
    const eq_value_info *x = eq_info(graph, node->in[0]);
    if (!shrinks_to(&node->attr.shape, &x->shape))
        return eq_graph_fail(graph, node, "%s does not broadcast to %s", eq_shape_format(&x->shape).text,
                             eq_shape_format(&node->attr.shape).text);
    eq_node_output(graph, node, 0, x->dtype, node->attr.shape);
    return EQ_OK;
}

static void backward_broadcast(eq_graph *graph, const eq_node *node, const eq_value *dout, eq_value *din)
{
    din[0] = eq_sum_to(graph, dout[0], *eq_shape_at(graph, node->in[0]));
}

const eq_op eq_op_sum_to = {.name = "sum_to", .infer = infer_sum, .backward = backward_sum};
const eq_op eq_op_broadcast_to = {.name = "broadcast_to", .infer = infer_broadcast, .backward = backward_broadcast};

eq_value eq_sum_to(eq_graph *g, eq_value x, eq_shape shape)
{
    if (x != EQ_NONE && eq_shape_equal(eq_shape_at(g, x), &shape))
        return x;
    return eq_graph_add(g, &eq_op_sum_to, 1, &x, 1, &(eq_attr){.shape = shape});
}
