#include "ops/autodiff.h"

#include <stdlib.h>

#include "ops/ops.h"

/* A value needs a gradient when it is wanted or computed from something that needs one. */
static void mark_needed(eq_graph *graph, int count, const eq_value *wanted)
{
    bool *needs = graph->needs_gradient;
    for (int i = 0; i < count; i++)
        needs[wanted[i]] = true;
    for (int32_t n = 0; n < graph->node_count; n++) {
        const eq_node *node = &graph->nodes[n];
        bool needed = false;
        for (int i = 0; i < node->inputs; i++)
            needed = needed || eq_graph_needs_gradient(graph, node->in[i]);
        for (int i = 0; i < node->outputs; i++)
            needs[node->out[i]] = needs[node->out[i]] || needed;
    }
}

static eq_status differentiate_node(eq_graph *graph, int32_t index, eq_value *gradient)
{
    /* A copy: appending nodes may move the array. */
    const eq_node node = graph->nodes[index];
    eq_value dout[EQ_MAX_OUTPUTS], din[EQ_MAX_INPUTS];
    bool reached = false;
    for (int i = 0; i < node.outputs; i++) {
        dout[i] = gradient[node.out[i]];
        reached = reached || dout[i] != EQ_NONE;
    }
    if (!reached || !eq_graph_needs_gradient(graph, node.out[0]))
        return EQ_OK;
    if (!node.op->backward)
        return eq_graph_fail(graph, &node, "has no gradient, but one is needed for what it computes");
    for (int i = 0; i < node.inputs; i++)
        din[i] = EQ_NONE;
    node.op->backward(graph, &node, dout, din);
    for (int i = 0; i < node.inputs && graph->status == EQ_OK; i++) {
        if (din[i] == EQ_NONE || !eq_graph_needs_gradient(graph, node.in[i]))
            continue;
        eq_value *sum = &gradient[node.in[i]];
        *sum = *sum == EQ_NONE ? din[i] : eq_add(graph, *sum, din[i]);
    }
    return graph->status;
}

eq_status eq_graph_backward(eq_graph *graph, eq_value loss, int count, const eq_value *wanted, eq_value *gradients)
{
    if (graph->status != EQ_OK)
        return graph->status;
    const eq_value_info *info = eq_info(graph, loss);
    if (info->dtype != EQ_F32 || !eq_shape_equal(&info->shape, &(eq_shape){.rank = 1, .dim = {1}}))
        return graph->status = eq_fail(graph->ctx, EQ_FAILED, "a loss is f32 [1], this one is %s %s",
                                       eq_dtype_name(info->dtype), eq_shape_format(&info->shape).text);
    size_t values = (size_t)graph->value_count;
    eq_value *gradient = malloc(values * sizeof *gradient);
    free(graph->needs_gradient);
    graph->needs_gradient = calloc(values, sizeof *graph->needs_gradient);
    graph->needs_gradient_count = graph->value_count;
    if (!gradient || !graph->needs_gradient) {
        free(gradient);
        return graph->status = eq_fail_memory(graph->ctx, "the backward graph");
    }
    mark_needed(graph, count, wanted);
    for (size_t v = 0; v < values; v++)
        gradient[v] = EQ_NONE;
    int32_t forward_nodes = graph->node_count;
    gradient[loss] = eq_constant(graph, eq_shape_of(1), 1.0f);
    for (int32_t n = forward_nodes; n-- > 0 && graph->status == EQ_OK;)
        differentiate_node(graph, n, gradient);
    for (int i = 0; i < count; i++)
        gradients[i] = gradient[wanted[i]];
    free(gradient);
    return graph->status;
}
