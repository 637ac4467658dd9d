/* Differentiation on the graph: whole random graphs against finite differences, and its bookkeeping. */
#include "unit/random_graph.h"

#include "ops/autodiff.h"

static random_params params;

/* The mean squared distance of the last value of a random graph from zero. */
static eq_value loss_of(eq_graph *graph, eq_value y)
{
    eq_value target = eq_constant(graph, *eq_shape_at(graph, y), 0);
    return eq_mse(graph, eq_cast(graph, y, EQ_F32), target, EQ_NONE);
}

static int count_nodes(const eq_graph *graph, const char *op)
{
    int count = 0;
    for (int32_t n = 0; n < graph->node_count; n++)
        count += strcmp(graph->nodes[n].op->name, op) == 0;
    return count;
}

static eq_program *compile(eq_context *ctx, eq_graph *graph)
{
    eq_program *program;
    if (eq_program_compile(graph, &(eq_program_options){.backend = "ref"}, &program) != EQ_OK)
        fail_msg("%s", eq_last_error(ctx));
    return program;
}

/* Fills the inputs, but for one element of `changed` which is moved by `step`, and returns the loss in double. */
static double run_loss(eq_program *program, eq_value y, eq_value changed, int64_t element, float step)
{
    const eq_graph *graph = eq_program_graph(program);
    for (eq_value v = 0; v < graph->value_count; v++)
        if (eq_info(graph, v)->kind == EQ_VALUE_INPUT)
            random_input(graph, v, 0, eq_program_data(program, v));
    if (changed != EQ_NONE)
        ((float *)eq_program_data(program, changed))[element] += step;
    assert_int_equal(eq_program_run(program), EQ_OK);
    int64_t count = eq_shape_count(eq_shape_at(graph, y));
    const float *out = eq_program_data(program, y);
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += (double)out[i] * out[i];
    return sum / (double)count;
}

/* Central differences of fourth order. */
static double difference(eq_program *program, eq_value y, eq_value changed, int64_t element)
{
    const float step = 1.0f / 128;
    double loss[4];
    for (int i = 0; i < 4; i++)
        loss[i] = run_loss(program, y, changed, element, step * (float[]){-2, -1, 1, 2}[i]);
    return (8 * (loss[2] - loss[1]) - (loss[3] - loss[0])) / (12 * step);
}

static void random_graphs_match_finite_differences(void **state)
{
    enum { INPUTS = 4 };
    eq_context *ctx = eq_context_new();
    const eq_value inputs[INPUTS] = {0, 1, 2, 3};
    int checked = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        eq_graph *graph = random_graph(ctx, &params, seed, 4 + (int)(seed % 12), 1, 0);
        eq_value y = graph->nodes[graph->node_count - 1].out[0], gradients[INPUTS];
        eq_graph_output(graph, y, NULL);
        eq_value loss = loss_of(graph, y);
        if (eq_graph_backward(graph, loss, INPUTS, inputs, gradients) != EQ_OK)
            fail_msg("%s", eq_last_error(ctx));
        for (int i = 0; i < INPUTS; i++)
            if (gradients[i] != EQ_NONE)
                eq_graph_output(graph, gradients[i], NULL);
        eq_program *program = compile(ctx, graph);
        for (int i = 0; i < INPUTS; i++) {
            int64_t count = eq_shape_count(eq_shape_at(graph, inputs[i]));
            float found[RANDOM_ROWS * RANDOM_COLUMNS] = {0};
            run_loss(program, y, EQ_NONE, 0, 0);
            if (gradients[i] != EQ_NONE) {
                assert_true(eq_shape_equal(eq_shape_at(graph, gradients[i]), eq_shape_at(graph, inputs[i])));
                memcpy(found, eq_program_data(program, gradients[i]), (size_t)count * sizeof *found);
                checked++;
            }
            double squares = 0;
            for (int64_t k = 0; k < count; k++)
                squares += (double)found[k] * found[k];
            double scale = sqrt(squares / (double)count);
            for (int64_t k = 0; k < count; k += 1 + count / 5) {
                double expected = difference(program, y, inputs[i], k);
                if (!(fabs(found[k] - expected) <= 2e-3 * (fabs(expected) + scale) + 1e-4))
                    fail_msg("graph %d: the gradient of input %d [%lld] is %.6g, finite differences give %.6g",
                             (int)seed, i, (long long)k, (double)found[k], expected);
            }
        }
        eq_program_free(program);
    }
    assert_in_range(checked, 60, 240);
    eq_context_free(ctx);
}

