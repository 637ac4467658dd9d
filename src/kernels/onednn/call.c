#include "base/memory.h"
#include "kernels/onednn/backend.h"

enum { ALIGNMENT = 64 };

size_t eq_scratch_take(size_t *scratch_bytes, size_t bytes)
{
    size_t at = *scratch_bytes;
    *scratch_bytes += (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return at;
}

void *eq_scratch_at(void *scratch, size_t offset)
{
    return (unsigned char *)scratch + offset;
}

dnnl_data_type_t eq_onednn_dtype(eq_dtype dtype)
{
    return dtype == EQ_F32 ? dnnl_f32 : dtype == EQ_BF16 ? dnnl_bf16 : dnnl_data_type_undef;
}

eq_status eq_onednn_fail(const eq_kernel_env *env, const eq_node *node, dnnl_status_t status)
{
    if (status == dnnl_out_of_memory)
        return eq_fail_memory(env->ctx, node->op->name);
    return eq_fail(env->ctx, EQ_FAILED, "oneDNN cannot compute %s here (its status %d)", node->op->name, (int)status);
}

bool eq_onednn_offers(eq_pd_maker *make, const eq_graph *graph, const eq_node *node)
{
    dnnl_engine_t engine;
    dnnl_primitive_desc_t pd;
    if (dnnl_engine_create(&engine, dnnl_cpu, 0) != dnnl_success)
        return false;
    bool offered = make(&pd, engine, graph, node) == dnnl_success;
    if (offered)
        dnnl_primitive_desc_destroy(pd);
    dnnl_engine_destroy(engine);
    return offered;
}

dnnl_status_t eq_scratch_attr(dnnl_primitive_attr_t *attr)
{
    dnnl_status_t status = dnnl_primitive_attr_create(attr);
    if (status)
        return status;
    status = dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user);
    if (status)
        dnnl_primitive_attr_destroy(*attr);
    return status;
}

static dnnl_status_t add_argument(eq_call *call, dnnl_engine_t engine, const_dnnl_primitive_desc_t pd, int argument)
{
    dnnl_exec_arg_t *arg = &call->args[call->count];
    arg->arg = argument;
    dnnl_status_t status = eq_memory_create(&arg->memory, eq_pd_argument(pd, argument), engine);
    if (!status)
        call->count++;
    return status;
}

eq_status eq_call_make(const eq_kernel_env *env, const eq_node *node, const_dnnl_primitive_desc_t pd, int count,
                       const int *arguments, size_t *scratch_bytes, eq_call *call)
{
    dnnl_engine_t engine = ((eq_onednn *)env->onednn)->engine;
    size_t scratchpad_bytes = eq_md_bytes(eq_pd_argument(pd, DNNL_ARG_SCRATCHPAD));
    memset(call, 0, sizeof *call);
    call->stream = ((eq_onednn *)env->onednn)->stream;
    dnnl_status_t status = dnnl_primitive_create(&call->primitive, pd);
    for (int i = 0; !status && i < count; i++)
        status = add_argument(call, engine, pd, arguments[i]);
    call->arguments = count;
    if (!status && scratchpad_bytes > 0) {
        call->scratchpad_at = eq_scratch_take(scratch_bytes, scratchpad_bytes);
        status = add_argument(call, engine, pd, DNNL_ARG_SCRATCHPAD);
    }
    if (status) {
        eq_call_free(call);
        return eq_onednn_fail(env, node, status);
    }
    return EQ_OK;
}

dnnl_status_t eq_call_execute(const eq_call *call, void *const *data, void *scratch)
{
    for (int i = 0; i < call->count; i++) {
        void *handle = i < call->arguments ? data[i] : eq_scratch_at(scratch, call->scratchpad_at);
        dnnl_status_t status = dnnl_memory_set_data_handle(call->args[i].memory, handle);
        if (status)
            return status;
    }
    dnnl_status_t status = dnnl_primitive_execute(call->primitive, call->stream, call->count, call->args);
    return status ? status : dnnl_stream_wait(call->stream);
}

eq_status eq_call_run(const eq_kernel_env *env, const eq_node *node, const eq_call *call, void *const *data,
                      void *scratch)
{
    dnnl_status_t status = eq_call_execute(call, data, scratch);
    return status ? eq_onednn_fail(env, node, status) : EQ_OK;
}

