/* group_norm and its gradient, with the shift and SiLU inside. An image is read twice: once for sums per channel, once
 * to write the result; with enough images each stays in its thread's cache in between. Sums are float32 over blocks
 * of BLOCK_ROWS pixels and double across blocks, in the blocks' order, so threads do not matter. */
#include <math.h>
#include <omp.h>

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/simd.h"

enum { BLOCK_ROWS = 64 };

typedef struct layout {
    int64_t n, rows, c, groups, per_group, blocks;
    eq_dtype dtype;
    eq_activation activation;
    bool split; /* few images: threads share one; otherwise each takes whole images */
} layout;

/* Scratch of one image. */
typedef struct workspace {
    double *total;  /* [3, c] sums over the image */
    float *table;   /* [7, c] what the second pass needs per channel */
    float *partial; /* [blocks, 3, c] sums over the blocks */
} workspace;

static layout layout_of(const eq_graph *graph, const eq_node *node, eq_value x)
{
    const eq_value_info *info = eq_info(graph, x);
    const eq_shape *shape = &info->shape;
    layout l = {.n = shape->dim[0], .rows = 1, .c = shape->dim[shape->rank - 1], .groups = node->attr.groups};
    for (int d = 1; d < shape->rank - 1; d++)
        l.rows *= shape->dim[d];
    l.per_group = l.c / l.groups;
    l.blocks = (l.rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
    l.dtype = info->dtype;
    l.activation = node->attr.activation;
    int threads = omp_get_max_threads();
    l.split = l.n % threads != 0 && l.n < 4 * threads;
    return l;
}

static int64_t block_rows(const layout *l, int64_t block)
{
    return eq_min_i64(BLOCK_ROWS, l->rows - block * BLOCK_ROWS);
}

static int64_t workspace_bytes(const layout *l)
{
    int64_t bytes = l->c * (3 * (int64_t)sizeof(double) + (7 + 3 * l->blocks) * (int64_t)sizeof(float));
    return (bytes + 63) / 64 * 64;
}

static workspace workspace_at(const layout *l, void *scratch, int64_t image)
{
    workspace w;
    w.total = (double *)(void *)((unsigned char *)scratch + image * workspace_bytes(l));
    w.table = (float *)(w.total + 3 * l->c);
    w.partial = w.table + 7 * l->c;
    return w;
}

/* Scratch: a workspace an image, then gamma and beta as floats. */
static size_t scratch_needed(const layout *l)
{
    return (size_t)(l->n * workspace_bytes(l) + 2 * l->c * (int64_t)sizeof(float));
}

static void floats_of(const eq_graph *graph, eq_value value, const void *data, int64_t offset, int64_t count,
                      float *out)
{
    eq_dtype dtype = eq_info(graph, value)->dtype;
    eq_tensor part = {dtype, eq_shape_of(count), (unsigned char *)data + offset * (int64_t)eq_dtype_size(dtype)};
    eq_tensor_to_f32(&part, out);
}

static bool is_supported(const eq_graph *graph, const eq_node *node, eq_value x, eq_value like_x)
{
    return eq_is_f32_or_bf16(graph, x) && eq_info(graph, x)->dtype == eq_info(graph, like_x)->dtype &&
           (node->attr.activation == EQ_ACT_NONE || node->attr.activation == EQ_ACT_SILU);
}

/* --- forward --- */

/* x: [rows, c]; pivot: [c], near the mean; out: sum of (x - pivot), sum of its squares: [2, c] */
EQ_INLINE void moments_body(const void *x, int64_t rows, int64_t c, const float *restrict pivot, float *restrict sum,
                            float *restrict squares, int dtype)
{
    memset(sum, 0, (size_t)c * sizeof(float));
    memset(squares, 0, (size_t)c * sizeof(float));
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4)
#pragma omp simd
        for (int64_t k = 0; k < c; k++) {
            float d0 = eq_load(x, r * c + k, dtype) - pivot[k], d1 = eq_load(x, (r + 1) * c + k, dtype) - pivot[k];
            float d2 = eq_load(x, (r + 2) * c + k, dtype) - pivot[k];
            float d3 = eq_load(x, (r + 3) * c + k, dtype) - pivot[k];
            sum[k] += (d0 + d1) + (d2 + d3);
            squares[k] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3);
        }
    for (; r < rows; r++)
