#include "kernels/ref/ref.h"

/* in: a: [b, m, k], b: [b, k, n], or transposed; out: y: [b, m, n] */
static eq_status run_matmul(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                            void *const *out, void *scratch)
{
    const float *a = in[0], *b = in[1];
    float *y = out[0];
    bool ta = node->attr.transpose_a, tb = node->attr.transpose_b;
    const eq_shape *shape = eq_shape_at(env->graph, node->out[0]);
    int64_t batch = shape->dim[0], m = shape->dim[1], n = shape->dim[2];
    int64_t depth = eq_shape_at(env->graph, node->in[0])->dim[ta ? 1 : 2];
#pragma omp parallel for
    for (int64_t row = 0; row < batch * m; row++) {
        const float *a_of = a + row / m * m * depth, *b_of = b + row / m * depth * n;
        int64_t i = row % m;
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t k = 0; k < depth; k++)
                sum += (double)a_of[ta ? k * m + i : i * depth + k] * b_of[tb ? j * depth + k : k * n + j];
            y[row * n + j] = (float)sum;
        }
    }
    return EQ_OK;
}

const eq_kernel eq_ref_matmul = {.op = "matmul", .backend = "ref", .run = run_matmul};
