/* Building graphs: values, names, stages, faults. */
#include "unit/random_graph.h"

static void values_are_found_by_name(void **state)
{
    eq_context *ctx = eq_context_new();
    eq_graph *graph = eq_graph_new(ctx, EQ_BF16);
    float weight[3] = {1, 2, 3};
    eq_value x = eq_graph_input(graph, "x", EQ_BF16, eq_shape_of(2, 3));
    eq_value w = eq_graph_param(graph, "w", &(eq_tensor){EQ_F32, eq_shape_of(3), weight}, true);
    eq_value y = eq_layer_norm(graph, x, w, w, 1e-5f);
    eq_graph_output(graph, y, "y");
    assert_int_equal(eq_graph_find(graph, "x"), x);
    assert_int_equal(eq_graph_find(graph, "w"), w);
    assert_int_equal(eq_graph_find(graph, "y"), y);
    assert_int_equal(eq_graph_find(graph, "z"), EQ_NONE);
    eq_graph_output(graph, y, "z");
    assert_int_equal(eq_graph_find(graph, "y"), EQ_NONE);
    assert_int_equal(eq_graph_find(graph, "z"), y);

    assert_int_equal(eq_info(graph, x)->kind, EQ_VALUE_INPUT);
    assert_int_equal(eq_info(graph, x)->node, -1);
    assert_int_equal(eq_info(graph, w)->kind, EQ_VALUE_PARAM);
    assert_true(eq_info(graph, w)->trainable);
    assert_ptr_equal(eq_info(graph, w)->data, weight);
    assert_int_equal(eq_info(graph, y)->kind, EQ_VALUE_RESULT);
    assert_int_equal(eq_info(graph, y)->node, 0);
    assert_true(eq_info(graph, y)->output);
    assert_int_equal(eq_info(graph, y)->dtype, EQ_BF16);
    /* The statistics follow in number. */
    assert_int_equal(graph->nodes[0].outputs, 2);
    assert_int_equal(graph->nodes[0].out[1], y + 1);
    assert_int_equal(eq_info(graph, y + 1)->dtype, EQ_F32);
    assert_int_equal(eq_graph_status(graph), EQ_OK);
    eq_graph_free(graph);
    eq_context_free(ctx);
}

static void the_first_fault_stays(void **state)
{
    eq_context *ctx = eq_context_new();
    eq_graph *graph = eq_graph_new(ctx, EQ_F32);
    eq_value x = eq_graph_input(graph, "x", EQ_F32, eq_shape_of(2, 3));
    eq_value y = eq_graph_input(graph, "y", EQ_F32, eq_shape_of(2, 4));
    eq_value sum = eq_add(graph, x, y);
    assert_int_equal(sum, EQ_NONE);
    assert_int_equal(eq_graph_status(graph), EQ_FAILED);
    assert_string_equal(eq_last_error(ctx), "add: f32 [2, 3] and f32 [2, 4] do not broadcast");
    int32_t nodes = graph->node_count;
    /* What follows is dropped, faulty or not, and the message kept. */
    assert_int_equal(eq_softmax(graph, sum), EQ_NONE);
    assert_int_equal(eq_softmax(graph, x), EQ_NONE);
    assert_int_equal(eq_permute(graph, sum, (int[]){1, 0}), EQ_NONE);
    assert_int_equal(eq_slice(graph, sum, 0, 0, 1), EQ_NONE);
    assert_int_equal(eq_cast(graph, sum, EQ_BF16), EQ_NONE);
    assert_int_equal(eq_sum_to(graph, sum, eq_shape_of(1, 1)), EQ_NONE);
    assert_int_equal(eq_scale(graph, sum, 1), EQ_NONE);
    assert_int_equal(eq_concat(graph, 100, &sum), EQ_NONE);
    assert_int_equal(eq_concat(graph, 2, (eq_value[]){x, sum}), EQ_NONE);
    assert_int_equal(eq_reshape(graph, sum, eq_shape_of(3)), EQ_NONE);
    assert_int_equal(eq_graph_input(graph, "z", EQ_F32, eq_shape_of(1)), EQ_NONE);
    eq_graph_output(graph, sum, "sum");
    assert_int_equal(graph->node_count, nodes);
    assert_int_equal(eq_graph_find(graph, "sum"), EQ_NONE);
    assert_string_equal(eq_last_error(ctx), "add: f32 [2, 3] and f32 [2, 4] do not broadcast");
    eq_graph_free(graph);
    eq_context_free(ctx);
}

static void too_many_inputs_are_refused(void **state)
{
    eq_context *ctx = eq_context_new();
    eq_graph *graph = eq_graph_new(ctx, EQ_F32);
    eq_value x[EQ_MAX_INPUTS + 1];
    for (int i = 0; i <= EQ_MAX_INPUTS; i++)
        x[i] = eq_graph_input(graph, NULL, EQ_F32, eq_shape_of(2, 3));
    eq_value all = eq_concat(graph, EQ_MAX_INPUTS, x);
    assert_int_equal(eq_shape_at(graph, all)->dim[1], 3 * EQ_MAX_INPUTS);
    assert_int_equal(eq_concat(graph, EQ_MAX_INPUTS + 1, x), EQ_NONE);
    assert_string_equal(eq_last_error(ctx), "concat: 9 inputs, expected 1 to 8");
    eq_graph_free(graph);
    eq_context_free(ctx);
}

static void stages_mark_nodes(void **state)
{
    eq_context *ctx = eq_context_new();
    eq_graph *graph = eq_graph_new(ctx, EQ_F32);
    eq_value x = eq_graph_input(graph, "x", EQ_F32, eq_shape_of(4));
    x = eq_scale(graph, x, 2);
    eq_graph_next_stage(graph);
    eq_graph_next_stage(graph);
    x = eq_scale(graph, x, 2);
    assert_int_equal(graph->nodes[0].stage, 0);
    assert_int_equal(graph->nodes[1].stage, 2);
    eq_graph_free(graph);
    eq_context_free(ctx);
}

/* More values and nodes than the arrays start with: earlier ones stay as they were. */
static void graphs_grow(void **state)
{
    eq_context *ctx = eq_context_new();
    eq_graph *graph = eq_graph_new(ctx, EQ_F32);
    eq_value first = eq_graph_input(graph, "first", EQ_F32, eq_shape_of(2, 5)), x = first;
    enum { NODES = 1000 };
    for (int i = 0; i < NODES; i++)
        x = eq_scale(graph, x, 2);
    assert_int_equal(graph->node_count, NODES);
    assert_int_equal(graph->value_count, NODES + 1);
    assert_int_equal(eq_graph_find(graph, "first"), first);
    for (int32_t n = 0; n < NODES; n++) {
        assert_int_equal(graph->nodes[n].in[0], n);
        assert_int_equal(graph->nodes[n].out[0], n + 1);
        assert_int_equal(eq_info(graph, n + 1)->node, n);
        assert_true(eq_shape_equal(eq_shape_at(graph, n + 1), &(eq_shape){.rank = 2, .dim = {2, 5}}));
    }
    eq_graph_free(graph);
    eq_graph_free(NULL);
    eq_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_found_by_name),
        cmocka_unit_test(the_first_fault_stays),
        cmocka_unit_test(too_many_inputs_are_refused),
        cmocka_unit_test(stages_mark_nodes),
        cmocka_unit_test(graphs_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
