/* conv2d and linear with their gradients: one description (eq_layer), three primitives. */
#include <stdlib.h>

#include "kernels/onednn/backend.h"
#include "kernels/onednn/onednn.h"

typedef struct layer_state {
    eq_call call;
    eq_packed weight, bias;
    eq_call unpack; /* grad_weight: the gradient from the primitive's layout into the plain one */
    size_t packed_at;
} layer_state;

/* x, y: [n, h, w, c] or [..., c] */
static eq_layer describe(const eq_attr *attr, const eq_shape *x, const eq_shape *weight, const eq_shape *y,
                         eq_dtype dtype, bool bias)
{
    eq_layer layer = {.rank = weight->rank, .dtype = eq_onednn_dtype(dtype), .bias = bias};
    for (int d = 0; d < weight->rank; d++)
        layer.weight[d] = weight->dim[d];
    if (layer.rank == 2) {
        int64_t rows = 1;
        for (int d = 0; d + 1 < x->rank; d++)
            rows *= x->dim[d];
        layer.x[0] = layer.y[0] = rows;
        layer.x[1] = weight->dim[1];
        layer.y[1] = weight->dim[0];
        return layer;
    }
    static const int to_nchw[4] = {0, 3, 1, 2};
    for (int d = 0; d < 4; d++) {
        layer.x[d] = x->dim[to_nchw[d]];
        layer.y[d] = y->dim[to_nchw[d]];
    }
    layer.stride[0] = layer.stride[1] = attr->stride;
    layer.pad_before[0] = attr->pad_top;
    layer.pad_before[1] = attr->pad_left;
    layer.pad_after[0] = attr->pad_bottom;
    layer.pad_after[1] = attr->pad_right;
    return layer;
}

static bool has_input(const eq_node *node, int index)
{
    return index < node->inputs && node->in[index] != EQ_NONE;
}

/* inputs: x, weight, bias, residual */
static eq_layer describe_forward(const eq_graph *graph, const eq_node *node)
{
    const eq_value_info *x = eq_info(graph, node->in[0]);
    return describe(&node->attr, &x->shape, eq_shape_at(graph, node->in[1]), eq_shape_at(graph, node->out[0]), x->dtype,
                    has_input(node, 2));
}

/* inputs: dy, weight; output: dx */
static eq_layer describe_grad_input(const eq_graph *graph, const eq_node *node)
{
    const eq_value_info *dy = eq_info(graph, node->in[0]);
    return describe(&node->attr, eq_shape_at(graph, node->out[0]), eq_shape_at(graph, node->in[1]), &dy->shape,
                    dy->dtype, false);
}

/* inputs: x, dy; outputs: dw, db */
static eq_layer describe_grad_weight(const eq_graph *graph, const eq_node *node)
{
    const eq_value_info *x = eq_info(graph, node->in[0]);
    return describe(&node->attr, &x->shape, eq_shape_at(graph, node->out[0]), eq_shape_at(graph, node->in[1]), x->dtype,
                    node->outputs > 1);
}

static dnnl_status_t append_activation(dnnl_post_ops_t ops, eq_activation activation)
{
    switch (activation) {
    case EQ_ACT_SILU: return eq_post_eltwise(ops, dnnl_eltwise_swish, 1);
    case EQ_ACT_GELU: return eq_post_eltwise(ops, dnnl_eltwise_gelu_erf, 0);
    case EQ_ACT_QUICK_GELU: return eq_post_eltwise(ops, dnnl_eltwise_swish, 1.702f);
    case EQ_ACT_RELU: return eq_post_eltwise(ops, dnnl_eltwise_relu, 0);
    case EQ_ACT_NONE: break;
    }
    return dnnl_success;
}

/* The residual is added as what y held before: a binary post-op, which would spare the copy, drives oneDNN 2.6 to
 * slower implementations, one of which is wrong (gemm convolution in float32). */
static dnnl_status_t forward_pd(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, const eq_node *node,
                                const eq_layer *layer)
{
    dnnl_primitive_attr_t attr;
    dnnl_post_ops_t ops;
    dnnl_status_t status = eq_scratch_attr(&attr);
    if (status)
        return status;
    status = dnnl_post_ops_create(&ops);
    if (!status) {
        status = append_activation(ops, node->attr.activation);
        if (!status && has_input(node, 3))
            status = eq_post_sum(ops);
        if (!status)
            status = dnnl_primitive_attr_set_post_ops(attr, ops);
        if (!status)
            status = eq_layer_forward_pd(pd, engine, layer, attr);
        dnnl_post_ops_destroy(ops);
    }
    dnnl_primitive_attr_destroy(attr);
    return status;
}

typedef dnnl_status_t gradient_pd(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, const eq_layer *layer,
                                  const_dnnl_primitive_attr_t attr);

