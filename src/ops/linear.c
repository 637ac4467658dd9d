/* linear: y = activation(x weight^T + bias) + residual over the last axis, and its gradients. */
#include "ops/check.h"
#include "ops/ops.h"
#include "ops/table.h"
#include "ops/weighted.h"

/* The shape of y from those of x: [..., ci] and weight: [co, ci]. */
static eq_status output_shape(eq_graph *graph, const eq_node *node, const eq_shape *x, const eq_shape *weight,
                              eq_shape *y)
{
    if (x->rank < 1)
        return eq_graph_fail(graph, node, "x is a scalar, expected [..., ci]");
    int64_t channels = x->dim[x->rank - 1];
    if (weight->rank != 2 || weight->dim[1] != channels)
        return eq_graph_fail(graph, node, "weight is %s, but x %s has %lld channels: expected [co, %lld]",
                             eq_shape_format(weight).text, eq_shape_format(x).text, (long long)channels,
                             (long long)channels);
    *y = *x;
    y->dim[y->rank - 1] = weight->dim[0];
    return EQ_OK;
}

static eq_status infer(eq_graph *graph, eq_node *node)
{
    eq_shape y;
    EQ_TRY(output_shape(graph, node, eq_shape_at(graph, node->in[0]), eq_shape_at(graph, node->in[1]), &y));
    return eq_check_weighted(graph, node, y);
}

static double flops(const eq_graph *graph, const eq_node *node)
{
    return 2.0 * (double)eq_shape_count(eq_shape_at(graph, node->out[0])) *
           (double)eq_shape_at(graph, node->in[1])->dim[1];
}

static void backward(eq_graph *graph, const eq_node *node, const eq_value *dout, eq_value *din)
{
    eq_weighted_backward(graph, node, &eq_op_linear_grad_input, &eq_op_linear_grad_weight, dout, din);
}

/* inputs: dy: [..., co], weight: [co, ci]; attr.shape: of x */
static eq_status infer_grad_input(eq_graph *graph, eq_node *node)
{
    const eq_value_info *dy = eq_info(graph, node->in[0]);
    const eq_shape *weight = eq_shape_at(graph, node->in[1]);
    eq_shape y;
    EQ_TRY(output_shape(graph, node, &node->attr.shape, weight, &y));
    EQ_TRY(eq_check_activation(graph, node, 0, "dy"));
    EQ_TRY(eq_check_shape(graph, node, 0, "dy", y));
    EQ_TRY(eq_check_param(graph, node, 1, "weight", *weight));
    eq_node_output(graph, node, 0, dy->dtype, node->attr.shape);
    return EQ_OK;
}

static double flops_grad_input(const eq_graph *graph, const eq_node *node)
{
    return 2.0 * (double)eq_shape_count(eq_shape_at(graph, node->in[0])) *
           (double)eq_shape_at(graph, node->in[1])->dim[1];
}

/* inputs: x: [..., ci], dy: [..., co]; outputs: dw: [co, ci], optionally db: [co], both f32; attr.shape: of weight */
static eq_status infer_grad_weight(eq_graph *graph, eq_node *node)
{
    const eq_value_info *x = eq_info(graph, node->in[0]);
    eq_shape y;
    EQ_TRY(output_shape(graph, node, &x->shape, &node->attr.shape, &y));
    EQ_TRY(eq_check_activation(graph, node, 0, "x"));
    EQ_TRY(eq_check_dtype(graph, node, 1, "dy", x->dtype));
    EQ_TRY(eq_check_shape(graph, node, 1, "dy", y));
    eq_node_output(graph, node, 0, EQ_F32, node->attr.shape);
    if (node->outputs > 1)
        eq_node_output(graph, node, 1, EQ_F32, eq_shape_of(node->attr.shape.dim[0]));
    return EQ_OK;
}

static double flops_grad_weight(const eq_graph *graph, const eq_node *node)
{
    return 2.0 * (double)eq_shape_count(eq_shape_at(graph, node->in[1])) * (double)node->attr.shape.dim[1];
}

const eq_op eq_op_linear = {.name = "linear", .infer = infer, .backward = backward, .flops = flops};
const eq_op eq_op_linear_grad_input = {
    .name = "linear_grad_input", .infer = infer_grad_input, .flops = flops_grad_input};
const eq_op eq_op_linear_grad_weight = {
    .name = "linear_grad_weight", .infer = infer_grad_weight, .flops = flops_grad_weight};

eq_value eq_linear(eq_graph *g, eq_value x, eq_value weight, eq_value bias, eq_value residual)
{
    return eq_graph_add(g, &eq_op_linear, 4, (eq_value[]){x, weight, bias, residual}, 1, NULL);
}
