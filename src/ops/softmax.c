/* softmax: over the last axis. softmax_grad: dx = y (dy - sum(dy y)). */
#include "ops/check.h"
#include "ops/ops.h"
#include "ops/table.h"

static eq_status infer(eq_graph *graph, eq_node *node)
{
    EQ_TRY(eq_check_activation(graph, node, 0, "x"));
    EQ_TRY(eq_check_rank(graph, node, 0, "x", 1, EQ_MAX_RANK));
    const eq_value_info *x = eq_info(graph, node->in[0]);
    eq_node_output(graph, node, 0, x->dtype, x->shape);
    return EQ_OK;
}

static void backward(eq_graph *graph, const eq_node *node, const eq_value *dout, eq_value *din)
{
    din[0] = eq_graph_add(graph, &eq_op_softmax_grad, 2, (eq_value[]){dout[0], node->out[0]}, 1, NULL);
}

/* inputs: dy, y */
static eq_status infer_grad(eq_graph *graph, eq_node *node)
{
    const eq_value_info *y = eq_info(graph, node->in[1]);
    EQ_TRY(eq_check_shape(graph, node, 0, "dy", y->shape));
    eq_node_output(graph, node, 0, y->dtype, y->shape);
    return EQ_OK;
}

const eq_op eq_op_softmax = {.name = "softmax", .flags = EQ_OP_INPLACE, .infer = infer, .backward = backward};
const eq_op eq_op_softmax_grad = {.name = "softmax_grad", .flags = EQ_OP_INPLACE, .infer = infer_grad};

eq_value eq_softmax(eq_graph *g, eq_value x)
{
    return eq_graph_add(g, &eq_op_softmax, 1, &x, 1, NULL);
}
