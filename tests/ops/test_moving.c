/* Ops that move and resample: concatenation, slices, reshaping, permutation, upsampling, pooling. */
#include "ops/op_check.h"

static eq_value build_concat(eq_graph *graph, const eq_value *in, const eq_attr *attr)
{
    int count = 0;
    while (count < OP_MAX_INPUTS && in[count] != EQ_NONE)
        count++;
    return eq_concat(graph, count, in);
}

static eq_value build_concat_twice(eq_graph *graph, const eq_value *in, const eq_attr *attr)
{
    return eq_concat(graph, 3, (eq_value[]){in[0], in[1], in[0]});
}

/* attr.groups: the length */
static eq_value build_slice(eq_graph *graph, const eq_value *in, const eq_attr *attr)
{
    return eq_slice(graph, in[0], attr->axis, attr->offset, attr->groups);
}

/* Followed by an op that works in place, which must not reach what the view shares. */
static eq_value build_reshape(eq_graph *graph, const eq_value *in, const eq_attr *attr)
{
    return eq_activate(graph, eq_reshape(graph, in[0], attr->shape), EQ_ACT_SILU);
}

static eq_value build_permute(eq_graph *graph, const eq_value *in, const eq_attr *attr)
{
    return eq_permute(graph, in[0], attr->perm);
}

static eq_value build_upsample(eq_graph *graph, const eq_value *in, const eq_attr *attr)
{
    return eq_upsample(graph, in[0]);
}

static eq_value build_average_pool(eq_graph *graph, const eq_value *in, const eq_attr *attr)
{
    return eq_average_pool(graph, in[0], attr->kernel, attr->stride, attr->pad_top);
}

static eq_value build_max_pool(eq_graph *graph, const eq_value *in, const eq_attr *attr)
{
    return eq_max_pool(graph, in[0], attr->kernel, attr->stride, attr->pad_top);
}

static void moves(void **state)
{
    const op_case cases[] = {
        {"concat two", build_concat, {0}, {ACTIVATION(2, 3, 5), ACTIVATION(2, 3, 4)}},
        {"concat four", build_concat, {0}, {ACTIVATION(3, 1), ACTIVATION(3, 7), ACTIVATION(3, 2), ACTIVATION(3, 5)}},
        {"concat vectors", build_concat, {0}, {ACTIVATION(9), ACTIVATION(33)}},
        {"concat images", build_concat, {0}, {ACTIVATION(2, 3, 2, 16), ACTIVATION(2, 3, 2, 32)}},
        {"concat, one of them twice", build_concat_twice, {0}, {ACTIVATION(2, 5), ACTIVATION(2, 3)}},
        {"slice the last axis", build_slice, {.axis = 2, .offset = 1, .groups = 3}, {ACTIVATION(2, 3, 5)}},
        {"slice the first axis", build_slice, {.axis = 0, .offset = 2, .groups = 1}, {ACTIVATION(4, 3, 5)}},
        {"slice the middle axis", build_slice, {.axis = 1, .offset = 0, .groups = 2}, {ACTIVATION(2, 3, 5)}},
        {"slice all", build_slice, {.axis = 1, .offset = 0, .groups = 3}, {ACTIVATION(2, 3, 5)}},
        {"slice of five axes", build_slice, {.axis = 3, .offset = 1, .groups = 2}, {ACTIVATION(2, 2, 3, 4, 2)}},
        {"reshape", build_reshape, {.shape = eq_shape_of(6, 5)}, {ACTIVATION(2, 3, 5)}},
        {"reshape to a vector", build_reshape, {.shape = eq_shape_of(24)}, {ACTIVATION(2, 3, 4)}},
        {"transpose", build_permute, {.perm = {1, 0}}, {ACTIVATION(5, 7)}},
        {"channels first", build_permute, {.perm = {0, 3, 1, 2}}, {ACTIVATION(2, 3, 4, 5)}},
        {"patches", build_permute, {.perm = {0, 2, 1, 4, 3}}, {ACTIVATION(2, 3, 2, 4, 3)}},
        {"cycle", build_permute, {.perm = {2, 0, 1}}, {ACTIVATION(3, 4, 5)}},
        {"no permutation", build_permute, {.perm = {0, 1, 2}}, {ACTIVATION(3, 4, 5)}},
        {"upsample", build_upsample, {0}, {ACTIVATION(2, 3, 5, 7)}},
        {"upsample a pixel", build_upsample, {0}, {ACTIVATION(1, 1, 1, 3)}},
        {"upsample, wide", build_upsample, {0}, {ACTIVATION(1, 4, 2, 48)}},
    };
    OP_CHECK(cases);
}

