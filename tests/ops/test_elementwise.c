/* Ops that work element by element or row by row: activations, sums and products, softmax, casts. */
#include "ops/op_check.h"

#include "ops/table.h"

static eq_value build_activation(eq_graph *graph, const eq_value *in, const eq_attr *attr)
{
    return eq_activate(graph, in[0], attr->activation);
}

static eq_value build_softmax(eq_graph *graph, const eq_value *in, const eq_attr *attr)
{
    return eq_softmax(graph, in[0]);
}

static eq_value build_add(eq_graph *graph, const eq_value *in, const eq_attr *attr)
{
    return eq_add(graph, in[0], in[1]);
}

static eq_value build_multiply(eq_graph *graph, const eq_value *in, const eq_attr *attr)
{
    return eq_multiply(graph, in[0], in[1]);
}

static eq_value build_add_to_itself(eq_graph *graph, const eq_value *in, const eq_attr *attr)
{
    return eq_add(graph, in[0], in[0]);
}

static eq_value build_square(eq_graph *graph, const eq_value *in, const eq_attr *attr)
{
    return eq_multiply(graph, in[0], in[0]);
}

static eq_value build_scale(eq_graph *graph, const eq_value *in, const eq_attr *attr)
{
    return eq_scale(graph, in[0], attr->scale);
}

static eq_value build_scale_shift(eq_graph *graph, const eq_value *in, const eq_attr *attr)
{
    return eq_scale_shift(graph, in[0], in[1], in[2]);
}

static eq_value build_sum_to(eq_graph *graph, const eq_value *in, const eq_attr *attr)
{
    return eq_sum_to(graph, in[0], attr->shape);
}

static eq_value build_broadcast_to(eq_graph *graph, const eq_value *in, const eq_attr *attr)
{
    return eq_graph_add(graph, &eq_op_broadcast_to, 1, in, 1, attr);
}

/* There and back, so that the result is of the graph's dtype. */
static eq_value build_cast(eq_graph *graph, const eq_value *in, const eq_attr *attr)
{
    eq_dtype own = eq_info(graph, in[0])->dtype;
    return eq_cast(graph, eq_cast(graph, in[0], attr->dtype), own);
}

static eq_value build_add_constant(eq_graph *graph, const eq_value *in, const eq_attr *attr)
{
    eq_value constant = eq_constant(graph, *eq_shape_at(graph, in[0]), attr->scale);
    return eq_add(graph, in[0], eq_cast(graph, constant, eq_info(graph, in[0])->dtype));
}

static void activations(void **state)
{
    const op_case cases[] = {
        {"SiLU", build_activation, {.activation = EQ_ACT_SILU}, {ACTIVATION(3, 5, 7)}},
        {"GELU", build_activation, {.activation = EQ_ACT_GELU}, {ACTIVATION(3, 5, 7)}},
        {"quick GELU", build_activation, {.activation = EQ_ACT_QUICK_GELU}, {ACTIVATION(105)}},
        {"ReLU", build_activation, {.activation = EQ_ACT_RELU}, {SPREAD(2, 3, 5, 7)}},
        {"none", build_activation, {.activation = EQ_ACT_NONE}, {ACTIVATION(2, 3)}},
        {"a single element", build_activation, {.activation = EQ_ACT_SILU}, {ACTIVATION(1)}},
        {"far out", build_activation, {.activation = EQ_ACT_SILU}, {SPREAD(1, 256)}},
        {"softmax", build_softmax, {0}, {ACTIVATION(3, 5, 7)}},
        {"softmax of one", build_softmax, {0}, {ACTIVATION(4, 1)}},
        {"softmax of a vector", build_softmax, {0}, {ACTIVATION(37)}},
        {"softmax, wide", build_softmax, {0}, {ACTIVATION(2, 200)}},
    };
    OP_CHECK(cases);
}

