/* One test of an op: every kernel against the reference, for each element type, and the reference's gradients against
 * finite differences. A case names its inputs and builds its node; the loss is the mean squared distance of the
 * result from random numbers.
 *
 * To add a case: a row in the table of tests/ops/test_<group>.c - a name, a function that builds the node from the
 * inputs, its attributes, its inputs - and OP_CHECK(table). Shapes want to be small and odd. OP_CHECK_FORWARD is for
 * what has no gradient. */
#ifndef EQ_TESTS_OPS_OP_CHECK_H
#define EQ_TESTS_OPS_OP_CHECK_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <omp.h>

#include "base/memory.h"
#include "base/rng.h"
#include "kernels/kernel.h"
#include "kernels/onednn/onednn.h"
#include "kernels/program.h"
#include "ops/autodiff.h"
#include "ops/ops.h"

enum { OP_MAX_INPUTS = 6 };

typedef enum op_role {
    OP_ABSENT,     /* an optional input that is not there */
    OP_ACTIVATION, /* of the graph's dtype */
    OP_SPREAD,     /* the same, no two numbers near each other or near zero: for ops with kinks */
    OP_PARAM,      /* float32, bfloat16 or float16 */
    OP_F32,        /* float32 whatever the graph's dtype, with a gradient */
    OP_CONSTANT,   /* the same without one */
    OP_INDEX,      /* int32 in lowest..below-1 */
    OP_RISING,     /* int32: first, first + step, ... */
} op_role;

typedef struct op_input {
    op_role role;
    eq_shape shape;
    int lowest, below; /* or first and step */
} op_input;

/* clang-format off */
#define ACTIVATION(...) {OP_ACTIVATION, eq_shape_of(__VA_ARGS__), 0, 0}
#define SPREAD(...) {OP_SPREAD, eq_shape_of(__VA_ARGS__), 0, 0}
#define PARAM(...) {OP_PARAM, eq_shape_of(__VA_ARGS__), 0, 0}
#define FLOATS(...) {OP_F32, eq_shape_of(__VA_ARGS__), 0, 0}
#define CONSTANT(...) {OP_CONSTANT, eq_shape_of(__VA_ARGS__), 0, 0}
#define INDEX(lowest, below, ...) {OP_INDEX, eq_shape_of(__VA_ARGS__), lowest, below}
#define RISING(first, step, ...) {OP_RISING, eq_shape_of(__VA_ARGS__), first, step}
#define ABSENT {0}
/* clang-format on */

typedef struct op_case {
    const char *name;
    eq_value (*build)(eq_graph *graph, const eq_value *in, const eq_attr *attr);
    eq_attr attr;
    op_input in[OP_MAX_INPUTS];
} op_case;

/* A case's graph with its loss and gradients, and the numbers that go in. */
typedef struct op_fixture {
    eq_context *ctx;
    eq_graph *graph;
    eq_value in[OP_MAX_INPUTS], y, target;
    eq_value gradient[OP_MAX_INPUTS]; /* EQ_NONE where there is none */
    eq_tensor tensor[OP_MAX_INPUTS];  /* the inputs' numbers; owned */
    float *target_data;               /* owned */
} op_fixture;

static inline void op_assert_ok(eq_context *ctx, eq_status status)
{
    if (status != EQ_OK)
        fail_msg("%s", eq_last_error(ctx));
}

static inline void op_from_f32(eq_dtype dtype, const float *from, void *to, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (dtype == EQ_F32)
            ((float *)to)[i] = from[i];
        else
            ((uint16_t *)to)[i] = dtype == EQ_BF16 ? eq_f32_to_bf16(from[i]) : eq_f32_to_f16(from[i]);
}

/* Half-odd multiples of 1/8 in random order. Up to 256 of them, also bfloat16 holds them exactly. */
static inline void op_spread(eq_rng *rng, eq_dtype dtype, void *to, int64_t count)
{
    uint32_t *order = calloc((size_t)count, sizeof *order);
    assert_non_null(order);
    eq_rng_permutation(rng, order, (uint32_t)count);
    for (int64_t i = 0; i < count; i++) {
        float number = ((float)order[i] - (float)(count / 2) + 0.5f) / 8;
        op_from_f32(dtype, &number, (char *)to + i * eq_dtype_size(dtype), 1);
    }
    free(order);
}

