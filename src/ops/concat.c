/* concat: joins inputs along the last axis. */
#include "ops/check.h"
#include "ops/ops.h"
#include "ops/table.h"

static eq_status infer(eq_graph *graph, eq_node *node)
{
    const eq_value_info *first = eq_info(graph, node->in[0]);
    EQ_TRY(eq_check_rank(graph, node, 0, "x[0]", 1, EQ_MAX_RANK));
    eq_shape shape = first->shape;
    int last = shape.rank - 1;
    for (int i = 1; i < node->inputs; i++) {
        const eq_value_info *x = eq_info(graph, node->in[i]);
        bool fits = x->shape.rank == shape.rank && x->dtype == first->dtype;
        for (int d = 0; fits && d < last; d++)
            fits = x->shape.dim[d] == shape.dim[d];
        if (!fits)
            return eq_graph_fail(graph, node, "%s %s does not join %s %s", eq_dtype_name(x->dtype),
                                 eq_shape_format(&x->shape).text, eq_dtype_name(first->dtype),
                                 eq_shape_format(&first->shape).text);
        shape.dim[last] += x->shape.dim[last];
    }
    eq_node_output(graph, node, 0, first->dtype, shape);
    return EQ_OK;
}

static void backward(eq_graph *graph, const eq_node *node, const eq_value *dout, eq_value *din)
{
    int64_t offset = 0;
    for (int i = 0; i < node->inputs; i++) {
        const eq_shape shape = *eq_shape_at(graph, node->in[i]);
        int last = shape.rank - 1;
        if (eq_graph_needs_gradient(graph, node->in[i]))
            din[i] = eq_slice(graph, dout[0], last, offset, shape.dim[last]);
        offset += shape.dim[last];
    }
}

const eq_op eq_op_concat = {.name = "concat", .infer = infer, .backward = backward};

eq_value eq_concat(eq_graph *g, int count, const eq_value *x)
{
    if (g->status == EQ_OK && (count < 1 || count > EQ_MAX_INPUTS))
        g->status = eq_fail(g->ctx, EQ_FAILED, "concat: %d inputs, expected 1 to %d", count, EQ_MAX_INPUTS);
    return eq_graph_add(g, &eq_op_concat, count, x, 1, NULL);
}