static void sums_and_products(void **state)
{
    const op_case cases[] = {
        {"add", build_add, {0}, {ACTIVATION(2, 3, 5), ACTIVATION(2, 3, 5)}},
        {"add, wide", build_add, {0}, {ACTIVATION(2, 150), ACTIVATION(2, 150)}},
        {"add, b repeated along rows", build_add, {0}, {ACTIVATION(2, 3, 5), ACTIVATION(1, 1, 5)}},
        {"add, a repeated", build_add, {0}, {ACTIVATION(1, 3, 1), ACTIVATION(2, 3, 5)}},
        {"add, both repeated", build_add, {0}, {ACTIVATION(2, 1, 5), ACTIVATION(1, 3, 1)}},
        {"add, b repeated in the middle", build_add, {0}, {ACTIVATION(2, 3, 4, 5), ACTIVATION(2, 1, 1, 5)}},
        {"add, a scalar", build_add, {0}, {ACTIVATION(2, 3, 4, 5, 2), ACTIVATION(1, 1, 1, 1, 1)}},
        {"add to itself", build_add_to_itself, {0}, {ACTIVATION(2, 9)}},
        {"add a constant", build_add_constant, {.scale = 0.75f}, {ACTIVATION(3, 4)}},
        {"multiply", build_multiply, {0}, {ACTIVATION(2, 3, 5), ACTIVATION(2, 3, 5)}},
        {"multiply, b repeated along rows", build_multiply, {0}, {ACTIVATION(2, 3, 5), ACTIVATION(1, 1, 5)}},
        {"multiply, a repeated", build_multiply, {0}, {ACTIVATION(1, 3, 1), ACTIVATION(2, 3, 5)}},
        {"multiply, both repeated", build_multiply, {0}, {ACTIVATION(2, 1, 5), ACTIVATION(1, 3, 1)}},
        {"multiply by a column", build_multiply, {0}, {ACTIVATION(4, 3, 5), ACTIVATION(4, 1, 1)}},
        {"square", build_square, {0}, {ACTIVATION(2, 9)}},
        {"scale", build_scale, {.scale = -0.3f}, {ACTIVATION(2, 3, 7)}},
        {"scale by zero", build_scale, {.scale = 0}, {ACTIVATION(5)}},
        {"scale and shift", build_scale_shift, {0}, {ACTIVATION(2, 3, 4, 5), ACTIVATION(2, 5), ACTIVATION(2, 5)}},
        {"scale and shift, rows", build_scale_shift, {0}, {ACTIVATION(3, 7), ACTIVATION(3, 7), ACTIVATION(3, 7)}},
        {"scale and shift, wide", build_scale_shift, {0}, {ACTIVATION(2, 5, 70), ACTIVATION(2, 70), ACTIVATION(2, 70)}},
        {"sum to rows", build_sum_to, {.shape = eq_shape_of(2, 1, 1)}, {ACTIVATION(2, 3, 5)}},
        {"sum to columns", build_sum_to, {.shape = eq_shape_of(1, 1, 5)}, {ACTIVATION(2, 3, 5)}},
        {"sum the middle", build_sum_to, {.shape = eq_shape_of(2, 1, 5)}, {ACTIVATION(2, 3, 5)}},
        {"sum but the middle", build_sum_to, {.shape = eq_shape_of(1, 3, 1)}, {ACTIVATION(2, 3, 5)}},
        {"sum all", build_sum_to, {.shape = eq_shape_of(1, 1)}, {ACTIVATION(20, 33)}},
        {"sum to columns, wide", build_sum_to, {.shape = eq_shape_of(1, 96)}, {ACTIVATION(50, 96)}},
        {"broadcast columns", build_broadcast_to, {.shape = eq_shape_of(2, 3, 5)}, {ACTIVATION(2, 1, 1)}},
        {"broadcast rows", build_broadcast_to, {.shape = eq_shape_of(2, 3, 5)}, {ACTIVATION(1, 1, 5)}},
        {"broadcast a scalar", build_broadcast_to, {.shape = eq_shape_of(4, 5)}, {ACTIVATION(1, 1)}},
        {"broadcast the middle", build_broadcast_to, {.shape = eq_shape_of(2, 3, 4, 5)}, {ACTIVATION(2, 1, 1, 5)}},
    };
    OP_CHECK(cases);
}

static void casts(void **state)
{
    const op_case cases[] = {
        {"through f32", build_cast, {.dtype = EQ_F32}, {ACTIVATION(3, 7, 5)}},
        {"through bf16", build_cast, {.dtype = EQ_BF16}, {ACTIVATION(3, 7, 5)}},
        {"through f16", build_cast, {.dtype = EQ_F16}, {ACTIVATION(3, 7, 5)}},
    };
    OP_CHECK_FORWARD(cases);
}