static inline eq_tensor op_random(const op_input *input, eq_dtype dtype, int stream)
{
    int64_t count = eq_shape_count(&input->shape);
    eq_tensor tensor = {dtype, input->shape, eq_buffer_new((size_t)count * eq_dtype_size(dtype))};
    eq_rng rng = eq_rng_make(20, (uint64_t)stream, 0);
    assert_non_null(tensor.data);
    if (input->role == OP_SPREAD) {
        op_spread(&rng, dtype, tensor.data, count);
        return tensor;
    }
    for (int64_t i = 0; i < count; i++)
        if (input->role == OP_RISING)
            ((int32_t *)tensor.data)[i] = input->lowest + (int)i * input->below;
        else if (dtype == EQ_I32)
            ((int32_t *)tensor.data)[i] =
                input->lowest + (int)eq_rng_below(&rng, (uint32_t)(input->below - input->lowest));
        else
            op_from_f32(dtype, &(float){eq_rng_normal(&rng)}, (char *)tensor.data + i * eq_dtype_size(dtype), 1);
    return tensor;
}

static inline bool op_has_gradient(const op_case *c, int input)
{
    op_role role = c->in[input].role;
    return role == OP_ACTIVATION || role == OP_SPREAD || role == OP_PARAM || role == OP_F32;
}

/* differentiate: with the loss and its gradients. */
static inline void op_open(op_fixture *f, const op_case *c, eq_dtype dtype, eq_dtype param_dtype, bool differentiate)
{
    *f = (op_fixture){.ctx = eq_context_new()};
    assert_non_null(f->ctx);
    f->graph = eq_graph_new(f->ctx, dtype);
    assert_non_null(f->graph);
    eq_value wanted[OP_MAX_INPUTS], gradients[OP_MAX_INPUTS];
    int inputs[OP_MAX_INPUTS], count = 0;
    for (int i = 0; i < OP_MAX_INPUTS; i++) {
        const op_input *input = &c->in[i];
        f->in[i] = f->gradient[i] = EQ_NONE;
        if (input->role == OP_ABSENT)
            continue;
        bool activation = input->role == OP_ACTIVATION || input->role == OP_SPREAD;
        eq_dtype own = activation                                            ? dtype
                       : input->role == OP_PARAM                             ? param_dtype
                       : input->role == OP_INDEX || input->role == OP_RISING ? EQ_I32
                                                                             : EQ_F32;
        f->tensor[i] = op_random(input, own, i);
        f->in[i] = input->role == OP_PARAM ? eq_graph_param(f->graph, "parameter", &f->tensor[i], true)
                                           : eq_graph_input(f->graph, "input", own, input->shape);
        if (differentiate && op_has_gradient(c, i)) {
            inputs[count] = i;
            wanted[count++] = f->in[i];
        }
    }
    f->y = c->build(f->graph, f->in, &c->attr);
    op_assert_ok(f->ctx, eq_graph_status(f->graph));
    eq_shape shape = *eq_shape_at(f->graph, f->y);
    eq_graph_output(f->graph, f->y, "y");
    eq_tensor target = op_random(&(op_input){.shape = shape}, EQ_F32, OP_MAX_INPUTS);
    f->target_data = target.data;
    f->target = eq_graph_input(f->graph, "target", EQ_F32, shape);
    if (count == 0)
        return;
    eq_value loss = eq_mse(f->graph, eq_cast(f->graph, f->y, EQ_F32), f->target, EQ_NONE);
    eq_graph_next_stage(f->graph); /* so that finite differences need not run it */
    op_assert_ok(f->ctx, eq_graph_backward(f->graph, loss, count, wanted, gradients));
    for (int i = 0; i < count; i++) {
        if (gradients[i] == EQ_NONE)
            fail_msg("%s: input %d has no gradient", c->name, inputs[i]);
        f->gradient[inputs[i]] = gradients[i];
        eq_graph_output(f->graph, gradients[i], NULL);
    }
}

