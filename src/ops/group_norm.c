/* group_norm: y = activation(gamma * (x + shift - mean) / std + beta), mean and std over each group of channels. */
#include "ops/check.h"
#include "ops/ops.h"
#include "ops/table.h"

/* Checks x: [n, ..., c] against groups; c and the shape of the statistics come out. */
static eq_status check_groups(eq_graph *graph, const eq_node *node, int input, int64_t *channels, eq_shape *stats)
{
    const eq_attr *attr = &node->attr;
    const eq_shape *x = eq_shape_at(graph, node->in[input]);
    EQ_TRY(eq_check_activation(graph, node, input, "x"));
    EQ_TRY(eq_check_rank(graph, node, input, "x", 2, EQ_MAX_RANK));
    *channels = x->dim[x->rank - 1];
    if (attr->groups < 1 || *channels % attr->groups != 0)
        return eq_graph_fail(graph, node, "%lld channels do not divide into %d groups", (long long)*channels,
                             attr->groups);
    if (!(attr->epsilon >= 0))
        return eq_graph_fail(graph, node, "epsilon is %g, expected 0 or more", (double)attr->epsilon);
    if (attr->activation != EQ_ACT_NONE && attr->activation != EQ_ACT_SILU)
        return eq_graph_fail(graph, node, "only SiLU may follow");
    *stats = eq_shape_of(x->dim[0], attr->groups, 2);
    return EQ_OK;
}

/* inputs: x, gamma, beta, shift; of a tile also stats, window; outputs: y, stats */
static eq_status infer(eq_graph *graph, eq_node *node)
{
    const eq_value_info *x = eq_info(graph, node->in[0]);
    int64_t channels;
    eq_shape stats;
    EQ_TRY(check_groups(graph, node, 0, &channels, &stats));
    EQ_TRY(eq_check_param(graph, node, 1, "gamma", eq_shape_of(channels)));
    EQ_TRY(eq_check_param(graph, node, 2, "beta", eq_shape_of(channels)));
    EQ_TRY(eq_check_dtype(graph, node, 3, "shift", x->dtype));
    EQ_TRY(eq_check_shape(graph, node, 3, "shift", eq_shape_of(x->shape.dim[0], channels)));
    if (node->inputs > 4) {
        EQ_TRY(eq_check_rank(graph, node, 0, "x", 4, 4));
        EQ_TRY(eq_check_dtype(graph, node, 4, "stats", EQ_F32));
        EQ_TRY(eq_check_shape(graph, node, 4, "stats", stats));
        EQ_TRY(eq_check_dtype(graph, node, 5, "window", EQ_I32));
        EQ_TRY(eq_check_shape(graph, node, 5, "window", eq_shape_of(4)));
    }
    eq_node_output(graph, node, 0, x->dtype, x->shape);
    eq_node_output(graph, node, 1, EQ_F32, stats);
    return EQ_OK;
}

static void backward(eq_graph *graph, const eq_node *node, const eq_value *dout, eq_value *din)
{
    eq_value x = node->in[0], gamma = node->in[1], beta = node->in[2], shift = node->in[3], stats = node->out[1];
    int outputs = shift == EQ_NONE ? 3 : 4;
    if (node->inputs > 4) {
        eq_graph_fail(graph, node, "a tile's norm has no gradient");
        return;
    }
    eq_value dx = eq_graph_add(graph, &eq_op_group_norm_grad, 6, (eq_value[]){dout[0], x, gamma, beta, shift, stats},
                               outputs, &node->attr);
    for (int i = 0; dx != EQ_NONE && i < outputs; i++)
        din[i] = dx + i;
}

/* inputs: dy, x, gamma, beta, shift, stats; outputs: dx, dgamma, dbeta (f32), dshift when there is a shift */
static eq_status infer_grad(eq_graph *graph, eq_node *node)
{
    const eq_value_info *x = eq_info(graph, node->in[1]);
    int64_t channels;
    eq_shape stats;
    EQ_TRY(check_groups(graph, node, 1, &channels, &stats));
    EQ_TRY(eq_check_dtype(graph, node, 0, "dy", x->dtype));
    EQ_TRY(eq_check_shape(graph, node, 0, "dy", x->shape));
    EQ_TRY(eq_check_param(graph, node, 2, "gamma", eq_shape_of(channels)));
    EQ_TRY(eq_check_param(graph, node, 3, "beta", eq_shape_of(channels)));
    EQ_TRY(eq_check_dtype(graph, node, 4, "shift", x->dtype));
    EQ_TRY(eq_check_shape(graph, node, 4, "shift", eq_shape_of(x->shape.dim[0], channels)));
    EQ_TRY(eq_check_dtype(graph, node, 5, "stats", EQ_F32));
    EQ_TRY(eq_check_shape(graph, node, 5, "stats", stats));
    eq_node_output(graph, node, 0, x->dtype, x->shape);
    eq_node_output(graph, node, 1, EQ_F32, eq_shape_of(channels));
    eq_node_output(graph, node, 2, EQ_F32, eq_shape_of(channels));
    if (node->outputs > 3)
        eq_node_output(graph, node, 3, x->dtype, eq_shape_of(x->shape.dim[0], channels));
    return EQ_OK;
}

const eq_op eq_op_group_norm = {.name = "group_norm", .infer = infer, .backward = backward};
const eq_op eq_op_group_norm_grad = {.name = "group_norm_grad", .infer = infer_grad};

eq_value eq_group_norm(eq_graph *g, eq_value x, eq_value gamma, eq_value beta, eq_value shift, int groups,
                       float epsilon, eq_activation activation)
{
    return eq_graph_add(g, &eq_op_group_norm, 4, (eq_value[]){x, gamma, beta, shift}, 2,
                        &(eq_attr){.groups = groups, .epsilon = epsilon, .activation = activation});
}

eq_value eq_group_norm_tile(eq_graph *g, eq_value x, eq_value gamma, eq_value beta, eq_value shift, eq_value stats,
                            eq_value window, int groups, float epsilon, eq_activation activation)
{
    return eq_graph_add(g, &eq_op_group_norm, 6, (eq_value[]){x, gamma, beta, shift, stats, window}, 2,
                        &(eq_attr){.groups = groups, .epsilon = epsilon, .activation = activation});
}
