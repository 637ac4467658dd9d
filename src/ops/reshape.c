/* reshape: the same memory as attr.shape. */
#include "ops/ops.h"
#include "ops/table.h"

static eq_status infer(eq_graph *graph, eq_node *node)
{
    const eq_value_info *x = eq_info(graph, node->in[0]);
    int64_t count;
    if (!eq_shape_checked_count(&node->attr.shape, eq_dtype_size(x->dtype), &count) ||
        count != eq_shape_count(&x->shape))
        return eq_graph_fail(graph, node, "%s has not as many elements as %s", eq_shape_format(&x->shape).text,
                             eq_shape_format(&node->attr.shape).text);
    eq_node_output(graph, node, 0, x->dtype, node->attr.shape);
    return EQ_OK;
}

static void backward(eq_graph *graph, const eq_node *node, const eq_value *dout, eq_value *din)
{
    din[0] = eq_reshape(graph, dout[0], *eq_shape_at(graph, node->in[0]));
}

const eq_op eq_op_reshape = {.name = "reshape", .flags = EQ_OP_VIEW, .infer = infer, .backward = backward};

eq_value eq_reshape(eq_graph *g, eq_value x, eq_shape shape)
{
    return eq_graph_add(g, &eq_op_reshape, 1, &x, 1, &(eq_attr){.shape = shape});
}
