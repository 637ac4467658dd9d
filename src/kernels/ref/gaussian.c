#include <math.h>

#include "kernels/ref/ref.h"

/* Beyond these the log variance has no effect, and no gradient. */
static const float lowest = -30, highest = 20;

typedef struct moments {
    int64_t rows, channels; /* of means */
} moments;

static moments moments_of(const eq_kernel_env *env, const eq_node *node)
{
    const eq_shape *shape = eq_shape_at(env->graph, node->in[0]);
    int64_t channels = shape->dim[shape->rank - 1] / 2;
    return (moments){eq_shape_count(shape) / (2 * channels), channels};
}

static float clamp(float logvar)
{
    return fminf(fmaxf(logvar, lowest), highest);
}

static bool moves(float logvar)
{
    return logvar > lowest && logvar < highest;
}

/* in: moments: [rows, 2 c], noise: [rows, c]; out: z: [rows, c] */
static eq_status run_sample(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                            void *const *out, void *scratch)
{
    const float *mean = in[0], *noise = in[1];
    float *z = out[0];
    moments m = moments_of(env, node);
    for (int64_t i = 0; i < m.rows; i++, mean += 2 * m.channels)
        for (int64_t k = 0; k < m.channels; k++)
            *z++ = mean[k] + expf(0.5f * clamp(mean[m.channels + k])) * *noise++;
    return EQ_OK;
}

/* in: moments, noise, dz: [rows, c]; out: dmoments: [rows, 2 c] */
static eq_status run_sample_grad(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                                 void *const *out, void *scratch)
{
    const float *mean = in[0], *noise = in[1], *dz = in[2];
    float *d = out[0];
    moments m = moments_of(env, node);
    for (int64_t i = 0; i < m.rows; i++, mean += 2 * m.channels, d += 2 * m.channels)
        for (int64_t k = 0; k < m.channels; k++, dz++, noise++) {
            float logvar = mean[m.channels + k];
            d[k] = *dz;
            d[m.channels + k] = moves(logvar) ? 0.5f * expf(0.5f * logvar) * *noise * *dz : 0;
        }
    return EQ_OK;
}

/* in: moments; out: [1] */
static eq_status run_kl(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in, void *const *out,
                        void *scratch)
{
    const float *mean = in[0];
    moments m = moments_of(env, node);
    double sum = 0;
    for (int64_t i = 0; i < m.rows; i++, mean += 2 * m.channels)
        for (int64_t k = 0; k < m.channels; k++) {
            double mu = mean[k], logvar = clamp(mean[m.channels + k]);
            sum += 0.5 * (mu * mu + exp(logvar) - 1 - logvar);
        }
    *(float *)out[0] = (float)(sum / (double)(m.rows * m.channels));
    return EQ_OK;
}

/* in: moments, dloss: [1]; out: dmoments */
static eq_status run_kl_grad(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                             void *const *out, void *scratch)
{
    const float *mean = in[0], *dloss = in[1];
    float *d = out[0];
    moments m = moments_of(env, node);
    float factor = (float)(dloss[0] / (double)(m.rows * m.channels));
    for (int64_t i = 0; i < m.rows; i++, mean += 2 * m.channels, d += 2 * m.channels)
        for (int64_t k = 0; k < m.channels; k++) {
            float logvar = mean[m.channels + k];
            d[k] = factor * mean[k];
            d[m.channels + k] = moves(logvar) ? 0.5f * factor * (expf(logvar) - 1) : 0;
        }
    return EQ_OK;
}

const eq_kernel eq_ref_gaussian_sample = {.op = "gaussian_sample", .backend = "ref", .run = run_sample};
const eq_kernel eq_ref_gaussian_sample_grad = {.op = "gaussian_sample_grad", .backend = "ref", .run = run_sample_grad};
const eq_kernel eq_ref_gaussian_kl = {.op = "gaussian_kl", .backend = "ref", .run = run_kl};
const eq_kernel eq_ref_gaussian_kl_grad = {.op = "gaussian_kl_grad", .backend = "ref", .run = run_kl_grad};
