#include <math.h>

#include "kernels/ref/ref.h"

/* in: prediction, target; out: loss: [1] */
static eq_status run_mae(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in, void *const *out,
                         void *scratch)
{
    const float *prediction = in[0], *target = in[1];
    float *loss = out[0];
    int64_t count = eq_shape_count(eq_shape_at(env->graph, node->in[0]));
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += fabs((double)prediction[i] - target[i]);
    loss[0] = (float)(sum / (double)count);
    return EQ_OK;
}

/* in: prediction, target, dloss: [1]; out: dprediction */
static eq_status run_mae_grad(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                              void *const *out, void *scratch)
{
    const float *prediction = in[0], *target = in[1], *dloss = in[2];
    float *dprediction = out[0];
    int64_t count = eq_shape_count(eq_shape_at(env->graph, node->in[0]));
    float pull = (float)(dloss[0] / (double)count);
    for (int64_t i = 0; i < count; i++)
        dprediction[i] = prediction[i] > target[i] ? pull : prediction[i] < target[i] ? -pull : 0;
    return EQ_OK;
}

const eq_kernel eq_ref_mae = {.op = "mae", .backend = "ref", .run = run_mae};
const eq_kernel eq_ref_mae_grad = {.op = "mae_grad", .backend = "ref", .run = run_mae_grad};