/* The graph itself belongs to whoever ran it. */
static inline void op_close(op_fixture *f)
{
    for (int i = 0; i < OP_MAX_INPUTS; i++)
        eq_buffer_free(f->tensor[i].data);
    eq_buffer_free(f->target_data);
    eq_context_free(f->ctx);
}

/* --- kernels against the reference --- */

/* Leaves a file named after the op and one named after the kernel in the folder that EQUIPOISE_EXERCISED names, if it
 * does, for ops/test_exercised.c. */
static inline void op_record(const eq_kernel *kernel)
{
    const char *folder = getenv("EQUIPOISE_EXERCISED");
    for (int i = 0; folder && i < 2; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/%s%s%s", folder, kernel->op, i ? "." : "", i ? kernel->backend : "");
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fclose(file);
    }
}

/* Whether the planner may let the node write over its first input, and the kernel then sees one buffer for both. */
static inline bool op_may_take_over(const eq_graph *graph, const eq_node *node, const eq_kernel *kernel)
{
    if (!(node->op->flags & EQ_OP_INPLACE))
        return false;
    const eq_value_info *x = eq_info(graph, node->in[0]), *y = eq_info(graph, node->out[0]);
    for (int i = 1; i < node->inputs; i++)
        if (node->in[i] == node->in[0])
            return false;
    return eq_shape_count(&x->shape) == eq_shape_count(&y->shape) && x->dtype == y->dtype &&
           (kernel->any_dtype || y->dtype == EQ_F32);
}

/* Runs one kernel as a program does: those that read only float32 get float32 copies. out[i]: in the node's dtypes.
 * take_over: out[0] holds the first input. */
static inline void op_run_kernel(const eq_kernel_env *env, const eq_kernel *kernel, const eq_node *node,
                                 void *const *values, void *const *out, bool take_over)
{
    op_record(kernel);
    void *in_f32[EQ_MAX_INPUTS] = {0}, *out_f32[EQ_MAX_OUTPUTS] = {0}, *to[EQ_MAX_OUTPUTS] = {0};
    const void *from[EQ_MAX_INPUTS] = {0};
    for (int i = 0; i < node->inputs; i++) {
        if (node->in[i] == EQ_NONE)
            continue;
        const eq_value_info *info = eq_info(env->graph, node->in[i]);
        from[i] = values[node->in[i]];
        if (kernel->any_dtype || (info->dtype != EQ_BF16 && info->dtype != EQ_F16))
            continue;
        eq_tensor tensor = {info->dtype, info->shape, values[node->in[i]]};
        from[i] = in_f32[i] = eq_buffer_new((size_t)eq_shape_count(&info->shape) * sizeof(float));
        eq_tensor_to_f32(&tensor, in_f32[i]);
    }
    for (int i = 0; i < node->outputs; i++) {
        const eq_value_info *info = eq_info(env->graph, node->out[i]);
        to[i] = out[i];
        if (!kernel->any_dtype && info->dtype != EQ_F32)
            to[i] = out_f32[i] = eq_buffer_new((size_t)eq_shape_count(&info->shape) * sizeof(float));
    }
    void *state = NULL;
    size_t scratch_bytes = 0;
    if (kernel->prepare)
        op_assert_ok(env->ctx, kernel->prepare(env, node, &state, &scratch_bytes));
    void *scratch = eq_buffer_new(scratch_bytes);
    assert_non_null(scratch);
    /* Twice: nothing may be left behind in state or scratch that changes the result. */
    for (int run = 0; run < 2; run++) {
        if (take_over) {
            const eq_value_info *info = eq_info(env->graph, node->in[0]);
            memcpy(to[0], values[node->in[0]], (size_t)eq_shape_count(&info->shape) * eq_dtype_size(info->dtype));
            from[0] = to[0];
        }
        op_assert_ok(env->ctx, kernel->run(env, node, state, (void *const *)from, to, scratch));
    }
    if (kernel->release && state)
        kernel->release(state);
    eq_buffer_free(scratch);
    for (int i = 0; i < node->inputs; i++)
        eq_buffer_free(in_f32[i]);
    for (int i = 0; i < node->outputs; i++) {
        const eq_value_info *info = eq_info(env->graph, node->out[i]);
        if (out_f32[i])
            op_from_f32(info->dtype, out_f32[i], out[i], eq_shape_count(&info->shape));
        eq_buffer_free(out_f32[i]);
    }
}

