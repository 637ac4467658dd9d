/* The memory planner, checked by playing runs through: every cell of memory remembers which value was last written to
 * it, and what a node reads must still be there. */
#include "unit/random_graph.h"

#include "ops/table.h"
#include "tensor/plan.h"

enum { CARRIES = 3 };

/* What was last written to a cell of 4 bytes. */
typedef struct cell {
    eq_value value;
    int carry; /* in whose run */
} cell;

typedef struct machine {
    const eq_graph *graph;
    eq_memory_plan plan;
    cell *arena, *carries[CARRIES];
} machine;

static machine machine_open(const eq_graph *graph)
{
    machine m = {.graph = graph};
    assert_int_equal(eq_memory_plan_make(graph, &m.plan), EQ_OK);
    m.arena = calloc(m.plan.arena_bytes / 4 + 1, sizeof *m.arena);
    assert_non_null(m.arena);
    for (size_t i = 0; i < m.plan.arena_bytes / 4; i++)
        m.arena[i].value = EQ_NONE;
    for (int c = 0; c < CARRIES; c++) {
        m.carries[c] = calloc(m.plan.carry_bytes / 4 + 1, sizeof *m.arena);
        assert_non_null(m.carries[c]);
        for (size_t i = 0; i < m.plan.carry_bytes / 4; i++)
            m.carries[c][i].value = EQ_NONE;
    }
    return m;
}

static void machine_close(machine *m)
{
    free(m->arena);
    for (int c = 0; c < CARRIES; c++)
        free(m->carries[c]);
    eq_memory_plan_free(&m->plan);
}

static bool is_bound(const eq_graph *graph, eq_value value)
{
    return eq_info(graph, value)->data != NULL;
}

/* The value that was written: views are read through what they are views of. */
static eq_value written(const eq_graph *graph, eq_value value)
{
    int32_t node = eq_info(graph, value)->node;
    if (node < 0 || !(graph->nodes[node].op->flags & EQ_OP_VIEW) || is_bound(graph, value))
        return value;
    return written(graph, graph->nodes[node].in[0]);
}

static int64_t count_of(const machine *m, eq_value value)
{
    return eq_shape_count(eq_shape_at(m->graph, value));
}

/* The cells of a value, NULL for parameters and bound results. */
static cell *cells_of(const machine *m, eq_value value, int carry)
{
    const eq_place *place = &m->plan.places[value];
    size_t bytes = (size_t)count_of(m, value) * 4;
    if (is_bound(m->graph, written(m->graph, value))) {
        assert_int_equal(place->space, EQ_SPACE_EXTERNAL);
        assert_int_equal(place->root, written(m->graph, value));
        return NULL;
    }
    assert_int_equal(place->offset % EQ_PLAN_ALIGNMENT, 0);
    if (place->space == EQ_SPACE_CARRY) {
        assert_in_range(place->offset + bytes, 0, m->plan.carry_bytes);
        return m->carries[carry] + place->offset / 4;
    }
    assert_int_equal(place->space, EQ_SPACE_ARENA);
    assert_in_range(place->offset + bytes, 0, m->plan.arena_bytes);
    return m->arena + place->offset / 4;
}

static void write_value(machine *m, eq_value value, int carry)
{
    cell *cells = cells_of(m, value, carry);
    for (int64_t i = 0; cells && i < count_of(m, value); i++)
        cells[i] = (cell){value, carry};
}

static void read_value(machine *m, eq_value value, int carry)
{
    const cell *cells = cells_of(m, value, carry);
    eq_value expected = written(m->graph, value);
    for (int64_t i = 0; cells && i < count_of(m, value); i++)
        if (cells[i].value != expected || cells[i].carry != carry)
            fail_msg("value %d of run %d is read, but value %d of run %d lies there", expected, carry, cells[i].value,
                     cells[i].carry);
}

static bool overlap(const machine *m, eq_value a, eq_value b)
{
    const cell *x = cells_of(m, a, 0), *y = cells_of(m, b, 0);
    return x && y && m->plan.places[a].space == m->plan.places[b].space && x < y + count_of(m, b) &&
           y < x + count_of(m, a);
}

/* What a node writes may lie in none of what it reads, but for the first input of ops that allow that, and then only
 * as a whole. */