/* y = x + 2x + x * x, all of the same x: the gradients of the uses add up. The loss is mean(y * y). */
static void uses_add_up(void **state)
{
    eq_context *ctx = eq_context_new();
    eq_graph *graph = eq_graph_new(ctx, EQ_F32);
    eq_value x = eq_graph_input(graph, "x", EQ_F32, eq_shape_of(3)), dx;
    eq_value y = eq_add(graph, eq_add(graph, x, eq_scale(graph, x, 2)), eq_multiply(graph, x, x));
    assert_int_equal(eq_graph_backward(graph, loss_of(graph, y), 1, &x, &dx), EQ_OK);
    eq_graph_output(graph, dx, NULL);
    eq_program *program = compile(ctx, graph);
    const float numbers[3] = {1, -2, 0.5f};
    memcpy(eq_program_data(program, x), numbers, sizeof numbers);
    assert_int_equal(eq_program_run(program), EQ_OK);
    for (int i = 0; i < 3; i++) {
        float value = 3 * numbers[i] + numbers[i] * numbers[i], slope = 3 + 2 * numbers[i];
        assert_float_equal(((const float *)eq_program_data(program, dx))[i], 2 * value * slope / 3, 1e-5f);
    }
    eq_program_free(program);
    eq_context_free(ctx);
}

/* Of what is computed, of what is bound to another value's gradient, of what the loss does not see. */
static void any_value_may_be_wanted(void **state)
{
    eq_context *ctx = eq_context_new();
    eq_graph *graph = eq_graph_new(ctx, EQ_F32);
    eq_value x = eq_graph_input(graph, "x", EQ_F32, eq_shape_of(4));
    eq_value apart = eq_graph_input(graph, "apart", EQ_F32, eq_shape_of(4));
    eq_value h = eq_scale(graph, x, 3), y = eq_scale(graph, h, 2);
    eq_value aside = eq_scale(graph, apart, 2), loss = loss_of(graph, y);
    const eq_value wanted[5] = {h, apart, aside, loss, h};
    eq_value gradients[5];
    assert_int_equal(eq_graph_backward(graph, loss, 5, wanted, gradients), EQ_OK);
    assert_int_equal(gradients[1], EQ_NONE);
    assert_int_equal(gradients[2], EQ_NONE);
    assert_int_equal(gradients[0], gradients[4]);
    eq_graph_output(graph, gradients[0], NULL);
    eq_graph_output(graph, gradients[3], NULL);
    eq_program *program = compile(ctx, graph);
    const float numbers[4] = {1, 2, -1, 0};
    memcpy(eq_program_data(program, x), numbers, sizeof numbers);
    assert_int_equal(eq_program_run(program), EQ_OK);
    for (int i = 0; i < 4; i++) /* d mean((2h)^2) / dh = 2 * 2 * 2h / 4 = 6x */
        assert_float_equal(((const float *)eq_program_data(program, gradients[0]))[i], 6 * numbers[i], 1e-5f);
    assert_float_equal(*(const float *)eq_program_data(program, gradients[3]), 1, 0);
    eq_program_free(program);
    eq_context_free(ctx);
}

