/* layer_norm and its gradient, a row at a time: it stays in the first cache while it is read again. */
#include <math.h>

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/rows.h"

/* All but the last dimension are rows. */
static eq_rows rows_of(const eq_graph *graph, eq_value x)
{
    const eq_shape *shape = eq_shape_at(graph, x);
    eq_shape flat = eq_shape_of(1, 1, shape->dim[shape->rank - 1]);
    for (int d = 0; d < shape->rank - 1; d++)
        flat.dim[1] *= shape->dim[d];
    return eq_rows_of(&flat);
}

/* x, y: [rows, c]; gamma, beta: [c]; stats: [rows, 2] */
EQ_INLINE void normalise_body(const void *x, int64_t rows, int64_t c, const float *restrict gamma,
                              const float *restrict beta, float epsilon, void *y, float *stats, int dtype)
{
    for (int64_t r = 0; r < rows; r++) {
        int64_t at = r * c;
        float sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t k = 0; k < c; k++)
            sum += eq_load(x, at + k, dtype);
        float mean = sum / (float)c;
#pragma omp simd reduction(+ : squares)
        for (int64_t k = 0; k < c; k++) {
            float d = eq_load(x, at + k, dtype) - mean;
            squares += d * d;
        }
        float rstd = 1.0f / sqrtf(squares / (float)c + epsilon);
#pragma omp simd
        for (int64_t k = 0; k < c; k++)
            eq_store(y, at + k, dtype, (eq_load(x, at + k, dtype) - mean) * rstd * gamma[k] + beta[k]);
        stats[2 * r] = mean;
        stats[2 * r + 1] = rstd;
    }
}

EQ_CLONES static void normalise(const void *x, int64_t rows, int64_t c, const float *gamma, const float *beta,
                                float epsilon, void *y, float *stats, eq_dtype type)
{
    EQ_FOR_DTYPE(type, normalise_body(x, rows, c, gamma, beta, epsilon, y, stats, dtype));
}

/* With d = gamma dy, z = (x - mean) rstd: dx = (d - mean(d) - z mean(d z)) rstd, means over the row; the rows' sums of
 * dy z and dy into dgamma and dbeta. dy, x, dx: [rows, c]; stats: [rows, 2] */
EQ_INLINE void gradient_body(const void *dy, const void *x, int64_t rows, int64_t c, const float *restrict gamma,
                             const float *stats, void *dx, float *restrict dgamma, float *restrict dbeta, int dtype)
{
    memset(dgamma, 0, (size_t)c * sizeof(float));
    memset(dbeta, 0, (size_t)c * sizeof(float));
    for (int64_t r = 0; r < rows; r++) {
        int64_t at = r * c;
        float mean = stats[2 * r], rstd = stats[2 * r + 1], mean_d = 0, mean_dz = 0;
#pragma omp simd reduction(+ : mean_d, mean_dz)
        for (int64_t k = 0; k < c; k++) {
            float z = (eq_load(x, at + k, dtype) - mean) * rstd;
            float d = eq_load(dy, at + k, dtype) * gamma[k];
            mean_d += d;
            mean_dz += d * z;
        }
        mean_d /= (float)c;
        mean_dz /= (float)c;
#pragma omp simd
        for (int64_t k = 0; k < c; k++) {
            float z = (eq_load(x, at + k, dtype) - mean) * rstd;
            float g = eq_load(dy, at + k, dtype);
            dgamma[k] += g * z;
            dbeta[k] += g;
            eq_store(dx, at + k, dtype, (g * gamma[k] - mean_d - z * mean_dz) * rstd);
        }
    }
}

EQ_CLONES static void gradient(const void *dy, const void *x, int64_t rows, int64_t c, const float *gamma,
                               const float *stats, void *dx, float *dgamma, float *dbeta, eq_dtype type)
{
    EQ_FOR_DTYPE(type, gradient_body(dy, x, rows, c, gamma, stats, dx, dgamma, dbeta, dtype));
}