static void check_node_apart(const machine *m, const eq_node *node)
{
    const eq_graph *graph = m->graph;
    for (int o = 0; o < node->outputs; o++) {
        for (int p = 0; p < o; p++)
            assert_false(overlap(m, node->out[o], node->out[p]));
        for (int i = 0; i < node->inputs; i++) {
            if (node->in[i] == EQ_NONE || !overlap(m, node->out[o], node->in[i]))
                continue;
            assert_int_equal(o, 0);
            assert_int_equal(i, 0);
            assert_true(node->op->flags & EQ_OP_INPLACE);
            assert_int_equal(count_of(m, node->out[0]), count_of(m, node->in[0]));
            assert_int_equal(eq_info(graph, node->out[0])->dtype, eq_info(graph, node->in[0])->dtype);
            assert_int_equal(m->plan.places[node->out[0]].offset, m->plan.places[node->in[0]].offset);
        }
    }
}

static void run_node(machine *m, const eq_node *node, int carry)
{
    for (int i = 0; i < node->inputs; i++)
        if (node->in[i] != EQ_NONE)
            read_value(m, node->in[i], carry);
    if ((node->op->flags & EQ_OP_VIEW) && !is_bound(m->graph, node->out[0])) {
        assert_int_equal(m->plan.places[node->out[0]].offset, m->plan.places[node->in[0]].offset);
        return;
    }
    check_node_apart(m, node);
    for (int i = 0; i < node->outputs; i++)
        write_value(m, node->out[i], carry);
}

/* All inputs are filled, all stages run, all outputs read. */
static void check_whole_run(const eq_graph *graph)
{
    machine m = machine_open(graph);
    for (int run = 0; run < 2; run++) {
        for (eq_value v = 0; v < graph->value_count; v++)
            if (eq_info(graph, v)->kind == EQ_VALUE_INPUT)
                write_value(&m, v, run);
        for (int32_t n = 0; n < graph->node_count; n++)
            run_node(&m, &graph->nodes[n], run);
        for (eq_value v = 0; v < graph->value_count; v++)
            if (eq_info(graph, v)->output)
                read_value(&m, v, run);
    }
    machine_close(&m);
}

static int first_stage(const eq_graph *graph, eq_value value)
{
    for (int32_t n = 0; n < graph->node_count; n++)
        for (int i = 0; i < graph->nodes[n].inputs; i++)
            if (graph->nodes[n].in[i] != EQ_NONE && written(graph, graph->nodes[n].in[i]) == value)
                return graph->nodes[n].stage;
    return 0;
}

/* Each stage runs for every carry buffer before the next; inputs are filled before the first stage that reads them,
 * outputs are read after the stage that computes them. */
static void check_stage_by_stage(const eq_graph *graph)
{
    machine m = machine_open(graph);
    for (int stage = 0; stage <= graph->stage; stage++)
        for (int carry = 0; carry < CARRIES; carry++) {
            for (eq_value v = 0; v < graph->value_count; v++)
                if (eq_info(graph, v)->kind == EQ_VALUE_INPUT && first_stage(graph, v) == stage)
                    write_value(&m, v, carry);
            for (int32_t n = 0; n < graph->node_count; n++)
                if (graph->nodes[n].stage == stage)
                    run_node(&m, &graph->nodes[n], carry);
            for (eq_value v = 0; v < graph->value_count; v++) {
                const eq_value_info *info = eq_info(graph, v);
                if (info->output && info->node >= 0 && graph->nodes[info->node].stage == stage)
                    read_value(&m, v, carry);
            }
        }
    machine_close(&m);
}

