/* embedding: rows of a table, by number. */
#include "ops/check.h"
#include "ops/ops.h"
#include "ops/table.h"

/* The shape of the result: ids' with the table's row length after it. */
static eq_status output_shape(eq_graph *graph, const eq_node *node, const eq_shape *table, eq_shape *y)
{
    EQ_TRY(eq_check_dtype(graph, node, 0, "ids", EQ_I32));
    EQ_TRY(eq_check_rank(graph, node, 0, "ids", 1, EQ_MAX_RANK - 1));
    if (table->rank != 2)
        return eq_graph_fail(graph, node, "table is %s, expected [v, c]", eq_shape_format(table).text);
    *y = *eq_shape_at(graph, node->in[0]);
    y->dim[y->rank++] = table->dim[1];
    return EQ_OK;
}

static eq_status infer(eq_graph *graph, eq_node *node)
{
    const eq_shape *table = eq_shape_at(graph, node->in[1]);
    eq_shape y;
    EQ_TRY(output_shape(graph, node, table, &y));
    EQ_TRY(eq_check_param(graph, node, 1, "table", *table));
    eq_node_output(graph, node, 0, graph->dtype, y);
    return EQ_OK;
}

static void backward(eq_graph *graph, const eq_node *node, const eq_value *dout, eq_value *din)
{
    din[1] = eq_graph_add(graph, &eq_op_embedding_grad, 2, (eq_value[]){node->in[0], dout[0]}, 1,
                          &(eq_attr){.shape = *eq_shape_at(graph, node->in[1])});
}

/* inputs: ids, dy; output: like the table, f32; attr.shape: of the table */
static eq_status infer_grad(eq_graph *graph, eq_node *node)
{
    eq_shape y;
    EQ_TRY(output_shape(graph, node, &node->attr.shape, &y));
    EQ_TRY(eq_check_activation(graph, node, 1, "dy"));
    EQ_TRY(eq_check_shape(graph, node, 1, "dy", y));
    eq_node_output(graph, node, 0, EQ_F32, node->attr.shape);
    return EQ_OK;
}

const eq_op eq_op_embedding = {.name = "embedding", .infer = infer, .backward = backward};
const eq_op eq_op_embedding_grad = {.name = "embedding_grad", .infer = infer_grad};

eq_value eq_embedding(eq_graph *g, eq_value ids, eq_value table)
{
    return eq_graph_add(g, &eq_op_embedding, 2, (eq_value[]){ids, table}, 1, NULL);
}