static void pools(void **state)
{
    const eq_attr halve = {.kernel = 2, .stride = 2}, overlap = {.kernel = 3, .stride = 2, .pad_top = 1};
    const eq_attr same = {.kernel = 3, .stride = 1, .pad_top = 1}, gaps = {.kernel = 1, .stride = 2};
    const op_case cases[] = {
        {"average, halving", build_average_pool, halve, {ACTIVATION(2, 4, 6, 5)}},
        {"average, halving, wide", build_average_pool, halve, {ACTIVATION(3, 6, 2, 37)}},
        {"average, halving, odd", build_average_pool, halve, {ACTIVATION(1, 5, 7, 3)}},
        {"average, padded", build_average_pool, overlap, {ACTIVATION(2, 5, 6, 3)}},
        {"average, same size", build_average_pool, same, {ACTIVATION(1, 4, 3, 17)}},
        {"average of all", build_average_pool, {.kernel = 4, .stride = 1}, {ACTIVATION(2, 4, 4, 8)}},
        {"average with gaps", build_average_pool, gaps, {ACTIVATION(1, 5, 4, 3)}},
        {"max, halving", build_max_pool, halve, {SPREAD(2, 4, 6, 5)}},
        {"max, padded", build_max_pool, overlap, {SPREAD(2, 5, 6, 3)}},
        {"max, same size", build_max_pool, same, {SPREAD(1, 4, 3, 17)}},
        {"max with gaps", build_max_pool, gaps, {SPREAD(1, 5, 4, 3)}},
    };
    OP_CHECK(cases);
}

