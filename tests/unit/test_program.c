/* Compiled programs: sharing memory, stages and carry buffers, backends, conversion, bound results, faults. */
#include "unit/random_graph.h"

#include "base/memory.h"

static random_params params;

static eq_program *compile(eq_context *ctx, eq_graph *graph, const char *backend)
{
    eq_program *program;
    if (eq_program_compile(graph, &(eq_program_options){.backend = backend}, &program) != EQ_OK)
        fail_msg("%s", eq_last_error(ctx));
    return program;
}

static void fill_inputs(eq_program *program, uint64_t salt)
{
    const eq_graph *graph = eq_program_graph(program);
    for (eq_value v = 0; v < graph->value_count; v++)
        if (eq_info(graph, v)->kind == EQ_VALUE_INPUT)
            random_input(graph, v, salt, eq_program_data(program, v));
}

/* Largest |a - b| relative to the root mean square of a. */
static double distance(const float *a, const float *b, int64_t count)
{
    double squares = 0, largest = 0;
    for (int64_t i = 0; i < count; i++) {
        squares += (double)a[i] * a[i];
        double difference = fabs((double)a[i] - b[i]);
        if (!(difference <= largest))
            largest = difference;
    }
    return largest / (sqrt(squares / (double)count) + 1e-6);
}

/* One program keeps every value, the other shares memory: all outputs must come out alike, run after run. */
static void compare_outputs(eq_program *kept, eq_program *shared, double tolerance)
{
    const eq_graph *graph = eq_program_graph(shared);
    for (uint64_t salt = 0; salt < 2; salt++) {
        fill_inputs(kept, salt);
        fill_inputs(shared, salt);
        assert_int_equal(eq_program_run(kept), EQ_OK);
        assert_int_equal(eq_program_run(shared), EQ_OK);
        for (eq_value v = 0; v < graph->value_count; v++) {
            if (!eq_info(graph, v)->output)
                continue;
            int64_t count = eq_shape_count(eq_shape_at(graph, v));
            double off = distance(eq_program_data(kept, v), eq_program_data(shared, v), count);
            if (!(off <= tolerance))
                fail_msg("output %d is off by %g of its size", v, off);
        }
    }
}

static void sharing_memory_changes_nothing(void **state)
{
    eq_context *ctx = eq_context_new();
    for (uint64_t seed = 0; seed < 60; seed++) {
        int nodes = 5 + (int)(seed % 50), stages = 1 + (int)(seed % 3);
        eq_graph *all = random_graph(ctx, &params, seed, nodes, stages, 6);
        for (eq_value v = 0; v < all->value_count; v++)
            eq_graph_output(all, v, NULL);
        eq_program *kept = compile(ctx, all, "ref");
        eq_program *shared = compile(ctx, random_graph(ctx, &params, seed, nodes, stages, 6), "ref");
        eq_program *best = compile(ctx, random_graph(ctx, &params, seed, nodes, stages, 6), NULL);
        compare_outputs(kept, shared, 0);
        compare_outputs(kept, best, 1e-4);
        eq_program_free(kept);
        eq_program_free(shared);
        eq_program_free(best);
    }
    eq_context_free(ctx);
}

/* Runs stage 0 of all, then stage 1 of all, ..., each with its own carry buffer; every output must be the one of a run
 * by itself. */
