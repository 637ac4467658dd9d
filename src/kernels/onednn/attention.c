#include <omp.h>
#include <stdlib.h>

#include "kernels/onednn/attention_direct.h"
#include "kernels/onednn/attention_workers.h"

/* A thread's primitives and its part of the scratch. The weights of a row (p) are divided by their sum only after
 * their product with v. */
typedef struct worker {
    eq_attention_worker base;
    eq_product scores, values; /* q k^T, p v */
    size_t q_at, scores_at, p_at, y_at, factor_at;
} worker;

static void release(void *prepared)
{
    worker *w = prepared;
    eq_product_free(&w->scores);
    eq_product_free(&w->values);
}

static eq_status prepare_worker(const eq_kernel_env *env, const eq_node *node, const eq_attention *a, void *unprepared,
                                size_t *bytes)
{
    worker *w = unprepared;
    dnnl_data_type_t dtype = eq_onednn_dtype(a->dtype);
    size_t element = eq_dtype_size(a->dtype), scores = (size_t)(a->tile * a->lk);
    eq_product_shape qk = {.m = a->tile, .k = a->size, .n = a->lk, .dtype = dtype, .b_row = 1, .b_column = a->c};
    eq_product_shape pv = {.m = a->tile, .k = a->lk, .n = a->size, .dtype = dtype, .b_row = a->c, .b_column = 1};
    EQ_TRY(eq_product_make(env, node, &qk, w->base.stream, bytes, &w->scores));
    EQ_TRY(eq_product_make(env, node, &pv, w->base.stream, bytes, &w->values));
    w->q_at = eq_scratch_take(bytes, (size_t)(a->tile * a->size) * element);
    w->scores_at = eq_scratch_take(bytes, scores * sizeof(float));
    w->p_at = a->dtype == EQ_F32 ? w->scores_at : eq_scratch_take(bytes, scores * element);
    w->y_at = eq_scratch_take(bytes, (size_t)(a->tile * a->size) * sizeof(float));
    w->factor_at = eq_scratch_take(bytes, (size_t)a->tile * sizeof(float));
    return EQ_OK;
}

/* One way or the other. */
typedef struct attention {
    eq_attention shape;
    int threads;                   /* of the direct way; 0: it is not taken */
    eq_attention_workers *workers; /* of the other */
} attention;

static void release_attention(void *kept)
{
    attention *state = kept;
    if (state->workers)
        eq_attention_workers_release(state->workers);
    free(state);
}

static eq_status prepare(const eq_kernel_env *env, const eq_node *node, void **kept, size_t *scratch_bytes)
{
    static const eq_attention_worker_kind kind = {sizeof(worker), prepare_worker, release};
    attention *state = calloc(1, sizeof *state);
    if (!state)
        return eq_fail_memory(env->ctx, node->op->name);
    state->shape = eq_attention_of(env->graph, node);
    if (eq_attention_direct_offered(&state->shape)) {
        state->threads = omp_get_max_threads();
        *scratch_bytes = eq_attention_direct_scratch(&state->shape, state->threads);
    } else {
        void *workers = NULL;
        eq_status status = eq_attention_workers_prepare(env, node, &kind, &workers, scratch_bytes);
        state->workers = workers;
        if (status != EQ_OK) {
            release_attention(state);
            return status;
        }
    }
    *kept = state;
    return EQ_OK;
}

/* k, v: the head's first element */
static dnnl_status_t load_head(const worker *w, const void *k, const void *v, void *scratch)
{
    dnnl_status_t status = eq_product_pack(&w->scores, k, scratch);
    return status ? status : eq_product_pack(&w->values, v, scratch);
}

/* q, y: the tile's first element */
static dnnl_status_t run_tile(const eq_attention *a, const worker *w, int64_t tile, const void *q, void *y,
                              void *scratch)
{
    void *packed_q = eq_scratch_at(scratch, w->q_at), *p = eq_scratch_at(scratch, w->p_at);
    float *scores = eq_scratch_at(scratch, w->scores_at), *sums = eq_scratch_at(scratch, w->y_at);
    float *factor = eq_scratch_at(scratch, w->factor_at);
    int64_t rows = eq_attention_rows(a, tile);
    eq_attention_gather(a, q, rows, packed_q);
    dnnl_status_t status = eq_product_run(&w->scores, packed_q, NULL, scores, scratch);
    if (status)
        return status;
    eq_attention_weights(a, scores, tile * a->tile, p, factor);
    status = eq_product_run(&w->values, p, NULL, sums, scratch);
    if (!status)
        eq_attention_scatter(a, sums, factor, rows, y);
    return status;
}

/* in: q: [n, lq, c], k, v: [n, lk, c]; out: y: [n, lq, c] */
static eq_status run(const eq_kernel_env *env, const eq_node *node, void *kept, void *const *in, void *const *out,
                     void *scratch)
{
    const attention *state = kept;
    if (state->threads > 0) {
        eq_attention_direct_run(&state->shape, state->threads, in[0], in[1], in[2], out[0], scratch);
        return EQ_OK;
    }
    const eq_attention_workers *workers = state->workers;
    const eq_attention *a = &workers->shape;
    size_t element = eq_dtype_size(a->dtype);
    int64_t items = a->n * a->heads * a->tiles;
    int failure = dnnl_success;
#pragma omp parallel num_threads(workers->count) reduction(max : failure)
    {
        /* A thread's items follow one another, so it loads a head once. */
        const worker *w = eq_attention_worker_own(workers);
        void *own = eq_attention_scratch_own(workers, scratch);
        int64_t loaded = -1;
#pragma omp for schedule(static)
        for (int64_t item = 0; item < items; item++) {
            int64_t head = item / a->tiles, tile = item % a->tiles;
            size_t at_k = (size_t)eq_attention_start(a, head, a->lk) * element;
            size_t at_q = (size_t)(eq_attention_start(a, head, a->lq) + tile * a->tile * a->c) * element;
            dnnl_status_t status = dnnl_success;
            if (head != loaded)
                status = load_head(w, (char *)in[1] + at_k, (char *)in[2] + at_k, own);
            loaded = head;
            if (!status)
                status = run_tile(a, w, tile, (char *)in[0] + at_q, (char *)out[0] + at_q, own);
            failure = (int)status > failure ? (int)status : failure;
        }
    }
    return failure ? eq_onednn_fail(env, node, (dnnl_status_t)failure) : EQ_OK;
}

const eq_kernel eq_onednn_attention = {.op = "attention",
                                       .backend = "onednn",
                                       .supports = eq_attention_supports,
                                       .prepare = prepare,
                                       .run = run,
                                       .release = release_attention,
                                       .any_dtype = true};
