/* add: a + b, either broadcast along dimensions of 1. */
#include "ops/ops.h"
#include "ops/table.h"

static eq_status infer(eq_graph *graph, eq_node *node)
{
    const eq_value_info *a = eq_info(graph, node->in[0]), *b = eq_info(graph, node->in[1]);
    eq_shape shape = a->shape;
    bool fits = a->shape.rank == b->shape.rank;
    for (int d = 0; fits && d < shape.rank; d++) {
        int64_t da = a->shape.dim[d], db = b->shape.dim[d];
        fits = da == db || da == 1 || db == 1;
        shape.dim[d] = da == 1 ? db : da;
    }
    if (!fits || a->dtype != b->dtype)
        return eq_graph_fail(graph, node, "%s %s and %s %s do not broadcast", eq_dtype_name(a->dtype),
                             eq_shape_format(&a->shape).text, eq_dtype_name(b->dtype), eq_shape_format(&b->shape).text);
    eq_node_output(graph, node, 0, a->dtype, shape);
    return EQ_OK;
}

static void backward(eq_graph *graph, const eq_node *node, const eq_value *dout, eq_value *din)
{
    for (int i = 0; i < 2; i++)
        if (eq_graph_needs_gradient(graph, node->in[i]))
            din[i] = eq_sum_to(graph, dout[0], *eq_shape_at(graph, node->in[i]));
}

const eq_op eq_op_add = {.name = "add", .flags = EQ_OP_INPLACE, .infer = infer, .backward = backward};

eq_value eq_add(eq_graph *g, eq_value a, eq_value b)
{
    return eq_graph_add(g, &eq_op_add, 2, (eq_value[]){a, b}, 1, NULL);
}
