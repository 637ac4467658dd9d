/* cast: the same numbers as attr.dtype. */
#include "ops/ops.h"
#include "ops/table.h"

static bool is_supported(eq_dtype dtype)
{
    return dtype == EQ_F32 || dtype == EQ_BF16 || dtype == EQ_F16;
}

static eq_status infer(eq_graph *graph, eq_node *node)
{
    eq_dtype from = eq_info(graph, node->in[0])->dtype, to = node->attr.dtype;
    if (!is_supported(from) || !is_supported(to))
        return eq_graph_fail(graph, node, "from %s to %s: only f32, bf16 and f16 are known", eq_dtype_name(from),
                             eq_dtype_name(to));
    eq_node_output(graph, node, 0, to, *eq_shape_at(graph, node->in[0]));
    return EQ_OK;
}

static void backward(eq_graph *graph, const eq_node *node, const eq_value *dout, eq_value *din)
{
    din[0] = eq_cast(graph, dout[0], eq_info(graph, node->in[0])->dtype);
}

const eq_op eq_op_cast = {.name = "cast", .infer = infer, .backward = backward};

eq_value eq_cast(eq_graph *g, eq_value x, eq_dtype dtype)
{
    if (x != EQ_NONE && eq_info(g, x)->dtype == dtype)
        return x;
    return eq_graph_add(g, &eq_op_cast, 1, &x, 1, &(eq_attr){.dtype = dtype});
}
