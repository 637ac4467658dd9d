/* Losses and their gradients. */
#include "ops/losses.h"
#include "ops/op_check.h"

static eq_value build_cross_entropy(eq_graph *graph, const eq_value *in, const eq_attr *attr)
{
    return eq_cross_entropy(graph, in[0], in[1]);
}

static eq_value build_mse(eq_graph *graph, const eq_value *in, const eq_attr *attr)
{
    return eq_mse(graph, in[0], in[1], in[2]);
}

static eq_value build_mae(eq_graph *graph, const eq_value *in, const eq_attr *attr)
{
    return eq_mae(graph, in[0], in[1]);
}

static eq_value build_gaussian_sample(eq_graph *graph, const eq_value *in, const eq_attr *attr)
{
    return eq_gaussian_sample(graph, in[0], in[1]);
}

static eq_value build_gaussian_kl(eq_graph *graph, const eq_value *in, const eq_attr *attr)
{
    return eq_gaussian_kl(graph, in[0]);
}

static void kernels_agree_and_gradients_hold(void **state)
{
    const op_case cases[] = {
        {"cross-entropy", build_cross_entropy, {0}, {FLOATS(5, 4), INDEX(0, 4, 5)}},
        {"cross-entropy, some rows", build_cross_entropy, {0}, {FLOATS(9, 3), INDEX(-2, 3, 9)}},
        {"cross-entropy, one row", build_cross_entropy, {0}, {FLOATS(1, 2), INDEX(0, 2, 1)}},
        {"mse", build_mse, {0}, {FLOATS(3, 2, 5), FLOATS(3, 2, 5), ABSENT}},
        {"mse, weighted", build_mse, {0}, {FLOATS(3, 2, 2, 3), FLOATS(3, 2, 2, 3), CONSTANT(3)}},
        {"mae", build_mae, {0}, {FLOATS(3, 2, 5), FLOATS(3, 2, 5)}},
        {"gaussian sample", build_gaussian_sample, {0}, {FLOATS(2, 3, 6), CONSTANT(2, 3, 3)}},
        {"gaussian sample, one number", build_gaussian_sample, {0}, {FLOATS(2), CONSTANT(1)}},
        {"gaussian divergence", build_gaussian_kl, {0}, {FLOATS(3, 2, 4)}},
        {"mse, one number", build_mse, {0}, {FLOATS(1), CONSTANT(1), ABSENT}},
    };
    OP_CHECK(cases);
}

static float cross_entropy(const float *logits, const int32_t *labels, int n, int k)
{
    float loss;
    op_run(&(op_case){"", build_cross_entropy, {0}, {FLOATS(n, k), INDEX(0, k, n)}},
           (const void *[OP_MAX_INPUTS]){logits, labels}, &loss);
    return loss;
}

static void known_answers(void **state)
{
    float loss = cross_entropy((float[]){2, 2, 2}, (int32_t[]){1}, 1, 3);
    op_assert_near(&loss, (float[]){1.0986123f}, 1, 1e-6f);
    /* Probabilities 3/4 and 1/4; rows with a negative label do not count. */
    const float odds[] = {1.0986123f, 0, 50, -50, 1.0986123f, 0};
    loss = cross_entropy(odds, (int32_t[]){0, -1, 1}, 3, 2);
    op_assert_near(&loss, (float[]){(0.28768207f + 1.3862944f) / 2}, 1, 1e-6f);
    loss = cross_entropy((float[]){1000, 0}, (int32_t[]){1}, 1, 2);
    op_assert_near(&loss, (float[]){1000}, 1, 0);
    loss = cross_entropy(odds, (int32_t[]){-1, -1, -1}, 3, 2);
    op_assert_near(&loss, (float[]){0}, 1, 0);

    const float a[] = {1, 2, 3, 4}, b[] = {0, 2, 5, 1};
    op_case c = {"", build_mse, {0}, {FLOATS(2, 2), FLOATS(2, 2), ABSENT}};
    op_run(&c, (const void *[OP_MAX_INPUTS]){a, b}, &loss);
    op_assert_near(&loss, (float[]){14 / 4.0f}, 1, 0);
    c.in[2] = (op_input)CONSTANT(2);
    op_run(&c, (const void *[OP_MAX_INPUTS]){a, b, (float[]){8, 2}}, &loss);
    op_assert_near(&loss, (float[]){34 / 4.0f}, 1, 0);
}

/* A kink at each zero difference: kept away from here, where finite differences would not see it. */
static void mean_absolute_error(void **state)
{
    const float a[] = {1, 2, 3, 4}, b[] = {0, 2.5f, 5, 1};
    float loss;
    op_run(&(op_case){"", build_mae, {0}, {FLOATS(2, 2), FLOATS(2, 2)}}, (const void *[OP_MAX_INPUTS]){a, b}, &loss);
    op_assert_near(&loss, (float[]){6.5f / 4}, 1, 0);
    eq_context *ctx = eq_context_new();
    eq_graph *graph = eq_graph_new(ctx, EQ_F32);
    eq_value in[2], gradient[2];
    for (int i = 0; i < 2; i++)
        in[i] = eq_graph_input(graph, i ? "target" : "prediction", EQ_F32, eq_shape_of(2, 2));
    op_assert_ok(ctx, eq_graph_backward(graph, eq_scale(graph, eq_mae(graph, in[0], in[1]), 8), 2, in, gradient));
    for (int i = 0; i < 2; i++)
        eq_graph_output(graph, gradient[i], NULL);
    eq_program *program;
    op_assert_ok(ctx, eq_program_compile(graph, &(eq_program_options){0}, &program));
    memcpy(eq_program_data(program, in[0]), a, sizeof a);
    memcpy(eq_program_data(program, in[1]), b, sizeof b);
    op_assert_ok(ctx, eq_program_run(program));
    op_assert_near(eq_program_data(program, gradient[0]), (float[]){2, -2, -2, 2}, 4, 0);
    op_assert_near(eq_program_data(program, gradient[1]), (float[]){-2, 2, 2, -2}, 4, 0);
    eq_program_free(program);
    eq_context_free(ctx);
}

