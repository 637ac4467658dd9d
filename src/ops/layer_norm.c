/* layer_norm: y = gamma * (x - mean) / std + beta, mean and std over the last axis. */
#include "ops/check.h"
#include "ops/ops.h"
#include "ops/table.h"

/* Checks x: [..., c]; c and the shape of the statistics, [rows, 2], come out. */
static eq_status check_input(eq_graph *graph, const eq_node *node, int input, int64_t *channels, eq_shape *stats)
{
    const eq_shape *x = eq_shape_at(graph, node->in[input]);
    EQ_TRY(eq_check_activation(graph, node, input, "x"));
    EQ_TRY(eq_check_rank(graph, node, input, "x", 1, EQ_MAX_RANK));
    *channels = x->dim[x->rank - 1];
    if (*channels < 1)
        return eq_graph_fail(graph, node, "x is %s: nothing to normalise", eq_shape_format(x).text);
    if (!(node->attr.epsilon >= 0))
        return eq_graph_fail(graph, node, "epsilon is %g, expected 0 or more", (double)node->attr.epsilon);
    *stats = eq_shape_of(eq_shape_count(x) / *channels, 2);
    return EQ_OK;
}

/* inputs: x, gamma, beta; outputs: y, stats */
static eq_status infer(eq_graph *graph, eq_node *node)
{
    const eq_value_info *x = eq_info(graph, node->in[0]);
    int64_t channels;
    eq_shape stats;
    EQ_TRY(check_input(graph, node, 0, &channels, &stats));
    EQ_TRY(eq_check_param(graph, node, 1, "gamma", eq_shape_of(channels)));
    EQ_TRY(eq_check_param(graph, node, 2, "beta", eq_shape_of(channels)));
    eq_node_output(graph, node, 0, x->dtype, x->shape);
    eq_node_output(graph, node, 1, EQ_F32, stats);
    return EQ_OK;
}

static void backward(eq_graph *graph, const eq_node *node, const eq_value *dout, eq_value *din)
{
    eq_value dx = eq_graph_add(graph, &eq_op_layer_norm_grad, 4,
                               (eq_value[]){dout[0], node->in[0], node->in[1], node->out[1]}, 3, &node->attr);
    for (int i = 0; dx != EQ_NONE && i < 3; i++)
        din[i] = dx + i;
}

/* inputs: dy, x, gamma, stats; outputs: dx, dgamma, dbeta (f32) */
static eq_status infer_grad(eq_graph *graph, eq_node *node)
{
    const eq_value_info *x = eq_info(graph, node->in[1]);
    int64_t channels;
    eq_shape stats;
    EQ_TRY(check_input(graph, node, 1, &channels, &stats));
    EQ_TRY(eq_check_dtype(graph, node, 0, "dy", x->dtype));
    EQ_TRY(eq_check_shape(graph, node, 0, "dy", x->shape));
    EQ_TRY(eq_check_param(graph, node, 2, "gamma", eq_shape_of(channels)));
    EQ_TRY(eq_check_dtype(graph, node, 3, "stats", EQ_F32));
    EQ_TRY(eq_check_shape(graph, node, 3, "stats", stats));
    eq_node_output(graph, node, 0, x->dtype, x->shape);
    eq_node_output(graph, node, 1, EQ_F32, eq_shape_of(channels));
    eq_node_output(graph, node, 2, EQ_F32, eq_shape_of(channels));
    return EQ_OK;
}

const eq_op eq_op_layer_norm = {.name = "layer_norm", .infer = infer, .backward = backward};
const eq_op eq_op_layer_norm_grad = {.name = "layer_norm_grad", .infer = infer_grad};

eq_value eq_layer_norm(eq_graph *g, eq_value x, eq_value gamma, eq_value beta, float epsilon)
{
    return eq_graph_add(g, &eq_op_layer_norm, 3, (eq_value[]){x, gamma, beta}, 2, &(eq_attr){.epsilon = epsilon});
}