#pragma omp simd
        for (int64_t k = 0; k < c; k++) {
            float d = eq_load(x, r * c + k, dtype) - pivot[k];
            sum[k] += d;
            squares[k] += d * d;
        }
}

EQ_CLONES static void moments(const void *x, int64_t rows, int64_t c, const float *pivot, float *out, eq_dtype type)
{
    EQ_FOR_DTYPE(type, moments_body(x, rows, c, pivot, out, out + c, dtype));
}

/* y = f((x - center) * factor + beta); x, y: [rows, c]; the others: [c] */
EQ_INLINE void normalise_body(const void *x, int64_t rows, int64_t c, const float *restrict center,
                              const float *restrict factor, const float *restrict beta, void *y, bool silu, int dtype)
{
    for (int64_t r = 0; r < rows; r++)
#pragma omp simd
        for (int64_t k = 0; k < c; k++) {
            float u = (eq_load(x, r * c + k, dtype) - center[k]) * factor[k] + beta[k];
            eq_store(y, r * c + k, dtype, silu ? u * eq_sigmoid(u) : u);
        }
}

EQ_CLONES static void normalise(const void *x, int64_t rows, int64_t c, const float *center, const float *factor,
                                const float *beta, void *y, bool silu, eq_dtype type)
{
    if (silu)
        EQ_FOR_DTYPE(type, normalise_body(x, rows, c, center, factor, beta, y, true, dtype));
    else
        EQ_FOR_DTYPE(type, normalise_body(x, rows, c, center, factor, beta, y, false, dtype));
}

/* total: [parts, c] = partial [blocks, parts, c] summed over the blocks */
EQ_CLONES static void add_blocks(const float *restrict partial, int64_t blocks, int64_t count, double *restrict total)
{
    memset(total, 0, (size_t)count * sizeof(double));
    for (int64_t b = 0; b < blocks; b++)
#pragma omp simd
        for (int64_t k = 0; k < count; k++)
            total[k] += (double)partial[b * count + k];
}

/* Mean and 1 / std of each group of x + shift, from the sums of x around its first pixel.
 * total: [2, c]; pivot: [c]; shift: [c], or NULL; stats: [groups, 2] */
static void group_statistics(const layout *l, double *total, const float *pivot, const float *shift, double epsilon,
                             float *stats)
{
    double *mean = total, *squares = total + l->c, rows = (double)l->rows;
    for (int64_t k = 0; k < l->c; k++) {
        squares[k] -= mean[k] * mean[k] / rows;
        mean[k] = mean[k] / rows + (double)pivot[k] + (shift ? (double)shift[k] : 0.0);
    }
    for (int64_t g = 0; g < l->groups; g++) {
        int64_t first = g * l->per_group, last = first + l->per_group;
        double center = 0, spread = 0;
        for (int64_t k = first; k < last; k++)
            center += mean[k];
        center /= (double)l->per_group;
        for (int64_t k = first; k < last; k++)
            spread += squares[k] + rows * (mean[k] - center) * (mean[k] - center);
        stats[2 * g] = (float)center;
        stats[2 * g + 1] = (float)(1.0 / sqrt(fmax(spread, 0.0) / (rows * (double)l->per_group) + epsilon));
    }
}

typedef struct forward {
    layout l;
    const void *x;
    void *y;
    const float *gamma, *beta; /* [c] */
    float *stats;              /* [n, groups, 2] */
    float epsilon;
} forward;