static void known_answers(void **state)
{
    const float x[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    float y[16];
    /* Corners average four, edges six, the middle nine: padding counts in no average. */
    op_case c = {"", build_average_pool, {.kernel = 3, .stride = 1, .pad_top = 1}, {ACTIVATION(1, 3, 3, 1)}};
    op_run(&c, (const void *[OP_MAX_INPUTS]){x}, y);
    op_assert_near(y, (float[]){3, 3.5f, 4, 4.5f, 5, 5.5f, 6, 6.5f, 7}, 9, 1e-6f);
    /* Padding is no number that could win. */
    c = (op_case){"", build_max_pool, {.kernel = 2, .stride = 2, .pad_top = 1}, {ACTIVATION(1, 2, 2, 1)}};
    op_run(&c, (const void *[OP_MAX_INPUTS]){(float[]){-1, -2, -3, -4}}, y);
    op_assert_near(y, (float[]){-1, -2, -3, -4}, 4, 0);

    c = (op_case){"", build_upsample, {0}, {ACTIVATION(1, 1, 2, 2)}};
    op_run(&c, (const void *[OP_MAX_INPUTS]){x}, y);
    op_assert_near(y, (float[]){1, 2, 1, 2, 3, 4, 3, 4, 1, 2, 1, 2, 3, 4, 3, 4}, 16, 0);

    c = (op_case){"", build_permute, {.perm = {2, 0, 1}}, {ACTIVATION(2, 2, 2)}};
    op_run(&c, (const void *[OP_MAX_INPUTS]){x}, y);
    op_assert_near(y, (float[]){1, 3, 5, 7, 2, 4, 6, 8}, 8, 0);

    c = (op_case){"", build_concat, {0}, {ACTIVATION(2, 1), ACTIVATION(2, 2)}};
    op_run(&c, (const void *[OP_MAX_INPUTS]){(float[]){10, 20}, x}, y);
    op_assert_near(y, (float[]){10, 1, 2, 20, 3, 4}, 6, 0);

    c = (op_case){"", build_slice, {.axis = 0, .offset = 1, .groups = 2}, {ACTIVATION(3, 3)}};
    op_run(&c, (const void *[OP_MAX_INPUTS]){x}, y);
    op_assert_near(y, (float[]){4, 5, 6, 7, 8, 9}, 6, 0);
}

static void faults(void **state)
{
    op_assert_fault(&(op_case){"", build_concat, {0}, {ACTIVATION(2, 3), ACTIVATION(3, 3)}},
                    "concat: f32 [3, 3] does not join f32 [2, 3]");
    op_assert_fault(&(op_case){"", build_concat, {0}, {ACTIVATION(2, 3), INDEX(0, 1, 2, 3)}},
                    "concat: i32 [2, 3] does not join f32 [2, 3]");
    op_assert_fault(&(op_case){"", build_slice, {.axis = 1, .offset = 2, .groups = 2}, {ACTIVATION(2, 3)}},
                    "slice: [2, 4) along axis 1 is not within [2, 3]");
    op_assert_fault(&(op_case){"", build_slice, {.axis = 1, .offset = -1, .groups = 2}, {ACTIVATION(2, 3)}},
                    "slice: [-1, 1) along axis 1 is not within [2, 3]");
    op_assert_fault(&(op_case){"", build_slice, {.axis = 1, .offset = 1, .groups = 0}, {ACTIVATION(2, 3)}},
                    "slice: [1, 1) along axis 1 is not within [2, 3]");
    op_assert_fault(&(op_case){"", build_slice, {.axis = 2, .offset = 0, .groups = 1}, {ACTIVATION(2, 3)}},
                    "slice: there is no axis 2 in [2, 3]");
    op_assert_fault(&(op_case){"", build_slice, {.axis = -1, .offset = 0, .groups = 1}, {ACTIVATION(2, 3)}},
                    "slice: there is no axis -1 in [2, 3]");
    op_assert_fault(&(op_case){"", build_reshape, {.shape = eq_shape_of(4, 2)}, {ACTIVATION(2, 3)}},
                    "reshape: [2, 3] has not as many elements as [4, 2]");
    op_assert_fault(&(op_case){"", build_reshape, {.shape = eq_shape_of(-2, -3)}, {ACTIVATION(2, 3)}},
                    "reshape: [2, 3] has not as many elements as [-2, -3]");
    op_assert_fault(&(op_case){"", build_permute, {.perm = {0, 0}}, {ACTIVATION(2, 3)}},
                    "permute: perm does not name each of the 2 dimensions once");
    op_assert_fault(&(op_case){"", build_permute, {.perm = {0, 2}}, {ACTIVATION(2, 3)}},
                    "permute: perm does not name each of the 2 dimensions once");
    op_assert_fault(&(op_case){"", build_upsample, {0}, {ACTIVATION(2, 3)}},
                    "upsample: x is [2, 3], expected 4 dimensions");
    const op_input x = ACTIVATION(1, 3, 4, 2);
    op_assert_fault(&(op_case){"", build_max_pool, {.kernel = 2, .stride = 0}, {x}},
                    "max_pool: kernel 2 and stride 0 must be 1 or more");
    op_assert_fault(&(op_case){"", build_max_pool, {.kernel = 2, .stride = 1, .pad_top = 2}, {x}},
                    "max_pool: padding 2 must be less than the kernel, 2");
    op_assert_fault(&(op_case){"", build_average_pool, {.kernel = 2, .stride = 1, .pad_top = -1}, {x}},
                    "average_pool: padding -1 must be less than the kernel, 2");
    op_assert_fault(&(op_case){"", build_average_pool, {.kernel = 4, .stride = 1}, {x}},
                    "average_pool: kernel 4 is larger than the padded image of [1, 3, 4, 2]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moves),
        cmocka_unit_test(pools),
        cmocka_unit_test(known_answers),
        cmocka_unit_test(faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
