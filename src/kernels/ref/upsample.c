#include "kernels/ref/ref.h"

/* in: x [n, h, w, c]; out: y [n, 2h, 2w, c] */
static eq_status run_upsample(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                              void *const *out, void *scratch)
{
    const int64_t *d = eq_shape_at(env->graph, node->out[0])->dim;
    int64_t c = d[3];
    for (int64_t row = 0; row < d[0] * d[1]; row++)
        for (int64_t x = 0; x < d[2]; x++) {
            int64_t from = (row / d[1] * (d[1] / 2) + row % d[1] / 2) * (d[2] / 2) + x / 2;
            memcpy((float *)out[0] + (row * d[2] + x) * c, (const float *)in[0] + from * c, (size_t)c * sizeof(float));
        }
    return EQ_OK;
}

/* in: dy [n, 2h, 2w, c]; out: dx [n, h, w, c] */
static eq_status run_upsample_grad(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                                   void *const *out, void *scratch)
{
    const float *dy = in[0];
    float *dx = out[0];
    const int64_t *d = eq_shape_at(env->graph, node->out[0])->dim;
    int64_t h = d[1], w = d[2], c = d[3], count = d[0] * h * w * c;
    for (int64_t i = 0; i < count; i++) {
        int64_t channel = i % c, x = i / c % w, y = i / (c * w) % h, n = i / (c * w * h);
        const float *corner = dy + (((n * 2 * h + 2 * y) * 2 * w) + 2 * x) * c + channel;
        dx[i] = corner[0] + corner[c] + corner[2 * w * c] + corner[2 * w * c + c];
    }
    return EQ_OK;
}

const eq_kernel eq_ref_upsample = {.op = "upsample", .backend = "ref", .run = run_upsample};
const eq_kernel eq_ref_upsample_grad = {.op = "upsample_grad", .backend = "ref", .run = run_upsample_grad};
