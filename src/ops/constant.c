/* constant: a float32 tensor of shape attr.shape full of attr.scale. */
#include "ops/ops.h"
#include "ops/table.h"

static eq_status infer(eq_graph *graph, eq_node *node)
{
    eq_node_output(graph, node, 0, EQ_F32, node->attr.shape);
    return EQ_OK;
}

const eq_op eq_op_constant = {.name = "constant", .infer = infer};

eq_value eq_constant(eq_graph *g, eq_shape shape, float value)
{
    return eq_graph_add(g, &eq_op_constant, 0, NULL, 1, &(eq_attr){.shape = shape, .scale = value});
}