static void live_values_never_overlap(void **state)
{
    eq_context *ctx = eq_context_new();
    random_params params;
    random_params_fill(&params);
    float bound[4][RANDOM_ROWS * RANDOM_COLUMNS];
    int in_place = 0, carried = 0, views = 0, shared = 0;
    for (uint64_t seed = 0; seed < 400; seed++) {
        eq_graph *graph = random_graph(ctx, &params, seed, 5 + (int)(seed % 60), 1 + (int)(seed % 4), 8);
        /* Some outputs lie elsewhere. */
        int bindings = 0;
        for (eq_value v = 0; v < graph->value_count && bindings < 4; v++)
            if (seed % 3 == 0 && eq_info(graph, v)->output && eq_info(graph, v)->node >= 0)
                graph->values[v].data = bound[bindings++];
        check_whole_run(graph);
        check_stage_by_stage(graph);
        /* The graphs do hold what they are to try. */
        eq_memory_plan plan;
        assert_int_equal(eq_memory_plan_make(graph, &plan), EQ_OK);
        for (int32_t n = 0; n < graph->node_count; n++) {
            const eq_node *node = &graph->nodes[n];
            bool takes = plan.places[node->out[0]].root != node->out[0];
            in_place += takes && (node->op->flags & EQ_OP_INPLACE);
            views += takes && (node->op->flags & EQ_OP_VIEW);
            carried += plan.places[node->out[0]].space == EQ_SPACE_CARRY;
        }
        shared += plan.arena_bytes + plan.carry_bytes < plan.naive_bytes;
        eq_memory_plan_free(&plan);
        eq_graph_free(graph);
    }
    assert_in_range(in_place, 200, 100000);
    assert_in_range(views, 200, 100000);
    assert_in_range(carried, 200, 100000);
    assert_in_range(shared, 200, 400);
    eq_context_free(ctx);
}

/* Both fill one unit of alignment, but the sum has more elements: it must not be written over what it reads. */
static void a_smaller_operand_is_not_taken_over(void **state)
{
    eq_context *ctx = eq_context_new();
    eq_graph *graph = eq_graph_new(ctx, EQ_F32);
    eq_value x = eq_graph_input(graph, "x", EQ_F32, eq_shape_of(1, 2)),
             y = eq_graph_input(graph, "y", EQ_F32, eq_shape_of(3, 2));
    eq_value sum = eq_add(graph, eq_scale(graph, x, 2), y);
    eq_graph_output(graph, sum, NULL);
    check_whole_run(graph);
    eq_graph_free(graph);
    eq_context_free(ctx);
}

/* x -> f -> f -> ... in place takes the input's memory and one buffer; ops that cannot, two. */
static void a_chain_takes_two_buffers(void **state)
{
    eq_context *ctx = eq_context_new();
    for (int in_place = 0; in_place < 2; in_place++) {
        eq_graph *graph = eq_graph_new(ctx, EQ_F32);
        eq_value x = eq_graph_input(graph, "x", EQ_F32, eq_shape_of(32, 32));
        for (int i = 0; i < 20; i++)
            x = in_place ? eq_activate(graph, x, EQ_ACT_SILU) : eq_permute(graph, x, (int[]){1, 0});
        eq_graph_output(graph, x, NULL);
        eq_memory_plan plan;
        assert_int_equal(eq_memory_plan_make(graph, &plan), EQ_OK);
        assert_int_equal(plan.arena_bytes, 2 * 32 * 32 * 4);
        assert_int_equal(plan.carry_bytes, 0);
        eq_memory_plan_free(&plan);
        eq_graph_free(graph);
    }
    eq_context_free(ctx);
}

/* Only what the second stage reads is carried. */
static void the_carry_holds_what_crosses(void **state)
{
    eq_context *ctx = eq_context_new();
    eq_graph *graph = eq_graph_new(ctx, EQ_F32);
    eq_value x = eq_graph_input(graph, "x", EQ_F32, eq_shape_of(16, 16));
    eq_value used = eq_permute(graph, x, (int[]){1, 0}), skip = eq_softmax(graph, used);
    eq_value h = eq_permute(graph, skip, (int[]){1, 0});
    eq_graph_next_stage(graph);
    eq_value y = eq_add(graph, eq_activate(graph, h, EQ_ACT_SILU), skip);
    eq_graph_output(graph, y, NULL);
    eq_memory_plan plan;
    assert_int_equal(eq_memory_plan_make(graph, &plan), EQ_OK);
    assert_int_equal(plan.places[skip].space, EQ_SPACE_CARRY);
    assert_int_equal(plan.places[h].space, EQ_SPACE_CARRY);
    assert_int_equal(plan.places[x].space, EQ_SPACE_ARENA);
    assert_int_equal(plan.places[y].space, EQ_SPACE_ARENA);
    assert_int_equal(plan.carry_bytes, 2 * 16 * 16 * 4);
    eq_memory_plan_free(&plan);
    eq_graph_free(graph);
    eq_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(live_values_never_overlap),
        cmocka_unit_test(a_smaller_operand_is_not_taken_over),
        cmocka_unit_test(a_chain_takes_two_buffers),
        cmocka_unit_test(the_carry_holds_what_crosses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
