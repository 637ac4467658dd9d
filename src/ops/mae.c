/* mae: mean over all elements of |prediction - target|. */
#include "ops/check.h"
#include "ops/losses.h"
#include "ops/table.h"

/* inputs: prediction, target */
static eq_status check_inputs(eq_graph *graph, const eq_node *node)
{
    const eq_shape prediction = *eq_shape_at(graph, node->in[0]);
    if (eq_shape_count(&prediction) == 0)
        return eq_graph_fail(graph, node, "prediction is %s: nothing to average", eq_shape_format(&prediction).text);
    EQ_TRY(eq_check_dtype(graph, node, 0, "prediction", EQ_F32));
    EQ_TRY(eq_check_dtype(graph, node, 1, "target", EQ_F32));
    return eq_check_shape(graph, node, 1, "target", prediction);
}

static eq_status infer(eq_graph *graph, eq_node *node)
{
    EQ_TRY(check_inputs(graph, node));
    eq_node_output(graph, node, 0, EQ_F32, eq_shape_of(1));
    return EQ_OK;
}

/* Prediction and target are alike. */
static void backward(eq_graph *graph, const eq_node *node, const eq_value *dout, eq_value *din)
{
    for (int i = 0; i < 2; i++)
        if (eq_graph_needs_gradient(graph, node->in[i]))
            din[i] =
                eq_graph_add(graph, &eq_op_mae_grad, 3, (eq_value[]){node->in[i], node->in[1 - i], dout[0]}, 1, NULL);
}

/* inputs: prediction, target, dloss[1] */
static eq_status infer_grad(eq_graph *graph, eq_node *node)
{
    EQ_TRY(check_inputs(graph, node));
    EQ_TRY(eq_check_dtype(graph, node, 2, "dloss", EQ_F32));
    EQ_TRY(eq_check_shape(graph, node, 2, "dloss", eq_shape_of(1)));
    eq_node_output(graph, node, 0, EQ_F32, *eq_shape_at(graph, node->in[0]));
    return EQ_OK;
}

const eq_op eq_op_mae = {.name = "mae", .infer = infer, .backward = backward};
const eq_op eq_op_mae_grad = {.name = "mae_grad", .infer = infer_grad};

eq_value eq_mae(eq_graph *g, eq_value prediction, eq_value target)
{
    return eq_graph_add(g, &eq_op_mae, 2, (eq_value[]){prediction, target}, 1, NULL);
}
