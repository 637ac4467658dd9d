/* Convolution and its gradients. */
#include "ops/op_check.h"

#include "ops/table.h"

static eq_value build(eq_graph *graph, const eq_value *in, const eq_attr *attr)
{
    return eq_conv2d(graph, in[0], in[1], in[2], in[3],
                     (eq_conv){attr->stride, attr->pad_top, attr->pad_left, attr->pad_bottom, attr->pad_right});
}

/* As the fusion pass does. */
static eq_value build_fused(eq_graph *graph, const eq_value *in, const eq_attr *attr)
{
    return eq_graph_add(graph, &eq_op_conv2d, 4, in, 1, attr);
}

static void kernels_agree_and_gradients_hold(void **state)
{
    const eq_attr plain = {.stride = 1};
    const eq_attr same = {.stride = 1, .pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1};
    const eq_attr down = {.stride = 2, .pad_bottom = 1, .pad_right = 1};
    const eq_attr stem = {.stride = 2, .pad_top = 3, .pad_left = 3, .pad_bottom = 3, .pad_right = 3};
    const eq_attr patches = {.stride = 4};
    const op_case cases[] = {
        {"3x3", build, same, {ACTIVATION(2, 5, 7, 3), PARAM(5, 3, 3, 3), PARAM(5), ACTIVATION(2, 5, 7, 5)}},
        {"3x3 without bias", build, same, {ACTIVATION(1, 4, 5, 6), PARAM(7, 6, 3, 3), ABSENT, ACTIVATION(1, 4, 5, 7)}},
        {"3x3 of a pixel", build, same, {ACTIVATION(1, 1, 1, 5), PARAM(3, 5, 3, 3), PARAM(3), ABSENT}},
        {"1x1 of a pixel", build, plain, {ACTIVATION(1, 1, 1, 5), PARAM(3, 5, 1, 1), ABSENT, ABSENT}},
        {"1x1", build, plain, {ACTIVATION(2, 5, 3, 17), PARAM(19, 17, 1, 1), PARAM(19), ABSENT}},
        {"one channel", build, same, {ACTIVATION(1, 6, 6, 1), PARAM(1, 1, 3, 3), PARAM(1), ABSENT}},
        {"down, even", build, down, {ACTIVATION(2, 6, 6, 4), PARAM(8, 4, 3, 3), PARAM(8), ACTIVATION(2, 3, 3, 8)}},
        {"down, odd", build, down, {ACTIVATION(1, 7, 5, 3), PARAM(5, 3, 3, 3), PARAM(5), ABSENT}},
        {"stride 2, last row unread",
         build,
         {.stride = 2},
         {ACTIVATION(1, 6, 5, 3), PARAM(4, 3, 2, 2), PARAM(4), ABSENT}},
        {"stem", build, stem, {ACTIVATION(1, 15, 13, 3), PARAM(8, 3, 7, 7), ABSENT, ABSENT}},
        {"patches", build, patches, {ACTIVATION(2, 8, 12, 3), PARAM(10, 3, 4, 4), ABSENT, ABSENT}},
        {"wide", build, same, {ACTIVATION(1, 8, 6, 64), PARAM(32, 64, 3, 3), PARAM(32), ACTIVATION(1, 8, 6, 32)}},
        /* These fit what the transforms of winograd.h take: tiles cut at the edges, panels not full, any padding. */
        {"tiles of 4x4",
         build,
         same,
         {ACTIVATION(1, 8, 8, 16), PARAM(16, 16, 3, 3), PARAM(16), ACTIVATION(1, 8, 8, 16)}},
        {"cut tiles", build, same, {ACTIVATION(4, 13, 11, 24), PARAM(8, 24, 3, 3), PARAM(8), ACTIVATION(4, 13, 11, 8)}},
        {"many channels", build, same, {ACTIVATION(4, 9, 14, 40), PARAM(56, 40, 3, 3), ABSENT, ABSENT}},
        {"3x3 unpadded", build, plain, {ACTIVATION(3, 10, 9, 8), PARAM(24, 8, 3, 3), PARAM(24), ABSENT}},
        {"3x3 padded on one side",
         build,
         {.stride = 1, .pad_bottom = 1, .pad_right = 2},
         {ACTIVATION(3, 9, 10, 16), PARAM(8, 16, 3, 3), PARAM(8), ABSENT}},
        {"oblong kernel", build, plain, {ACTIVATION(1, 4, 5, 3), PARAM(4, 3, 1, 3), PARAM(4), ABSENT}},
    };
    OP_CHECK(cases);
}

static void fused_activations_agree(void **state)
{
    for (eq_activation activation = EQ_ACT_SILU; activation <= EQ_ACT_RELU; activation++) {
        eq_attr attr = {.stride = 1, .pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1};
        attr.activation = activation;
        const op_case cases[] = {
            {"fused", build_fused, attr, {ACTIVATION(2, 5, 7, 3), PARAM(5, 3, 3, 3), PARAM(5), ABSENT}},
            {"fused, with residual",
             build_fused,
             attr,
             {ACTIVATION(2, 4, 4, 16), PARAM(16, 16, 3, 3), PARAM(16), ACTIVATION(2, 4, 4, 16)}},
            {"fused, in tiles",
             build_fused,
             attr,
             {ACTIVATION(4, 7, 6, 8), PARAM(8, 8, 3, 3), PARAM(8), ACTIVATION(4, 7, 6, 8)}},
        };
        OP_CHECK_FORWARD(cases);
    }
}

