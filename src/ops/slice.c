/* slice: attr.shape.dim[axis] indices from attr.offset along attr.axis. slice_grad: dy laid into zeros of attr.shape.
 */
#include "ops/ops.h"
#include "ops/table.h"

static eq_status infer(eq_graph *graph, eq_node *node)
{
    const eq_value_info *x = eq_info(graph, node->in[0]);
    int axis = node->attr.axis;
    if (axis < 0 || axis >= x->shape.rank)
        return eq_graph_fail(graph, node, "there is no axis %d in %s", axis, eq_shape_format(&x->shape).text);
    int64_t length = node->attr.shape.dim[axis], offset = node->attr.offset;
    if (offset < 0 || length < 1 || length > x->shape.dim[axis] - offset)
        return eq_graph_fail(graph, node, "[%lld, %lld) along axis %d is not within %s", (long long)offset,
                             (long long)(offset + length), axis, eq_shape_format(&x->shape).text);
    eq_node_output(graph, node, 0, x->dtype, node->attr.shape);
    return EQ_OK;
}

static void backward(eq_graph *graph, const eq_node *node, const eq_value *dout, eq_value *din)
{
    eq_attr attr = node->attr;
    attr.shape = *eq_shape_at(graph, node->in[0]);
    din[0] = eq_graph_add(graph, &eq_op_slice_grad, 1, dout, 1, &attr);
}

static eq_status infer_grad(eq_graph *graph, eq_node *node)
{
    eq_node_output(graph, node, 0, eq_info(graph, node->in[0])->dtype, node->attr.shape);
    return EQ_OK;
}

const eq_op eq_op_slice = {.name = "slice", .infer = infer, .backward = backward};
const eq_op eq_op_slice_grad = {.name = "slice_grad", .infer = infer_grad};

eq_value eq_slice(eq_graph *g, eq_value x, int axis, int64_t offset, int64_t length)
{
    if (x == EQ_NONE)
        return EQ_NONE;
    eq_attr attr = {.axis = axis, .offset = offset, .shape = *eq_shape_at(g, x)};
    if (axis >= 0 && axis < EQ_MAX_RANK)
        attr.shape.dim[axis] = length;
    return eq_graph_add(g, &eq_op_slice, 1, &x, 1, &attr);
}
