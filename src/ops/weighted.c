#include "ops/weighted.h"

void eq_weighted_backward(eq_graph *graph, const eq_node *node, const eq_op *grad_input, const eq_op *grad_weight,
                          const eq_value *dout, eq_value *din)
{
    if (node->attr.activation != EQ_ACT_NONE) {
        eq_graph_fail(graph, node, "has no gradient with a fused activation; fuse after differentiating");
        return;
    }
    eq_value x = node->in[0], weight = node->in[1];
    eq_attr attr = node->attr;
    if (eq_graph_needs_gradient(graph, x)) {
        attr.shape = *eq_shape_at(graph, x);
        din[0] = eq_graph_add(graph, grad_input, 2, (eq_value[]){dout[0], weight}, 1, &attr);
    }
    bool bias = eq_graph_needs_gradient(graph, node->in[2]);
    if (bias || eq_graph_needs_gradient(graph, weight)) {
        attr.shape = *eq_shape_at(graph, weight);
        din[1] = eq_graph_add(graph, grad_weight, 2, (eq_value[]){x, dout[0]}, bias ? 2 : 1, &attr);
        if (bias && din[1] != EQ_NONE)
            din[2] = din[1] + 1;
    }
    din[3] = dout[0];
}
