#include <math.h>

#include "kernels/ref/ref.h"

/* in: t: [n]; out: [n, dim]. In float32 throughout, as the networks were trained. */
static eq_status run_timestep_embedding(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                                        void *const *out, void *scratch)
{
    const float *t = in[0];
    float *y = out[0];
    const eq_attr *attr = &node->attr;
    int64_t n = attr->shape.dim[0], dim = attr->shape.dim[1], half = dim / 2;
    int64_t sines = attr->flip_sin_to_cos ? half : 0, cosines = half - sines;
    float exponent = -(float)log(attr->max_period);
    for (int64_t i = 0; i < n; i++) {
        float *row = y + i * dim;
        for (int64_t f = 0; f < half; f++) {
            float angle = t[i] * expf(exponent * (float)f / ((float)half - attr->frequency_shift));
            row[sines + f] = sinf(angle);
            row[cosines + f] = cosf(angle);
        }
        if (dim % 2)
            row[dim - 1] = 0;
    }
    return EQ_OK;
}

const eq_kernel eq_ref_timestep_embedding = {
    .op = "timestep_embedding", .backend = "ref", .run = run_timestep_embedding};