/* Errors are measured against the element and the root mean square of all, as cancellation makes small elements no
 * more exact than large ones. Float32 sums differ by their order only (those of Winograd's filtering, convolutions on
 * the cpu backend, are of other numbers, whose transforms cancel: twice as much); bfloat16 results also by one unit in
 * the last place (2^-7), where the sums fall on either side of a rounding boundary, and the gradient of attention,
 * whose probabilities and their gradients are rounded to bfloat16 between the products, by two. */
static inline double op_tolerance(const eq_kernel *kernel, eq_dtype dtype)
{
    if (dtype == EQ_F32)
        return strncmp(kernel->op, "conv2d", 6) == 0 && strcmp(kernel->backend, "cpu") == 0 ? 1e-5 : 5e-6;
    return strcmp(kernel->op, "attention_grad") == 0 ? 1.0 / 64 : 1.0 / 128;
}

static inline void op_compare(const char *name, const eq_kernel *kernel, const eq_value_info *info, int output,
                              void *expected, void *found)
{
    int64_t count = eq_shape_count(&info->shape);
    float *a = malloc((size_t)(count + 1) * sizeof *a), *b = malloc((size_t)(count + 1) * sizeof *b);
    assert_true(a && b);
    eq_tensor_to_f32(&(eq_tensor){info->dtype, info->shape, expected}, a);
    eq_tensor_to_f32(&(eq_tensor){info->dtype, info->shape, found}, b);
    double squares = 0, tolerance = op_tolerance(kernel, info->dtype);
    for (int64_t i = 0; i < count; i++)
        squares += (double)a[i] * a[i];
    double scale = sqrt(squares / (double)(count ? count : 1));
    for (int64_t i = 0; i < count; i++)
        if (!(fabs((double)a[i] - b[i]) <= tolerance * (fabs(a[i]) + scale) + 1e-30))
            fail_msg("%s: %s of %s, output %d (%s) [%lld] is %.9g, the reference has %.9g (rms %.3g)", name, kernel->op,
                     kernel->backend, output, eq_dtype_name(info->dtype), (long long)i, (double)b[i], (double)a[i],
                     scale);
    free(a);
    free(b);
}

/* Runs the graph node by node with the reference, and beside it every kernel that takes the node, also in place. */
static inline void op_compare_kernels(const op_case *c, eq_dtype dtype, eq_dtype param_dtype, bool frozen,
                                      bool differentiate)
{
    op_fixture f;
    op_open(&f, c, dtype, param_dtype, differentiate);
    eq_graph *graph = f.graph;
    eq_kernel_env env = {.ctx = f.ctx, .graph = graph, .frozen = frozen};
    op_assert_ok(f.ctx, eq_onednn_open(f.ctx, &env.onednn));
    int kernels;
    const eq_kernel *const *table = eq_kernel_table(&kernels);
    void **values = calloc((size_t)graph->value_count, sizeof *values);
    assert_non_null(values);
    for (int i = 0; i < OP_MAX_INPUTS; i++)
        if (f.in[i] != EQ_NONE)
            values[f.in[i]] = f.tensor[i].data;
    values[f.target] = f.target_data;
    for (int32_t n = 0; n < graph->node_count; n++) {
        const eq_node *node = &graph->nodes[n];
        void *expected[EQ_MAX_OUTPUTS] = {0}, *found[EQ_MAX_OUTPUTS] = {0};
        size_t bytes[EQ_MAX_OUTPUTS];
        for (int i = 0; i < node->outputs; i++) {
            const eq_value_info *info = eq_info(graph, node->out[i]);
            bytes[i] = (size_t)eq_shape_count(&info->shape) * eq_dtype_size(info->dtype);
            values[node->out[i]] = expected[i] = eq_buffer_new(bytes[i]);
            found[i] = eq_buffer_new(bytes[i]);
            assert_true(expected[i] && found[i]);
        }
        const eq_kernel *reference = eq_kernel_find("ref", graph, node);
        if (!reference)
            fail_msg("%s has no reference kernel", node->op->name);
        op_run_kernel(&env, reference, node, values, expected, false);
        for (int k = 0; k < kernels; k++) {
            const eq_kernel *kernel = table[k];
            if (strcmp(kernel->op, node->op->name) != 0 || (kernel->supports && !kernel->supports(graph, node)))
                continue;
            for (int take_over = 0; take_over <= op_may_take_over(graph, node, kernel); take_over++) {
                for (int i = 0; i < node->outputs; i++)
                    memset(found[i], 0xff, bytes[i]); /* NaN: what is not written does not pass */
                op_run_kernel(&env, kernel, node, values, found, take_over);
                for (int i = 0; i < node->outputs; i++)
                    op_compare(c->name, kernel, eq_info(graph, node->out[i]), i, expected[i], found[i]);
            }
        }
        for (int i = 0; i < node->outputs; i++)
            eq_buffer_free(found[i]);
    }
    for (int32_t v = 0; v < graph->value_count; v++)
        if (graph->values[v].node >= 0)
            eq_buffer_free(values[v]);
    free(values);
    eq_onednn_close(env.onednn);
    eq_graph_free(graph);
    op_close(&f);
}

