/* The cpu backend where its blocks, folded rows and chunks end: sizes that the ops' own tests do not reach, and results
 * that must not depend on the number of threads. */
#include "ops/op_check.h"

#include <omp.h>

#include "ops/table.h"

static eq_value group_norm(eq_graph *g, const eq_value *in, const eq_attr *attr)
{
    return eq_group_norm(g, in[0], in[1], in[2], in[3], attr->groups, 1e-5f, attr->activation);
}

static eq_value layer_norm(eq_graph *g, const eq_value *in, const eq_attr *attr)
{
    return eq_layer_norm(g, in[0], in[1], in[2], 1e-5f);
}

static eq_value scale_shift(eq_graph *g, const eq_value *in, const eq_attr *attr)
{
    return eq_scale_shift(g, in[0], in[1], in[2]);
}

static eq_value activate(eq_graph *g, const eq_value *in, const eq_attr *attr)
{
    return eq_activate(g, in[0], attr->activation);
}

static eq_value softmax(eq_graph *g, const eq_value *in, const eq_attr *attr)
{
    return eq_softmax(g, in[0]);
}

static eq_value add(eq_graph *g, const eq_value *in, const eq_attr *attr)
{
    return eq_add(g, in[0], in[1]);
}

static eq_value multiply(eq_graph *g, const eq_value *in, const eq_attr *attr)
{
    return eq_multiply(g, in[0], in[1]);
}

static eq_value scale(eq_graph *g, const eq_value *in, const eq_attr *attr)
{
    return eq_scale(g, in[0], attr->scale);
}

/* There and back, so that both directions run whatever the graph's dtype. */
static eq_value cast(eq_graph *g, const eq_value *in, const eq_attr *attr)
{
    return eq_cast(g, eq_cast(g, in[0], EQ_BF16), EQ_F32);
}

static eq_value concat(eq_graph *g, const eq_value *in, const eq_attr *attr)
{
    return eq_concat(g, 3, in);
}

static eq_value slice(eq_graph *g, const eq_value *in, const eq_attr *attr)
{
    return eq_slice(g, in[0], attr->axis, attr->offset, 3);
}

static eq_value permute(eq_graph *g, const eq_value *in, const eq_attr *attr)
{
    return eq_permute(g, in[0], attr->perm);
}

static eq_value upsample(eq_graph *g, const eq_value *in, const eq_attr *attr)
{
    return eq_upsample(g, in[0]);
}

static eq_value sum_to(eq_graph *g, const eq_value *in, const eq_attr *attr)
{
    return eq_sum_to(g, in[0], attr->shape);
}

static eq_value pool(eq_graph *g, const eq_value *in, const eq_attr *attr)
{
    return eq_average_pool(g, in[0], attr->kernel, 1, 0);
}

/* The kernels, the gradients' too, against the reference. */
static void agree(const op_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        op_compare_kernels(&cases[i], EQ_F32, EQ_F32, false, true);
        op_compare_kernels(&cases[i], EQ_BF16, EQ_F32, false, true);
        op_compare_kernels(&cases[i], EQ_BF16, EQ_F16, true, false);
    }
}
#define AGREE(cases) agree(cases, sizeof(cases) / sizeof((cases)[0]))

static void norms_agree(void **state)
{
    for (eq_activation f = EQ_ACT_NONE; f <= EQ_ACT_SILU; f++) {
        eq_attr by4 = {.groups = 4, .activation = f}, by32 = {.groups = 32, .activation = f};
        const op_case cases[] = {
            {"pixels left of a fold", group_norm, by4, {ACTIVATION(3, 7, 7, 24), PARAM(24), PARAM(24), ABSENT}},
            {"shift", group_norm, by4, {ACTIVATION(2, 13, 11, 8), PARAM(8), PARAM(8), ACTIVATION(2, 8)}},
            {"one image", group_norm, by32, {ACTIVATION(1, 17, 9, 96), PARAM(96), PARAM(96), ACTIVATION(1, 96)}},
            {"wide", group_norm, by32, {ACTIVATION(2, 5, 5, 320), PARAM(320), PARAM(320), ABSENT}},
            {"a pixel", group_norm, by4, {ACTIVATION(5, 1, 1, 20), PARAM(20), PARAM(20), ACTIVATION(5, 20)}},
            {"tokens", group_norm, by4, {ACTIVATION(2, 130, 12), PARAM(12), PARAM(12), ABSENT}},
            {"vectors", group_norm, by4, {ACTIVATION(3, 64), PARAM(64), PARAM(64), ACTIVATION(3, 64)}},
        };
        AGREE(cases);
    }
    const op_case cases[] = {
        {"blocks", layer_norm, {0}, {ACTIVATION(2, 67, 40), PARAM(40), PARAM(40)}},
        {"narrow", layer_norm, {0}, {ACTIVATION(9, 3), PARAM(3), PARAM(3)}},
        {"blocks", scale_shift, {0}, {ACTIVATION(3, 9, 15, 20), ACTIVATION(3, 20), ACTIVATION(3, 20)}},
        {"tokens", scale_shift, {0}, {ACTIVATION(1, 5, 7), ACTIVATION(1, 7), ACTIVATION(1, 7)}},
    };
    AGREE(cases);
}

