#include <omp.h>
#include <stdlib.h>

#include "kernels/onednn/attention.h"
#include "kernels/onednn/onednn.h"
#include "kernels/onednn/product.h"

/* A thread's primitives and its part of the scratch. A thread takes whole heads: dk and dv are sums over the tiles. */
typedef struct worker {
    dnnl_stream_t stream;
    eq_product scores; /* q k^T */
    eq_product dp;     /* dy v^T */
    eq_product dq;     /* ds k */
    eq_product dk, dv; /* ds^T q, p^T dy */
    size_t q_at, dy_at, p_at, dp_at, low_at, dq_at, dk_at, dv_at, factor_at;
} worker;

typedef struct attention_grad_state {
    eq_attention shape;
    size_t worker_bytes; /* of scratch, each */
    int workers;
    worker *worker; /* [workers] */
} attention_grad_state;

/* Pointers into a thread's scratch. */
typedef struct buffers {
    void *q, *dy;   /* [tile, size] */
    float *p, *dp;  /* [tile, lk] */
    void *low;      /* [tile, lk]: p, then ds, in bfloat16; NULL for float32 */
    float *dq;      /* [tile, size] */
    float *dk, *dv; /* [lk, size] */
    float *factor;  /* [tile] */
} buffers;

static void release(void *kept)
{
    attention_grad_state *state = kept;
    for (int i = 0; state->worker && i < state->workers; i++) {
        worker *w = &state->worker[i];
        eq_product *products[] = {&w->scores, &w->dp, &w->dq, &w->dk, &w->dv};
        for (size_t p = 0; p < sizeof products / sizeof products[0]; p++)
            eq_product_free(products[p]);
        if (w->stream)
            dnnl_stream_destroy(w->stream);
    }
    free(state->worker);
    free(state);
}

static eq_status make_products(const eq_kernel_env *env, const eq_node *node, const eq_attention *a, worker *w,
                               size_t *bytes)
{
    dnnl_data_type_t dtype = eq_onednn_dtype(a->dtype);
    eq_product_shape across = {.m = a->tile, .k = a->size, .n = a->lk, .dtype = dtype, .b_row = 1, .b_column = a->c};
    eq_product_shape back = {.m = a->tile, .k = a->lk, .n = a->size, .dtype = dtype, .b_row = a->c, .b_column = 1};
    eq_product_shape down = {
        .m = a->lk, .k = a->tile, .n = a->size, .dtype = dtype, .transpose_a = true, .accumulate = true};
    EQ_TRY(eq_product_make(env, node, &across, w->stream, bytes, &w->scores));
    EQ_TRY(eq_product_make(env, node, &across, w->stream, bytes, &w->dp));
    EQ_TRY(eq_product_make(env, node, &back, w->stream, bytes, &w->dq));
    EQ_TRY(eq_product_make(env, node, &down, w->stream, bytes, &w->dk));
    return eq_product_make(env, node, &down, w->stream, bytes, &w->dv);
}

static eq_status prepare_worker(const eq_kernel_env *env, const eq_node *node, const eq_attention *a, worker *w,
                                size_t *bytes)
{
    dnnl_status_t made = dnnl_stream_create(&w->stream, ((eq_onednn *)env->onednn)->engine, dnnl_stream_default_flags);
    if (made)
        return eq_onednn_fail(env, node, made);
    EQ_TRY(make_products(env, node, a, w, bytes));
    size_t element = eq_dtype_size(a->dtype), tile = (size_t)(a->tile * a->size);
    size_t scores = (size_t)(a->tile * a->lk), head = (size_t)(a->lk * a->size);
    w->q_at = eq_scratch_take(bytes, tile * element);
    w->dy_at = eq_scratch_take(bytes, tile * element);
    w->p_at = eq_scratch_take(bytes, scores * sizeof(float));
    w->dp_at = eq_scratch_take(bytes, scores * sizeof(float));
    w->low_at = a->dtype == EQ_F32 ? 0 : eq_scratch_take(bytes, scores * element);
    w->dq_at = eq_scratch_take(bytes, tile * sizeof(float));
    w->dk_at = eq_scratch_take(bytes, head * sizeof(float));
    w->dv_at = eq_scratch_take(bytes, head * sizeof(float));
    w->factor_at = eq_scratch_take(bytes, (size_t)a->tile * sizeof(float));
    return EQ_OK;
}

static eq_status prepare(const eq_kernel_env *env, const eq_node *node, void **kept, size_t *scratch_bytes)
{
    attention_grad_state *state = calloc(1, sizeof *state);
    if (!state)
        return eq_fail_memory(env->ctx, node->op->name);
    state->shape = eq_attention_of(env->graph, node);
    state->workers = omp_get_max_threads();
    state->worker = calloc((size_t)state->workers, sizeof *state->worker);
    eq_status status = state->worker ? EQ_OK : eq_fail_memory(env->ctx, node->op->name);
    int threads = eq_product_one_thread();
    for (int i = 0; status == EQ_OK && i < state->workers; i++) {
        state->worker_bytes = 0;
        status = prepare_worker(env, node, &state->shape, &state->worker[i], &state->worker_bytes);
    }
    eq_product_all_threads(threads);
    if (status != EQ_OK) {
        release(state);
        return status;
    }
    *scratch_bytes = state->worker_bytes * (size_t)state->workers;
    *kept = state;
    return EQ_OK;
}

