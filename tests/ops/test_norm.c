/* Group and layer normalisation and their gradients. */
#include "ops/op_check.h"

static eq_value build_group(eq_graph *graph, const eq_value *in, const eq_attr *attr)
{
    return eq_group_norm(graph, in[0], in[1], in[2], in[3], attr->groups, attr->epsilon, attr->activation);
}

static eq_value build_tile(eq_graph *graph, const eq_value *in, const eq_attr *attr)
{
    return eq_group_norm_tile(graph, in[0], in[1], in[2], in[3], in[4], in[5], attr->groups, attr->epsilon,
                              attr->activation);
}

static eq_value build_layer(eq_graph *graph, const eq_value *in, const eq_attr *attr)
{
    return eq_layer_norm(graph, in[0], in[1], in[2], attr->epsilon);
}

static void group_kernels_agree_and_gradients_hold(void **state)
{
    const float eps = 1e-5f;
    const eq_attr one = {.groups = 1, .epsilon = eps}, three = {.groups = 3, .epsilon = eps};
    const eq_attr silu = {.groups = 3, .epsilon = 1e-6f, .activation = EQ_ACT_SILU};
    const eq_attr wide = {.groups = 32, .epsilon = eps, .activation = EQ_ACT_SILU};
    const op_case cases[] = {
        {"group", build_group, three, {ACTIVATION(2, 3, 5, 6), PARAM(6), PARAM(6), ABSENT}},
        {"group, shifted", build_group, three, {ACTIVATION(2, 3, 5, 6), PARAM(6), PARAM(6), ACTIVATION(2, 6)}},
        {"group, SiLU", build_group, silu, {ACTIVATION(1, 4, 4, 9), PARAM(9), PARAM(9), ABSENT}},
        {"group, all", build_group, silu, {ACTIVATION(2, 5, 3, 21), PARAM(21), PARAM(21), ACTIVATION(2, 21)}},
        {"group, sequence", build_group, one, {ACTIVATION(2, 7, 5), PARAM(5), PARAM(5), ABSENT}},
        {"group of a channel",
         build_group,
         {.groups = 6, .epsilon = eps},
         {ACTIVATION(2, 4, 4, 6), PARAM(6), PARAM(6), ABSENT}},
        {"group, pixel", build_group, three, {ACTIVATION(2, 1, 1, 15), PARAM(15), PARAM(15), ACTIVATION(2, 15)}},
        {"group, wide", build_group, wide, {ACTIVATION(2, 6, 7, 128), PARAM(128), PARAM(128), ACTIVATION(2, 128)}},
        {"group, odd width",
         build_group,
         {.groups = 32, .epsilon = eps},
         {ACTIVATION(1, 5, 5, 96), PARAM(96), PARAM(96), ABSENT}},
    };
    OP_CHECK(cases);
}