static dnnl_status_t with_scratch(gradient_pd *make, dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
                                  const eq_layer *layer)
{
    dnnl_primitive_attr_t attr;
    dnnl_status_t status = eq_scratch_attr(&attr);
    if (status)
        return status;
    status = make(pd, engine, layer, attr);
    dnnl_primitive_attr_destroy(attr);
    return status;
}

static dnnl_status_t make_pd(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, const eq_graph *graph,
                             const eq_node *node)
{
    eq_layer layer;
    if (strstr(node->op->name, "grad_input")) {
        layer = describe_grad_input(graph, node);
        return with_scratch(eq_layer_grad_input_pd, pd, engine, &layer);
    }
    if (strstr(node->op->name, "grad_weight")) {
        layer = describe_grad_weight(graph, node);
        return with_scratch(eq_layer_grad_weight_pd, pd, engine, &layer);
    }
    layer = describe_forward(graph, node);
    return forward_pd(pd, engine, node, &layer);
}

static bool supports(const eq_graph *graph, const eq_node *node)
{
    return eq_onednn_offers(make_pd, graph, node);
}

static void release(void *kept)
{
    layer_state *state = kept;
    eq_call_free(&state->call);
    eq_call_free(&state->unpack);
    eq_packed_free(&state->weight);
    eq_packed_free(&state->bias);
    free(state);
}

static size_t kept_bytes(const void *kept)
{
    const layer_state *state = kept;
    return (state->weight.kept ? state->weight.bytes : 0) + (state->bias.kept ? state->bias.bytes : 0);
}

static eq_status pack_weight(const eq_kernel_env *env, const eq_node *node, const_dnnl_primitive_desc_t pd,
                             size_t *scratch_bytes, eq_packed *packed)
{
    const eq_shape *shape = eq_shape_at(env->graph, node->in[1]);
    dnnl_dims_t dims;
    for (int d = 0; d < shape->rank; d++)
        dims[d] = shape->dim[d];
    return eq_packed_make(env, node, node->in[1], shape->rank, dims, eq_pd_argument(pd, DNNL_ARG_WEIGHTS),
                          scratch_bytes, packed);
}

static eq_status prepare_forward(const eq_kernel_env *env, const eq_node *node, const_dnnl_primitive_desc_t pd,
                                 layer_state *state, size_t *scratch_bytes)
{
    int arguments[EQ_CALL_ARGUMENTS] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST}, count = 3;
    if (has_input(node, 2)) {
        arguments[count++] = DNNL_ARG_BIAS;
        EQ_TRY(eq_packed_make(env, node, node->in[2], 1, (dnnl_dims_t){eq_shape_at(env->graph, node->in[2])->dim[0]},
                              eq_pd_argument(pd, DNNL_ARG_BIAS), scratch_bytes, &state->bias));
    }
    EQ_TRY(pack_weight(env, node, pd, scratch_bytes, &state->weight));
    return eq_call_make(env, node, pd, count, arguments, scratch_bytes, &state->call);
}

static void copy(void *to, const void *from, size_t bytes)
{
    enum { CHUNK = 1 << 18 };
    int64_t chunks = (int64_t)((bytes + CHUNK - 1) / CHUNK);
#pragma omp parallel for if (chunks > 1)
    for (int64_t i = 0; i < chunks; i++) {
        size_t at = (size_t)i * CHUNK;
        memcpy((char *)to + at, (const char *)from + at, bytes - at < CHUNK ? bytes - at : CHUNK);
    }
}

static size_t value_bytes(const eq_graph *graph, eq_value value)
{
    const eq_value_info *info = eq_info(graph, value);
    return (size_t)eq_shape_count(&info->shape) * eq_dtype_size(info->dtype);
}

static eq_status run_forward(const eq_kernel_env *env, const eq_node *node, void *kept, void *const *in,
                             void *const *out, void *scratch)
{
    const layer_state *state = kept;
    void *data[EQ_CALL_ARGUMENTS] = {in[0], NULL, out[0]};
    int count = 3;
    EQ_TRY(eq_packed_get(env, node, &state->weight, in[1], scratch, &data[1]));
    if (has_input(node, 2))
        EQ_TRY(eq_packed_get(env, node, &state->bias, in[2], scratch, &data[count++]));
    if (has_input(node, 3) && in[3] != out[0])
        copy(out[0], in[3], value_bytes(env->graph, node->out[0]));
    return eq_call_run(env, node, &state->call, data, scratch);
}

static eq_status prepare_grad_input(const eq_kernel_env *env, const eq_node *node, const_dnnl_primitive_desc_t pd,
                                    layer_state *state, size_t *scratch_bytes)
{
    EQ_TRY(pack_weight(env, node, pd, scratch_bytes, &state->weight));
    return eq_call_make(env, node, pd, 3, (int[]){DNNL_ARG_DIFF_DST, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_SRC},
                        scratch_bytes, &state->call);
}

