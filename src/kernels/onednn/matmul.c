#include <stdlib.h>

#include "kernels/onednn/backend.h"
#include "kernels/onednn/onednn.h"

/* A batch of matrices; when `transpose`, seen with its last two dimensions exchanged. */
static dnnl_status_t describe(eq_md *md, const eq_value_info *info, bool transpose)
{
    int64_t batch = info->shape.dim[0], rows = info->shape.dim[1], columns = info->shape.dim[2];
    dnnl_data_type_t dtype = eq_onednn_dtype(info->dtype);
    if (transpose)
        return eq_md_strided(md, 3, (dnnl_dims_t){batch, columns, rows}, dtype,
                             (dnnl_dims_t){rows * columns, 1, columns});
    return eq_md_plain(md, 3, (dnnl_dims_t){batch, rows, columns}, dtype);
}

static dnnl_status_t make_pd(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, const eq_graph *graph,
                             const eq_node *node)
{
    eq_md a, b, y;
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    memset(&y, 0, sizeof y);
    dnnl_primitive_attr_t attr;
    dnnl_status_t status = eq_scratch_attr(&attr);
    if (status)
        return status;
    status = describe(&a, eq_info(graph, node->in[0]), node->attr.transpose_a);
    if (!status)
        status = describe(&b, eq_info(graph, node->in[1]), node->attr.transpose_b);
    if (!status)
        status = describe(&y, eq_info(graph, node->out[0]), false);
    if (!status)
        status = eq_matmul_pd(pd, engine, eq_md_borrow(&a), eq_md_borrow(&b), eq_md_borrow(&y), attr);
    eq_md_free(&a);
    eq_md_free(&b);
    eq_md_free(&y);
    dnnl_primitive_attr_destroy(attr);
    return status;
}

static bool supports(const eq_graph *graph, const eq_node *node)
{
    return eq_onednn_offers(make_pd, graph, node);
}

static void release(void *kept)
{
    eq_call_free(kept);
    free(kept);
}

static eq_status prepare(const eq_kernel_env *env, const eq_node *node, void **kept, size_t *scratch_bytes)
{
    eq_call *call = calloc(1, sizeof *call);
    if (!call)
        return eq_fail_memory(env->ctx, node->op->name);
    dnnl_primitive_desc_t pd;
    dnnl_status_t made = make_pd(&pd, ((eq_onednn *)env->onednn)->engine, env->graph, node);
    eq_status status = made ? eq_onednn_fail(env, node, made) : EQ_OK;
    if (!made) {
        int arguments[] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST};
        status = eq_call_make(env, node, pd, 3, arguments, scratch_bytes, call);
        dnnl_primitive_desc_destroy(pd);
    }
    if (status != EQ_OK) {
        release(call);
        return status;
    }
    *kept = call;
    return EQ_OK;
}

/* in: a, b; out: y */
static eq_status run(const eq_kernel_env *env, const eq_node *node, void *kept, void *const *in, void *const *out,
                     void *scratch)
{
    return eq_call_run(env, node, kept, (void *[]){in[0], in[1], out[0]}, scratch);
}

const eq_kernel eq_onednn_matmul = {.op = "matmul",
                                    .backend = "onednn",
                                    .supports = supports,
                                    .prepare = prepare,
                                    .run = run,
                                    .release = release,
                                    .any_dtype = true};
