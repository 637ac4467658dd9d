#include "kernels/onednn/attention_workers.h"

#include <omp.h>
#include <stdlib.h>

static void *worker_at(const eq_attention_workers *w, int i)
{
    return (char *)w->workers + (size_t)i * w->size;
}

void eq_attention_workers_release(void *kept)
{
    eq_attention_workers *w = kept;
    for (int i = 0; w->workers && i < w->count; i++) {
        eq_attention_worker *worker = worker_at(w, i);
        w->release(worker);
        if (worker->stream)
            dnnl_stream_destroy(worker->stream);
    }
    free(w->workers);
    free(w);
}

static eq_status prepare_worker(const eq_kernel_env *env, const eq_node *node, const eq_attention_worker_kind *kind,
                                const eq_attention *shape, eq_attention_worker *worker, size_t *bytes)
{
    dnnl_status_t made =
        dnnl_stream_create(&worker->stream, ((eq_onednn *)env->onednn)->engine, dnnl_stream_default_flags);
    return made ? eq_onednn_fail(env, node, made) : kind->prepare(env, node, shape, worker, bytes);
}

eq_status eq_attention_workers_prepare(const eq_kernel_env *env, const eq_node *node,
                                       const eq_attention_worker_kind *kind, void **kept, size_t *scratch_bytes)
{
    eq_attention_workers *w = calloc(1, sizeof *w);
    if (!w)
        return eq_fail_memory(env->ctx, node->op->name);
    *w = (eq_attention_workers){.shape = eq_attention_of(env->graph, node),
                                .count = omp_get_max_threads(),
                                .size = kind->size,
                                .release = kind->release};
    w->workers = calloc((size_t)w->count, w->size);
    eq_status status = w->workers ? EQ_OK : eq_fail_memory(env->ctx, node->op->name);
    int threads = eq_product_one_thread();
    for (int i = 0; status == EQ_OK && i < w->count; i++) {
        w->scratch_bytes = 0;
        status = prepare_worker(env, node, kind, &w->shape, worker_at(w, i), &w->scratch_bytes);
    }
    eq_product_all_threads(threads);
    if (status != EQ_OK) {
        eq_attention_workers_release(w);
        return status;
    }
    *scratch_bytes = w->scratch_bytes * (size_t)w->count;
    *kept = w;
    return EQ_OK;
}

const void *eq_attention_worker_own(const eq_attention_workers *workers)
{
    return worker_at(workers, omp_get_thread_num());
}

void *eq_attention_scratch_own(const eq_attention_workers *workers, void *scratch)
{
    return (unsigned char *)scratch + workers->scratch_bytes * (size_t)omp_get_thread_num();
}

bool eq_attention_supports(const eq_graph *graph, const eq_node *node)
{
    return eq_product_offered(eq_onednn_dtype(eq_info(graph, node->in[0])->dtype));
}