static bool supports(const eq_graph *graph, const eq_node *node)
{
    return eq_is_f32_or_bf16(graph, node->in[0]) &&
           eq_info(graph, node->in[0])->dtype == eq_info(graph, node->out[0])->dtype;
}

static bool supports_grad(const eq_graph *graph, const eq_node *node)
{
    return supports(graph, node) && eq_info(graph, node->in[0])->dtype == eq_info(graph, node->in[1])->dtype;
}

/* Scratch: gamma, beta; for the gradient, gamma and sums [blocks, 2, c]. */
static eq_status prepare(const eq_kernel_env *env, const eq_node *node, void **state, size_t *scratch_bytes)
{
    eq_rows rows = rows_of(env->graph, node->in[0]);
    *scratch_bytes = (size_t)(2 * rows.c * (rows.blocks + 1)) * sizeof(float);
    return EQ_OK;
}

/* in: x: [rows, c], gamma, beta: [c]; out: y: [rows, c], stats: [rows, 2] */
static eq_status run(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in, void *const *out,
                     void *scratch)
{
    const eq_graph *graph = env->graph;
    eq_rows s = rows_of(graph, node->in[0]);
    eq_dtype dtype = eq_info(graph, node->in[0])->dtype;
    float *gamma = scratch, *beta = gamma + s.c, *stats = out[1];
    eq_floats_of(in[1], eq_info(graph, node->in[1])->dtype, 0, s.c, gamma);
    eq_floats_of(in[2], eq_info(graph, node->in[2])->dtype, 0, s.c, beta);
#pragma omp parallel for schedule(static) if (s.rows * s.c > 1 << 14)
    for (int64_t b = 0; b < s.blocks; b++) {
        int64_t first = b * EQ_BLOCK_ROWS;
        normalise(eq_at(in[0], first * s.c, dtype), eq_block_rows(&s, b), s.c, gamma, beta, node->attr.epsilon,
                  eq_at_mutable(out[0], first * s.c, dtype), stats + 2 * first, dtype);
    }
    return EQ_OK;
}

/* in: dy, x: [rows, c], gamma: [c], stats: [rows, 2]; out: dx: [rows, c], dgamma, dbeta: [c] */
static eq_status run_grad(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in, void *const *out,
                          void *scratch)
{
    const eq_graph *graph = env->graph;
    eq_rows s = rows_of(graph, node->in[0]);
    eq_dtype dtype = eq_info(graph, node->in[0])->dtype;
    float *gamma = scratch, *sums = gamma + s.c;
    const float *stats = in[3];
    eq_floats_of(in[2], eq_info(graph, node->in[2])->dtype, 0, s.c, gamma);
#pragma omp parallel for schedule(static) if (s.rows * s.c > 1 << 14)
    for (int64_t b = 0; b < s.blocks; b++) {
        int64_t first = b * EQ_BLOCK_ROWS, at = first * s.c;
        float *dgamma = sums + b * 2 * s.c;
        gradient(eq_at(in[0], at, dtype), eq_at(in[1], at, dtype), eq_block_rows(&s, b), s.c, gamma, stats + 2 * first,
                 eq_at_mutable(out[0], at, dtype), dgamma, dgamma + s.c, dtype);
    }
    eq_sum_blocks(sums, s.blocks, 2 * s.c, s.c, 1.0f, out[1], EQ_F32);
    eq_sum_blocks(sums + s.c, s.blocks, 2 * s.c, s.c, 1.0f, out[2], EQ_F32);
    return EQ_OK;
}

const eq_kernel eq_cpu_layer_norm = {
    .op = "layer_norm", .backend = "cpu", .supports = supports, .prepare = prepare, .run = run, .any_dtype = true};
const eq_kernel eq_cpu_layer_norm_grad = {.op = "layer_norm_grad",
                                          .backend = "cpu",
                                          .supports = supports_grad,
                                          .prepare = prepare,
                                          .run = run_grad,
                                          .any_dtype = true};
