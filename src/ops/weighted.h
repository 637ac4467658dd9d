/* What ops with a weight and a bias share: convolution and linear. */
#ifndef EQ_OPS_WEIGHTED_H
#define EQ_OPS_WEIGHTED_H

#include "tensor/graph.h"

/* The gradients of a node with inputs x, weight, bias?, residual?: those of x by grad_input (of dy and the weight), of
 * weight and bias by grad_weight (of x and dy), whose attr is the node's with the result's shape; the residual's is dy.
 * Records a fault where an activation is fused: such nodes are for inference only. dout: [1], din: [4] */
void eq_weighted_backward(eq_graph *graph, const eq_node *node, const eq_op *grad_input, const eq_op *grad_weight,
                          const eq_value *dout, eq_value *din);

#endif