static void elementwise_ops_agree(void **state)
{
    for (eq_activation f = EQ_ACT_SILU; f <= EQ_ACT_RELU; f++) {
        const op_case cases[] = {{"activation", activate, {.activation = f}, {ACTIVATION(3, 83, 7, 19)}},
                                 {"activation", activate, {.activation = f}, {ACTIVATION(37)}}};
        AGREE(cases);
    }
    const op_case cases[] = {
        {"add", add, {0}, {ACTIVATION(3, 83, 7, 19), ACTIVATION(3, 83, 7, 19)}},
        {"add repeated", add, {0}, {ACTIVATION(2, 5, 7, 9), ACTIVATION(2, 1, 1, 9)}},
        {"multiply", multiply, {0}, {ACTIVATION(3, 83, 7, 19), ACTIVATION(3, 83, 7, 19)}},
        {"multiply repeated", multiply, {0}, {ACTIVATION(2, 5, 7, 9), ACTIVATION(2, 1, 1, 9)}},
        {"scale", scale, {.scale = -1.5f}, {ACTIVATION(35001)}},
        {"cast", cast, {0}, {ACTIVATION(34999)}},
        {"softmax", softmax, {0}, {ACTIVATION(2, 9, 77)}},
        {"softmax of two", softmax, {0}, {ACTIVATION(5, 2)}},
        {"softmax of rows", softmax, {0}, {ACTIVATION(300, 60)}},
    };
    AGREE(cases);
}

static void moves_agree(void **state)
{
    const op_case cases[] = {
        {"concat", concat, {0}, {ACTIVATION(2, 9, 9, 40), ACTIVATION(2, 9, 9, 3), ACTIVATION(2, 9, 9, 200)}},
        {"slice", slice, {.axis = 3, .offset = 5}, {ACTIVATION(2, 33, 9, 77)}},
        {"slice of lines", slice, {.axis = 1, .offset = 30}, {ACTIVATION(2, 33, 9, 77)}},
        {"slice of images", slice, {.axis = 0}, {ACTIVATION(4, 3)}},
        {"to channels first", permute, {.perm = {0, 3, 1, 2}}, {ACTIVATION(2, 9, 7, 45)}},
        {"to channels last", permute, {.perm = {0, 2, 3, 1}}, {ACTIVATION(2, 45, 9, 7)}},
        {"heads", permute, {.perm = {0, 2, 1, 3}}, {ACTIVATION(2, 65, 4, 40)}},
        {"reversed", permute, {.perm = {4, 3, 2, 1, 0}}, {ACTIVATION(3, 5, 2, 7, 4)}},
        {"nothing moves", permute, {.perm = {0, 1, 2}}, {ACTIVATION(3, 5, 8)}},
        {"ones move", permute, {.perm = {1, 0, 3, 2}}, {ACTIVATION(1, 9, 1, 5)}},
        {"one number", permute, {.perm = {1, 0}}, {ACTIVATION(1, 1)}},
        {"large transpose", permute, {.perm = {1, 0}}, {ACTIVATION(301, 207)}},
        {"upsample", upsample, {0}, {ACTIVATION(2, 9, 5, 40)}},
        {"upsample", upsample, {0}, {ACTIVATION(2, 19, 15, 80)}},
    };
    AGREE(cases);
}