static void carries_keep_runs_apart(void **state)
{
    enum { RUNS = 3 };
    eq_context *ctx = eq_context_new();
    int crossing = 0;
    for (uint64_t seed = 0; seed < 40; seed++) {
        eq_program *program = compile(ctx, random_graph(ctx, &params, seed, 30, 3, 0), "ref");
        eq_program *alone = compile(ctx, random_graph(ctx, &params, seed, 30, 3, 0), "ref");
        const eq_graph *graph = eq_program_graph(program);
        size_t carry_bytes = eq_program_memory_use(program).carry_bytes;
        crossing += carry_bytes > 0;
        eq_value result = graph->value_count - 1;
        while (!eq_info(graph, result)->output)
            result--;
        int result_stage = graph->nodes[eq_info(graph, result)->node].stage;
        int64_t count = eq_shape_count(eq_shape_at(graph, result));
        void *carries[RUNS] = {NULL, eq_buffer_new(carry_bytes), eq_buffer_new(carry_bytes)};
        float found[RUNS][RANDOM_ROWS * RANDOM_COLUMNS];
        for (int stage = 0; stage <= graph->stage; stage++)
            for (int run = 0; run < RUNS; run++) {
                eq_program_set_carry(program, carries[run]);
                for (eq_value v = 0; v < graph->value_count; v++) {
                    int first = 0;
                    for (int32_t n = graph->node_count; n-- > 0;)
                        for (int i = 0; i < graph->nodes[n].inputs; i++)
                            if (graph->nodes[n].in[i] == v)
                                first = graph->nodes[n].stage;
                    if (eq_info(graph, v)->kind == EQ_VALUE_INPUT && first == stage)
                        random_input(graph, v, (uint64_t)run, eq_program_data(program, v));
                }
                assert_int_equal(eq_program_run_stage(program, stage), EQ_OK);
                if (stage == result_stage)
                    memcpy(found[run], eq_program_data(program, result), (size_t)count * sizeof(float));
            }
        for (int run = 0; run < RUNS; run++) {
            fill_inputs(alone, (uint64_t)run);
            assert_int_equal(eq_program_run(alone), EQ_OK);
            assert_memory_equal(found[run], eq_program_data(alone, result), (size_t)count * sizeof(float));
        }
        for (int run = 1; run < RUNS; run++)
            eq_buffer_free(carries[run]);
        eq_program_free(program);
        eq_program_free(alone);
    }
    assert_in_range(crossing, 10, 40);
    eq_context_free(ctx);
}

typedef struct network {
    float conv[8 * 3 * 3 * 3], bias[8], gamma[8], beta[8], linear[5 * 8];
} network;

static void network_fill(network *n)
{
    eq_rng rng = eq_rng_make(9, 0, 0);
    eq_rng_normals(&rng, n->conv, sizeof n->conv / sizeof *n->conv);
    eq_rng_normals(&rng, n->bias, 8);
    eq_rng_normals(&rng, n->gamma, 8);
    eq_rng_normals(&rng, n->beta, 8);
    eq_rng_normals(&rng, n->linear, sizeof n->linear / sizeof *n->linear);
}

static eq_graph *network_graph(eq_context *ctx, network *n, eq_dtype dtype)
{
    eq_graph *graph = eq_graph_new(ctx, dtype);
    eq_value x = eq_graph_input(graph, "x", EQ_F32, eq_shape_of(2, 6, 6, 3));
    eq_value conv = eq_graph_param(graph, "conv", &(eq_tensor){EQ_F32, eq_shape_of(8, 3, 3, 3), n->conv}, false);
    eq_value bias = eq_graph_param(graph, "bias", &(eq_tensor){EQ_F32, eq_shape_of(8), n->bias}, false);
    eq_value gamma = eq_graph_param(graph, "gamma", &(eq_tensor){EQ_F32, eq_shape_of(8), n->gamma}, false);
    eq_value beta = eq_graph_param(graph, "beta", &(eq_tensor){EQ_F32, eq_shape_of(8), n->beta}, false);
    eq_value linear = eq_graph_param(graph, "linear", &(eq_tensor){EQ_F32, eq_shape_of(5, 8), n->linear}, false);
    eq_value h = eq_conv2d(graph, eq_cast(graph, x, dtype), conv, bias, EQ_NONE, (eq_conv){1, 1, 1, 1, 1});
    h = eq_group_norm(graph, h, gamma, beta, EQ_NONE, 4, 1e-5f, EQ_ACT_SILU);
    h = eq_average_pool(graph, h, 6, 1, 0);
    h = eq_linear(graph, eq_reshape(graph, h, eq_shape_of(2, 8)), linear, EQ_NONE, EQ_NONE);
    eq_graph_output(graph, eq_cast(graph, h, EQ_F32), "y");
    return graph;
}

static void run_network(eq_context *ctx, network *n, eq_dtype dtype, const char *backend, bool frozen, float y[10])
{
    eq_program *program;
    if (eq_program_compile(network_graph(ctx, n, dtype),
                           &(eq_program_options){.backend = backend, .frozen_params = frozen}, &program) != EQ_OK)
        fail_msg("%s", eq_last_error(ctx));
    const eq_graph *graph = eq_program_graph(program);
    fill_inputs(program, 0);
    assert_int_equal(eq_program_run(program), EQ_OK);
    memcpy(y, eq_program_data(program, eq_graph_find(graph, "y")), 10 * sizeof *y);
    eq_program_free(program);
}

