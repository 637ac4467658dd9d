/* The gradient of group_norm, with the shift and SiLU inside. With z = (x - center) * rstd, u = gamma z + beta and
 * du = dy f'(u): dx = factor du - (offset + slope z), factor = rstd gamma, offset and slope the means over the group of
 * gamma du and gamma du z, times rstd. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/group_norm.h"

enum { CENTER, RSTD, GAMMA, BETA, FACTOR, OFFSET, SLOPE, SHIFT };

/* Adds to `out` the sums of du, du z and z. dy, x: [rows, count]; table: see above, rows of `width`; out: [3, width].
 * With SiLU, du costs an exponential: float32 results are kept in dx until the second pass. */
EQ_INLINE void sums_body(const void *dy, const void *x, int64_t rows, int64_t count, const float *table, int64_t width,
                         float *out, void *dx, bool silu, int dtype)
{
    const float *restrict center = table + CENTER * width, *restrict rstd = table + RSTD * width;
    const float *restrict gamma = table + GAMMA * width, *restrict beta = table + BETA * width;
    float *restrict sum_du = out, *restrict sum_duz = out + width, *restrict sum_z = out + 2 * width;
    for (int64_t r = 0; r < rows; r++)
#pragma omp simd
        for (int64_t k = 0; k < count; k++) {
            float z = (eq_load(x, r * count + k, dtype) - center[k]) * rstd[k];
            float du = eq_load(dy, r * count + k, dtype);
            if (silu)
                du *= eq_activate_slope(EQ_ACT_SILU, z * gamma[k] + beta[k]);
            if (silu && dtype == EQ_F32)
                eq_store(dx, r * count + k, dtype, du);
            sum_du[k] += du;
            sum_duz[k] += du * z;
            sum_z[k] += z;
        }
}

EQ_CLONES static void sums(const void *dy, const void *x, int64_t rows, int64_t count, const float *table,
                           int64_t width, float *out, void *dx, bool silu, eq_dtype type)
{
    if (silu)
        EQ_FOR_DTYPE(type, sums_body(dy, x, rows, count, table, width, out, dx, true, dtype));
    else
        EQ_FOR_DTYPE(type, sums_body(dy, x, rows, count, table, width, out, dx, false, dtype));
}

/* dy, x, dx: [rows, count] */
EQ_INLINE void gradient_body(const void *dy, const void *x, int64_t rows, int64_t count, const float *table,
                             int64_t width, void *dx, bool silu, int dtype)
{
    const float *restrict center = table + CENTER * width, *restrict rstd = table + RSTD * width;
    const float *restrict gamma = table + GAMMA * width, *restrict beta = table + BETA * width;
    const float *restrict factor = table + FACTOR * width, *restrict offset = table + OFFSET * width;
    const float *restrict slope = table + SLOPE * width;
    for (int64_t r = 0; r < rows; r++)
#pragma omp simd
        for (int64_t k = 0; k < count; k++) {
            float z = (eq_load(x, r * count + k, dtype) - center[k]) * rstd[k];
            float du = eq_load(dy, r * count + k, dtype);
            if (silu)
                du *= eq_activate_slope(EQ_ACT_SILU, z * gamma[k] + beta[k]);
            eq_store(dx, r * count + k, dtype, factor[k] * du - (offset[k] + slope[k] * z));
        }
}

EQ_CLONES static void gradient(const void *dy, const void *x, int64_t rows, int64_t count, const float *table,
                               int64_t width, void *dx, bool silu, eq_dtype type)
{
    if (silu)
        EQ_FOR_DTYPE(type, gradient_body(dy, x, rows, count, table, width, dx, true, dtype));
    else
        EQ_FOR_DTYPE(type, gradient_body(dy, x, rows, count, table, width, dx, false, dtype));
}

static void sum_block(const eq_norm_layout *l, const void *dy, const void *x, int64_t rows, const float *table,
                      float *out, void *dx)
{
    int64_t whole = rows / l->fold, rest = whole * l->width;
    memset(out, 0, (size_t)(3 * l->width) * sizeof(float));
    sums(dy, x, whole, l->width, table, l->width, out, dx, l->silu, l->dtype);
    sums(eq_at(dy, rest, l->dtype), eq_at(x, rest, l->dtype), rows % l->fold, l->c, table, l->width, out,
         eq_at_mutable(dx, rest, l->dtype), l->silu, l->dtype);
}

static void write_block(const eq_norm_layout *l, const void *dy, const void *x, int64_t rows, const float *table,
                        void *dx)
{
    int64_t whole = rows / l->fold, rest = whole * l->width;
    bool silu = l->silu && l->dtype != EQ_F32;
    dy = l->silu && !silu ? dx : dy; /* du, left there by the first pass */
    gradient(dy, x, whole, l->width, table, l->width, dx, silu, l->dtype);
    gradient(eq_at(dy, rest, l->dtype), eq_at(x, rest, l->dtype), rows % l->fold, l->c, table, l->width,
             eq_at_mutable(dx, rest, l->dtype), silu, l->dtype);
}

/* stats: [groups, 2] mean and 1 / std */
static void start_table(const eq_norm_layout *l, eq_norm_space space, const float *stats)
{
    float *center = space.table + CENTER * l->width, *rstd = space.table + RSTD * l->width;
    const float *shift = space.table + SHIFT * l->width;
    for (int64_t k = 0; k < l->c; k++) {
        const float *group = stats + 2 * (k / l->per_group);
        center[k] = group[0] - shift[k];
        rstd[k] = group[1];
    }
    eq_norm_repeat(l, center);
    eq_norm_repeat(l, rstd);
}

