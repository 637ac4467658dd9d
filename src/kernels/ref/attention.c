#include <math.h>

#include "kernels/ref/ref.h"

typedef struct geometry {
    int64_t n, lq, lk, c, heads, size; /* size: channels of a head */
    float scale;
    bool causal;
} geometry;

static geometry geometry_of(const eq_graph *graph, const eq_node *node)
{
    const eq_shape *q = eq_shape_at(graph, node->in[0]);
    int heads = node->attr.heads;
    return (geometry){.n = q->dim[0],
                      .lq = q->dim[1],
                      .lk = eq_shape_at(graph, node->in[1])->dim[1],
                      .c = q->dim[2],
                      .heads = heads,
                      .size = q->dim[2] / heads,
                      .scale = node->attr.scale,
                      .causal = node->attr.causal};
}

static double dot(const float *a, const float *b, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

/* How many keys query i sees. */
static int64_t keys_seen(const geometry *g, int64_t i)
{
    return g->causal && i + 1 < g->lk ? i + 1 : g->lk;
}

/* One row of softmax(scale q k^T): q: [size]; k: [keys, size], rows g->c apart; p: [keys] */
static void probabilities(const geometry *g, const float *q, const float *k, int64_t keys, float *p)
{
    float largest = -INFINITY;
    double sum = 0;
    for (int64_t j = 0; j < keys; j++) {
        p[j] = g->scale * (float)dot(q, k + j * g->c, g->size);
        largest = fmaxf(largest, p[j]);
    }
    for (int64_t j = 0; j < keys; j++) {
        p[j] = expf(p[j] - largest);
        sum += p[j];
    }
    for (int64_t j = 0; j < keys; j++)
        p[j] = (float)(p[j] / sum);
}

/* A row of probabilities for each image and head. */
static eq_status prepare_attention(const eq_kernel_env *env, const eq_node *node, void **state, size_t *scratch_bytes)
{
    geometry g = geometry_of(env->graph, node);
    *scratch_bytes = (size_t)(g.n * g.heads * g.lk) * sizeof(float);
    return EQ_OK;
}

/* in: q: [n, lq, c], k, v: [n, lk, c]; out: y: [n, lq, c] */
static eq_status run_attention(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                               void *const *out, void *scratch)
{
    const float *q = in[0], *k = in[1], *v = in[2];
    float *y = out[0];
    geometry g = geometry_of(env->graph, node);
#pragma omp parallel for
    for (int64_t task = 0; task < g.n * g.heads; task++) {
        float *p = (float *)scratch + task * g.lk;
        int64_t head = task % g.heads * g.size;
        int64_t q_at = task / g.heads * g.lq * g.c + head, k_at = task / g.heads * g.lk * g.c + head;
        for (int64_t i = 0; i < g.lq; i++, q_at += g.c) {
            int64_t keys = keys_seen(&g, i);
            probabilities(&g, q + q_at, k + k_at, keys, p);
            for (int64_t d = 0; d < g.size; d++) {
                double sum = 0;
                for (int64_t j = 0; j < keys; j++)
                    sum += (double)p[j] * v[k_at + j * g.c + d];
                y[q_at + d] = (float)sum;
            }
        }
    }
    return EQ_OK;
}

/* in: q: [n, lq, c], k, v: [n, lk, c], dy: [n, lq, c]; out: dq, dk, dv, like q, k, v.
 * With p a row of probabilities and dp_j = <dy, v_j>, the scores' gradient is ds_j = p_j (dp_j - <dy, y>). */
static eq_status run_attention_grad(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                                    void *const *out, void *scratch)
{
    const float *q = in[0], *k = in[1], *v = in[2], *dy = in[3];
    float *dq = out[0], *dk = out[1], *dv = out[2];
    geometry g = geometry_of(env->graph, node);
    memset(dq, 0, (size_t)(g.n * g.lq * g.c) * sizeof *dq);
    memset(dk, 0, (size_t)(g.n * g.lk * g.c) * sizeof *dk);
    memset(dv, 0, (size_t)(g.n * g.lk * g.c) * sizeof *dv);
#pragma omp parallel for
    for (int64_t task = 0; task < g.n * g.heads; task++) {
        float *p = (float *)scratch + task * g.lk;
        int64_t head = task % g.heads * g.size;
        int64_t q_at = task / g.heads * g.lq * g.c + head, k_start = task / g.heads * g.lk * g.c + head;
        for (int64_t i = 0; i < g.lq; i++, q_at += g.c) {
            int64_t keys = keys_seen(&g, i);
            probabilities(&g, q + q_at, k + k_start, keys, p);
            double expected = 0; /* <dy, y> */
            for (int64_t j = 0; j < keys; j++)
                expected += p[j] * dot(dy + q_at, v + k_start + j * g.c, g.size);
            for (int64_t j = 0; j < keys; j++) {
                int64_t k_at = k_start + j * g.c;
                double ds = g.scale * p[j] * (dot(dy + q_at, v + k_at, g.size) - expected);
                for (int64_t d = 0; d < g.size; d++) {
                    dq[q_at + d] += (float)(ds * k[k_at + d]);
                    dk[k_at + d] += (float)(ds * q[q_at + d]);
                    dv[k_at + d] += p[j] * dy[q_at + d];
                }
            }
        }
    }
    return EQ_OK;
}

const eq_kernel eq_ref_attention = {
    .op = "attention", .backend = "ref", .prepare = prepare_attention, .run = run_attention};
const eq_kernel eq_ref_attention_grad = {
    .op = "attention_grad", .backend = "ref", .prepare = prepare_attention, .run = run_attention_grad};
