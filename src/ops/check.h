/* Checks that infer functions share. Each records the fault in the graph, naming the input. Optional inputs that are
 * not there pass. */
#ifndef EQ_OPS_CHECK_H
#define EQ_OPS_CHECK_H

#include "tensor/graph.h"

eq_status eq_check_shape(eq_graph *graph, const eq_node *node, int input, const char *name, eq_shape expected);
eq_status eq_check_rank(eq_graph *graph, const eq_node *node, int input, const char *name, int min, int max);
eq_status eq_check_dtype(eq_graph *graph, const eq_node *node, int input, const char *name, eq_dtype expected);

/* An activation: float32 or bfloat16. */
eq_status eq_check_activation(eq_graph *graph, const eq_node *node, int input, const char *name);

/* A parameter of this shape: float32, bfloat16 or float16. */
eq_status eq_check_param(eq_graph *graph, const eq_node *node, int input, const char *name, eq_shape expected);

/* For y = activation(x weight + bias) + residual, ops of those inputs in that order: that all fit y and each other.
 * Sets the output. */
eq_status eq_check_weighted(eq_graph *graph, eq_node *node, eq_shape y);

/* For ops of two operands: like ranks and dtypes, and where dimensions differ one of them is 1. Sets the output, of the
 * larger shape. */
eq_status eq_check_broadcast(eq_graph *graph, const eq_node *node);

#endif
