/* attention: y = softmax(scale q k^T) v for each head (Vaswani et al., "Attention Is All You Need", section 3.2), and
 * its gradient, which recomputes the scores. */
#include "ops/check.h"
#include "ops/ops.h"
#include "ops/table.h"

/* inputs: q: [n, lq, c], k, v: [n, lk, c] */
static eq_status check_inputs(eq_graph *graph, const eq_node *node)
{
    const eq_value_info *q = eq_info(graph, node->in[0]), *k = eq_info(graph, node->in[1]);
    EQ_TRY(eq_check_activation(graph, node, 0, "q"));
    EQ_TRY(eq_check_dtype(graph, node, 1, "k", q->dtype));
    EQ_TRY(eq_check_dtype(graph, node, 2, "v", q->dtype));
    EQ_TRY(eq_check_rank(graph, node, 0, "q", 3, 3));
    EQ_TRY(eq_check_rank(graph, node, 1, "k", 3, 3));
    EQ_TRY(eq_check_shape(graph, node, 1, "k", eq_shape_of(q->shape.dim[0], k->shape.dim[1], q->shape.dim[2])));
    EQ_TRY(eq_check_shape(graph, node, 2, "v", k->shape));
    if (k->shape.dim[1] < 1)
        return eq_graph_fail(graph, node, "k is %s: nothing to attend to", eq_shape_format(&k->shape).text);
    if (node->attr.heads < 1 || q->shape.dim[2] % node->attr.heads != 0)
        return eq_graph_fail(graph, node, "%lld channels do not divide into %d heads", (long long)q->shape.dim[2],
                             node->attr.heads);
    return EQ_OK;
}

static eq_status infer(eq_graph *graph, eq_node *node)
{
    EQ_TRY(check_inputs(graph, node));
    const eq_value_info *q = eq_info(graph, node->in[0]);
    eq_node_output(graph, node, 0, q->dtype, q->shape);
    return EQ_OK;
}

/* Of one product of a [lq, lk] matrix with q, k or v, over all heads. */
static double product_flops(const eq_graph *graph, const eq_node *node)
{
    const eq_shape *q = eq_shape_at(graph, node->in[0]), *k = eq_shape_at(graph, node->in[1]);
    double all = 2.0 * (double)eq_shape_count(q) * (double)k->dim[1];
    return node->attr.causal ? all / 2 : all;
}

static double flops(const eq_graph *graph, const eq_node *node)
{
    return 2 * product_flops(graph, node);
}

static void backward(eq_graph *graph, const eq_node *node, const eq_value *dout, eq_value *din)
{
    eq_value dq = eq_graph_add(graph, &eq_op_attention_grad, 4,
                               (eq_value[]){node->in[0], node->in[1], node->in[2], dout[0]}, 3, &node->attr);
    for (int i = 0; dq != EQ_NONE && i < 3; i++)
        din[i] = dq + i;
}

/* inputs: q, k, v, dy, like q; outputs: dq, dk, dv */
static eq_status infer_grad(eq_graph *graph, eq_node *node)
{
    EQ_TRY(check_inputs(graph, node));
    const eq_value_info *q = eq_info(graph, node->in[0]);
    EQ_TRY(eq_check_dtype(graph, node, 3, "dy", q->dtype));
    EQ_TRY(eq_check_shape(graph, node, 3, "dy", q->shape));
    for (int i = 0; i < 3; i++)
        eq_node_output(graph, node, i, q->dtype, *eq_shape_at(graph, node->in[i]));
    return EQ_OK;
}

static double flops_grad(const eq_graph *graph, const eq_node *node)
{
    return 5 * product_flops(graph, node);
}

const eq_op eq_op_attention = {.name = "attention", .infer = infer, .backward = backward, .flops = flops};
const eq_op eq_op_attention_grad = {.name = "attention_grad", .infer = infer_grad, .flops = flops_grad};

eq_value eq_attention(eq_graph *g, eq_value q, eq_value k, eq_value v, int heads, float scale, bool causal)
{
    return eq_graph_add(g, &eq_op_attention, 3, (eq_value[]){q, k, v}, 1,
                        &(eq_attr){.heads = heads, .scale = scale, .causal = causal});
}