/* shift: [c], or NULL */
static void forward_image(const forward *f, int64_t image, const float *shift, workspace w)
{
    const layout *l = &f->l;
    int64_t c = l->c, start = image * l->rows * c;
    float *center = w.table, *factor = w.table + c, *pivot = w.table + 2 * c, *stats = f->stats + 2 * image * l->groups;
    eq_tensor first = {l->dtype, eq_shape_of(c), (void *)eq_at(f->x, start, l->dtype)};
    eq_tensor_to_f32(&first, pivot);
#pragma omp parallel for schedule(static) if (l->split)
    for (int64_t b = 0; b < l->blocks; b++)
        moments(eq_at(f->x, start + b * BLOCK_ROWS * c, l->dtype), block_rows(l, b), c, pivot, w.partial + b * 2 * c,
                l->dtype);
    add_blocks(w.partial, l->blocks, 2 * c, w.total);
    group_statistics(l, w.total, pivot, shift, (double)f->epsilon, stats);
    for (int64_t k = 0; k < c; k++) {
        const float *group = stats + 2 * (k / l->per_group);
        center[k] = group[0] - (shift ? shift[k] : 0.0f);
        factor[k] = group[1] * f->gamma[k];
    }
#pragma omp parallel for schedule(static) if (l->split)
    for (int64_t b = 0; b < l->blocks; b++) {
        int64_t at = start + b * BLOCK_ROWS * c;
        normalise(eq_at(f->x, at, l->dtype), block_rows(l, b), c, center, factor, f->beta,
                  eq_at_mutable(f->y, at, l->dtype), l->activation == EQ_ACT_SILU, l->dtype);
    }
}

static bool supports(const eq_graph *graph, const eq_node *node)
{
    return is_supported(graph, node, node->in[0], node->out[0]);
}

static eq_status prepare(const eq_kernel_env *env, const eq_node *node, void **state, size_t *scratch_bytes)
{
    layout l = layout_of(env->graph, node, node->in[0]);
    *scratch_bytes = scratch_needed(&l);
    return EQ_OK;
}

/* in: x, gamma, beta, shift?; out: y, stats */
static eq_status run(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in, void *const *out,
                     void *scratch)
{
    forward f = {.l = layout_of(env->graph, node, node->in[0]), .x = in[0], .y = out[0], .stats = out[1]};
    const layout *l = &f.l;
    float *params = (float *)(void *)((unsigned char *)scratch + l->n * workspace_bytes(l));
    floats_of(env->graph, node->in[1], in[1], 0, l->c, params);
    floats_of(env->graph, node->in[2], in[2], 0, l->c, params + l->c);
    f.gamma = params;
    f.beta = params + l->c;
    f.epsilon = node->attr.epsilon;
#pragma omp parallel for schedule(static) if (!l->split)
    for (int64_t i = 0; i < l->n; i++) {
        workspace w = workspace_at(l, scratch, i);
        float *shift = NULL;
        if (in[3]) {
            shift = w.table + 3 * l->c;
            floats_of(env->graph, node->in[3], in[3], i * l->c, l->c, shift);
        }
        forward_image(&f, i, shift, w);
    }
    return EQ_OK;
}

/* --- gradient --- */

/* What both passes of the gradient need per channel, and the second one besides; each [c]. With z = (x - center) *
 * rstd, u = gamma z + beta, du = dy f'(u): dx = factor * du - (offset + slope * z). */
typedef struct channel_table {
    float *center, *rstd, *factor, *offset, *slope;
    const float *gamma, *beta;
} channel_table;

/* dy, x: [rows, c]; out: sums over the rows of du, du z, and z: [c] each */
EQ_INLINE void gradient_sums_body(const void *dy, const void *x, int64_t rows, int64_t c, const channel_table *t,
                                  float *restrict sum_du, float *restrict sum_duz, float *restrict sum_z, bool silu,
                                  int dtype)
{
    const float *restrict center = t->center, *restrict rstd = t->rstd;
    const float *restrict gamma = t->gamma, *restrict beta = t->beta;
    memset(sum_du, 0, (size_t)c * sizeof(float));
    memset(sum_duz, 0, (size_t)c * sizeof(float));
    memset(sum_z, 0, (size_t)c * sizeof(float));
    for (int64_t r = 0; r < rows; r++)
#pragma omp simd
        for (int64_t k = 0; k < c; k++) {
            float z = (eq_load(x, r * c + k, dtype) - center[k]) * rstd[k];
            float du = eq_load(dy, r * c + k, dtype);
            if (silu)
                du *= eq_activate_slope(EQ_ACT_SILU, z * gamma[k] + beta[k]);
            sum_du[k] += du;
            sum_duz[k] += du * z;
            sum_z[k] += z;
        }
}