static void tiles_use_a_window_or_what_is_given(void **state)
{
    const eq_attr three = {.groups = 3, .epsilon = 1e-5f};
    const eq_attr silu = {.groups = 3, .epsilon = 1e-5f, .activation = EQ_ACT_SILU};
    const op_input x = ACTIVATION(2, 5, 3, 21);
    const op_case cases[] = {
        {"given", build_tile, three, {ACTIVATION(2, 3, 5, 6), PARAM(6), PARAM(6), ABSENT, CONSTANT(2, 3, 2)}},
        {"given, all", build_tile, silu, {x, PARAM(21), PARAM(21), ACTIVATION(2, 21), CONSTANT(2, 3, 2)}},
        {"window", build_tile, three, {x, PARAM(21), PARAM(21), ABSENT, ABSENT, RISING(1, 1, 4)}},
        {"window, all",
         build_tile,
         silu,
         {ACTIVATION(2, 30, 41, 6), PARAM(6), PARAM(6), ACTIVATION(2, 6), ABSENT, RISING(3, 12, 4)}},
        {"window, given",
         build_tile,
         three,
         {ACTIVATION(1, 70, 90, 15), PARAM(15), PARAM(15), ABSENT, CONSTANT(1, 3, 2), RISING(0, 30, 4)}},
    };
    OP_CHECK_FORWARD(cases);

    /* Two groups: mean 1, 1 / std 2; mean 3, 1 / std 1. */
    const float gamma[] = {1, 1, 1, 3}, beta[] = {0, 0.5f, 0, 0};
    op_case c = {"", build_tile, {.groups = 2}, {ACTIVATION(1, 1, 1, 4), PARAM(4), PARAM(4)}};
    float y[12];
    c.in[4] = (op_input)CONSTANT(1, 2, 2);
    op_run(&c, (const void *[OP_MAX_INPUTS]){(float[]){1, 2, 3, 5}, gamma, beta, NULL, (float[]){1, 2, 3, 1}}, y);
    op_assert_near(y, (float[]){0, 2.5f, 0, 6}, 4, 1e-6f);

    /* Of two lines of three pixels the last two of the second: 1 and 5 have mean 3 and deviation 2. */
    c = (op_case){"", build_tile, {.groups = 1, .epsilon = 1e-12f}, {ACTIVATION(1, 2, 3, 1), PARAM(1), PARAM(1)}};
    c.in[5] = (op_input)INDEX(0, 1, 4);
    op_run(&c,
           (const void *[OP_MAX_INPUTS]){(float[]){9, 8, 7, 6, 1, 5}, (float[]){1}, (float[]){0}, NULL, NULL,
                                         (int32_t[]){1, 1, 2, 3}},
           y);
    op_assert_near(y, (float[]){3, 2.5f, 2, 1.5f, -1, 1}, 6, 1e-6f);
}

static void layer_kernels_agree_and_gradients_hold(void **state)
{
    const eq_attr attr = {.epsilon = 1e-5f};
    const op_case cases[] = {
        {"layer", build_layer, attr, {ACTIVATION(2, 3, 7), PARAM(7), PARAM(7)}},
        {"layer, vector", build_layer, attr, {ACTIVATION(9), PARAM(9), PARAM(9)}},
        {"layer, image", build_layer, attr, {ACTIVATION(1, 2, 3, 17), PARAM(17), PARAM(17)}},
        {"layer, wide", build_layer, attr, {ACTIVATION(2, 11, 160), PARAM(160), PARAM(160)}},
    };
    OP_CHECK(cases);
}

static void known_answers(void **state)
{
    /* Two groups of two channels at two places: {1, 3, 5, 7} has mean 4 and variance 5, {2, 2, 2, 2} has none. */
    const float x[] = {1, 3, 2, 2, 5, 7, 2, 2}, gamma[] = {1, 2, 1, 1}, beta[] = {0, 1, 0.5f, -0.5f};
    const float root_5 = 2.2360680f;
    float y[8];
    op_case c = {"", build_group, {.groups = 2}, {ACTIVATION(1, 2, 4), PARAM(4), PARAM(4), ABSENT}};
    c.attr.epsilon = 1e-12f;
    op_run(&c, (const void *[OP_MAX_INPUTS]){x, gamma, beta}, y);
    op_assert_near(y, (float[]){-3 / root_5, 1 - 2 / root_5, 0.5f, -0.5f, 1 / root_5, 1 + 6 / root_5, 0.5f, -0.5f}, 8,
                   1e-6f);
    /* A shift that makes all channels alike leaves only beta. */
    c.in[3] = (op_input)ACTIVATION(1, 4);
    op_run(&c, (const void *[OP_MAX_INPUTS]){(float[]){1, 3, 2, 2, 1, 3, 2, 2}, gamma, beta, (float[]){2, 0, 7, 7}}, y);
    op_assert_near(y, (float[]){0, 1, 0.5f, -0.5f, 0, 1, 0.5f, -0.5f}, 8, 1e-6f);

    c = (op_case){"", build_layer, {.epsilon = 1}, {ACTIVATION(2, 2), PARAM(2), PARAM(2)}};
    op_run(&c, (const void *[OP_MAX_INPUTS]){(float[]){4, 2 + 2 * root_5 / 2, 5, 5}, (float[]){1, 1}, (float[]){0, 3}},
           y);
    op_assert_near(y + 2, (float[]){0, 3}, 2, 1e-6f);
    /* {0, 2}: variance 1, and epsilon 3 make a deviation of 2. */
    c.attr.epsilon = 3;
    op_run(&c, (const void *[OP_MAX_INPUTS]){(float[]){0, 2, 10, 8}, (float[]){1, 4}, (float[]){0, 3}}, y);
    op_assert_near(y, (float[]){-0.5f, 5, 0.5f, 1}, 4, 1e-6f);
}

