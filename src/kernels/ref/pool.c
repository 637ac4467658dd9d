#include "kernels/ref/ref.h"

/* The part of the image that a window covers: rows top to bottom - 1, columns left to right - 1. */
typedef struct window {
    int64_t top, bottom, left, right;
} window;

static int64_t at_least(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t at_most(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static window window_at(const eq_attr *attr, const eq_shape *x, int64_t row, int64_t column)
{
    int64_t top = row * attr->stride - attr->pad_top, left = column * attr->stride - attr->pad_left;
    return (window){.top = at_least(top, 0),
                    .bottom = at_most(top + attr->kernel, x->dim[1]),
                    .left = at_least(left, 0),
                    .right = at_most(left + attr->kernel, x->dim[2])};
}

/* in: x: [n, h, w, c]; out: y: [n, ho, wo, c] */
static eq_status run_average_pool(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                                  void *const *out, void *scratch)
{
    const eq_shape *small = eq_shape_at(env->graph, node->out[0]), *large = eq_shape_at(env->graph, node->in[0]);
    int64_t ho = small->dim[1], wo = small->dim[2], c = small->dim[3], width = large->dim[2];
#pragma omp parallel for
    for (int64_t at = 0; at < small->dim[0] * ho * wo; at++) {
        window w = window_at(&node->attr, large, at / wo % ho, at % wo);
        const float *image = (const float *)in[0] + at / (ho * wo) * large->dim[1] * width * c;
        float *y = (float *)out[0] + at * c;
        memset(y, 0, (size_t)c * sizeof(float));
        for (int64_t row = w.top; row < w.bottom; row++)
            for (int64_t i = w.left * c; i < w.right * c; i++)
                y[i % c] += image[row * width * c + i];
        for (int64_t i = 0; i < c; i++)
            y[i] /= (float)((w.bottom - w.top) * (w.right - w.left));
    }
    return EQ_OK;
}

/* in: dy: [n, ho, wo, c]; out: dx: [n, h, w, c] */
static eq_status run_average_pool_grad(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                                       void *const *out, void *scratch)
{
    const eq_shape *small = eq_shape_at(env->graph, node->in[0]), *large = eq_shape_at(env->graph, node->out[0]);
    int64_t ho = small->dim[1], wo = small->dim[2], c = small->dim[3], width = large->dim[2];
    memset(out[0], 0, (size_t)eq_shape_count(large) * sizeof(float));
    for (int64_t at = 0; at < small->dim[0] * ho * wo; at++) {
        window w = window_at(&node->attr, large, at / wo % ho, at % wo);
        const float *dy = (const float *)in[0] + at * c;
        float *image = (float *)out[0] + at / (ho * wo) * large->dim[1] * width * c;
        float share = 1.0f / (float)((w.bottom - w.top) * (w.right - w.left));
        for (int64_t row = w.top; row < w.bottom; row++)
            for (int64_t i = w.left * c; i < w.right * c; i++)
                image[row * width * c + i] += share * dy[i % c];
    }
    return EQ_OK;
}

/* Index within its image ([h, w, c]) of the first of the largest numbers of a window in one channel. */
static int64_t index_of_largest(const float *image, const eq_shape *x, window w, int64_t channel)
{
    int64_t width = x->dim[2], c = x->dim[3], best = (w.top * width + w.left) * c + channel;
    for (int64_t row = w.top; row < w.bottom; row++)
        for (int64_t column = w.left; column < w.right; column++) {
            int64_t index = (row * width + column) * c + channel;
            if (image[index] > image[best])
                best = index;
        }
    return best;
}

/* in: x: [n, h, w, c]; out: y: [n, ho, wo, c] */
static eq_status run_max_pool(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                              void *const *out, void *scratch)
{
    const eq_shape *small = eq_shape_at(env->graph, node->out[0]), *large = eq_shape_at(env->graph, node->in[0]);
    int64_t ho = small->dim[1], wo = small->dim[2], c = small->dim[3], size = large->dim[1] * large->dim[2] * c;
    float *y = out[0];
#pragma omp parallel for
    for (int64_t at = 0; at < small->dim[0] * ho * wo; at++) {
        window w = window_at(&node->attr, large, at / wo % ho, at % wo);
        const float *image = (const float *)in[0] + at / (ho * wo) * size;
        for (int64_t i = 0; i < c; i++)
            y[at * c + i] = image[index_of_largest(image, large, w, i)];
    }
    return EQ_OK;
}

/* in: dy: [n, ho, wo, c], x: [n, h, w, c]; out: dx: [n, h, w, c] */
static eq_status run_max_pool_grad(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                                   void *const *out, void *scratch)
{
    const eq_shape *small = eq_shape_at(env->graph, node->in[0]), *large = eq_shape_at(env->graph, node->in[1]);
    int64_t ho = small->dim[1], wo = small->dim[2], c = small->dim[3], size = large->dim[1] * large->dim[2] * c;
    const float *dy = in[0];
    memset(out[0], 0, (size_t)eq_shape_count(large) * sizeof(float));
    for (int64_t at = 0; at < small->dim[0] * ho * wo; at++) {
        window w = window_at(&node->attr, large, at / wo % ho, at % wo);
        int64_t first = at / (ho * wo) * size;
        const float *image = (const float *)in[1] + first;
        float *dx = (float *)out[0] + first;
        for (int64_t i = 0; i < c; i++)
            dx[index_of_largest(image, large, w, i)] += dy[at * c + i];
    }
    return EQ_OK;
}

const eq_kernel eq_ref_average_pool = {.op = "average_pool", .backend = "ref", .run = run_average_pool};
const eq_kernel eq_ref_average_pool_grad = {.op = "average_pool_grad", .backend = "ref", .run = run_average_pool_grad};
const eq_kernel eq_ref_max_pool = {.op = "max_pool", .backend = "ref", .run = run_max_pool};
const eq_kernel eq_ref_max_pool_grad = {.op = "max_pool_grad", .backend = "ref", .run = run_max_pool_grad};
