/* conv2d and conv2d_grad_input where Winograd's filtering serves: 3x3, stride 1, float32. */
#include <stdlib.h>

#include "base/memory.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/winograd.h"

/* Transformed weights, then the bias: kept where parameters are frozen, else made anew in scratch at each run. */
typedef struct conv_state {
    eq_winograd conv;
    float *kept; /* owned; NULL: not frozen */
} conv_state;

static int64_t weight_count(const eq_graph *graph, const eq_node *node)
{
    return eq_shape_count(eq_shape_at(graph, node->in[1]));
}

static bool has_bias(const eq_node *node)
{
    return node->inputs > 2 && node->in[2] != EQ_NONE;
}

static int64_t parameter_count(const eq_winograd *conv)
{
    return eq_winograd_weight_count(conv) + conv->panels * EQ_WINOGRAD_PANEL;
}

/* The gradient is a convolution of dy with the weights turned, and what padding leaves of the kernel's overlap. */
static bool plan(const eq_graph *graph, const eq_node *node, eq_winograd *conv)
{
    if (!eq_winograd_plan(&node->attr, eq_info(graph, node->in[0]), eq_shape_at(graph, node->in[1]),
                          eq_shape_at(graph, node->out[0]), conv))
        return false;
    conv->turned = strcmp(node->op->name, "conv2d_grad_input") == 0;
    if (conv->turned) {
        conv->pad_top = 2 - conv->pad_top;
        conv->pad_left = 2 - conv->pad_left;
    } else {
        conv->activation = node->attr.activation;
    }
    return true;
}

static bool supports(const eq_graph *graph, const eq_node *node)
{
    eq_winograd conv;
    return plan(graph, node, &conv);
}

/* widened: [weight_count] room; to: [parameter_count] */
static void load_parameters(const eq_winograd *conv, const eq_graph *graph, const eq_node *node, const void *weight,
                            const void *bias, float *widened, float *to)
{
    const eq_value_info *info = eq_info(graph, node->in[1]);
    eq_tensor stored = {info->dtype, info->shape, (void *)weight};
    if (info->dtype != EQ_F32)
        eq_tensor_to_f32(&stored, widened);
    eq_winograd_transform_weights(conv, info->dtype == EQ_F32 ? weight : widened, to);
    if (!has_bias(node))
        return;
    info = eq_info(graph, node->in[2]);
    stored = (eq_tensor){info->dtype, info->shape, (void *)bias};
    eq_tensor_to_f32(&stored, to + eq_winograd_weight_count(conv));
}

static bool is_frozen(const eq_kernel_env *env, const eq_node *node)
{
    return env->frozen && eq_info(env->graph, node->in[1])->kind == EQ_VALUE_PARAM &&
           (!has_bias(node) || eq_info(env->graph, node->in[2])->kind == EQ_VALUE_PARAM);
}

static eq_status keep_parameters(const eq_kernel_env *env, const eq_node *node, conv_state *state)
{
    const void *bias = has_bias(node) ? eq_info(env->graph, node->in[2])->data : NULL;
    float *widened = eq_buffer_new((size_t)weight_count(env->graph, node) * sizeof *widened);
    state->kept = eq_buffer_new((size_t)parameter_count(&state->conv) * sizeof *state->kept);
    if (widened && state->kept)
        load_parameters(&state->conv, env->graph, node, eq_info(env->graph, node->in[1])->data, bias, widened,
                        state->kept);
    eq_status status = widened && state->kept ? EQ_OK : eq_fail_memory(env->ctx, "packed parameters");
    eq_buffer_free(widened);
    return status;
}

static void release(void *kept)
{
    conv_state *state = kept;
    eq_buffer_free(state->kept);
    free(state);
}

static size_t kept_bytes(const void *kept)
{
    const conv_state *state = kept;
    return state->kept ? (size_t)parameter_count(&state->conv) * sizeof *state->kept : 0;
}

/* Scratch: the blocks' room; where nothing is kept, the parameters and the room to widen them. */
static eq_status prepare(const eq_kernel_env *env, const eq_node *node, void **kept, size_t *scratch_bytes)
{
    conv_state *state = calloc(1, sizeof *state);
    if (!state)
        return eq_fail_memory(env->ctx, node->op->name);
    plan(env->graph, node, &state->conv);
    *scratch_bytes = eq_winograd_scratch_bytes(&state->conv);
    eq_status status = EQ_OK;
    if (is_frozen(env, node))
        status = keep_parameters(env, node, state);
    else
        *scratch_bytes += (size_t)(parameter_count(&state->conv) + weight_count(env->graph, node)) * sizeof(float);
    if (status != EQ_OK) {
        release(state);
        return status;
    }
    *kept = state;
    return EQ_OK;
}

/* in: x: [n, h, w, ci], weight: [co, ci, 3, 3], bias: [co], residual: [n, ho, wo, co]; out: y: [n, ho, wo, co]; or
 * dy, weight; dx */
static eq_status run(const eq_kernel_env *env, const eq_node *node, void *kept, void *const *in, void *const *out,
                     void *scratch)
{
    const conv_state *state = kept;
    const eq_winograd *conv = &state->conv;
    const float *parameters = state->kept;
    if (!parameters) {
        float *made = (float *)scratch + eq_winograd_scratch_bytes(conv) / sizeof(float);
        load_parameters(conv, env->graph, node, in[1], has_bias(node) ? in[2] : NULL, made + parameter_count(conv),
                        made);
        parameters = made;
    }
    eq_winograd_run(conv, in[0], parameters, has_bias(node) ? parameters + eq_winograd_weight_count(conv) : NULL,
                    node->inputs > 3 ? in[3] : NULL, out[0], scratch);
    return EQ_OK;
}

#define CONV_KERNEL(op_name)                                                                                           \
    {                                                                                                                  \
        .op = op_name, .backend = "cpu", .supports = supports, .prepare = prepare, .run = run, .release = release,     \
        .kept_bytes = kept_bytes, .any_dtype = true                                                                    \
    }

const eq_kernel eq_cpu_conv2d = CONV_KERNEL("conv2d");
const eq_kernel eq_cpu_conv2d_grad_input = CONV_KERNEL("conv2d_grad_input");
