/* gaussian_sample and gaussian_kl, of a Gaussian given by mean and log variance. */
#include "ops/check.h"
#include "ops/losses.h"
#include "ops/table.h"

/* Of one half of the moments. */
static eq_status check_moments(eq_graph *graph, const eq_node *node, eq_shape *half)
{
    *half = *eq_shape_at(graph, node->in[0]);
    EQ_TRY(eq_check_rank(graph, node, 0, "moments", 1, EQ_MAX_RANK));
    EQ_TRY(eq_check_dtype(graph, node, 0, "moments", EQ_F32));
    int64_t *last = &half->dim[half->rank - 1];
    if (*last % 2 != 0 || eq_shape_count(half) == 0)
        return eq_graph_fail(graph, node,
                             "moments is %s, expected as many log variances as means in the last dimension",
                             eq_shape_format(half).text);
    *last /= 2;
    return EQ_OK;
}

/* --- sample: moments, noise -> z --- */

static eq_status infer_sample(eq_graph *graph, eq_node *node)
{
    eq_shape half;
    EQ_TRY(check_moments(graph, node, &half));
    EQ_TRY(eq_check_dtype(graph, node, 1, "noise", EQ_F32));
    EQ_TRY(eq_check_shape(graph, node, 1, "noise", half));
    eq_node_output(graph, node, 0, EQ_F32, half);
    return EQ_OK;
}

static void backward_sample(eq_graph *graph, const eq_node *node, const eq_value *dout, eq_value *din)
{
    if (eq_graph_needs_gradient(graph, node->in[1])) {
        eq_graph_fail(graph, node, "has no gradient for its noise");
        return;
    }
    din[0] =
        eq_graph_add(graph, &eq_op_gaussian_sample_grad, 3, (eq_value[]){node->in[0], node->in[1], dout[0]}, 1, NULL);
}

/* inputs: moments, noise, dz */
static eq_status infer_sample_grad(eq_graph *graph, eq_node *node)
{
    eq_shape half;
    EQ_TRY(check_moments(graph, node, &half));
    EQ_TRY(eq_check_shape(graph, node, 1, "noise", half));
    EQ_TRY(eq_check_dtype(graph, node, 2, "dz", EQ_F32));
    EQ_TRY(eq_check_shape(graph, node, 2, "dz", half));
    eq_node_output(graph, node, 0, EQ_F32, *eq_shape_at(graph, node->in[0]));
    return EQ_OK;
}

/* --- divergence: moments -> [1] --- */

static eq_status infer_kl(eq_graph *graph, eq_node *node)
{
    eq_shape half;
    EQ_TRY(check_moments(graph, node, &half));
    eq_node_output(graph, node, 0, EQ_F32, eq_shape_of(1));
    return EQ_OK;
}

static void backward_kl(eq_graph *graph, const eq_node *node, const eq_value *dout, eq_value *din)
{
    din[0] = eq_graph_add(graph, &eq_op_gaussian_kl_grad, 2, (eq_value[]){node->in[0], dout[0]}, 1, NULL);
}

/* inputs: moments, dloss[1] */
static eq_status infer_kl_grad(eq_graph *graph, eq_node *node)
{
    eq_shape half;
    EQ_TRY(check_moments(graph, node, &half));
    EQ_TRY(eq_check_dtype(graph, node, 1, "dloss", EQ_F32));
    EQ_TRY(eq_check_shape(graph, node, 1, "dloss", eq_shape_of(1)));
    eq_node_output(graph, node, 0, EQ_F32, *eq_shape_at(graph, node->in[0]));
    return EQ_OK;
}

const eq_op eq_op_gaussian_sample = {.name = "gaussian_sample", .infer = infer_sample, .backward = backward_sample};
const eq_op eq_op_gaussian_sample_grad = {.name = "gaussian_sample_grad", .infer = infer_sample_grad};
const eq_op eq_op_gaussian_kl = {.name = "gaussian_kl", .infer = infer_kl, .backward = backward_kl};
const eq_op eq_op_gaussian_kl_grad = {.name = "gaussian_kl_grad", .infer = infer_kl_grad};

eq_value eq_gaussian_sample(eq_graph *g, eq_value moments, eq_value noise)
{
    return eq_graph_add(g, &eq_op_gaussian_sample, 2, (eq_value[]){moments, noise}, 1, NULL);
}

eq_value eq_gaussian_kl(eq_graph *g, eq_value moments)
{
    return eq_graph_add(g, &eq_op_gaussian_kl, 1, &moments, 1, NULL);
}