EQ_CLONES static void gradient_sums(const void *dy, const void *x, int64_t rows, int64_t c, const channel_table *t,
                                    float *out, bool silu, eq_dtype type)
{
    if (silu)
        EQ_FOR_DTYPE(type, gradient_sums_body(dy, x, rows, c, t, out, out + c, out + 2 * c, true, dtype));
    else
        EQ_FOR_DTYPE(type, gradient_sums_body(dy, x, rows, c, t, out, out + c, out + 2 * c, false, dtype));
}

/* dy, x, dx: [rows, c] */
EQ_INLINE void gradient_body(const void *dy, const void *x, int64_t rows, int64_t c, const channel_table *t, void *dx,
                             bool silu, int dtype)
{
    const float *restrict center = t->center, *restrict rstd = t->rstd, *restrict factor = t->factor;
    const float *restrict offset = t->offset, *restrict slope = t->slope;
    const float *restrict gamma = t->gamma, *restrict beta = t->beta;
    for (int64_t r = 0; r < rows; r++)
#pragma omp simd
        for (int64_t k = 0; k < c; k++) {
            float z = (eq_load(x, r * c + k, dtype) - center[k]) * rstd[k];
            float du = eq_load(dy, r * c + k, dtype);
            if (silu)
                du *= eq_activate_slope(EQ_ACT_SILU, z * gamma[k] + beta[k]);
            eq_store(dx, r * c + k, dtype, factor[k] * du - (offset[k] + slope[k] * z));
        }
}

EQ_CLONES static void gradient(const void *dy, const void *x, int64_t rows, int64_t c, const channel_table *t, void *dx,
                               bool silu, eq_dtype type)
{
    if (silu)
        EQ_FOR_DTYPE(type, gradient_body(dy, x, rows, c, t, dx, true, dtype));
    else
        EQ_FOR_DTYPE(type, gradient_body(dy, x, rows, c, t, dx, false, dtype));
}

/* Fills what the second pass needs from the sums of the first. total: [3, c] sums of du, du z, z over the image;
 * dshift: [c] of dtype, or NULL: the sum of dx over the image, in closed form */
static void finish_table(const layout *l, const double *total, channel_table *t, void *dshift)
{
    double rows = (double)l->rows, count = rows * (double)l->per_group;
    for (int64_t g = 0; g < l->groups; g++) {
        int64_t first = g * l->per_group, last = first + l->per_group;
        double rstd = (double)t->rstd[first], offset = 0, slope = 0;
        for (int64_t k = first; k < last; k++) {
            offset += (double)t->gamma[k] * total[k];
            slope += (double)t->gamma[k] * total[l->c + k];
        }
        offset *= rstd / count;
        slope *= rstd / count;
        for (int64_t k = first; k < last; k++) {
            double factor = rstd * (double)t->gamma[k];
            t->factor[k] = (float)factor;
            t->offset[k] = (float)offset;
            t->slope[k] = (float)slope;
            if (dshift)
                eq_store(dshift, k, l->dtype, (float)(factor * total[k] - rows * offset - slope * total[2 * l->c + k]));
        }
    }
}

typedef struct backward {
    layout l;
    const void *dy, *x;
    const float *gamma, *beta, *stats; /* [c], [c], [n, groups, 2] */
    void *dx, *dshift;                 /* dshift: [n, c] or NULL */
} backward;