/* Nothing is computed that nobody wants. */
static void only_what_is_wanted_is_computed(void **state)
{
    eq_context *ctx = eq_context_new();
    eq_graph *graph = eq_graph_new(ctx, EQ_BF16);
    float weight[2][5 * 5] = {{0}};
    eq_tensor tensor = {EQ_F32, eq_shape_of(5, 5), weight[0]};
    eq_value x = eq_graph_input(graph, "x", EQ_BF16, eq_shape_of(2, 5));
    eq_value first = eq_graph_param(graph, "first", &tensor, false);
    tensor.data = weight[1];
    eq_value last = eq_graph_param(graph, "last", &tensor, true), gradient;
    eq_value h = eq_activate(graph, eq_linear(graph, x, first, EQ_NONE, EQ_NONE), EQ_ACT_SILU);
    eq_value y = eq_linear(graph, h, last, EQ_NONE, EQ_NONE);
    assert_int_equal(eq_graph_backward(graph, loss_of(graph, y), 1, &last, &gradient), EQ_OK);
    assert_int_equal(count_nodes(graph, "linear_grad_weight"), 1);
    assert_int_equal(count_nodes(graph, "linear_grad_input"), 0);
    assert_int_equal(count_nodes(graph, "activation_grad"), 0);
    /* Gradients of parameters are float32 whatever activations are. */
    assert_int_equal(eq_info(graph, gradient)->dtype, EQ_F32);
    eq_graph_free(graph);
    eq_context_free(ctx);
}

/* A cast passes the gradient on, in the dtype of what it cast. */
static void casts_pass_gradients_on(void **state)
{
    eq_context *ctx = eq_context_new();
    eq_graph *graph = eq_graph_new(ctx, EQ_BF16);
    eq_value x = eq_graph_input(graph, "x", EQ_F32, eq_shape_of(2)), dx;
    eq_value y = eq_cast(graph, x, EQ_BF16);
    assert_int_equal(eq_graph_backward(graph, loss_of(graph, y), 1, &x, &dx), EQ_OK);
    assert_int_equal(eq_info(graph, dx)->dtype, EQ_F32);
    eq_graph_output(graph, dx, NULL);
    eq_program *program = compile(ctx, graph);
    /* d mean(y^2) / dx = y; y is x rounded to 8 bits. */
    memcpy(eq_program_data(program, x), (float[]){1.001f, -3}, 8);
    assert_int_equal(eq_program_run(program), EQ_OK);
    assert_float_equal(((const float *)eq_program_data(program, dx))[0], 1, 0);
    assert_float_equal(((const float *)eq_program_data(program, dx))[1], -3, 0);
    eq_program_free(program);
    eq_context_free(ctx);
}

static void faults(void **state)
{
    eq_context *ctx = eq_context_new();
    eq_graph *graph = eq_graph_new(ctx, EQ_F32);
    eq_value t = eq_graph_input(graph, "t", EQ_F32, eq_shape_of(2)), gradient;
    eq_value y = eq_timestep_embedding(graph, t, 8, true, 0, 10000);
    assert_int_equal(eq_graph_backward(graph, loss_of(graph, y), 1, &t, &gradient), EQ_FAILED);
    assert_string_equal(eq_last_error(ctx),
                        "timestep_embedding: has no gradient, but one is needed for what it computes");
    eq_graph_free(graph);

    graph = eq_graph_new(ctx, EQ_F32);
    t = eq_graph_input(graph, "t", EQ_F32, eq_shape_of(2));
    assert_int_equal(eq_graph_backward(graph, eq_scale(graph, t, 2), 1, &t, &gradient), EQ_FAILED);
    assert_string_equal(eq_last_error(ctx), "a loss is f32 [1], this one is f32 [2]");
    eq_graph_free(graph);

    /* A faulty graph: the first message stays. */
    graph = eq_graph_new(ctx, EQ_F32);
    t = eq_graph_input(graph, "t", EQ_F32, eq_shape_of(2));
    eq_value loss = eq_sum_to(graph, t, eq_shape_of(3));
    assert_int_equal(eq_graph_backward(graph, loss, 1, &t, &gradient), EQ_FAILED);
    assert_string_equal(eq_last_error(ctx), "sum_to: [2] does not sum to [3]");
    eq_graph_free(graph);
    eq_context_free(ctx);
}

int main(void)
{
    random_params_fill(&params);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_graphs_match_finite_differences),
        cmocka_unit_test(uses_add_up),
        cmocka_unit_test(any_value_may_be_wanted),
        cmocka_unit_test(only_what_is_wanted_is_computed),
        cmocka_unit_test(casts_pass_gradients_on),
        cmocka_unit_test(faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