static void faults(void **state)
{
    const eq_attr two = {.groups = 2, .epsilon = 1e-5f};
    const op_input x = ACTIVATION(1, 3, 3, 6);
    op_assert_fault(&(op_case){"", build_group, {.groups = 4}, {x, PARAM(6), PARAM(6)}},
                    "group_norm: 6 channels do not divide into 4 groups");
    op_assert_fault(&(op_case){"", build_group, {.groups = 0}, {x, PARAM(6), PARAM(6)}},
                    "group_norm: 6 channels do not divide into 0 groups");
    op_assert_fault(&(op_case){"", build_group, two, {x, PARAM(5), PARAM(6)}},
                    "group_norm: gamma is [5], expected [6]");
    op_assert_fault(&(op_case){"", build_group, two, {x, PARAM(6), PARAM(1, 6)}},
                    "group_norm: beta is [1, 6], expected [6]");
    op_assert_fault(&(op_case){"", build_group, two, {x, PARAM(6), PARAM(6), ACTIVATION(6)}},
                    "group_norm: shift is [6], expected [1, 6]");
    op_assert_fault(&(op_case){"", build_tile, two, {x, PARAM(6), PARAM(6), ABSENT, CONSTANT(2, 2, 2)}},
                    "group_norm: stats is [2, 2, 2], expected [1, 2, 2]");
    op_assert_fault(&(op_case){"", build_tile, two, {x, PARAM(6), PARAM(6), ABSENT, ABSENT, CONSTANT(4)}},
                    "group_norm: window is f32, expected i32");
    op_assert_fault(&(op_case){"", build_tile, two, {ACTIVATION(1, 9, 6), PARAM(6), PARAM(6)}},
                    "group_norm: x is [1, 9, 6], expected 4 dimensions");
    op_assert_fault(&(op_case){"", build_group, two, {ACTIVATION(6), PARAM(6), PARAM(6)}},
                    "group_norm: x is [6], expected 2 to 5 dimensions");
    op_assert_fault(&(op_case){"", build_group, {.groups = 2, .epsilon = -1}, {x, PARAM(6), PARAM(6)}},
                    "group_norm: epsilon is -1, expected 0 or more");
    op_assert_fault(&(op_case){"", build_group, {.groups = 2, .activation = EQ_ACT_GELU}, {x, PARAM(6), PARAM(6)}},
                    "group_norm: only SiLU may follow");
    op_assert_fault(&(op_case){"", build_layer, {0}, {x, PARAM(6), PARAM(7)}}, "layer_norm: beta is [7], expected [6]");
    op_assert_fault(&(op_case){"", build_layer, {0}, {ACTIVATION(2, 0), PARAM(0), PARAM(0)}},
                    "layer_norm: x is [2, 0]: nothing to normalise");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(group_kernels_agree_and_gradients_hold),
        cmocka_unit_test(tiles_use_a_window_or_what_is_given),
        cmocka_unit_test(layer_kernels_agree_and_gradients_hold),
        cmocka_unit_test(known_answers),
        cmocka_unit_test(faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
