/* matmul: y = op(a) op(b) for each index of the batch; op transposes where attr says so. */
#include "ops/check.h"
#include "ops/ops.h"
#include "ops/table.h"

static eq_status infer(eq_graph *graph, eq_node *node)
{
    const eq_value_info *a = eq_info(graph, node->in[0]), *b = eq_info(graph, node->in[1]);
    EQ_TRY(eq_check_activation(graph, node, 0, "a"));
    EQ_TRY(eq_check_dtype(graph, node, 1, "b", a->dtype));
    EQ_TRY(eq_check_rank(graph, node, 0, "a", 3, 3));
    EQ_TRY(eq_check_rank(graph, node, 1, "b", 3, 3));
    bool ta = node->attr.transpose_a, tb = node->attr.transpose_b;
    int64_t m = a->shape.dim[ta ? 2 : 1], k = a->shape.dim[ta ? 1 : 2];
    int64_t n = b->shape.dim[tb ? 1 : 2], k_of_b = b->shape.dim[tb ? 2 : 1];
    if (a->shape.dim[0] != b->shape.dim[0] || k != k_of_b)
        return eq_graph_fail(graph, node, "a %s%s and b %s%s do not multiply", eq_shape_format(&a->shape).text,
                             ta ? " transposed" : "", eq_shape_format(&b->shape).text, tb ? " transposed" : "");
    eq_node_output(graph, node, 0, a->dtype, eq_shape_of(a->shape.dim[0], m, n));
    return EQ_OK;
}

static double flops(const eq_graph *graph, const eq_node *node)
{
    double k = (double)eq_shape_at(graph, node->in[0])->dim[node->attr.transpose_a ? 1 : 2];
    return 2.0 * k * (double)eq_shape_count(eq_shape_at(graph, node->out[0]));
}

/* d op(a) = dy op(b)^T and d op(b) = op(a)^T dy, transposed as a and b are stored. */
static void backward(eq_graph *graph, const eq_node *node, const eq_value *dout, eq_value *din)
{
    eq_value a = node->in[0], b = node->in[1], dy = dout[0];
    bool ta = node->attr.transpose_a, tb = node->attr.transpose_b;
    if (eq_graph_needs_gradient(graph, a))
        din[0] = ta ? eq_matmul(graph, b, dy, tb, true) : eq_matmul(graph, dy, b, false, !tb);
    if (eq_graph_needs_gradient(graph, b))
        din[1] = tb ? eq_matmul(graph, dy, a, true, ta) : eq_matmul(graph, a, dy, !ta, false);
}

const eq_op eq_op_matmul = {.name = "matmul", .infer = infer, .backward = backward, .flops = flops};

eq_value eq_matmul(eq_graph *g, eq_value a, eq_value b, bool transpose_a, bool transpose_b)
{
    return eq_graph_add(g, &eq_op_matmul, 2, (eq_value[]){a, b}, 1,
                        &(eq_attr){.transpose_a = transpose_a, .transpose_b = transpose_b});
}
