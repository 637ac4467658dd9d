/* activation, add, multiply, scale and cast: one pass over the numbers, in chunks of fixed size. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/simd.h"

enum { CHUNK = 1 << 14 };

/* What a chunk is made of. */
typedef struct operands {
    const void *a, *b; /* b: NULL for functions of one argument */
    void *y;
    eq_dtype from, to; /* of a and b; of y */
    eq_activation activation;
    float scale;
} operands;

typedef void chunk_function(const operands *o, const void *a, const void *b, void *y, int64_t count);

static void for_chunks(chunk_function *function, const operands *o, int64_t count)
{
#pragma omp parallel for schedule(static) if (count > 2 * CHUNK)
    for (int64_t at = 0; at < count; at += CHUNK)
        function(o, eq_at(o->a, at, o->from), o->b ? eq_at(o->b, at, o->from) : NULL, eq_at_mutable(o->y, at, o->to),
                 eq_min_i64(CHUNK, count - at));
}

static operands operands_of(const eq_graph *graph, const eq_node *node, void *const *in, void *const *out)
{
    return (operands){.a = in[0],
                      .b = node->inputs > 1 ? in[1] : NULL,
                      .y = out[0],
                      .from = eq_info(graph, node->in[0])->dtype,
                      .to = eq_info(graph, node->out[0])->dtype,
                      .activation = node->attr.activation,
                      .scale = node->attr.scale};
}

/* All inputs and the output are f32, or all bf16, of one shape. */
static bool supports_alike(const eq_graph *graph, const eq_node *node)
{
    const eq_value_info *y = eq_info(graph, node->out[0]);
    for (int i = 0; i < node->inputs; i++) {
        const eq_value_info *x = eq_info(graph, node->in[i]);
        if (x->dtype != y->dtype || !eq_shape_equal(&x->shape, &y->shape))
            return false;
    }
    return eq_is_f32_or_bf16(graph, node->out[0]);
}

static int64_t count_of(const eq_graph *graph, const eq_node *node)
{
    return eq_shape_count(eq_shape_at(graph, node->out[0]));
}

/* --- activation --- */

EQ_INLINE void activate_body(const void *x, void *y, int64_t count, eq_activation activation, int dtype)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++)
        eq_store(y, i, dtype, eq_activate_value(activation, eq_load(x, i, dtype)));
}

EQ_CLONES static void activate(const operands *o, const void *a, const void *b, void *y, int64_t count)
{
    switch (o->activation) {
    case EQ_ACT_SILU: EQ_FOR_DTYPE(o->from, activate_body(a, y, count, EQ_ACT_SILU, dtype)); break;
    case EQ_ACT_GELU: EQ_FOR_DTYPE(o->from, activate_body(a, y, count, EQ_ACT_GELU, dtype)); break;
    case EQ_ACT_QUICK_GELU: EQ_FOR_DTYPE(o->from, activate_body(a, y, count, EQ_ACT_QUICK_GELU, dtype)); break;
    case EQ_ACT_RELU: EQ_FOR_DTYPE(o->from, activate_body(a, y, count, EQ_ACT_RELU, dtype)); break;
    case EQ_ACT_NONE: EQ_FOR_DTYPE(o->from, activate_body(a, y, count, EQ_ACT_NONE, dtype)); break;
    }
}

EQ_INLINE void activate_grad_body(const void *dy, const void *x, void *dx, int64_t count, eq_activation activation,
                                  int dtype)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++)
        eq_store(dx, i, dtype, eq_load(dy, i, dtype) * eq_activate_slope(activation, eq_load(x, i, dtype)));
}

EQ_CLONES static void activate_grad(const operands *o, const void *a, const void *b, void *y, int64_t count)
{
    switch (o->activation) {
    case EQ_ACT_SILU: EQ_FOR_DTYPE(o->from, activate_grad_body(a, b, y, count, EQ_ACT_SILU, dtype)); break;
    case EQ_ACT_GELU: EQ_FOR_DTYPE(o->from, activate_grad_body(a, b, y, count, EQ_ACT_GELU, dtype)); break;
    case EQ_ACT_QUICK_GELU: EQ_FOR_DTYPE(o->from, activate_grad_body(a, b, y, count, EQ_ACT_QUICK_GELU, dtype)); break;
    case EQ_ACT_RELU: EQ_FOR_DTYPE(o->from, activate_grad_body(a, b, y, count, EQ_ACT_RELU, dtype)); break;
    case EQ_ACT_NONE: EQ_FOR_DTYPE(o->from, activate_grad_body(a, b, y, count, EQ_ACT_NONE, dtype)); break;
    }
}