/* From the sums in the space: the table's factor, offset and slope, and dshift, the sum of dx over the image, in closed
 * form. dshift: [c] of the layout's dtype, or NULL */
static void finish_table(const eq_norm_layout *l, eq_norm_space space, void *dshift)
{
    const double *total = space.total;
    const float *gamma = space.table + GAMMA * l->width, *rstds = space.table + RSTD * l->width;
    float *factors = space.table + FACTOR * l->width, *offsets = space.table + OFFSET * l->width;
    float *slopes = space.table + SLOPE * l->width;
    double rows = (double)l->rows, count = rows * (double)l->per_group;
    for (int64_t g = 0; g < l->groups; g++) {
        int64_t first = g * l->per_group, last = first + l->per_group;
        double rstd = (double)rstds[first], offset = 0, slope = 0;
        for (int64_t k = first; k < last; k++) {
            offset += (double)gamma[k] * total[k];
            slope += (double)gamma[k] * total[l->c + k];
        }
        offset *= rstd / count;
        slope *= rstd / count;
        for (int64_t k = first; k < last; k++) {
            double factor = rstd * (double)gamma[k];
            factors[k] = (float)factor;
            offsets[k] = (float)offset;
            slopes[k] = (float)slope;
            if (dshift)
                eq_store(dshift, k, (int)l->dtype,
                         (float)(factor * total[k] - rows * offset - slope * total[2 * l->c + k]));
        }
    }
    eq_norm_repeat(l, factors);
    eq_norm_repeat(l, offsets);
    eq_norm_repeat(l, slopes);
}

/* Leaves the image's sums of du and du z in space.total. */
static void backward_image(const eq_norm_layout *l, const void *dy, const void *x, const float *stats,
                           eq_norm_space space, void *dx, void *dshift)
{
    int64_t step = l->block * l->c;
    start_table(l, space, stats);
#pragma omp parallel for schedule(static) if (l->split)
    for (int64_t b = 0; b < l->blocks; b++)
        sum_block(l, eq_at(dy, b * step, l->dtype), eq_at(x, b * step, l->dtype), eq_norm_block_rows(l, b), space.table,
                  space.partial + b * 3 * l->width, eq_at_mutable(dx, b * step, l->dtype));
    eq_norm_add_blocks(l, space, 3);
    finish_table(l, space, dshift);
#pragma omp parallel for schedule(static) if (l->split)
    for (int64_t b = 0; b < l->blocks; b++)
        write_block(l, eq_at(dy, b * step, l->dtype), eq_at(x, b * step, l->dtype), eq_norm_block_rows(l, b),
                    space.table, eq_at_mutable(dx, b * step, l->dtype));
}

static bool supports(const eq_graph *graph, const eq_node *node)
{
    eq_dtype dtype = eq_info(graph, node->in[1])->dtype;
    return eq_is_f32_or_bf16(graph, node->in[1]) && dtype == eq_info(graph, node->in[0])->dtype &&
           dtype == eq_info(graph, node->out[0])->dtype;
}

static eq_status prepare(const eq_kernel_env *env, const eq_node *node, void **state, size_t *scratch_bytes)
{
    eq_norm_layout l = eq_norm_layout_of(env->graph, node, node->in[1]);
    *scratch_bytes = eq_norm_scratch_bytes(&l);
    return EQ_OK;
}

/* run's work for image i */
static void run_image(const eq_norm_layout *l, const eq_graph *graph, const eq_node *node, void *const *in,
                      void *const *out, void *scratch, int64_t i)
{
    eq_norm_space space = eq_norm_space_at(l, scratch, i);
    int64_t start = i * l->rows * l->c;
    void *dshift = node->outputs > 3 ? out[3] : NULL;
    eq_norm_load_table(l, space, GAMMA, graph, node->in[2], in[2], 0);
    eq_norm_load_table(l, space, BETA, graph, node->in[3], in[3], 0);
    eq_norm_load_table(l, space, SHIFT, graph, node->in[4], in[4], i);
    backward_image(l, eq_at(in[0], start, l->dtype), eq_at(in[1], start, l->dtype),
                   (const float *)in[5] + 2 * i * l->groups, space, eq_at_mutable(out[0], start, l->dtype),
                   dshift ? eq_at_mutable(dshift, i * l->c, l->dtype) : NULL);
}

/* in: dy, x, gamma, beta, shift?, stats; out: dx, dgamma, dbeta, dshift? */
static eq_status run(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in, void *const *out,
                     void *scratch)
{
    eq_norm_layout l = eq_norm_layout_of(env->graph, node, node->in[1]);
    float *dgamma = out[1], *dbeta = out[2];
    EQ_NORM_FOR_IMAGES(l, i, run_image(&l, env->graph, node, in, out, scratch, i));
    for (int64_t k = 0; k < l.c; k++) {
        double sum_du = 0, sum_duz = 0;
        for (int64_t i = 0; i < l.n; i++) {
            const double *total = eq_norm_space_at(&l, scratch, i).total;
            sum_du += total[k];
            sum_duz += total[l.c + k];
        }
        dbeta[k] = (float)sum_du;
        dgamma[k] = (float)sum_duz;
    }
    return EQ_OK;
}

const eq_kernel eq_cpu_group_norm_grad = {
    .op = "group_norm_grad", .backend = "cpu", .supports = supports, .prepare = prepare, .run = run, .any_dtype = true};
