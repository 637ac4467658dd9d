/* add: a + b, either broadcast along dimensions of 1. */
#include "ops/check.h"
#include "ops/ops.h"
#include "ops/table.h"

static eq_status infer(eq_graph *graph, eq_node *node)
{
    return eq_check_broadcast(graph, node);
}

static void backward(eq_graph *graph, const eq_node *node, const eq_value *dout, eq_value *din)
{
    for (int i = 0; i < 2; i++)
        if (eq_graph_needs_gradient(graph, node->in[i]))
            din[i] = eq_sum_to(graph, dout[0], *eq_shape_at(graph, node->in[i]));
}

const eq_op eq_op_add = {.name = "add", .flags = EQ_OP_INPLACE, .infer = infer, .backward = backward};

eq_value eq_add(eq_graph *g, eq_value a, eq_value b)
{
    return eq_graph_add(g, &eq_op_add, 2, (eq_value[]){a, b}, 1, NULL);
}
