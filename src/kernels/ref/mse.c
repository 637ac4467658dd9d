#include "kernels/ref/ref.h"

/* in: prediction, target: [n, ...], weight: [n]; out: loss: [1] */
static eq_status run_mse(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in, void *const *out,
                         void *scratch)
{
    const float *prediction = in[0], *target = in[1], *weight = in[2];
    float *loss = out[0];
    const eq_shape *shape = eq_shape_at(env->graph, node->in[0]);
    int64_t count = eq_shape_count(shape), row = count / shape->dim[0];
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        double difference = (double)prediction[i] - target[i];
        sum += (weight ? weight[i / row] : 1.0) * difference * difference;
    }
    loss[0] = (float)(sum / (double)count);
    return EQ_OK;
}

/* in: prediction, target: [n, ...], weight: [n], dloss: [1]; out: dprediction */
static eq_status run_mse_grad(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                              void *const *out, void *scratch)
{
    const float *prediction = in[0], *target = in[1], *weight = in[2], *dloss = in[3];
    float *dprediction = out[0];
    const eq_shape *shape = eq_shape_at(env->graph, node->in[0]);
    int64_t count = eq_shape_count(shape), row = count / shape->dim[0];
    double factor = 2.0 * dloss[0] / (double)count;
    for (int64_t i = 0; i < count; i++)
        dprediction[i] = (float)(factor * (weight ? weight[i / row] : 1.0) * ((double)prediction[i] - target[i]));
    return EQ_OK;
}

const eq_kernel eq_ref_mse = {.op = "mse", .backend = "ref", .run = run_mse};
const eq_kernel eq_ref_mse_grad = {.op = "mse_grad", .backend = "ref", .run = run_mse_grad};