/* in: x; out: f(x) */
static eq_status run_activation(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                                void *const *out, void *scratch)
{
    operands o = operands_of(env->graph, node, in, out);
    for_chunks(activate, &o, count_of(env->graph, node));
    return EQ_OK;
}

/* in: dy, x; out: dy f'(x) */
static eq_status run_activation_grad(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                                     void *const *out, void *scratch)
{
    operands o = operands_of(env->graph, node, in, out);
    for_chunks(activate_grad, &o, count_of(env->graph, node));
    return EQ_OK;
}

/* --- arithmetic --- */

EQ_INLINE void add_body(const void *a, const void *b, void *y, int64_t count, int dtype)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++)
        eq_store(y, i, dtype, eq_load(a, i, dtype) + eq_load(b, i, dtype));
}

EQ_CLONES static void add(const operands *o, const void *a, const void *b, void *y, int64_t count)
{
    EQ_FOR_DTYPE(o->from, add_body(a, b, y, count, dtype));
}

EQ_INLINE void multiply_body(const void *a, const void *b, void *y, int64_t count, int dtype)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++)
        eq_store(y, i, dtype, eq_load(a, i, dtype) * eq_load(b, i, dtype));
}

EQ_CLONES static void multiply(const operands *o, const void *a, const void *b, void *y, int64_t count)
{
    EQ_FOR_DTYPE(o->from, multiply_body(a, b, y, count, dtype));
}

EQ_INLINE void scale_body(const void *x, float factor, void *y, int64_t count, int dtype)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++)
        eq_store(y, i, dtype, eq_load(x, i, dtype) * factor);
}

EQ_CLONES static void scale(const operands *o, const void *a, const void *b, void *y, int64_t count)
{
    EQ_FOR_DTYPE(o->from, scale_body(a, o->scale, y, count, dtype));
}

EQ_CLONES static void cast(const operands *o, const void *a, const void *b, void *y, int64_t count)
{
    if (o->from == EQ_BF16)
#pragma omp simd
        for (int64_t i = 0; i < count; i++)
            ((float *)y)[i] = eq_bf16_to_f32(((const uint16_t *)a)[i]);
    else
#pragma omp simd
        for (int64_t i = 0; i < count; i++)
            ((uint16_t *)y)[i] = eq_f32_to_bf16(((const float *)a)[i]);
}

/* in: a, b; out: a + b */
static eq_status run_add(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in, void *const *out,
                         void *scratch)
{
    operands o = operands_of(env->graph, node, in, out);
    for_chunks(add, &o, count_of(env->graph, node));
    return EQ_OK;
}

/* in: a, b; out: a b */
static eq_status run_multiply(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                              void *const *out, void *scratch)
{
    operands o = operands_of(env->graph, node, in, out);
    for_chunks(multiply, &o, count_of(env->graph, node));
    return EQ_OK;
}

/* in: x; out: x scale */
static eq_status run_scale(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                           void *const *out, void *scratch)
{
    operands o = operands_of(env->graph, node, in, out);
    for_chunks(scale, &o, count_of(env->graph, node));
    return EQ_OK;
}

/* Between f32 and bf16. */
static bool supports_cast(const eq_graph *graph, const eq_node *node)
{
    return eq_is_f32_or_bf16(graph, node->in[0]) && eq_is_f32_or_bf16(graph, node->out[0]) &&
           eq_info(graph, node->in[0])->dtype != eq_info(graph, node->out[0])->dtype;
}

/* in: x; out: x in another dtype */
static eq_status run_cast(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in, void *const *out,
                          void *scratch)
{
    operands o = operands_of(env->graph, node, in, out);
    for_chunks(cast, &o, count_of(env->graph, node));
    return EQ_OK;
}

#define ROW(name, supports_, run_)                                                                                     \
    {                                                                                                                  \
        .op = name, .backend = "cpu", .supports = supports_, .run = run_, .any_dtype = true                            \
    }

const eq_kernel eq_cpu_activation = ROW("activation", supports_alike, run_activation);
const eq_kernel eq_cpu_activation_grad = ROW("activation_grad", supports_alike, run_activation_grad);
const eq_kernel eq_cpu_add = ROW("add", supports_alike, run_add);
const eq_kernel eq_cpu_multiply = ROW("multiply", supports_alike, run_multiply);
const eq_kernel eq_cpu_scale = ROW("scale", supports_alike, run_scale);
const eq_kernel eq_cpu_cast = ROW("cast", supports_cast, run_cast);
