/* Batched matrix products and their gradients. */
#include "ops/op_check.h"

static eq_value build(eq_graph *graph, const eq_value *in, const eq_attr *attr)
{
    return eq_matmul(graph, in[0], in[1], attr->transpose_a, attr->transpose_b);
}

static void kernels_agree_and_gradients_hold(void **state)
{
    const eq_attr tb = {.transpose_b = true}, ta = {.transpose_a = true};
    const eq_attr both = {.transpose_a = true, .transpose_b = true};
    const op_case cases[] = {
        {"a b", build, {0}, {ACTIVATION(2, 3, 4), ACTIVATION(2, 4, 5)}},
        {"a b'", build, tb, {ACTIVATION(2, 3, 4), ACTIVATION(2, 5, 4)}},
        {"a' b", build, ta, {ACTIVATION(2, 4, 3), ACTIVATION(2, 4, 5)}},
        {"a' b'", build, both, {ACTIVATION(2, 4, 3), ACTIVATION(2, 5, 4)}},
        {"scalars", build, {0}, {ACTIVATION(1, 1, 1), ACTIVATION(1, 1, 1)}},
        {"outer product", build, {0}, {ACTIVATION(3, 7, 1), ACTIVATION(3, 1, 17)}},
        {"wide", build, tb, {ACTIVATION(2, 33, 64), ACTIVATION(2, 49, 64)}},
    };
    OP_CHECK(cases);
}

static void known_answers(void **state)
{
    const float a[] = {1, 2, 3, 4, 5, 6}, b[] = {1, 10, 100, 1000, 0, -1};
    float y[4];
    op_run(&(op_case){"", build, {0}, {ACTIVATION(1, 2, 3), ACTIVATION(1, 3, 2)}}, (const void *[OP_MAX_INPUTS]){a, b},
           y);
    op_assert_near(y, (float[]){201, 2007, 504, 5034}, 4, 0);
    op_run(&(op_case){"", build, {.transpose_b = true}, {ACTIVATION(1, 2, 3), ACTIVATION(1, 2, 3)}},
           (const void *[OP_MAX_INPUTS]){a, b}, y);
    op_assert_near(y, (float[]){321, 997, 654, 3994}, 4, 0);
    op_run(&(op_case){"", build, {.transpose_a = true}, {ACTIVATION(1, 3, 2), ACTIVATION(1, 3, 2)}},
           (const void *[OP_MAX_INPUTS]){a, b}, y);
    op_assert_near(y, (float[]){301, 3005, 402, 4014}, 4, 0);
    op_run(
        &(op_case){"", build, {.transpose_a = true, .transpose_b = true}, {ACTIVATION(1, 3, 2), ACTIVATION(1, 2, 3)}},
        (const void *[OP_MAX_INPUTS]){a, b}, y);
    op_assert_near(y, (float[]){531, 995, 642, 1994}, 4, 0);
}

static void faults(void **state)
{
    op_assert_fault(&(op_case){"", build, {0}, {ACTIVATION(3, 4), ACTIVATION(1, 4, 5)}},
                    "matmul: a is [3, 4], expected 3 dimensions");
    op_assert_fault(&(op_case){"", build, {0}, {ACTIVATION(1, 3, 4), ACTIVATION(4, 5)}},
                    "matmul: b is [4, 5], expected 3 dimensions");
    op_assert_fault(&(op_case){"", build, {0}, {ACTIVATION(2, 3, 4), ACTIVATION(1, 4, 5)}},
                    "matmul: a [2, 3, 4] and b [1, 4, 5] do not multiply");
    op_assert_fault(&(op_case){"", build, {.transpose_b = true}, {ACTIVATION(2, 3, 4), ACTIVATION(2, 4, 5)}},
                    "matmul: a [2, 3, 4] and b [2, 4, 5] transposed do not multiply");
    op_assert_fault(&(op_case){"", build, {0}, {ACTIVATION(1, 3, 4), INDEX(0, 1, 1, 4, 5)}},
                    "matmul: b is i32, expected f32");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_agree_and_gradients_hold),
        cmocka_unit_test(known_answers),
        cmocka_unit_test(faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
