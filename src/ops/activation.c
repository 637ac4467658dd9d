/* activation: y = f(x), f = attr.activation. */
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
    din[0] = eq_graph_add(graph, &eq_op_activation_grad, 2, (eq_value[]){dout[0], node->in[0]}, 1, &node->attr);
}

const eq_op eq_op_activation = {.name = "activation", .flags = EQ_OP_INPLACE, .infer = infer, .backward = backward};

/* inputs: dy, x */
static eq_status infer_grad(eq_graph *graph, eq_node *node)
{
    const eq_value_info *x = eq_info(graph, node->in[1]);
    EQ_TRY(eq_check_dtype(graph, node, 0, "dy", x->dtype));
    EQ_TRY(eq_check_shape(graph, node, 0, "dy", x->shape));
    eq_node_output(graph, node, 0, x->dtype, x->shape);
    return EQ_OK;
}

const eq_op eq_op_activation_grad = {.name = "activation_grad", .flags = EQ_OP_INPLACE, .infer = infer_grad};

eq_value eq_activate(eq_graph *g, eq_value x, eq_activation activation)
{
    return eq_graph_add(g, &eq_op_activation, 1, &x, 1, &(eq_attr){.activation = activation});
}
