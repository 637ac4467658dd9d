#include "ops/check.h"

eq_status eq_check_shape(eq_graph *graph, const eq_node *node, int input, const char *name, eq_shape expected)
{
    if (node->in[input] == EQ_NONE)
        return EQ_OK;
    const eq_shape *found = eq_shape_at(graph, node->in[input]);
    if (!eq_shape_equal(found, &expected))
        return eq_graph_fail(graph, node, "%s is %s, expected %s", name, eq_shape_format(found).text,
                             eq_shape_format(&expected).text);
    return EQ_OK;
}

eq_status eq_check_rank(eq_graph *graph, const eq_node *node, int input, const char *name, int min, int max)
{
    if (node->in[input] == EQ_NONE)
        return EQ_OK;
    const eq_shape *found = eq_shape_at(graph, node->in[input]);
    if (found->rank >= min && found->rank <= max)
        return EQ_OK;
    if (min == max)
        return eq_graph_fail(graph, node, "%s is %s, expected %d dimensions", name, eq_shape_format(found).text, min);
    return eq_graph_fail(graph, node, "%s is %s, expected %d to %d dimensions", name, eq_shape_format(found).text, min,
                         max);
}

eq_status eq_check_dtype(eq_graph *graph, const eq_node *node, int input, const char *name, eq_dtype expected)
{
    if (node->in[input] == EQ_NONE)
        return EQ_OK;
    eq_dtype found = eq_info(graph, node->in[input])->dtype;
    if (found != expected)
        return eq_graph_fail(graph, node, "%s is %s, expected %s", name, eq_dtype_name(found), eq_dtype_name(expected));
    return EQ_OK;
}

eq_status eq_check_activation(eq_graph *graph, const eq_node *node, int input, const char *name)
{
    if (node->in[input] == EQ_NONE)
        return EQ_OK;
    eq_dtype found = eq_info(graph, node->in[input])->dtype;
    if (found != EQ_F32 && found != EQ_BF16)
        return eq_graph_fail(graph, node, "%s is %s, expected f32 or bf16", name, eq_dtype_name(found));
    return EQ_OK;
}

eq_status eq_check_param(eq_graph *graph, const eq_node *node, int input, const char *name, eq_shape expected)
{
    if (node->in[input] == EQ_NONE)
        return EQ_OK;
    eq_dtype found = eq_info(graph, node->in[input])->dtype;
    if (found != EQ_F32 && found != EQ_BF16 && found != EQ_F16)
        return eq_graph_fail(graph, node, "%s is %s, expected f32, bf16 or f16", name, eq_dtype_name(found));
    return eq_check_shape(graph, node, input, name, expected);
}

eq_status eq_check_broadcast(eq_graph *graph, const eq_node *node)
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

eq_status eq_check_weighted(eq_graph *graph, eq_node *node, eq_shape y)
{
    const eq_value_info *x = eq_info(graph, node->in[0]);
    const eq_shape *weight = eq_shape_at(graph, node->in[1]);
    EQ_TRY(eq_check_activation(graph, node, 0, "x"));
    EQ_TRY(eq_check_param(graph, node, 1, "weight", *weight));
    EQ_TRY(eq_check_param(graph, node, 2, "bias", eq_shape_of(weight->dim[0])));
    EQ_TRY(eq_check_dtype(graph, node, 3, "residual", x->dtype));
    EQ_TRY(eq_check_shape(graph, node, 3, "residual", y));
    eq_node_output(graph, node, 0, x->dtype, y);
    return EQ_OK;
}
