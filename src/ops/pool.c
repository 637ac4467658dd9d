/* average_pool, max_pool: over windows of attr.kernel x attr.kernel, attr.stride apart, attr.pad_* pixels around the
 * image taking no part. Each window holds at least one pixel, since the padding is less than the kernel.
 * average_pool_grad: attr.shape = shape of x. max_pool_grad: to the first of the largest. */
#include "ops/check.h"
#include "ops/ops.h"
#include "ops/table.h"

static eq_status infer(eq_graph *graph, eq_node *node)
{
    EQ_TRY(eq_check_activation(graph, node, 0, "x"));
    EQ_TRY(eq_check_rank(graph, node, 0, "x", 4, 4));
    const eq_attr *a = &node->attr;
    int pads[4] = {a->pad_top, a->pad_left, a->pad_bottom, a->pad_right};
    if (a->kernel < 1 || a->stride < 1)
        return eq_graph_fail(graph, node, "kernel %d and stride %d must be 1 or more", a->kernel, a->stride);
    for (int i = 0; i < 4; i++)
        if (pads[i] < 0 || pads[i] >= a->kernel)
            return eq_graph_fail(graph, node, "padding %d must be less than the kernel, %d", pads[i], a->kernel);
    const eq_value_info *x = eq_info(graph, node->in[0]);
    const int64_t *d = x->shape.dim;
    int64_t height = d[1] + a->pad_top + a->pad_bottom, width = d[2] + a->pad_left + a->pad_right;
    if (height < a->kernel || width < a->kernel)
        return eq_graph_fail(graph, node, "kernel %d is larger than the padded image of %s", a->kernel,
                             eq_shape_format(&x->shape).text);
    eq_node_output(graph, node, 0, x->dtype,
                   eq_shape_of(d[0], (height - a->kernel) / a->stride + 1, (width - a->kernel) / a->stride + 1, d[3]));
    return EQ_OK;
}

static void backward_average(eq_graph *graph, const eq_node *node, const eq_value *dout, eq_value *din)
{
    eq_attr attr = node->attr;
    attr.shape = *eq_shape_at(graph, node->in[0]);
    din[0] = eq_graph_add(graph, &eq_op_average_pool_grad, 1, dout, 1, &attr);
}

static eq_status infer_average_grad(eq_graph *graph, eq_node *node)
{
    eq_node_output(graph, node, 0, eq_info(graph, node->in[0])->dtype, node->attr.shape);
    return EQ_OK;
}

static void backward_max(eq_graph *graph, const eq_node *node, const eq_value *dout, eq_value *din)
{
    din[0] = eq_graph_add(graph, &eq_op_max_pool_grad, 2, (eq_value[]){dout[0], node->in[0]}, 1, &node->attr);
}

/* inputs: dy, x */
static eq_status infer_max_grad(eq_graph *graph, eq_node *node)
{
    const eq_value_info *x = eq_info(graph, node->in[1]);
    eq_node_output(graph, node, 0, x->dtype, x->shape);
    return EQ_OK;
}

const eq_op eq_op_average_pool = {.name = "average_pool", .infer = infer, .backward = backward_average};
const eq_op eq_op_average_pool_grad = {.name = "average_pool_grad", .infer = infer_average_grad};
const eq_op eq_op_max_pool = {.name = "max_pool", .infer = infer, .backward = backward_max};
const eq_op eq_op_max_pool_grad = {.name = "max_pool_grad", .infer = infer_max_grad};

static eq_value pool(eq_graph *g, const eq_op *op, eq_value x, int kernel, int stride, int pad)
{
    eq_attr attr = {
        .kernel = kernel, .stride = stride, .pad_top = pad, .pad_left = pad, .pad_bottom = pad, .pad_right = pad};
    return eq_graph_add(g, op, 1, &x, 1, &attr);
}

eq_value eq_average_pool(eq_graph *g, eq_value x, int kernel, int stride, int pad)
{
    return pool(g, &eq_op_average_pool, x, kernel, stride, pad);
}

eq_value eq_max_pool(eq_graph *g, eq_value x, int kernel, int stride, int pad)
{
    return pool(g, &eq_op_max_pool, x, kernel, stride, pad);
}