static void backends_and_dtypes_agree(void **state)
{
    eq_context *ctx = eq_context_new();
    network n;
    network_fill(&n);
    float expected[10], found[10];
    run_network(ctx, &n, EQ_F32, "ref", false, expected);
    for (int frozen = 0; frozen < 2; frozen++) {
        run_network(ctx, &n, EQ_F32, NULL, frozen, found);
        assert_true(distance(expected, found, 10) <= 1e-5);
        run_network(ctx, &n, EQ_BF16, "ref", frozen, found);
        assert_true(distance(expected, found, 10) <= 0.02);
        assert_true(distance(expected, found, 10) > 1e-5); /* it did round */
        run_network(ctx, &n, EQ_BF16, NULL, frozen, found);
        assert_true(distance(expected, found, 10) <= 0.02);
    }
    eq_context_free(ctx);
}

/* Unless they are frozen, parameters may change between runs. */
static void parameters_may_change(void **state)
{
    eq_context *ctx = eq_context_new();
    network n;
    network_fill(&n);
    eq_program *program = compile(ctx, network_graph(ctx, &n, EQ_F32), NULL);
    const float *y = eq_program_data(program, eq_graph_find(eq_program_graph(program), "y"));
    fill_inputs(program, 0);
    assert_int_equal(eq_program_run(program), EQ_OK);
    for (size_t i = 0; i < sizeof n.conv / sizeof *n.conv; i++)
        n.conv[i] = -n.conv[i];
    for (int i = 0; i < 40; i++)
        n.linear[i] *= 2;
    n.gamma[3] = 7;
    fill_inputs(program, 0);
    assert_int_equal(eq_program_run(program), EQ_OK);
    float expected[10];
    run_network(ctx, &n, EQ_F32, "ref", false, expected);
    assert_true(distance(expected, y, 10) <= 1e-5);
    eq_program_free(program);
    eq_context_free(ctx);
}

static void memory_is_reported(void **state)
{
    eq_context *ctx = eq_context_new();
    enum { COUNT = 4096, BYTES = COUNT * 4 };
    eq_graph *graph = eq_graph_new(ctx, EQ_F32);
    eq_value x = eq_graph_input(graph, "x", EQ_F32, eq_shape_of(64, 64));
    for (int i = 0; i < 10; i++)
        x = eq_permute(graph, x, (int[]){1, 0});
    eq_graph_next_stage(graph);
    eq_graph_output(graph, eq_permute(graph, x, (int[]){1, 0}), "y");
    eq_program *program = compile(ctx, graph, "ref");
    eq_program_memory use = eq_program_memory_use(program);
    assert_int_equal(use.arena_bytes, 2 * BYTES);
    assert_int_equal(use.carry_bytes, BYTES);
    assert_int_equal(use.packed_bytes, 0);
    assert_int_equal(use.naive_bytes, 12 * BYTES);
    eq_program_free(program);
    eq_context_free(ctx);
}

/* Results go where they are bound to, reshaped ones too. */
static void bound_results_are_written(void **state)
{
    eq_context *ctx = eq_context_new();
    eq_graph *graph = eq_graph_new(ctx, EQ_F32);
    eq_value x = eq_graph_input(graph, "x", EQ_F32, eq_shape_of(2, 3));
    eq_value doubled = eq_scale(graph, x, 2);
    eq_value view = eq_reshape(graph, doubled, eq_shape_of(3, 2)), view_of_input = eq_reshape(graph, x, eq_shape_of(6));
    eq_value tripled = eq_scale(graph, view, 1.5f);
    const eq_value bound[] = {doubled, view, view_of_input, tripled};
    float data[4][6] = {0};
    for (int i = 0; i < 4; i++) {
        graph->values[bound[i]].data = data[i];
        eq_graph_output(graph, bound[i], NULL);
    }
    eq_program *program = compile(ctx, graph, NULL);
    const float numbers[6] = {1, -2, 3, -4, 5, -6}, factor[4] = {2, 2, 1, 3};
    memcpy(eq_program_data(program, x), numbers, sizeof numbers);
    assert_int_equal(eq_program_run(program), EQ_OK);
    for (int i = 0; i < 4; i++) {
        assert_ptr_equal(eq_program_data(program, bound[i]), data[i]);
        for (int k = 0; k < 6; k++)
            assert_true(data[i][k] == factor[i] * numbers[k]);
    }
    eq_program_free(program);
    eq_context_free(ctx);
}