static void known_answers(void **state)
{
    /* The 3x3 kernel marks each of its taps with a power of ten's digit, so that the sum tells what was read. */
    const float x[] = {1, 2, 3, 4}, taps[] = {1, 10, 100, 1e3f, 1e4f, 1e5f, 1e6f, 1e7f, 1e8f}, bias[] = {0.5f};
    const float bias_of_zero[] = {0};
    op_case c = {"same",
                 build,
                 {.stride = 1, .pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1},
                 {ACTIVATION(1, 2, 2, 1), PARAM(1, 1, 3, 3), PARAM(1), ABSENT}};
    float y[4];
    op_run(&c, (const void *[OP_MAX_INPUTS]){x, taps, bias_of_zero}, y);
    op_assert_near(
        y,
        (float[]){1e4f + 2e5f + 3e7f + 4e8f, 1e3f + 2e4f + 3e6f + 4e7f, 10 + 200 + 3e4f + 4e5f, 1 + 20 + 3e3f + 4e4f},
        4, 0);
    /* Stride 2 with a row and column of zeros after: the only window starts at the first element. */
    c.attr = (eq_attr){.stride = 2, .pad_bottom = 1, .pad_right = 1};
    op_run(&c, (const void *[OP_MAX_INPUTS]){x, taps, bias}, y);
    op_assert_near(y, (float[]){1 + 20 + 3e3f + 4e4f + 0.5f}, 1, 0);
    /* Activation first, then the residual. */
    c = (op_case){"fused",
                  build_fused,
                  {.stride = 1, .activation = EQ_ACT_RELU},
                  {ACTIVATION(1, 1, 2, 1), PARAM(1, 1, 1, 1), PARAM(1), ACTIVATION(1, 1, 2, 1)}};
    op_run(&c, (const void *[OP_MAX_INPUTS]){(float[]){-3, 2}, (float[]){1}, bias, (float[]){7, -9}}, y);
    op_assert_near(y, (float[]){7, -6.5f}, 2, 0);
}

static void faults(void **state)
{
    const eq_attr one = {.stride = 1};
    const op_input x = ACTIVATION(1, 4, 4, 3), weight = PARAM(8, 3, 3, 3);
    op_assert_fault(&(op_case){"", build, one, {ACTIVATION(4, 4, 3), weight}},
                    "conv2d: x is [4, 4, 3], expected [n, h, w, ci]");
    op_assert_fault(&(op_case){"", build, one, {x, PARAM(8, 4, 3, 3)}},
                    "conv2d: weight is [8, 4, 3, 3], but x [1, 4, 4, 3] has 3 channels: expected [co, 3, kh, kw]");
    op_assert_fault(&(op_case){"", build, one, {x, weight, PARAM(9)}}, "conv2d: bias is [9], expected [8]");
    op_assert_fault(&(op_case){"", build, one, {x, weight, PARAM(8), ACTIVATION(1, 4, 4, 8)}},
                    "conv2d: residual is [1, 4, 4, 8], expected [1, 2, 2, 8]");
    op_assert_fault(&(op_case){"", build, {.stride = 0}, {x, weight}}, "conv2d: the stride is 0, expected 1 or more");
    op_assert_fault(&(op_case){"", build, {.stride = 1, .pad_left = -1}, {x, weight}},
                    "conv2d: negative padding (top 0, left -1, bottom 0, right 0)");
    op_assert_fault(&(op_case){"", build, one, {x, PARAM(8, 3, 5, 5)}},
                    "conv2d: x [1, 4, 4, 3] with padding is smaller than the kernel of weight [8, 3, 5, 5]");
    op_assert_fault(&(op_case){"", build, one, {INDEX(0, 1, 1, 4, 4, 3), weight}},
                    "conv2d: x is i32, expected f32 or bf16");
    op_assert_fault(&(op_case){"", build, one, {x, INDEX(0, 1, 8, 3, 3, 3)}},
                    "conv2d: weight is i32, expected f32, bf16 or f16");
}

static void fused_nodes_are_not_differentiated(void **state)
{
    eq_context *ctx = eq_context_new();
    eq_graph *graph = eq_graph_new(ctx, EQ_F32);
    eq_value x = eq_graph_input(graph, "x", EQ_F32, eq_shape_of(1, 2, 2, 1)), gradient;
    float one = 1;
    eq_value weight = eq_graph_param(graph, "w", &(eq_tensor){EQ_F32, eq_shape_of(1, 1, 1, 1), &one}, false);
    eq_value y = build_fused(graph, (eq_value[]){x, weight, EQ_NONE, EQ_NONE},
                             &(eq_attr){.stride = 1, .activation = EQ_ACT_SILU});
    eq_value loss = eq_mse(graph, y, x, EQ_NONE);
    assert_int_not_equal(eq_graph_backward(graph, loss, 1, &x, &gradient), EQ_OK);
    assert_string_equal(eq_last_error(ctx),
                        "conv2d: has no gradient with a fused activation; fuse after differentiating");
    eq_graph_free(graph);
    eq_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_agree_and_gradients_hold),
        cmocka_unit_test(fused_activations_agree),
        cmocka_unit_test(known_answers),
        cmocka_unit_test(faults),
        cmocka_unit_test(fused_nodes_are_not_differentiated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
