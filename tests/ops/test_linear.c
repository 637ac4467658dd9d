/* The linear layer and its gradients. */
#include "ops/op_check.h"

#include "ops/table.h"

static eq_value build(eq_graph *graph, const eq_value *in, const eq_attr *attr)
{
    return eq_linear(graph, in[0], in[1], in[2], in[3]);
}

static eq_value build_fused(eq_graph *graph, const eq_value *in, const eq_attr *attr)
{
    return eq_graph_add(graph, &eq_op_linear, 4, in, 1, attr);
}

static void kernels_agree_and_gradients_hold(void **state)
{
    const op_case cases[] = {
        {"sequence", build, {0}, {ACTIVATION(2, 3, 5), PARAM(7, 5), PARAM(7), ACTIVATION(2, 3, 7)}},
        {"rows", build, {0}, {ACTIVATION(3, 17), PARAM(5, 17), PARAM(5), ABSENT}},
        {"row", build, {0}, {ACTIVATION(1, 4), PARAM(3, 4), ABSENT, ABSENT}},
        {"vector", build, {0}, {ACTIVATION(6), PARAM(3, 6), PARAM(3), ACTIVATION(3)}},
        {"one by one", build, {0}, {ACTIVATION(1, 1), PARAM(1, 1), PARAM(1), ABSENT}},
        {"image", build, {0}, {ACTIVATION(2, 3, 4, 33), PARAM(65, 33), ABSENT, ACTIVATION(2, 3, 4, 65)}},
        {"wide", build, {0}, {ACTIVATION(70, 128), PARAM(96, 128), PARAM(96), ACTIVATION(70, 96)}},
    };
    OP_CHECK(cases);
}

static void fused_activations_agree(void **state)
{
    for (eq_activation activation = EQ_ACT_SILU; activation <= EQ_ACT_RELU; activation++) {
        const op_case cases[] = {
            {"fused", build_fused, {.activation = activation}, {ACTIVATION(5, 9), PARAM(7, 9), PARAM(7), ABSENT}},
            {"fused, with residual",
             build_fused,
             {.activation = activation},
             {ACTIVATION(2, 8, 16), PARAM(32, 16), PARAM(32), ACTIVATION(2, 8, 32)}},
        };
        OP_CHECK_FORWARD(cases);
    }
}

static void known_answers(void **state)
{
    const float x[] = {1, 2, 3, 4}, weight[] = {1, 10, 100, 1000, -1, 0}, bias[] = {0.5f, 0.25f, 0};
    const float residual[] = {1, 1, 1, 2, 2, 2};
    float y[6];
    op_case c = {"", build, {0}, {ACTIVATION(2, 2), PARAM(3, 2), PARAM(3), ACTIVATION(2, 3)}};
    op_run(&c, (const void *[OP_MAX_INPUTS]){x, weight, bias, residual}, y);
    op_assert_near(y, (float[]){22.5f, 2101.25f, 0, 45.5f, 4302.25f, -1}, 6, 0);
    /* Activation first, then the residual. */
    c.build = build_fused;
    c.attr.activation = EQ_ACT_RELU;
    op_run(&c, (const void *[OP_MAX_INPUTS]){x, weight, bias, residual}, y);
    op_assert_near(y, (float[]){22.5f, 2101.25f, 1, 45.5f, 4302.25f, 2}, 6, 0);
}

static void faults(void **state)
{
    const op_input x = ACTIVATION(2, 3, 5), weight = PARAM(7, 5);
    op_assert_fault(&(op_case){"", build, {0}, {x, PARAM(5, 7)}},
                    "linear: weight is [5, 7], but x [2, 3, 5] has 5 channels: expected [co, 5]");
    op_assert_fault(&(op_case){"", build, {0}, {{OP_ACTIVATION, {0}, 0, 0}, weight}},
                    "linear: x is a scalar, expected [..., ci]");
    op_assert_fault(&(op_case){"", build, {0}, {x, weight, PARAM(5)}}, "linear: bias is [5], expected [7]");
    op_assert_fault(&(op_case){"", build, {0}, {x, weight, PARAM(7), ACTIVATION(6, 7)}},
                    "linear: residual is [6, 7], expected [2, 3, 7]");
    op_assert_fault(&(op_case){"", build, {0}, {x, weight, PARAM(7), INDEX(0, 1, 2, 3, 7)}},
                    "linear: residual is i32, expected f32");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_agree_and_gradients_hold),
        cmocka_unit_test(fused_activations_agree),
        cmocka_unit_test(known_answers),
        cmocka_unit_test(faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
