#include <math.h>

#include "kernels/ref/ref.h"

static const float inverse_sqrt_2 = 0.70710678118654752f;
static const float inverse_sqrt_2pi = 0.39894228040143268f;

static float sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

float eq_ref_activate(eq_activation activation, float x)
{
    switch (activation) {
    case EQ_ACT_SILU: return x * sigmoid(x);
    case EQ_ACT_GELU: return 0.5f * x * (1.0f + erff(x * inverse_sqrt_2));
    case EQ_ACT_QUICK_GELU: return x * sigmoid(1.702f * x);
    case EQ_ACT_RELU: return x > 0 ? x : 0;
    case EQ_ACT_NONE: break;
    }
    return x;
}

float eq_ref_activation_derivative(eq_activation activation, float x)
{
    float s;
    switch (activation) {
    case EQ_ACT_SILU: s = sigmoid(x); return s * (1.0f + x * (1.0f - s));
    case EQ_ACT_GELU: return 0.5f * (1.0f + erff(x * inverse_sqrt_2)) + x * inverse_sqrt_2pi * expf(-0.5f * x * x);
    case EQ_ACT_QUICK_GELU: s = sigmoid(1.702f * x); return s * (1.0f + 1.702f * x * (1.0f - s));
    case EQ_ACT_RELU: return x > 0 ? 1.0f : 0.0f;
    case EQ_ACT_NONE: break;
    }
    return 1.0f;
}

/* in: x; out: y, like x */
static eq_status run_activation(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                                void *const *out, void *scratch)
{
    const float *x = in[0];
    float *y = out[0];
    int64_t count = eq_shape_count(eq_shape_at(env->graph, node->in[0]));
    for (int64_t i = 0; i < count; i++)
        y[i] = eq_ref_activate(node->attr.activation, x[i]);
    return EQ_OK;
}

/* in: dy, x; out: dx, like x */
static eq_status run_activation_grad(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                                     void *const *out, void *scratch)
{
    const float *dy = in[0], *x = in[1];
    float *dx = out[0];
    int64_t count = eq_shape_count(eq_shape_at(env->graph, node->in[0]));
    for (int64_t i = 0; i < count; i++)
        dx[i] = dy[i] * eq_ref_activation_derivative(node->attr.activation, x[i]);
    return EQ_OK;
}

const eq_kernel eq_ref_activation = {.op = "activation", .backend = "ref", .run = run_activation};
const eq_kernel eq_ref_activation_grad = {.op = "activation_grad", .backend = "ref", .run = run_activation_grad};