static void known_answers(void **state)
{
    float y[6];
    op_case c = {"softmax", build_softmax, {0}, {ACTIVATION(2, 3)}};
    const float e = 2.71828183f, logits[] = {1000, 1001, 1000, -1e30f, -1e30f, 0};
    op_run(&c, (const void *[OP_MAX_INPUTS]){logits}, y);
    op_assert_near(y, (float[]){1 / (2 + e), e / (2 + e), 1 / (2 + e), 0, 0, 1}, 6, 1e-6f);

    c = (op_case){"scale_shift", build_scale_shift, {0}, {ACTIVATION(1, 3, 2), ACTIVATION(1, 2), ACTIVATION(1, 2)}};
    const float x[] = {1, 2, 3, 4, 5, 6}, scale[] = {1, -1}, shift[] = {10, 20};
    op_run(&c, (const void *[OP_MAX_INPUTS]){x, scale, shift}, y);
    op_assert_near(y, (float[]){12, 20, 16, 20, 20, 20}, 6, 0);

    c = (op_case){"multiply", build_multiply, {0}, {ACTIVATION(2, 1), ACTIVATION(1, 3)}};
    op_run(&c, (const void *[OP_MAX_INPUTS]){(float[]){2, -3}, x}, y);
    op_assert_near(y, (float[]){2, 4, 6, -3, -6, -9}, 6, 0);

    c = (op_case){"sum_to", build_sum_to, {.shape = eq_shape_of(1, 3)}, {ACTIVATION(2, 3)}};
    op_run(&c, (const void *[OP_MAX_INPUTS]){x}, y);
    op_assert_near(y, (float[]){5, 7, 9}, 3, 0);

    /* 1 + 2^-8 lies between two bfloat16, 1 + 2^-7 is one. */
    c = (op_case){"cast", build_cast, {.dtype = EQ_BF16}, {ACTIVATION(3)}};
    op_run(&c, (const void *[OP_MAX_INPUTS]){(float[]){1.00390625f, 1.0078125f, -1.005f}}, y);
    op_assert_near(y, (float[]){1, 1.0078125f, -1.0078125f}, 3, 0);

    /* x Phi(x), with Phi(1) = 0.8413447461 of the normal distribution. */
    c = (op_case){"GELU", build_activation, {.activation = EQ_ACT_GELU}, {ACTIVATION(2)}};
    op_run(&c, (const void *[OP_MAX_INPUTS]){(float[]){1, -1}}, y);
    op_assert_near(y, (float[]){0.84134475f, -0.15865525f}, 2, 1e-6f);
}

static void faults(void **state)
{
    op_assert_fault(&(op_case){"", build_add, {0}, {ACTIVATION(2, 3), ACTIVATION(2, 4)}},
                    "add: f32 [2, 3] and f32 [2, 4] do not broadcast");
    op_assert_fault(&(op_case){"", build_add, {0}, {ACTIVATION(2, 3), ACTIVATION(3)}},
                    "add: f32 [2, 3] and f32 [3] do not broadcast");
    op_assert_fault(&(op_case){"", build_multiply, {0}, {ACTIVATION(2, 3), INDEX(0, 1, 2, 3)}},
                    "multiply: f32 [2, 3] and i32 [2, 3] do not broadcast");
    op_assert_fault(&(op_case){"", build_scale_shift, {0}, {ACTIVATION(2, 3, 4), ACTIVATION(2, 4), ACTIVATION(2, 3)}},
                    "scale_shift: x is f32 [2, 3, 4], so scale and shift must be [2, 4], not f32 [2, 3]");
    op_assert_fault(&(op_case){"", build_scale_shift, {0}, {ACTIVATION(4), ACTIVATION(4), ACTIVATION(4)}},
                    "scale_shift: x is [4], expected 2 to 5 dimensions");
    op_assert_fault(&(op_case){"", build_sum_to, {.shape = eq_shape_of(2, 2)}, {ACTIVATION(2, 3)}},
                    "sum_to: [2, 3] does not sum to [2, 2]");
    op_assert_fault(&(op_case){"", build_broadcast_to, {.shape = eq_shape_of(3, 3)}, {ACTIVATION(2, 3)}},
                    "broadcast_to: [2, 3] does not broadcast to [3, 3]");
    op_assert_fault(&(op_case){"", build_cast, {.dtype = EQ_I64}, {ACTIVATION(2, 3)}},
                    "cast: from f32 to i64: only f32, bf16 and f16 are known");
    op_assert_fault(&(op_case){"", build_cast, {.dtype = EQ_F32}, {INDEX(0, 1, 2, 3)}},
                    "cast: from i32 to f32: only f32, bf16 and f16 are known");
    op_assert_fault(&(op_case){"", build_softmax, {0}, {INDEX(0, 1, 2, 3)}}, "softmax: x is i32, expected f32 or bf16");
    op_assert_fault(&(op_case){"", build_activation, {.activation = EQ_ACT_SILU}, {INDEX(0, 1, 2, 3)}},
                    "activation: x is i32, expected f32 or bf16");
    op_assert_fault(&(op_case){"", build_scale, {.scale = 2}, {INDEX(0, 1, 2, 3)}},
                    "scale: x is i32, expected f32 or bf16");
}

static void what_changes_nothing_adds_no_node(void **state)
{
    eq_context *ctx = eq_context_new();
    eq_graph *graph = eq_graph_new(ctx, EQ_F32);
    assert_true(ctx && graph);
    eq_value x = eq_graph_input(graph, "x", EQ_F32, eq_shape_of(2, 3));
    assert_int_equal(eq_scale(graph, x, 1), x);
    assert_int_equal(eq_cast(graph, x, EQ_F32), x);
    assert_int_equal(eq_sum_to(graph, x, eq_shape_of(2, 3)), x);
    assert_int_equal(graph->node_count, 0);
    eq_graph_free(graph);
    eq_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(activations), cmocka_unit_test(sums_and_products),
        cmocka_unit_test(casts),       cmocka_unit_test(known_answers),
        cmocka_unit_test(faults),      cmocka_unit_test(what_changes_nothing_adds_no_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