/* An input that the network does not read can be filled all the same. */
static void unread_inputs_have_memory(void **state)
{
    eq_context *ctx = eq_context_new();
    eq_graph *graph = eq_graph_new(ctx, EQ_F32);
    eq_value x = eq_graph_input(graph, "x", EQ_F32, eq_shape_of(4));
    eq_value unread = eq_graph_input(graph, "unread", EQ_I32, eq_shape_of(100));
    eq_value y = eq_scale(graph, x, 3);
    eq_graph_output(graph, y, "y");
    eq_program *program = compile(ctx, graph, NULL);
    assert_non_null(eq_program_data(program, unread));
    memcpy(eq_program_data(program, x), (float[]){1, 2, 3, 4}, 16);
    memset(eq_program_data(program, unread), 0xff, 400);
    assert_int_equal(eq_program_run(program), EQ_OK);
    assert_memory_equal(eq_program_data(program, y), ((float[]){3, 6, 9, 12}), 16);
    eq_program_free(program);
    eq_context_free(ctx);
}

static void faults_are_passed_on(void **state)
{
    eq_context *ctx = eq_context_new();
    eq_program *program = (eq_program *)ctx;
    eq_graph *graph = eq_graph_new(ctx, EQ_F32);
    eq_value x = eq_graph_input(graph, "x", EQ_F32, eq_shape_of(4));
    eq_permute(graph, x, (int[]){3});
    assert_int_equal(eq_program_compile(graph, &(eq_program_options){0}, &program), EQ_FAILED);
    assert_null(program);
    assert_string_equal(eq_last_error(ctx), "permute: perm does not name each of the 1 dimensions once");

    graph = eq_graph_new(ctx, EQ_F32);
    x = eq_graph_input(graph, "x", EQ_F32, eq_shape_of(4));
    eq_graph_output(graph, eq_scale(graph, x, 2), NULL);
    assert_int_equal(eq_program_compile(graph, &(eq_program_options){.backend = "abacus"}, &program), EQ_FAILED);
    assert_null(program);
    assert_string_equal(eq_last_error(ctx), "no abacus kernel computes scale");
    eq_program_free(NULL);
    eq_context_free(ctx);
}

static void timings_name_the_kernels(void **state)
{
    eq_context *ctx = eq_context_new();
    network n;
    network_fill(&n);
    eq_program *program = compile(ctx, network_graph(ctx, &n, EQ_F32), "ref");
    eq_program_timing rows[8];
    for (int run = 0; run < 4; run++) {
        if (run == 1)
            eq_program_timing_reset(program);
        fill_inputs(program, 0);
        assert_int_equal(eq_program_run(program), EQ_OK);
    }
    int count = eq_program_timings(program, rows, 8);
    assert_int_equal(count, 4); /* in f32 there is nothing to cast, and views do not run */
    assert_string_equal(rows[0].op, "conv2d");
    for (int i = 0; i < count; i++) {
        assert_string_equal(rows[i].backend, "ref");
        assert_int_equal(rows[i].calls, 3);
        assert_true(rows[i].seconds >= 0);
    }
    assert_true(rows[0].flops == 3 * 2.0 * 2 * 6 * 6 * 8 * 3 * 3 * 3);
    assert_true(rows[0].bytes == 3 * 4.0 * (2 * 6 * 6 * 3 + 8 * 3 * 3 * 3 + 8 + 2 * 6 * 6 * 8));
    assert_int_equal(eq_program_timings(program, rows, 2), 2);
    eq_program_free(program);
    eq_context_free(ctx);
}

int main(void)
{
    random_params_fill(&params);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sharing_memory_changes_nothing),
        cmocka_unit_test(carries_keep_runs_apart),
        cmocka_unit_test(backends_and_dtypes_agree),
        cmocka_unit_test(parameters_may_change),
        cmocka_unit_test(memory_is_reported),
        cmocka_unit_test(bound_results_are_written),
        cmocka_unit_test(unread_inputs_have_memory),
        cmocka_unit_test(faults_are_passed_on),
        cmocka_unit_test(timings_name_the_kernels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