/* shift: [c], or NULL. Leaves the image's sums of du and du z in w.total. */
static void backward_image(const backward *f, int64_t image, const float *shift, workspace w)
{
    const layout *l = &f->l;
    int64_t c = l->c, start = image * l->rows * c;
    const float *stats = f->stats + 2 * image * l->groups;
    bool silu = l->activation == EQ_ACT_SILU;
    channel_table t = {w.table, w.table + c, w.table + 2 * c, w.table + 3 * c, w.table + 4 * c, f->gamma, f->beta};
    for (int64_t k = 0; k < c; k++) {
        const float *group = stats + 2 * (k / l->per_group);
        t.center[k] = group[0] - (shift ? shift[k] : 0.0f);
        t.rstd[k] = group[1];
    }
#pragma omp parallel for schedule(static) if (l->split)
    for (int64_t b = 0; b < l->blocks; b++) {
        int64_t at = start + b * BLOCK_ROWS * c;
        gradient_sums(eq_at(f->dy, at, l->dtype), eq_at(f->x, at, l->dtype), block_rows(l, b), c, &t,
                      w.partial + b * 3 * c, silu, l->dtype);
    }
    add_blocks(w.partial, l->blocks, 3 * c, w.total);
    finish_table(l, w.total, &t, f->dshift ? eq_at_mutable(f->dshift, image * c, l->dtype) : NULL);
#pragma omp parallel for schedule(static) if (l->split)
    for (int64_t b = 0; b < l->blocks; b++) {
        int64_t at = start + b * BLOCK_ROWS * c;
        gradient(eq_at(f->dy, at, l->dtype), eq_at(f->x, at, l->dtype), block_rows(l, b), c, &t,
                 eq_at_mutable(f->dx, at, l->dtype), silu, l->dtype);
    }
}

static bool supports_grad(const eq_graph *graph, const eq_node *node)
{
    return is_supported(graph, node, node->in[1], node->in[0]) && is_supported(graph, node, node->in[1], node->out[0]);
}

static eq_status prepare_grad(const eq_kernel_env *env, const eq_node *node, void **state, size_t *scratch_bytes)
{
    layout l = layout_of(env->graph, node, node->in[1]);
    *scratch_bytes = scratch_needed(&l);
    return EQ_OK;
}

/* in: dy, x, gamma, beta, shift?, stats; out: dx, dgamma, dbeta, dshift? */
static eq_status run_grad(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in, void *const *out,
                          void *scratch)
{
    backward f = {.l = layout_of(env->graph, node, node->in[1]), .dy = in[0], .x = in[1], .stats = in[5]};
    const layout *l = &f.l;
    float *params = (float *)(void *)((unsigned char *)scratch + l->n * workspace_bytes(l));
    float *dgamma = out[1], *dbeta = out[2];
    floats_of(env->graph, node->in[2], in[2], 0, l->c, params);
    floats_of(env->graph, node->in[3], in[3], 0, l->c, params + l->c);
    f.gamma = params;
    f.beta = params + l->c;
    f.dx = out[0];
    f.dshift = node->outputs > 3 ? out[3] : NULL;
#pragma omp parallel for schedule(static) if (!l->split)
    for (int64_t i = 0; i < l->n; i++) {
        workspace w = workspace_at(l, scratch, i);
        float *shift = NULL;
        if (in[4]) {
            shift = w.table + 5 * l->c;
            floats_of(env->graph, node->in[4], in[4], i * l->c, l->c, shift);
        }
        backward_image(&f, i, shift, w);
    }
    for (int64_t k = 0; k < l->c; k++) {
        double sum_du = 0, sum_duz = 0;
        for (int64_t i = 0; i < l->n; i++) {
            const double *total = workspace_at(l, scratch, i).total;
            sum_du += total[k];
            sum_duz += total[l->c + k];
        }
        dbeta[k] = (float)sum_du;
        dgamma[k] = (float)sum_duz;
    }
    return EQ_OK;
}

const eq_kernel eq_cpu_group_norm = {
    .op = "group_norm", .backend = "cpu", .supports = supports, .prepare = prepare, .run = run, .any_dtype = true};
const eq_kernel eq_cpu_group_norm_grad = {.op = "group_norm_grad",
                                          .backend = "cpu",
                                          .supports = supports_grad,
                                          .prepare = prepare_grad,
                                          .run = run_grad,
                                          .any_dtype = true};
