/* scale_shift: y = x (1 + scale) + shift, scale and shift [n, c] over x [n, ..., c]. */
#include "ops/check.h"
#include "ops/ops.h"
#include "ops/table.h"

static eq_status infer(eq_graph *graph, eq_node *node)
{
    EQ_TRY(eq_check_activation(graph, node, 0, "x"));
    EQ_TRY(eq_check_rank(graph, node, 0, "x", 2, EQ_MAX_RANK));
    const eq_value_info *x = eq_info(graph, node->in[0]);
    eq_shape rows = eq_shape_of(x->shape.dim[0], x->shape.dim[x->shape.rank - 1]);
    for (int i = 1; i < 3; i++) {
        const eq_value_info *vector = eq_info(graph, node->in[i]);
        if (!eq_shape_equal(&vector->shape, &rows) || vector->dtype != x->dtype)
            return eq_graph_fail(graph, node, "x is %s %s, so scale and shift must be %s, not %s %s",
                                 eq_dtype_name(x->dtype), eq_shape_format(&x->shape).text, eq_shape_format(&rows).text,
                                 eq_dtype_name(vector->dtype), eq_shape_format(&vector->shape).text);
    }
    eq_node_output(graph, node, 0, x->dtype, x->shape);
    return EQ_OK;
}

static void backward(eq_graph *graph, const eq_node *node, const eq_value *dout, eq_value *din)
{
    eq_value in[3] = {dout[0], node->in[0], node->in[1]};
    eq_value first = eq_graph_add(graph, &eq_op_scale_shift_grad, 3, in, 3, NULL);
    for (int i = 0; i < 3 && first != EQ_NONE; i++)
        din[i] = first + i;
}

static eq_status infer_grad(eq_graph *graph, eq_node *node)
{
    const eq_value_info *x = eq_info(graph, node->in[1]), *scale = eq_info(graph, node->in[2]);
    eq_node_output(graph, node, 0, x->dtype, x->shape);
    eq_node_output(graph, node, 1, scale->dtype, scale->shape);
    eq_node_output(graph, node, 2, scale->dtype, scale->shape);
    return EQ_OK;
}

const eq_op eq_op_scale_shift = {.name = "scale_shift", .flags = EQ_OP_INPLACE, .infer = infer, .backward = backward};
const eq_op eq_op_scale_shift_grad = {.name = "scale_shift_grad", .infer = infer_grad};

eq_value eq_scale_shift(eq_graph *g, eq_value x, eq_value scale, eq_value shift)
{
    return eq_graph_add(g, &eq_op_scale_shift, 3, (eq_value[]){x, scale, shift}, 1, NULL);
}
