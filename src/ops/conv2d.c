/* conv2d: y = activation(x * weight + bias) + residual, and its gradients. */
#include "ops/check.h"
#include "ops/ops.h"
#include "ops/table.h"
#include "ops/weighted.h"

/* The shape of y from those of x: [n, h, w, ci] and weight: [co, ci, kh, kw]. */
static eq_status output_shape(eq_graph *graph, const eq_node *node, const eq_shape *x, const eq_shape *weight,
                              eq_shape *y)
{
    const eq_attr *attr = &node->attr;
    if (x->rank != 4)
        return eq_graph_fail(graph, node, "x is %s, expected [n, h, w, ci]", eq_shape_format(x).text);
    if (weight->rank != 4 || weight->dim[1] != x->dim[3])
        return eq_graph_fail(graph, node, "weight is %s, but x %s has %lld channels: expected [co, %lld, kh, kw]",
                             eq_shape_format(weight).text, eq_shape_format(x).text, (long long)x->dim[3],
                             (long long)x->dim[3]);
    if (attr->stride < 1)
        return eq_graph_fail(graph, node, "the stride is %d, expected 1 or more", attr->stride);
    if (attr->pad_top < 0 || attr->pad_left < 0 || attr->pad_bottom < 0 || attr->pad_right < 0)
        return eq_graph_fail(graph, node, "negative padding (top %d, left %d, bottom %d, right %d)", attr->pad_top,
                             attr->pad_left, attr->pad_bottom, attr->pad_right);
    int64_t height = x->dim[1] + attr->pad_top + attr->pad_bottom - weight->dim[2];
    int64_t width = x->dim[2] + attr->pad_left + attr->pad_right - weight->dim[3];
    if (height < 0 || width < 0 || weight->dim[2] < 1 || weight->dim[3] < 1)
        return eq_graph_fail(graph, node, "x %s with padding is smaller than the kernel of weight %s",
                             eq_shape_format(x).text, eq_shape_format(weight).text);
    *y = eq_shape_of(x->dim[0], height / attr->stride + 1, width / attr->stride + 1, weight->dim[0]);
    return EQ_OK;
}

static eq_status infer(eq_graph *graph, eq_node *node)
{
    eq_shape y;
    EQ_TRY(output_shape(graph, node, eq_shape_at(graph, node->in[0]), eq_shape_at(graph, node->in[1]), &y));
    return eq_check_weighted(graph, node, y);
}

static double flops_of(const eq_shape *y, const eq_shape *weight)
{
    return 2.0 * (double)eq_shape_count(y) * (double)(weight->dim[1] * weight->dim[2] * weight->dim[3]);
}

static double flops(const eq_graph *graph, const eq_node *node)
{
    return flops_of(eq_shape_at(graph, node->out[0]), eq_shape_at(graph, node->in[1]));
}

static void backward(eq_graph *graph, const eq_node *node, const eq_value *dout, eq_value *din)
{
    eq_weighted_backward(graph, node, &eq_op_conv2d_grad_input, &eq_op_conv2d_grad_weight, dout, din);
}

/* inputs: dy: [n, ho, wo, co], weight: [co, ci, kh, kw]; attr.shape: of x */
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
    return flops_of(eq_shape_at(graph, node->in[0]), eq_shape_at(graph, node->in[1]));
}

/* inputs: x: [n, h, w, ci], dy: [n, ho, wo, co]; outputs: dw: [co, ci, kh, kw], optionally db: [co], both f32;
 * attr.shape: of weight */
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
    return flops_of(eq_shape_at(graph, node->in[1]), &node->attr.shape);
}

const eq_op eq_op_conv2d = {.name = "conv2d", .infer = infer, .backward = backward, .flops = flops};
const eq_op eq_op_conv2d_grad_input = {
    .name = "conv2d_grad_input", .infer = infer_grad_input, .flops = flops_grad_input};
const eq_op eq_op_conv2d_grad_weight = {
    .name = "conv2d_grad_weight", .infer = infer_grad_weight, .flops = flops_grad_weight};

eq_value eq_conv2d(eq_graph *g, eq_value x, eq_value weight, eq_value bias, eq_value residual, eq_conv conv)
{
    return eq_graph_add(g, &eq_op_conv2d, 4, (eq_value[]){x, weight, bias, residual}, 1,
                        &(eq_attr){.stride = conv.stride,
                                   .pad_top = conv.pad_top,
                                   .pad_left = conv.pad_left,
                                   .pad_bottom = conv.pad_bottom,
                                   .pad_right = conv.pad_right});
}
