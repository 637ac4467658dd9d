/* scale: x * attr.scale. */
#include "ops/check.h"
#include "ops/ops.h"
#include "ops/table.h"

static eq_status infer(eq_graph *graph, eq_node *node)
{
    EQ_TRY(eq_check_activation(graph, node, 0, "x"));
    const eq_value_info *x = eq_info(graph, node->in[0]);
    eq_node_output(graph, node, 0, x->dtype, x->shape);
    return EQ_OK;
}

static void backward(eq_graph *graph, const eq_node *node, const eq_value *dout, eq_value *din)
{
    din[0] = eq_scale(graph, dout[0], node->attr.scale);
}

const eq_op eq_op_scale = {.name = "scale", .flags = EQ_OP_INPLACE, .infer = infer, .backward = backward};

eq_value eq_scale(eq_graph *g, eq_value x, float factor)
{
    if (factor == 1.0f)
        return x;
    return eq_graph_add(g, &eq_op_scale, 1, &x, 1, &(eq_attr){.scale = factor});
}
