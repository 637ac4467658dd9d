#include <math.h>

#include "kernels/ref/ref.h"

/* Rows that count: those with a label in 0..k-1; negative labels do not, larger ones are a fault. */
static eq_status count_rows(const eq_kernel_env *env, const eq_node *node, const int32_t *labels, int64_t n, int64_t k,
                            int64_t *counted)
{
    *counted = 0;
    for (int64_t i = 0; i < n; i++) {
        if (labels[i] >= k)
            return eq_fail(env->ctx, EQ_BAD_USAGE, "%s: label %d is not in 0..%lld, the classes", node->op->name,
                           (int)labels[i], (long long)k - 1);
        *counted += labels[i] >= 0;
    }
    return EQ_OK;
}

/* log(sum(exp(logits))), logits: [k] */
static double log_sum_exp(const float *logits, int64_t k)
{
    float largest = logits[0];
    double sum = 0;
    for (int64_t j = 1; j < k; j++)
        largest = fmaxf(largest, logits[j]);
    for (int64_t j = 0; j < k; j++)
        sum += exp((double)logits[j] - largest);
    return largest + log(sum);
}

/* in: logits: [n, k], labels: [n]; out: loss: [1] */
static eq_status run_cross_entropy(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                                   void *const *out, void *scratch)
{
    const float *logits = in[0];
    const int32_t *labels = in[1];
    float *loss = out[0];
    const eq_shape *shape = eq_shape_at(env->graph, node->in[0]);
    int64_t n = shape->dim[0], k = shape->dim[1], counted;
    EQ_TRY(count_rows(env, node, labels, n, k, &counted));
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        if (labels[i] >= 0)
            sum += log_sum_exp(logits + i * k, k) - logits[i * k + labels[i]];
    loss[0] = counted ? (float)(sum / (double)counted) : 0;
    return EQ_OK;
}

/* in: logits: [n, k], labels: [n], dloss: [1]; out: dlogits: [n, k], (softmax - one-hot label) dloss / counted */
static eq_status run_cross_entropy_grad(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                                        void *const *out, void *scratch)
{
    const float *logits = in[0], *dloss = in[2];
    const int32_t *labels = in[1];
    float *dlogits = out[0];
    const eq_shape *shape = eq_shape_at(env->graph, node->in[0]);
    int64_t n = shape->dim[0], k = shape->dim[1], counted;
    EQ_TRY(count_rows(env, node, labels, n, k, &counted));
    for (int64_t i = 0; i < n; i++) {
        double normaliser = log_sum_exp(logits + i * k, k);
        for (int64_t j = 0; j < k; j++) {
            double gradient = exp(logits[i * k + j] - normaliser) - (labels[i] == j);
            dlogits[i * k + j] = labels[i] >= 0 ? (float)(gradient * dloss[0] / (double)counted) : 0;
        }
    }
    return EQ_OK;
}

const eq_kernel eq_ref_cross_entropy = {.op = "cross_entropy", .backend = "ref", .run = run_cross_entropy};
const eq_kernel eq_ref_cross_entropy_grad = {
    .op = "cross_entropy_grad", .backend = "ref", .run = run_cross_entropy_grad};