static void sums_agree(void **state)
{
    const op_case cases[] = {
        {"pixels", sum_to, {.shape = eq_shape_of(3, 1, 1, 24)}, {ACTIVATION(3, 13, 11, 24)}},
        {"rows", sum_to, {.shape = eq_shape_of(1, 40)}, {ACTIVATION(131, 40)}},
        {"images", sum_to, {.shape = eq_shape_of(1, 3, 3, 9)}, {ACTIVATION(70, 3, 3, 9)}},
        {"few channels", sum_to, {.shape = eq_shape_of(2, 1, 1, 3)}, {ACTIVATION(2, 7, 5, 3)}},
        {"to one", sum_to, {.shape = eq_shape_of(1, 1)}, {ACTIVATION(31, 17)}},
        {"apart", sum_to, {.shape = eq_shape_of(1, 4, 1, 9)}, {ACTIVATION(3, 4, 5, 9)}},
        {"global pool", pool, {.kernel = 9}, {ACTIVATION(3, 9, 9, 40)}},
        {"windows", pool, {.kernel = 2}, {ACTIVATION(3, 9, 9, 8)}},
    };
    AGREE(cases);
}

/* --- threads --- */

/* Runs the case forward and backward; appends the bytes of the result and of all gradients to `bytes`. */
static size_t run_bytes(const op_case *c, eq_dtype dtype, unsigned char *bytes, size_t capacity)
{
    op_fixture f;
    op_open(&f, c, dtype, EQ_F32, true);
    eq_program *program;
    op_assert_ok(f.ctx, eq_program_compile(f.graph, &(eq_program_options){0}, &program));
    for (int i = 0; i < OP_MAX_INPUTS; i++)
        if (f.in[i] != EQ_NONE && eq_info(f.graph, f.in[i])->kind == EQ_VALUE_INPUT)
            memcpy(eq_program_data(program, f.in[i]), f.tensor[i].data, eq_tensor_bytes(&f.tensor[i]));
    memcpy(eq_program_data(program, f.target), f.target_data,
           (size_t)eq_shape_count(eq_shape_at(f.graph, f.y)) * sizeof(float));
    op_assert_ok(f.ctx, eq_program_run(program));
    size_t used = 0;
    for (int i = -1; i < OP_MAX_INPUTS; i++) {
        eq_value value = i < 0 ? f.y : f.gradient[i];
        if (value == EQ_NONE)
            continue;
        const eq_value_info *info = eq_info(f.graph, value);
        size_t size = (size_t)eq_shape_count(&info->shape) * eq_dtype_size(info->dtype);
        assert_true(used + size <= capacity);
        memcpy(bytes + used, eq_program_data(program, value), size);
        used += size;
    }
    eq_program_free(program);
    op_close(&f);
    return used;
}

static void threads_change_nothing(void **state)
{
    enum { CAPACITY = 1 << 22 };
    const eq_attr norm = {.groups = 4, .activation = EQ_ACT_SILU};
    const op_case cases[] = {
        {"group_norm", group_norm, norm, {ACTIVATION(5, 19, 19, 24), PARAM(24), PARAM(24), ACTIVATION(5, 24)}},
        {"group_norm", group_norm, norm, {ACTIVATION(1, 45, 40, 64), PARAM(64), PARAM(64), ABSENT}},
        {"layer_norm", layer_norm, {0}, {ACTIVATION(2, 167, 140), PARAM(140), PARAM(140)}},
        {"scale_shift", scale_shift, {0}, {ACTIVATION(2, 19, 31, 40), ACTIVATION(2, 40), ACTIVATION(2, 40)}},
        {"softmax", softmax, {0}, {ACTIVATION(300, 60)}},
        {"sum_to", sum_to, {.shape = eq_shape_of(1, 140)}, {ACTIVATION(1001, 140)}},
    };
    unsigned char *one = malloc(CAPACITY), *many = malloc(CAPACITY);
    assert_true(one && many);
    int threads = omp_get_max_threads();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (eq_dtype dtype = EQ_F32; dtype <= EQ_BF16; dtype++) {
            omp_set_num_threads(1);
            size_t size = run_bytes(&cases[i], dtype, one, CAPACITY);
            for (int n = 2; n <= 5; n++) {
                omp_set_num_threads(n);
                assert_int_equal(run_bytes(&cases[i], dtype, many, CAPACITY), size);
                if (memcmp(one, many, size) != 0)
                    fail_msg("%s: %d threads give another result than one", cases[i].name, n);
            }
        }
    omp_set_num_threads(threads);
    free(one);
    free(many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms_agree), cmocka_unit_test(elementwise_ops_agree),  cmocka_unit_test(moves_agree),
        cmocka_unit_test(sums_agree),  cmocka_unit_test(threads_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