static eq_status run_grad_input(const eq_kernel_env *env, const eq_node *node, void *kept, void *const *in,
                                void *const *out, void *scratch)
{
    const layer_state *state = kept;
    void *data[] = {in[0], NULL, out[0]};
    EQ_TRY(eq_packed_get(env, node, &state->weight, in[1], scratch, &data[1]));
    return eq_call_run(env, node, &state->call, data, scratch);
}

static eq_status prepare_grad_weight(const eq_kernel_env *env, const eq_node *node, const_dnnl_primitive_desc_t pd,
                                     layer_state *state, size_t *scratch_bytes)
{
    const eq_shape *shape = eq_shape_at(env->graph, node->out[0]);
    dnnl_dims_t dims;
    for (int d = 0; d < shape->rank; d++)
        dims[d] = shape->dim[d];
    eq_md plain;
    dnnl_status_t made = eq_md_plain(&plain, shape->rank, dims, dnnl_f32);
    if (made)
        return eq_onednn_fail(env, node, made);
    eq_md_ref packed = eq_pd_argument(pd, DNNL_ARG_DIFF_WEIGHTS);
    eq_status status = EQ_OK;
    if (!eq_md_equal(packed, eq_md_borrow(&plain))) {
        state->packed_at = eq_scratch_take(scratch_bytes, eq_md_bytes(packed));
        status = eq_reorder_make(env, node, packed, eq_md_borrow(&plain), scratch_bytes, &state->unpack);
    }
    eq_md_free(&plain);
    EQ_TRY(status);
    int arguments[] = {DNNL_ARG_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_BIAS};
    return eq_call_make(env, node, pd, node->outputs > 1 ? 4 : 3, arguments, scratch_bytes, &state->call);
}

static eq_status run_grad_weight(const eq_kernel_env *env, const eq_node *node, void *kept, void *const *in,
                                 void *const *out, void *scratch)
{
    const layer_state *state = kept;
    void *packed = state->unpack.primitive ? eq_scratch_at(scratch, state->packed_at) : out[0];
    EQ_TRY(eq_call_run(env, node, &state->call, (void *[]){in[0], in[1], packed, out[1]}, scratch));
    if (state->unpack.primitive)
        EQ_TRY(eq_call_run(env, node, &state->unpack, (void *[]){packed, out[0]}, scratch));
    return EQ_OK;
}

typedef eq_status prepare_calls(const eq_kernel_env *env, const eq_node *node, const_dnnl_primitive_desc_t pd,
                                layer_state *state, size_t *scratch_bytes);

static eq_status prepare_with(prepare_calls *calls, const eq_kernel_env *env, const eq_node *node, void **kept,
                              size_t *scratch_bytes)
{
    layer_state *state = calloc(1, sizeof *state);
    if (!state)
        return eq_fail_memory(env->ctx, node->op->name);
    dnnl_primitive_desc_t pd;
    dnnl_status_t made = make_pd(&pd, ((eq_onednn *)env->onednn)->engine, env->graph, node);
    eq_status status = made ? eq_onednn_fail(env, node, made) : EQ_OK;
    if (!made) {
        status = calls(env, node, pd, state, scratch_bytes);
        dnnl_primitive_desc_destroy(pd);
    }
    if (status != EQ_OK) {
        release(state);
        return status;
    }
    *kept = state;
    return EQ_OK;
}

static eq_status prepare_y(const eq_kernel_env *env, const eq_node *node, void **kept, size_t *scratch_bytes)
{
    return prepare_with(prepare_forward, env, node, kept, scratch_bytes);
}

static eq_status prepare_dx(const eq_kernel_env *env, const eq_node *node, void **kept, size_t *scratch_bytes)
{
    return prepare_with(prepare_grad_input, env, node, kept, scratch_bytes);
}

static eq_status prepare_dw(const eq_kernel_env *env, const eq_node *node, void **kept, size_t *scratch_bytes)
{
    return prepare_with(prepare_grad_weight, env, node, kept, scratch_bytes);
}

#define LAYER_KERNEL(op_name, prepare_function, run_function)                                                          \
    {                                                                                                                  \
        .op = op_name, .backend = "onednn", .supports = supports, .prepare = prepare_function, .run = run_function,    \
        .release = release, .kept_bytes = kept_bytes, .any_dtype = true                                                \
    }

const eq_kernel eq_onednn_conv2d = LAYER_KERNEL("conv2d", prepare_y, run_forward);
const eq_kernel eq_onednn_conv2d_grad_input = LAYER_KERNEL("conv2d_grad_input", prepare_dx, run_grad_input);
const eq_kernel eq_onednn_conv2d_grad_weight = LAYER_KERNEL("conv2d_grad_weight", prepare_dw, run_grad_weight);
const eq_kernel eq_onednn_linear = LAYER_KERNEL("linear", prepare_y, run_forward);
const eq_kernel eq_onednn_linear_grad_input = LAYER_KERNEL("linear_grad_input", prepare_dx, run_grad_input);
const eq_kernel eq_onednn_linear_grad_weight = LAYER_KERNEL("linear_grad_weight", prepare_dw, run_grad_weight);
