#include "kernels/onednn/attention_workers.h"

/* A thread's primitives and its part of the scratch. A thread takes whole heads: dk and dv are sums over the tiles. */
typedef struct worker {
    eq_attention_worker base;
    eq_product scores; /* q k^T */
    eq_product dp;     /* dy v^T */
    eq_product dq;     /* ds k */
    eq_product dk, dv; /* ds^T q, p^T dy */
    size_t q_at, dy_at, p_at, dp_at, low_at, dq_at, dk_at, dv_at, factor_at;
} worker;

/* Pointers into a thread's scratch. */
typedef struct buffers {
    void *q, *dy;   /* [tile, size] */
    float *p, *dp;  /* [tile, lk] */
    void *low;      /* [tile, lk]: p, then ds, in bfloat16; NULL for float32 */
    float *dq;      /* [tile, size] */
    float *dk, *dv; /* [lk, size] */
    float *factor;  /* [tile] */
} buffers;

static void release(void *prepared)
{
    worker *w = prepared;
    eq_product *products[] = {&w->scores, &w->dp, &w->dq, &w->dk, &w->dv};
    for (size_t p = 0; p < sizeof products / sizeof products[0]; p++)
        eq_product_free(products[p]);
}

static eq_status make_products(const eq_kernel_env *env, const eq_node *node, const eq_attention *a, worker *w,
                               size_t *bytes)
{
    dnnl_data_type_t dtype = eq_onednn_dtype(a->dtype);
    eq_product_shape across = {.m = a->tile, .k = a->size, .n = a->lk, .dtype = dtype, .b_row = 1, .b_column = a->c};
    eq_product_shape back = {.m = a->tile, .k = a->lk, .n = a->size, .dtype = dtype, .b_row = a->c, .b_column = 1};
    eq_product_shape down = {
        .m = a->lk, .k = a->tile, .n = a->size, .dtype = dtype, .transpose_a = true, .accumulate = true};
    EQ_TRY(eq_product_make(env, node, &across, w->base.stream, bytes, &w->scores));
    EQ_TRY(eq_product_make(env, node, &across, w->base.stream, bytes, &w->dp));
    EQ_TRY(eq_product_make(env, node, &back, w->base.stream, bytes, &w->dq));
    EQ_TRY(eq_product_make(env, node, &down, w->base.stream, bytes, &w->dk));
    return eq_product_make(env, node, &down, w->base.stream, bytes, &w->dv);
}

static eq_status prepare_worker(const eq_kernel_env *env, const eq_node *node, const eq_attention *a, void *unprepared,
                                size_t *bytes)
{
    worker *w = unprepared;
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
    static const eq_attention_worker_kind kind = {sizeof(worker), prepare_worker, release};
    return eq_attention_workers_prepare(env, node, &kind, kept, scratch_bytes);
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
    const eq_attention_workers *workers = kept;
    int64_t heads = workers->shape.n * workers->shape.heads;
    int failure = dnnl_success;
#pragma omp parallel for schedule(static) num_threads(workers->count) reduction(max : failure)
    for (int64_t head = 0; head < heads; head++) {
        dnnl_status_t status = run_head(&workers->shape, eq_attention_worker_own(workers), head, in, out,
                                        eq_attention_scratch_own(workers, scratch));
        failure = (int)status > failure ? (int)status : failure;
    }
    return failure ? eq_onednn_fail(env, node, (dnnl_status_t)failure) : EQ_OK;
}

const eq_kernel eq_onednn_attention_grad = {.op = "attention_grad",
                                            .backend = "onednn",
                                            .supports = eq_attention_supports,
                                            .prepare = prepare,
                                            .run = run,
                                            .release = eq_attention_workers_release,
                                            .any_dtype = true};
