/* cross_entropy: mean of -log softmax(logits)[label] over the rows whose label is not negative; 0 where there are none.
 */
#include "ops/check.h"
#include "ops/ops.h"
#include "ops/table.h"

/* inputs: logits: [n, k] f32, labels: [n] i32 */
static eq_status check_inputs(eq_graph *graph, const eq_node *node)
{
    EQ_TRY(eq_check_dtype(graph, node, 0, "logits", EQ_F32));
    EQ_TRY(eq_check_rank(graph, node, 0, "logits", 2, 2));
    EQ_TRY(eq_check_dtype(graph, node, 1, "labels", EQ_I32));
    const eq_shape *logits = eq_shape_at(graph, node->in[0]);
    if (logits->dim[1] < 1)
        return eq_graph_fail(graph, node, "logits are %s: no classes", eq_shape_format(logits).text);
    return eq_check_shape(graph, node, 1, "labels", eq_shape_of(logits->dim[0]));
}

static eq_status infer(eq_graph *graph, eq_node *node)
{
    EQ_TRY(check_inputs(graph, node));
    eq_node_output(graph, node, 0, EQ_F32, eq_shape_of(1));
    return EQ_OK;
}

static void backward(eq_graph *graph, const eq_node *node, const eq_value *dout, eq_value *din)
{
    din[0] =
        eq_graph_add(graph, &eq_op_cross_entropy_grad, 3, (eq_value[]){node->in[0], node->in[1], dout[0]}, 1, NULL);
}

/* inputs: logits, labels, dloss[1]; output: dlogits */
static eq_status infer_grad(eq_graph *graph, eq_node *node)
{
    EQ_TRY(check_inputs(graph, node));
    EQ_TRY(eq_check_dtype(graph, node, 2, "dloss", EQ_F32));
    EQ_TRY(eq_check_shape(graph, node, 2, "dloss", eq_shape_of(1)));
    eq_node_output(graph, node, 0, EQ_F32, *eq_shape_at(graph, node->in[0]));
    return EQ_OK;
}

const eq_op eq_op_cross_entropy = {.name = "cross_entropy", .infer = infer, .backward = backward};
const eq_op eq_op_cross_entropy_grad = {.name = "cross_entropy_grad", .infer = infer_grad};

eq_value eq_cross_entropy(eq_graph *g, eq_value logits, eq_value labels)
{
    return eq_graph_add(g, &eq_op_cross_entropy, 2, (eq_value[]){logits, labels}, 1, NULL);
}
