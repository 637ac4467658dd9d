/* activation: y = f(x), f = attr.activation. */
#include "ops/ops.h"
#include "ops/table.h"

static eq_status infer(eq_graph *graph, eq_node *node)
{
    const eq_value_info *x = eq_info(graph, node->in[0]);
    eq_node_output(graph, node, 0, x->dtype, x->shape);
    return EQ_OK;
}

static void backward(eq_graph *graph, const eq_node *node, const eq_value *dout, eq_value *din)
{
    din[0] = eq_graph_add(graph, &eq_op_activation_grad, 2, (eq_value[]){dout[0], node->in[0]}, 1, &node->attr);
}

const eq_op eq_op_activation = {.name = "activation", .flags = EQ_OP_INPLACE, .infer = infer, .backward = backward};

/* inputs: dy, x */
const eq_op eq_op_activation_grad = {.name = "activation_grad", .flags = EQ_OP_INPLACE, .infer = infer};

eq_value eq_activate(eq_graph *g, eq_value x, eq_activation activation)
{
    return eq_graph_add(g, &eq_op_activation, 1, &x, 1, &(eq_attr){.activation = activation});
}
