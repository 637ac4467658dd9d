/* mse: mean over all elements of weight[n] (prediction - target)^2. */
#include "ops/check.h"
#include "ops/ops.h"
#include "ops/table.h"

/* inputs: prediction, target, weight[n] */
static eq_status check_inputs(eq_graph *graph, const eq_node *node)
{
    const eq_shape prediction = *eq_shape_at(graph, node->in[0]);
    EQ_TRY(eq_check_rank(graph, node, 0, "prediction", 1, EQ_MAX_RANK));
    if (eq_shape_count(&prediction) == 0)
        return eq_graph_fail(graph, node, "prediction is %s: nothing to average", eq_shape_format(&prediction).text);
    EQ_TRY(eq_check_dtype(graph, node, 0, "prediction", EQ_F32));
    EQ_TRY(eq_check_dtype(graph, node, 1, "target", EQ_F32));
    EQ_TRY(eq_check_shape(graph, node, 1, "target", prediction));
    EQ_TRY(eq_check_dtype(graph, node, 2, "weight", EQ_F32));
    return eq_check_shape(graph, node, 2, "weight", eq_shape_of(prediction.dim[0]));
}

static eq_status infer(eq_graph *graph, eq_node *node)
{
    EQ_TRY(check_inputs(graph, node));
    eq_node_output(graph, node, 0, EQ_F32, eq_shape_of(1));
    return EQ_OK;
}

/* Prediction and target are alike; the weight counts as a constant. */
static void backward(eq_graph *graph, const eq_node *node, const eq_value *dout, eq_value *din)
{
    eq_value weight = node->in[2];
    if (eq_graph_needs_gradient(graph, weight)) {
        eq_graph_fail(graph, node, "has no gradient for its weight");
        return;
    }
    for (int i = 0; i < 2; i++)
        if (eq_graph_needs_gradient(graph, node->in[i]))
            din[i] = eq_graph_add(graph, &eq_op_mse_grad, 4,
                                  (eq_value[]){node->in[i], node->in[1 - i], weight, dout[0]}, 1, NULL);
}

/* inputs: prediction, target, weight, dloss[1] */
static eq_status infer_grad(eq_graph *graph, eq_node *node)
{
    EQ_TRY(check_inputs(graph, node));
    EQ_TRY(eq_check_dtype(graph, node, 3, "dloss", EQ_F32));
    EQ_TRY(eq_check_shape(graph, node, 3, "dloss", eq_shape_of(1)));
    eq_node_output(graph, node, 0, EQ_F32, *eq_shape_at(graph, node->in[0]));
    return EQ_OK;
}

const eq_op eq_op_mse = {.name = "mse", .infer = infer, .backward = backward};
const eq_op eq_op_mse_grad = {.name = "mse_grad", .infer = infer_grad};

eq_value eq_mse(eq_graph *g, eq_value prediction, eq_value target, eq_value weight)
{
    return eq_graph_add(g, &eq_op_mse, 3, (eq_value[]){prediction, target, weight}, 1, NULL);
}