/* The standard normal is no distance from itself; log variances beyond the clamp count as at it. */
static void gaussians(void **state)
{
    float result[2];
    op_case kl = {"", build_gaussian_kl, {0}, {FLOATS(1, 4)}};
    op_run(&kl, (const void *[OP_MAX_INPUTS]){(float[]){0, 0, 0, 0}}, result);
    op_assert_near(result, (float[]){0}, 1, 0);
    op_run(&kl, (const void *[OP_MAX_INPUTS]){(float[]){2, 0, 0, -50}}, result);
    op_assert_near(result, (float[]){(4 + 30 - 1) / 4.0f}, 1, 1e-5f);
    op_case sample = {"", build_gaussian_sample, {0}, {FLOATS(1, 4), CONSTANT(1, 2)}};
    op_run(&sample, (const void *[OP_MAX_INPUTS]){(float[]){3, -1, 0, 1.3862944f}, (float[]){0.5f, -2}}, result);
    op_assert_near(result, (float[]){3.5f, -5}, 2, 1e-5f);
}

/* With every row left out nothing pulls: a gradient of 0, not of 0 / 0. */
static void no_rows_give_no_gradient(void **state)
{
    eq_context *ctx = eq_context_new();
    eq_graph *graph = eq_graph_new(ctx, EQ_F32);
    eq_value logits = eq_graph_input(graph, "logits", EQ_F32, eq_shape_of(2, 3)), gradient;
    eq_value labels = eq_graph_input(graph, "labels", EQ_I32, eq_shape_of(2));
    op_assert_ok(ctx, eq_graph_backward(graph, eq_cross_entropy(graph, logits, labels), 1, &logits, &gradient));
    eq_graph_output(graph, gradient, "gradient");
    eq_program *program;
    op_assert_ok(ctx, eq_program_compile(graph, &(eq_program_options){0}, &program));
    memcpy(eq_program_data(program, logits), (float[]){1, 2, 3, 4, 5, 6}, 6 * sizeof(float));
    memcpy(eq_program_data(program, labels), (int32_t[]){-1, -100}, 2 * sizeof(int32_t));
    op_assert_ok(ctx, eq_program_run(program));
    op_assert_near(eq_program_data(program, gradient), (float[6]){0}, 6, 0);
    /* A label beyond the classes is refused. */
    memcpy(eq_program_data(program, labels), (int32_t[]){0, 3}, 2 * sizeof(int32_t));
    assert_int_equal(eq_program_run(program), EQ_BAD_USAGE);
    assert_non_null(strstr(eq_last_error(ctx), "label 3 is not in 0..2, the classes"));
    eq_program_free(program);
    eq_context_free(ctx);
}

static void faults(void **state)
{
    op_assert_fault(&(op_case){"", build_cross_entropy, {0}, {FLOATS(5), INDEX(0, 1, 5)}},
                    "cross_entropy: logits is [5], expected 2 dimensions");
    op_assert_fault(&(op_case){"", build_cross_entropy, {0}, {FLOATS(5, 3), INDEX(0, 1, 4)}},
                    "cross_entropy: labels is [4], expected [5]");
    op_assert_fault(&(op_case){"", build_cross_entropy, {0}, {FLOATS(5, 3), FLOATS(5)}},
                    "cross_entropy: labels is f32, expected i32");
    op_assert_fault(&(op_case){"", build_cross_entropy, {0}, {FLOATS(5, 0), INDEX(0, 1, 5)}},
                    "cross_entropy: logits are [5, 0]: no classes");
    op_assert_fault(&(op_case){"", build_mse, {0}, {FLOATS(5, 3), FLOATS(5, 2)}},
                    "mse: target is [5, 2], expected [5, 3]");
    op_assert_fault(&(op_case){"", build_mse, {0}, {FLOATS(5, 3), FLOATS(5, 3), FLOATS(3)}},
                    "mse: weight is [3], expected [5]");
    op_assert_fault(&(op_case){"", build_mse, {0}, {FLOATS(0, 3), FLOATS(0, 3)}},
                    "mse: prediction is [0, 3]: nothing to average");
    op_assert_fault(&(op_case){"", build_mae, {0}, {FLOATS(5, 3), FLOATS(5, 2)}},
                    "mae: target is [5, 2], expected [5, 3]");
    op_assert_fault(&(op_case){"", build_gaussian_kl, {0}, {FLOATS(5, 3)}},
                    "gaussian_kl: moments is [5, 3], expected as many log variances as means in the last "
                    "dimension");
    op_assert_fault(&(op_case){"", build_gaussian_sample, {0}, {FLOATS(5, 4), CONSTANT(5, 4)}},
                    "gaussian_sample: noise is [5, 4], expected [5, 2]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_agree_and_gradients_hold),
        cmocka_unit_test(known_answers),
        cmocka_unit_test(mean_absolute_error),
        cmocka_unit_test(gaussians),
        cmocka_unit_test(no_rows_give_no_gradient),
        cmocka_unit_test(faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
