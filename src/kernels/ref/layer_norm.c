#include <math.h>

#include "kernels/ref/ref.h"

/* in: x: [rows, c], gamma, beta: [c]; out: y: [rows, c], stats: [rows, 2] */
static eq_status run_layer_norm(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                                void *const *out, void *scratch)
{
    const float *x = in[0], *gamma = in[1], *beta = in[2];
    float *y = out[0], *stats = out[1];
    int64_t rows = eq_shape_at(env->graph, node->out[1])->dim[0], c = eq_shape_at(env->graph, node->in[1])->dim[0];
#pragma omp parallel for
    for (int64_t row = 0; row < rows; row++) {
        const float *from = x + row * c;
        double sum = 0, squares = 0;
        for (int64_t i = 0; i < c; i++)
            sum += from[i];
        double mean = sum / (double)c;
        for (int64_t i = 0; i < c; i++)
            squares += (from[i] - mean) * (from[i] - mean);
        double inverse_std = 1 / sqrt(squares / (double)c + node->attr.epsilon);
        for (int64_t i = 0; i < c; i++)
            y[row * c + i] = (float)(gamma[i] * (from[i] - mean) * inverse_std + beta[i]);
        stats[2 * row] = (float)mean;
        stats[2 * row + 1] = (float)inverse_std;
    }
    return EQ_OK;
}

/* dgamma, dbeta: [c], from dy, x: [rows, c] and stats: [rows, 2] */
static void parameter_gradients(const float *dy, const float *x, const float *stats, int64_t rows, int64_t c,
                                float *dgamma, float *dbeta)
{
#pragma omp parallel for
    for (int64_t i = 0; i < c; i++) {
        double sum = 0;
        for (int64_t row = 0; row < rows; row++)
            sum += (double)dy[row * c + i] * ((double)x[row * c + i] - stats[2 * row]) * stats[2 * row + 1];
        dgamma[i] = (float)sum;
    }
    eq_ref_sum_rows(dy, rows, c, dbeta);
}

/* in: dy, x: [rows, c], gamma: [c], stats: [rows, 2]; out: dx: [rows, c], dgamma, dbeta: [c].
 * With d = gamma dy, h = (x - mean) / std: dx = (d - mean(d) - h mean(d h)) / std, means over the row. */
static eq_status run_layer_norm_grad(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                                     void *const *out, void *scratch)
{
    const float *dy = in[0], *x = in[1], *gamma = in[2], *stats = in[3];
    float *dx = out[0];
    int64_t rows = eq_shape_at(env->graph, node->in[3])->dim[0], c = eq_shape_at(env->graph, node->in[2])->dim[0];
    parameter_gradients(dy, x, stats, rows, c, out[1], out[2]);
#pragma omp parallel for
    for (int64_t row = 0; row < rows; row++) {
        double mean = stats[2 * row], inverse_std = stats[2 * row + 1], mean_d = 0, mean_dh = 0;
        for (int64_t i = row * c; i < (row + 1) * c; i++) {
            double d = (double)gamma[i - row * c] * dy[i];
            mean_d += d / (double)c;
            mean_dh += d * (x[i] - mean) * inverse_std / (double)c;
        }
        for (int64_t i = row * c; i < (row + 1) * c; i++) {
            double d = (double)gamma[i - row * c] * dy[i];
            dx[i] = (float)((d - mean_d - (x[i] - mean) * inverse_std * mean_dh) * inverse_std);
        }
    }
    return EQ_OK;
}

const eq_kernel eq_ref_layer_norm = {.op = "layer_norm", .backend = "ref", .run = run_layer_norm};
const eq_kernel eq_ref_layer_norm_grad = {.op = "layer_norm_grad", .backend = "ref", .run = run_layer_norm_grad};