static buffers buffers_of(const eq_attention *a, const worker *w, void *scratch)
{
    return (buffers){.q = eq_scratch_at(scratch, w->q_at),
                     .dy = eq_scratch_at(scratch, w->dy_at),
                     .p = eq_scratch_at(scratch, w->p_at),
                     .dp = eq_scratch_at(scratch, w->dp_at),
                     .low = a->dtype == EQ_F32 ? NULL : eq_scratch_at(scratch, w->low_at),
                     .dq = eq_scratch_at(scratch, w->dq_at),
                     .dk = eq_scratch_at(scratch, w->dk_at),
                     .dv = eq_scratch_at(scratch, w->dv_at),
                     .factor = eq_scratch_at(scratch, w->factor_at)};
}

/* b->q, b->dy -> b->dq, and adds to b->dk, b->dv. Rows that only fill the tile up have dy = 0, so ds = 0. */
static dnnl_status_t run_tile(const eq_attention *a, const worker *w, int64_t tile, const buffers *b, void *scratch)
{
    dnnl_status_t status = eq_product_run(&w->scores, b->q, NULL, b->p, scratch);
    if (!status)
        status = eq_product_run(&w->dp, b->dy, NULL, b->dp, scratch);
    if (status)
        return status;
    eq_attention in_f32 = *a;
    in_f32.dtype = EQ_F32;
    eq_attention_weights(&in_f32, b->p, tile * a->tile, b->p, b->factor);
    eq_attention_normalise(a, b->p, b->factor, b->low);
    status = eq_product_run(&w->dv, b->low ? b->low : b->p, b->dy, b->dv, scratch);
    if (status)
        return status;
    void *ds = b->low ? b->low : b->dp;
    eq_attention_score_gradient(a, b->p, b->dp, ds);
    status = eq_product_run(&w->dk, ds, b->q, b->dk, scratch);
    return status ? status : eq_product_run(&w->dq, ds, NULL, b->dq, scratch);
}

/* in, out: as run has them */
static dnnl_status_t run_head(const eq_attention *a, const worker *w, int64_t head, void *const *in, void *const *out,
                              void *scratch)
{
    size_t element = eq_dtype_size(a->dtype), at_k = (size_t)eq_attention_start(a, head, a->lk) * element;
    buffers b = buffers_of(a, w, scratch);
    dnnl_status_t status = eq_product_pack(&w->scores, (char *)in[1] + at_k, scratch);
    if (!status)
        status = eq_product_pack(&w->dq, (char *)in[1] + at_k, scratch);
    if (!status)
        status = eq_product_pack(&w->dp, (char *)in[2] + at_k, scratch);
    memset(b.dk, 0, (size_t)(a->lk * a->size) * sizeof *b.dk);
    memset(b.dv, 0, (size_t)(a->lk * a->size) * sizeof *b.dv);
    for (int64_t tile = 0; !status && tile < a->tiles; tile++) {
        size_t at_q = (size_t)(eq_attention_start(a, head, a->lq) + tile * a->tile * a->c) * element;
        int64_t rows = eq_attention_rows(a, tile);
        eq_attention_gather(a, (char *)in[0] + at_q, rows, b.q);
        eq_attention_gather(a, (char *)in[3] + at_q, rows, b.dy);
        status = run_tile(a, w, tile, &b, scratch);
        if (!status)
            eq_attention_scatter(a, b.dq, NULL, rows, (char *)out[0] + at_q);
    }
    eq_attention_scatter(a, b.dk, NULL, a->lk, (char *)out[1] + at_k);
    eq_attention_scatter(a, b.dv, NULL, a->lk, (char *)out[2] + at_k);
    return status;
}

/* in: q: [n, lq, c], k, v: [n, lk, c], dy: [n, lq, c]; out: dq, dk, dv, like q, k, v */
static eq_status run(const eq_kernel_env *env, const eq_node *node, void *kept, void *const *in, void *const *out,
                     void *scratch)
{
    const attention_grad_state *state = kept;
    int64_t heads = state->shape.n * state->shape.heads;
    int failure = dnnl_success;
#pragma omp parallel for schedule(static) num_threads(state->workers) reduction(max : failure)
    for (int64_t head = 0; head < heads; head++) {
        int thread = omp_get_thread_num();
        unsigned char *own = (unsigned char *)scratch + state->worker_bytes * (size_t)thread;
        dnnl_status_t status = run_head(&state->shape, &state->worker[thread], head, in, out, own);
        failure = (int)status > failure ? (int)status : failure;
    }
    return failure ? eq_onednn_fail(env, node, (dnnl_status_t)failure) : EQ_OK;
}

static bool supports(const eq_graph *graph, const eq_node *node)
{
    return eq_product_offered(eq_onednn_dtype(eq_info(graph, node->in[0])->dtype));
}

const eq_kernel eq_onednn_attention_grad = {.op = "attention_grad",
                                            .backend = "onednn",
                                            .supports = supports,
                                            .prepare = prepare,
                                            .run = run,
                                            .release = release,
                                            .any_dtype = true};
