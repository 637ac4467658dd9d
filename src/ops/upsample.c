/* upsample: each pixel of [n, h, w, c] becomes 2 x 2. upsample_grad: sums of 2 x 2. */
#include "ops/check.h"
#include "ops/ops.h"
#include "ops/table.h"

static eq_status infer(eq_graph *graph, eq_node *node)
{
    EQ_TRY(eq_check_rank(graph, node, 0, "x", 4, 4));
    const eq_value_info *x = eq_info(graph, node->in[0]);
    const int64_t *d = x->shape.dim;
    eq_node_output(graph, node, 0, x->dtype, eq_shape_of(d[0], 2 * d[1], 2 * d[2], d[3]));
    return EQ_OK;
}

static void backward(eq_graph *graph, const eq_node *node, const eq_value *dout, eq_value *din)
{
    din[0] = eq_graph_add(graph, &eq_op_upsample_grad, 1, dout, 1, NULL);
}

static eq_status infer_grad(eq_graph *graph, eq_node *node)
{
    const eq_value_info *dy = eq_info(graph, node->in[0]);
    const int64_t *d = dy->shape.dim;
    eq_node_output(graph, node, 0, dy->dtype, eq_shape_of(d[0], d[1] / 2, d[2] / 2, d[3]));
    return EQ_OK;
}

const eq_op eq_op_upsample = {.name = "upsample", .infer = infer, .backward = backward};
const eq_op eq_op_upsample_grad = {.name = "upsample_grad", .infer = infer_grad};

eq_value eq_upsample(eq_graph *g, eq_value x)
{
    return eq_graph_add(g, &eq_op_upsample, 1, &x, 1, NULL);
}
