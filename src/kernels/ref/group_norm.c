#include <math.h>

#include "kernels/ref/ref.h"

typedef struct geometry {
    int64_t n, positions, c, groups, width; /* width: channels of a group */
    int64_t line;                           /* positions of an image's line, where x is an image */
} geometry;

static geometry geometry_of(const eq_graph *graph, const eq_node *node, eq_value x)
{
    const eq_shape *shape = eq_shape_at(graph, x);
    geometry g = {.n = shape->dim[0], .c = shape->dim[shape->rank - 1], .groups = node->attr.groups, .positions = 1};
    for (int d = 1; d + 1 < shape->rank; d++)
        g.positions *= shape->dim[d];
    g.width = g.c / g.groups;
    g.line = shape->dim[shape->rank - 2];
    return g;
}

/* window: top, left, bottom, right; NULL: everything is within */
static bool within(const geometry *g, int64_t position, const int32_t *window)
{
    int64_t y = position / g->line, x = position % g->line;
    return !window || (y >= window[0] && x >= window[1] && y < window[2] && x < window[3]);
}

/* mean and 1/std of x + shift over group `group` of image `i`; x: [n, positions, c]; shift: [n, c] or NULL */
static void statistics(const geometry *g, const float *x, const float *shift, const int32_t *window, int64_t i,
                       int64_t group, float epsilon, float *stats)
{
    double sum = 0, squares = 0, count = 0;
    for (int64_t p = 0; p < g->positions; p++)
        count += within(g, p, window) ? (double)g->width : 0;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t p = 0; p < g->positions; p++)
            for (int64_t c = group * g->width; c < (group + 1) * g->width; c++) {
                double value = (double)x[(i * g->positions + p) * g->c + c] + (shift ? shift[i * g->c + c] : 0);
                if (!within(g, p, window))
                    continue;
                if (pass == 0)
                    sum += value;
                else
                    squares += (value - sum / count) * (value - sum / count);
            }
    stats[0] = (float)(sum / count);
    stats[1] = (float)(1 / sqrt(squares / count + epsilon));
}

/* in: x: [n, positions, c], gamma: [c], beta: [c], shift: [n, c], given: [n, groups, 2], window: [4];
 * out: y, like x, stats: [n, groups, 2] */
static eq_status run_group_norm(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                                void *const *out, void *scratch)
{
    const float *x = in[0], *gamma = in[1], *beta = in[2], *shift = in[3], *given = in[4];
    float *y = out[0], *stats = out[1];
    geometry g = geometry_of(env->graph, node, node->in[0]);
#pragma omp parallel for
    for (int64_t row = 0; row < g.n * g.groups; row++) {
        int64_t i = row / g.groups, group = row % g.groups;
        const float *s = (given ? given : stats) + 2 * row;
        statistics(&g, x, shift, in[5], i, group, node->attr.epsilon, stats + 2 * row);
        for (int64_t p = 0; p < g.positions; p++)
            for (int64_t c = group * g.width; c < (group + 1) * g.width; c++) {
                int64_t at = (i * g.positions + p) * g.c + c;
                float value = x[at] + (shift ? shift[i * g.c + c] : 0);
                y[at] = eq_ref_activate(node->attr.activation, gamma[c] * ((value - s[0]) * s[1]) + beta[c]);
            }
    }
    return EQ_OK;
}

/* What the gradient reads, and its terms at one element. */
typedef struct backward {
    geometry g;
    eq_activation activation;
    const float *dy, *x, *gamma, *beta, *shift, *stats;
} backward;

/* normalised: (x + shift - mean) / std; returns the gradient of gamma * normalised + beta */
static double gradient_at(const backward *b, int64_t i, int64_t p, int64_t c, double *normalised)
{
    const geometry *g = &b->g;
    const float *s = b->stats + 2 * (i * g->groups + c / g->width);
    int64_t at = (i * g->positions + p) * g->c + c;
    float value = b->x[at] + (b->shift ? b->shift[i * g->c + c] : 0);
    *normalised = ((double)value - s[0]) * s[1];
    return (double)b->dy[at] *
           eq_ref_activation_derivative(b->activation, (float)(b->gamma[c] * *normalised + b->beta[c]));
}

/* dgamma, dbeta: [c] */
static void parameter_gradients(const backward *b, float *dgamma, float *dbeta)
{
#pragma omp parallel for
    for (int64_t c = 0; c < b->g.c; c++) {
        double sum_gamma = 0, sum_beta = 0;
        for (int64_t i = 0; i < b->g.n; i++)
            for (int64_t p = 0; p < b->g.positions; p++) {
                double normalised, gradient = gradient_at(b, i, p, c, &normalised);
                sum_gamma += gradient * normalised;
                sum_beta += gradient;
            }
        dgamma[c] = (float)sum_gamma;
        dbeta[c] = (float)sum_beta;
    }
}

/* With d = gamma * gradient, h = normalised: dx = (d - mean(d) - h mean(d h)) / std, means over the group. */
static void input_gradient(const backward *b, int64_t i, int64_t group, float *dx)
{
    const geometry *g = &b->g;
    double mean_d = 0, mean_dh = 0, normalised, count = (double)(g->positions * g->width);
    for (int64_t p = 0; p < g->positions; p++)
        for (int64_t c = group * g->width; c < (group + 1) * g->width; c++) {
            double d = b->gamma[c] * gradient_at(b, i, p, c, &normalised);
            mean_d += d / count;
            mean_dh += d * normalised / count;
        }
    for (int64_t p = 0; p < g->positions; p++)
        for (int64_t c = group * g->width; c < (group + 1) * g->width; c++) {
            double d = b->gamma[c] * gradient_at(b, i, p, c, &normalised);
            dx[(i * g->positions + p) * g->c + c] =
                (float)((d - mean_d - normalised * mean_dh) * b->stats[2 * (i * g->groups + group) + 1]);
        }
}

/* in: dy, x: [n, positions, c], gamma, beta: [c], shift: [n, c], stats: [n, groups, 2];
 * out: dx, like x, dgamma, dbeta: [c], dshift: [n, c] */
static eq_status run_group_norm_grad(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                                     void *const *out, void *scratch)
{
    backward b = {.g = geometry_of(env->graph, node, node->in[1]),
                  .activation = node->attr.activation,
                  .dy = in[0],
                  .x = in[1],
                  .gamma = in[2],
                  .beta = in[3],
                  .shift = in[4],
                  .stats = in[5]};
    float *dx = out[0], *dshift = out[3];
    parameter_gradients(&b, out[1], out[2]);
#pragma omp parallel for
    for (int64_t row = 0; row < b.g.n * b.g.groups; row++)
        input_gradient(&b, row / b.g.groups, row % b.g.groups, dx);
    if (dshift)
        for (int64_t i = 0; i < b.g.n; i++)
            eq_ref_sum_rows(dx + i * b.g.positions * b.g.c, b.g.positions, b.g.c, dshift + i * b.g.c);
    return EQ_OK;
}

const eq_kernel eq_ref_group_norm = {.op = "group_norm", .backend = "ref", .run = run_group_norm};
const eq_kernel eq_ref_group_norm_grad = {.op = "group_norm_grad", .backend = "ref", .run = run_group_norm_grad};