void eq_call_free(eq_call *call)
{
    for (int i = 0; i < call->count; i++)
        dnnl_memory_destroy(call->args[i].memory);
    if (call->primitive)
        dnnl_primitive_destroy(call->primitive);
    memset(call, 0, sizeof *call);
}

eq_status eq_reorder_make(const eq_kernel_env *env, const eq_node *node, eq_md_ref from, eq_md_ref to,
                          size_t *scratch_bytes, eq_call *call)
{
    dnnl_primitive_attr_t attr;
    dnnl_primitive_desc_t pd;
    dnnl_status_t status = eq_scratch_attr(&attr);
    if (status)
        return eq_onednn_fail(env, node, status);
    status = eq_reorder_pd(&pd, ((eq_onednn *)env->onednn)->engine, from, to, attr);
    dnnl_primitive_attr_destroy(attr);
    if (status)
        return eq_onednn_fail(env, node, status);
    eq_status made = eq_call_make(env, node, pd, 2, (int[]){DNNL_ARG_FROM, DNNL_ARG_TO}, scratch_bytes, call);
    dnnl_primitive_desc_destroy(pd);
    return made;
}

static eq_status convert(const eq_kernel_env *env, const eq_node *node, const eq_packed *packed, void *stored,
                         void *scratch, void *to)
{
    void *from = stored;
    if (packed->widened.shape.rank > 0) {
        eq_tensor tensor = packed->widened;
        tensor.data = stored;
        from = eq_scratch_at(scratch, packed->widened_at);
        eq_tensor_to_f32(&tensor, from);
    }
    return eq_call_run(env, node, &packed->reorder, (void *[]){from, to}, scratch);
}

/* Converts the stored parameter for good. scratch_bytes: what that takes. */
static eq_status keep(const eq_kernel_env *env, const eq_node *node, const eq_value_info *info, size_t scratch_bytes,
                      eq_packed *packed)
{
    void *scratch = eq_buffer_new(scratch_bytes);
    packed->kept = eq_buffer_new(packed->bytes);
    eq_status status = scratch && packed->kept ? convert(env, node, packed, info->data, scratch, packed->kept)
                                               : eq_fail_memory(env->ctx, "packed parameters");
    eq_buffer_free(scratch);
    eq_call_free(&packed->reorder);
    return status;
}

eq_status eq_packed_make(const eq_kernel_env *env, const eq_node *node, eq_value value, int rank,
                         const dnnl_dims_t dims, eq_md_ref wanted, size_t *scratch_bytes, eq_packed *packed)
{
    const eq_value_info *info = eq_info(env->graph, value);
    bool frozen = env->frozen && info->kind == EQ_VALUE_PARAM, widen = info->dtype == EQ_F16;
    size_t once = 0, *taken = frozen ? &once : scratch_bytes;
    memset(packed, 0, sizeof *packed);

    eq_md stored;
    dnnl_status_t made = eq_md_plain(&stored, rank, dims, widen ? dnnl_f32 : eq_onednn_dtype(info->dtype));
    if (made)
        return eq_onednn_fail(env, node, made);
    eq_status status = EQ_OK;
    if (widen || !eq_md_equal(eq_md_borrow(&stored), wanted))
        status = eq_reorder_make(env, node, eq_md_borrow(&stored), wanted, taken, &packed->reorder);
    eq_md_free(&stored);
    if (status != EQ_OK || !packed->reorder.primitive)
        return status;

    packed->bytes = eq_md_bytes(wanted);
    if (widen) {
        packed->widened = (eq_tensor){.dtype = info->dtype, .shape = info->shape};
        packed->widened_at = eq_scratch_take(taken, (size_t)eq_shape_count(&info->shape) * sizeof(float));
    }
    if (frozen)
        status = keep(env, node, info, once, packed);
    else
        packed->at = eq_scratch_take(scratch_bytes, packed->bytes);
    if (status != EQ_OK)
        eq_packed_free(packed);
    return status;
}

eq_status eq_packed_get(const eq_kernel_env *env, const eq_node *node, const eq_packed *packed, void *stored,
                        void *scratch, void **data)
{
    *data = packed->kept ? packed->kept : stored;
    if (!packed->reorder.primitive)
        return EQ_OK;
    *data = eq_scratch_at(scratch, packed->at);
    return convert(env, node, packed, stored, scratch, *data);
}

void eq_packed_free(eq_packed *packed)
{
    eq_call_free(&packed->reorder);
    eq_buffer_free(packed->kept);
    memset(packed, 0, sizeof *packed);
}
