#include "tensor/graph.h"

#include <stdio.h>
#include <stdlib.h>

eq_graph *eq_graph_new(eq_context *ctx, eq_dtype dtype)
{
    eq_graph *graph = calloc(1, sizeof *graph);
    if (!graph)
        return NULL;
    graph->ctx = ctx;
    graph->dtype = dtype;
    return graph;
}

void eq_graph_free(eq_graph *graph)
{
    if (!graph)
        return;
    for (int32_t i = 0; i < graph->value_count; i++)
        free(graph->values[i].name);
    free(graph->values);
    free(graph->nodes);
    free(graph->needs_gradient);
    free(graph);
}

eq_status eq_graph_status(const eq_graph *graph)
{
    return graph->status;
}

static eq_status graph_out_of_memory(eq_graph *graph)
{
    return graph->status = eq_fail_memory(graph->ctx, "the network's graph");
}

/* Returns an array of at least count + 1 elements in place of `array`, or NULL with the graph's status set. */
static void *grow(eq_graph *graph, void *array, int32_t count, int32_t *capacity, size_t size)
{
    if (count < *capacity)
        return array;
    int32_t larger = *capacity ? 2 * *capacity : 64;
    void *grown = realloc(array, (size_t)larger * size);
    if (!grown) {
        graph_out_of_memory(graph);
        return NULL;
    }
    *capacity = larger;
    return grown;
}

static eq_value append_value(eq_graph *graph, const eq_value_info *info, const char *name)
{
    if (graph->status != EQ_OK)
        return EQ_NONE;
    void *values = grow(graph, graph->values, graph->value_count, &graph->value_capacity, sizeof *graph->values);
    if (!values)
        return EQ_NONE;
    graph->values = values;
    eq_value_info *slot = &graph->values[graph->value_count];
    *slot = *info;
    slot->name = NULL;
    if (name && !(slot->name = strdup(name))) {
        graph_out_of_memory(graph);
        return EQ_NONE;
    }
    return graph->value_count++;
}

eq_value eq_graph_input(eq_graph *graph, const char *name, eq_dtype dtype, eq_shape shape)
{
    return append_value(graph, &(eq_value_info){.kind = EQ_VALUE_INPUT, .dtype = dtype, .shape = shape, .node = -1},
                        name);
}

eq_value eq_graph_param(eq_graph *graph, const char *name, const eq_tensor *tensor, bool trainable)
{
    return append_value(graph,
                        &(eq_value_info){.kind = EQ_VALUE_PARAM,
                                         .dtype = tensor->dtype,
                                         .shape = tensor->shape,
                                         .node = -1,
                                         .trainable = trainable,
                                         .data = tensor->data},
                        name);
}

void eq_graph_output(eq_graph *graph, eq_value value, const char *name)
{
    if (graph->status != EQ_OK)
        return;
    eq_value_info *info = &graph->values[value];
    info->output = true;
    if (name) {
        free(info->name);
        if (!(info->name = strdup(name)))
            graph_out_of_memory(graph);
    }
}

eq_value eq_graph_find(const eq_graph *graph, const char *name)
{
    for (eq_value v = 0; v < graph->value_count; v++)
        if (graph->values[v].name && strcmp(graph->values[v].name, name) == 0)
            return v;
    return EQ_NONE;
}

void eq_graph_next_stage(eq_graph *graph)
{
    graph->stage++;
}

eq_value eq_graph_add(eq_graph *graph, const eq_op *op, int inputs, const eq_value *in, int outputs,
                      const eq_attr *attr)
{
    if (graph->status != EQ_OK)
        return EQ_NONE;
    eq_node node = {.op = op, .inputs = inputs, .outputs = outputs, .stage = graph->stage};
    if (attr)
        node.attr = *attr;
    for (int i = 0; i < inputs; i++)
        node.in[i] = in[i];
    for (int i = 0; i < outputs; i++) {
        node.out[i] = append_value(graph, &(eq_value_info){.kind = EQ_VALUE_RESULT, .node = graph->node_count}, NULL);
        if (node.out[i] == EQ_NONE)
            return EQ_NONE;
    }
    if (op->infer(graph, &node) != EQ_OK)
        return EQ_NONE;
    void *nodes = grow(graph, graph->nodes, graph->node_count, &graph->node_capacity, sizeof *graph->nodes);
    if (!nodes)
        return EQ_NONE;
    graph->nodes = nodes;
    graph->nodes[graph->node_count++] = node;
    return node.out[0];
}

void eq_node_output(eq_graph *graph, const eq_node *node, int index, eq_dtype dtype, eq_shape shape)
{
    eq_value_info *info = &graph->values[node->out[index]];
    info->dtype = dtype;
    info->shape = shape;
}

eq_status eq_graph_fail(eq_graph *graph, const eq_node *node, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return graph->status = eq_fail(graph->ctx, EQ_FAILED, "%s: %s", node->op->name, text);
}

bool eq_graph_needs_gradient(const eq_graph *graph, eq_value value)
{
    return value >= 0 && value < graph->needs_gradient_count && graph->needs_gradient[value];
}
