#include "kernels/ref/ref.h"

typedef struct geometry {
    int64_t n, h, w, ci; /* x */
    int64_t ho, wo, co;  /* y */
    int64_t kh, kw;
} geometry;

static geometry geometry_of(const eq_shape *x, const eq_shape *y, const eq_shape *weight)
{
    return (geometry){.n = x->dim[0],
                      .h = x->dim[1],
                      .w = x->dim[2],
                      .ci = x->dim[3],
                      .ho = y->dim[1],
                      .wo = y->dim[2],
                      .co = y->dim[3],
                      .kh = weight->dim[2],
                      .kw = weight->dim[3]};
}

/* Where output (oy, ox) under the kernel's (ky, kx) reads x; false in the padding. */
static bool input_position(const geometry *g, const eq_attr *attr, int64_t oy, int64_t ox, int64_t ky, int64_t kx,
                           int64_t *position)
{
    int64_t iy = oy * attr->stride + ky - attr->pad_top, ix = ox * attr->stride + kx - attr->pad_left;
    *position = iy * g->w + ix;
    return iy >= 0 && iy < g->h && ix >= 0 && ix < g->w;
}

/* x: [h, w, ci]; weight: [ci, kh, kw], of one output channel */
static double correlate(const geometry *g, const eq_attr *attr, const float *x, const float *weight, int64_t oy,
                        int64_t ox)
{
    double sum = 0;
    for (int64_t ky = 0; ky < g->kh; ky++)
        for (int64_t kx = 0; kx < g->kw; kx++) {
            int64_t at;
            if (!input_position(g, attr, oy, ox, ky, kx, &at))
                continue;
            for (int64_t c = 0; c < g->ci; c++)
                sum += (double)x[at * g->ci + c] * weight[(c * g->kh + ky) * g->kw + kx];
        }
    return sum;
}

/* in: x: [n, h, w, ci], weight: [co, ci, kh, kw], bias: [co], residual: [n, ho, wo, co]; out: y: [n, ho, wo, co] */
static eq_status run_conv2d(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                            void *const *out, void *scratch)
{
    const float *x = in[0], *weight = in[1], *bias = in[2], *residual = in[3];
    float *y = out[0];
    const eq_attr *attr = &node->attr;
    geometry g = geometry_of(eq_shape_at(env->graph, node->in[0]), eq_shape_at(env->graph, node->out[0]),
                             eq_shape_at(env->graph, node->in[1]));
#pragma omp parallel for
    for (int64_t row = 0; row < g.n * g.ho; row++)
        for (int64_t ox = 0; ox < g.wo; ox++)
            for (int64_t o = 0; o < g.co; o++) {
                const float *image = x + row / g.ho * g.h * g.w * g.ci;
                int64_t at = (row * g.wo + ox) * g.co + o;
                double sum = correlate(&g, attr, image, weight + o * g.ci * g.kh * g.kw, row % g.ho, ox);
                y[at] = eq_ref_activate(attr->activation, (float)(bias ? sum + bias[o] : sum));
                if (residual)
                    y[at] += residual[at];
            }
    return EQ_OK;
}

/* in: dy: [n, ho, wo, co], weight: [co, ci, kh, kw]; out: dx: [n, h, w, ci] */
static eq_status run_conv2d_grad_input(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                                       void *const *out, void *scratch)
{
    const float *dy = in[0], *weight = in[1];
    float *dx = out[0];
    const eq_attr *attr = &node->attr;
    geometry g = geometry_of(&attr->shape, eq_shape_at(env->graph, node->in[0]), eq_shape_at(env->graph, node->in[1]));
    memset(dx, 0, (size_t)(g.n * g.h * g.w * g.ci) * sizeof *dx);
#pragma omp parallel for
    for (int64_t i = 0; i < g.n; i++)
        for (int64_t position = 0; position < g.ho * g.wo; position++)
            for (int64_t ky = 0; ky < g.kh; ky++)
                for (int64_t kx = 0; kx < g.kw; kx++) {
                    int64_t at;
                    if (!input_position(&g, attr, position / g.wo, position % g.wo, ky, kx, &at))
                        continue;
                    float *to = dx + (i * g.h * g.w + at) * g.ci;
                    const float *from = dy + (i * g.ho * g.wo + position) * g.co;
                    for (int64_t c = 0; c < g.ci; c++) {
                        double sum = 0;
                        for (int64_t o = 0; o < g.co; o++)
                            sum += (double)from[o] * weight[((o * g.ci + c) * g.kh + ky) * g.kw + kx];
                        to[c] += (float)sum;
                    }
                }
    return EQ_OK;
}

/* in: x: [n, h, w, ci], dy: [n, ho, wo, co]; out: dw: [co, ci, kh, kw], db: [co] */
static eq_status run_conv2d_grad_weight(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                                        void *const *out, void *scratch)
{
    const float *x = in[0], *dy = in[1];
    float *dw = out[0], *db = out[1];
    const eq_attr *attr = &node->attr;
    geometry g = geometry_of(eq_shape_at(env->graph, node->in[0]), eq_shape_at(env->graph, node->in[1]), &attr->shape);
#pragma omp parallel for
    for (int64_t index = 0; index < g.co * g.ci * g.kh * g.kw; index++) {
        int64_t kx = index % g.kw, ky = index / g.kw % g.kh;
        int64_t c = index / (g.kh * g.kw) % g.ci, o = index / (g.kh * g.kw * g.ci);
        double sum = 0;
        for (int64_t i = 0; i < g.n; i++)
            for (int64_t position = 0; position < g.ho * g.wo; position++) {
                int64_t at;
                if (input_position(&g, attr, position / g.wo, position % g.wo, ky, kx, &at))
                    sum += (double)x[(i * g.h * g.w + at) * g.ci + c] * dy[(i * g.ho * g.wo + position) * g.co + o];
            }
        dw[index] = (float)sum;
    }
    if (db)
        eq_ref_sum_rows(dy, g.n * g.ho * g.wo, g.co, db);
    return EQ_OK;
}

const eq_kernel eq_ref_conv2d = {.op = "conv2d", .backend = "ref", .run = run_conv2d};
const eq_kernel eq_ref_conv2d_grad_input = {.op = "conv2d_grad_input", .backend = "ref", .run = run_conv2d_grad_input};
const eq_kernel eq_ref_conv2d_grad_weight = {
    .op = "conv2d_grad_weight", .backend = "ref", .run = run_conv2d_grad_weight};