/* --- gradients against finite differences --- */

/* Runs the program forward on the fixture's numbers; returns count(y) times the loss, in double. */
static inline double op_loss(const op_fixture *f, eq_program *program)
{
    for (int i = 0; i < OP_MAX_INPUTS; i++)
        if (f->in[i] != EQ_NONE && eq_info(f->graph, f->in[i])->kind == EQ_VALUE_INPUT)
            memcpy(eq_program_data(program, f->in[i]), f->tensor[i].data, eq_tensor_bytes(&f->tensor[i]));
    int64_t count = eq_shape_count(eq_shape_at(f->graph, f->y));
    void *target = eq_program_data(program, f->target); /* NULL: the graph has no loss */
    if (target)
        memcpy(target, f->target_data, (size_t)count * sizeof(float));
    op_assert_ok(f->ctx, eq_program_run_stage(program, 0));
    const float *y = eq_program_data(program, f->y);
    double loss = 0;
    for (int64_t i = 0; i < count; i++)
        loss += ((double)y[i] - f->target_data[i]) * ((double)y[i] - f->target_data[i]);
    return loss;
}

/* Of the loss by one element: central, of fourth order. */
static inline double op_difference(const op_fixture *f, eq_program *program, float *element)
{
    const float step = 1.0f / 64, start = *element;
    double loss[4];
    for (int i = 0; i < 4; i++) {
        *element = start + step * (float[]){-2, -1, 1, 2}[i];
        loss[i] = op_loss(f, program);
    }
    *element = start;
    return (8 * (loss[2] - loss[1]) - (loss[3] - loss[0])) / (12 * step);
}

/* Up to 16 elements of every input. */
static inline void op_check_gradients(const op_case *c)
{
    op_fixture f;
    op_open(&f, c, EQ_F32, EQ_F32, true);
    eq_program *program;
    op_assert_ok(f.ctx, eq_program_compile(f.graph, &(eq_program_options){.backend = "ref"}, &program));
    double outputs = (double)eq_shape_count(eq_shape_at(f.graph, f.y));
    for (int i = 0; i < OP_MAX_INPUTS; i++) {
        if (f.gradient[i] == EQ_NONE)
            continue;
        int64_t count = eq_shape_count(&f.tensor[i].shape), stride = (count / 16 + 1) | 1;
        assert_true(eq_shape_equal(eq_shape_at(f.graph, f.gradient[i]), &f.tensor[i].shape));
        float *gradient = malloc((size_t)count * sizeof *gradient);
        assert_non_null(gradient);
        op_loss(&f, program);
        op_assert_ok(f.ctx, eq_program_run_stage(program, 1));
        memcpy(gradient, eq_program_data(program, f.gradient[i]), (size_t)count * sizeof *gradient);
        double squares = 0;
        for (int64_t k = 0; k < count; k++)
            squares += outputs * gradient[k] * outputs * gradient[k];
        double scale = sqrt(squares / (double)count);
        for (int64_t k = 0; k < count; k += stride) {
            double found = outputs * gradient[k];
            double expected = op_difference(&f, program, (float *)f.tensor[i].data + k);
            if (!(fabs(found - expected) <= 1e-3 * (fabs(expected) + scale)))
                fail_msg("%s: the gradient of input %d [%lld] is %.6g, finite differences give %.6g (rms %.3g)",
                         c->name, i, (long long)k, found, expected, scale);
        }
        free(gradient);
    }
    eq_program_free(program);
    op_close(&f);
}

