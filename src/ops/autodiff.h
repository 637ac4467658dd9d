/* Reverse-mode differentiation on the graph. */
#ifndef EQ_OPS_AUTODIFF_H
#define EQ_OPS_AUTODIFF_H

#include "tensor/graph.h"

/* Appends the backward graph of `loss` ([1], f32) and fills gradients[i] with the gradient of wanted[i] (EQ_NONE where
 * the loss does not depend on it). Any value may be asked for, not only parameters. Call once a graph. */
eq_status eq_graph_backward(eq_graph *graph, eq_value loss, int count, const eq_value *wanted, eq_value *gradients);

#endif