static inline void op_check(const op_case *cases, size_t count, bool differentiate)
{
    static const struct {
        eq_dtype dtype, param_dtype;
        bool frozen;
    } numbers[] = {
        {EQ_F32, EQ_F32, false}, {EQ_F32, EQ_F16, true},   {EQ_BF16, EQ_F32, false},
        {EQ_BF16, EQ_F32, true}, {EQ_BF16, EQ_BF16, true}, {EQ_BF16, EQ_F16, true},
    };
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < sizeof numbers / sizeof numbers[0]; k++)
            op_compare_kernels(&cases[i], numbers[k].dtype, numbers[k].param_dtype, numbers[k].frozen, differentiate);
        if (!differentiate)
            continue;
        /* Thousands of runs of tiny graphs: threads would only wait for each other. */
        int threads = omp_get_max_threads();
        omp_set_num_threads(1);
        op_check_gradients(&cases[i]);
        omp_set_num_threads(threads);
    }
}
#define OP_CHECK(cases)         op_check(cases, sizeof(cases) / sizeof((cases)[0]), true)
#define OP_CHECK_FORWARD(cases) op_check(cases, sizeof(cases) / sizeof((cases)[0]), false)

/* --- known answers and faults --- */

/* Runs one op on the reference and leaves its first output, float32, in y. in[i]: its numbers, or NULL. */
static inline void op_run(const op_case *c, const void *const *in, float *y)
{
    op_fixture f;
    op_open(&f, c, EQ_F32, EQ_F32, false);
    for (int i = 0; i < OP_MAX_INPUTS; i++)
        if (f.in[i] != EQ_NONE)
            memcpy(f.tensor[i].data, in[i], eq_tensor_bytes(&f.tensor[i]));
    eq_program *program;
    op_assert_ok(f.ctx, eq_program_compile(f.graph, &(eq_program_options){.backend = "ref"}, &program));
    op_loss(&f, program);
    memcpy(y, eq_program_data(program, f.y), (size_t)eq_shape_count(eq_shape_at(f.graph, f.y)) * sizeof *y);
    eq_program_free(program);
    op_close(&f);
}

static inline void op_assert_near(const float *found, const float *expected, int count, float tolerance)
{
    for (int i = 0; i < count; i++)
        if (!(fabsf(found[i] - expected[i]) <= tolerance))
            fail_msg("[%d] is %.9g, expected %.9g", i, (double)found[i], (double)expected[i]);
}

/* The case's op must be refused with this message. */
static inline void op_assert_fault(const op_case *c, const char *message)
{
    eq_context *ctx = eq_context_new();
    eq_graph *graph = eq_graph_new(ctx, EQ_F32);
    assert_true(ctx && graph);
    eq_value in[OP_MAX_INPUTS];
    float storage = 0;
    for (int i = 0; i < OP_MAX_INPUTS; i++) {
        const op_input *input = &c->in[i];
        eq_tensor tensor = {input->role == OP_INDEX ? EQ_I32 : EQ_F32, input->shape, &storage};
        in[i] = input->role == OP_ABSENT ? EQ_NONE : eq_graph_param(graph, "parameter", &tensor, false);
    }
    assert_int_equal(c->build(graph, in, &c->attr), EQ_NONE);
    assert_int_not_equal(eq_graph_status(graph), EQ_OK);
    assert_string_equal(eq_last_error(ctx), message);
    eq_graph_free(graph);
    eq_context_free(ctx);
}

#endif
