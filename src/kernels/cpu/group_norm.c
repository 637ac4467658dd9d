#include "kernels/cpu/group_norm.h"

#include <math.h>
#include <omp.h>

#include "kernels/cpu/cpu.h"

enum { LONG_ROW = 256, MAX_FOLD = 64 };

eq_norm_layout eq_norm_layout_of(const eq_graph *graph, const eq_node *node, eq_value x)
{
    const eq_value_info *info = eq_info(graph, x);
    const eq_shape *shape = &info->shape;
    eq_norm_layout l = {.n = shape->dim[0], .rows = 1, .c = shape->dim[shape->rank - 1], .fold = 1};
    for (int d = 1; d < shape->rank - 1; d++)
        l.rows *= shape->dim[d];
    while (l.fold * l.c < LONG_ROW && l.fold < MAX_FOLD)
        l.fold *= 2;
    l.width = l.fold * l.c;
    l.block = l.fold * EQ_NORM_BLOCK;
    l.groups = node->attr.groups;
    l.per_group = l.c / l.groups;
    l.blocks = (l.rows + l.block - 1) / l.block;
    l.dtype = info->dtype;
    l.silu = node->attr.activation == EQ_ACT_SILU;
    int threads = omp_get_max_threads();
    l.split = l.n % threads != 0 && l.n < 4 * threads;
    return l;
}

static int64_t space_bytes(const eq_norm_layout *l)
{
    int64_t doubles = EQ_NORM_SUMS * l->width, floats = (EQ_NORM_TABLES + EQ_NORM_SUMS * l->blocks) * l->width;
    return (doubles * (int64_t)sizeof(double) + floats * (int64_t)sizeof(float) + 63) / 64 * 64;
}

size_t eq_norm_scratch_bytes(const eq_norm_layout *l)
{
    return (size_t)(l->n * space_bytes(l));
}

eq_norm_space eq_norm_space_at(const eq_norm_layout *l, void *scratch, int64_t image)
{
    eq_norm_space space;
    space.total = (double *)(void *)((unsigned char *)scratch + image * space_bytes(l));
    space.table = (float *)(space.total + EQ_NORM_SUMS * l->width);
    space.partial = space.table + EQ_NORM_TABLES * l->width;
    return space;
}

void eq_norm_repeat(const eq_norm_layout *l, float *row)
{
    for (int64_t k = l->c; k < l->width; k++)
        row[k] = row[k - l->c];
}

void eq_norm_load_table(const eq_norm_layout *l, eq_norm_space space, int table, const eq_graph *graph, eq_value value,
                        const void *data, int64_t image)
{
    float *row = space.table + table * l->width;
    if (data) {
        eq_dtype dtype = eq_info(graph, value)->dtype;
        eq_tensor part = {dtype, eq_shape_of(l->c), (void *)eq_at(data, image * l->c, dtype)};
        eq_tensor_to_f32(&part, row);
    } else {
        memset(row, 0, (size_t)l->c * sizeof(float));
    }
    eq_norm_repeat(l, row);
}

EQ_CLONES static void add_blocks(const float *restrict partial, int64_t blocks, int64_t count, double *restrict total)
{
    memset(total, 0, (size_t)count * sizeof(double));
    for (int64_t b = 0; b < blocks; b++)
#pragma omp simd
        for (int64_t k = 0; k < count; k++)
            total[k] += (double)partial[b * count + k];
}

void eq_norm_add_blocks(const eq_norm_layout *l, eq_norm_space space, int sums)
{
    double *total = space.total;
    add_blocks(space.partial, l->blocks, sums * l->width, total);
    /* What is written lies at or before all that is still to be read. */
    for (int s = 0; s < sums; s++)
        for (int64_t k = 0; k < l->c; k++) {
            double sum = 0;
            for (int64_t at = k; at < l->width; at += l->c)
                sum += total[s * l->width + at];
            total[s * l->c + k] = sum;
        }
}

/* --- forward --- */

enum { CENTER, FACTOR, BETA, PIVOT, SHIFT, GAMMA };

/* Adds to `out` the sums of x - pivot and of its squares. x: [rows, count]; table: see above, rows of `width`;
 * out: [2, width] */
EQ_INLINE void moments_body(const void *x, int64_t rows, int64_t count, const float *table, int64_t width, float *out,
                            int dtype)
{
    const float *restrict pivot = table + PIVOT * width;
    float *restrict sum = out, *restrict squares = out + width;
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4) {
        int64_t r0 = r * count, r1 = r0 + count, r2 = r1 + count, r3 = r2 + count;
#pragma omp simd
        for (int64_t k = 0; k < count; k++) {
            float d0 = eq_load(x, r0 + k, dtype) - pivot[k], d1 = eq_load(x, r1 + k, dtype) - pivot[k];
            float d2 = eq_load(x, r2 + k, dtype) - pivot[k], d3 = eq_load(x, r3 + k, dtype) - pivot[k];
            sum[k] += (d0 + d1) + (d2 + d3);
            squares[k] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3);
        }
    }
    for (; r < rows; r++)
#pragma omp simd
        for (int64_t k = 0; k < count; k++) {
            float d = eq_load(x, r * count + k, dtype) - pivot[k];
            sum[k] += d;
            squares[k] += d * d;
        }
}

EQ_CLONES static void moments(const void *x, int64_t rows, int64_t count, const float *table, int64_t width, float *out,
                              eq_dtype type)
{
    EQ_FOR_DTYPE(type, moments_body(x, rows, count, table, width, out, dtype));
}

/* y = f((x - center) * factor + beta). x, y: [rows, count] */
EQ_INLINE void normalise_body(const void *x, int64_t rows, int64_t count, const float *table, int64_t width, void *y,
                              bool silu, int dtype)
{
    const float *restrict center = table + CENTER * width, *restrict factor = table + FACTOR * width;
    const float *restrict beta = table + BETA * width;
    for (int64_t r = 0; r < rows; r++)
#pragma omp simd
        for (int64_t k = 0; k < count; k++) {
            float u = (eq_load(x, r * count + k, dtype) - center[k]) * factor[k] + beta[k];
            eq_store(y, r * count + k, dtype, silu ? u * eq_sigmoid(u) : u);
        }
}

EQ_CLONES static void normalise(const void *x, int64_t rows, int64_t count, const float *table, int64_t width, void *y,
                                bool silu, eq_dtype type)
{
    if (silu)
        EQ_FOR_DTYPE(type, normalise_body(x, rows, count, table, width, y, true, dtype));
    else
        EQ_FOR_DTYPE(type, normalise_body(x, rows, count, table, width, y, false, dtype));
}

static void sum_block(const eq_norm_layout *l, const void *x, int64_t rows, const float *table, float *out)
{
    int64_t whole = rows / l->fold;
    memset(out, 0, (size_t)(2 * l->width) * sizeof(float));
    moments(x, whole, l->width, table, l->width, out, l->dtype);
    moments(eq_at(x, whole * l->width, l->dtype), rows % l->fold, l->c, table, l->width, out, l->dtype);
}

/* The part of an image [h, w, c] that statistics are of; all of it where there is no window. */
typedef struct norm_part {
    bool window;
    int64_t top, left, bottom, right, line; /* line: w */
    int64_t pixels;
} norm_part;

/* window: top, left, bottom, right, or NULL */
static norm_part part_of(const eq_norm_layout *l, const eq_shape *shape, const int32_t *window)
{
    if (!window)
        return (norm_part){.pixels = l->rows};
    int64_t h = shape->dim[1], w = shape->dim[2];
    int64_t top = window[0] > 0 ? window[0] : 0, left = window[1] > 0 ? window[1] : 0;
    norm_part p = {true, top, left, eq_min_i64(window[2], h), eq_min_i64(window[3], w), w, 0};
    p.pixels = (p.bottom - p.top) * (p.right - p.left);
    return p;
}

/* Like sum_block, of the window's lines that fall to block b. */
static void sum_window(const eq_norm_layout *l, const norm_part *part, const void *x, int64_t b, const float *table,
                       float *out)
{
    int64_t lines = part->bottom - part->top;
    int64_t first = part->top + b * lines / l->blocks, last = part->top + (b + 1) * lines / l->blocks;
    memset(out, 0, (size_t)(2 * l->width) * sizeof(float));
    for (int64_t y = first; y < last; y++)
        moments(eq_at(x, (y * part->line + part->left) * l->c, l->dtype), part->right - part->left, l->c, table,
                l->width, out, l->dtype);
}

static void write_block(const eq_norm_layout *l, const void *x, int64_t rows, const float *table, void *y)
{
    int64_t whole = rows / l->fold, rest = whole * l->width;
    normalise(x, whole, l->width, table, l->width, y, l->silu, l->dtype);
    normalise(eq_at(x, rest, l->dtype), rows % l->fold, l->c, table, l->width, eq_at_mutable(y, rest, l->dtype),
              l->silu, l->dtype);
}

/* From the sums over `pixels` in the space: the mean and 1 / std of each group of x + shift into stats: [groups, 2]. */
static void finish_statistics(const eq_norm_layout *l, eq_norm_space space, int64_t pixels, double epsilon,
                              float *stats)
{
    double *mean = space.total, *squares = space.total + l->c, rows = (double)pixels;
    const float *pivot = space.table + PIVOT * l->width, *shift = space.table + SHIFT * l->width;
    for (int64_t k = 0; k < l->c; k++) {
        squares[k] -= mean[k] * mean[k] / rows;
        mean[k] = mean[k] / rows + (double)pivot[k] + (double)shift[k];
    }
    for (int64_t g = 0; g < l->groups; g++) {
        int64_t first = g * l->per_group, last = first + l->per_group;
        double middle = 0, spread = 0;
        for (int64_t k = first; k < last; k++)
            middle += mean[k];
        middle /= (double)l->per_group;
        for (int64_t k = first; k < last; k++)
            spread += squares[k] + rows * (mean[k] - middle) * (mean[k] - middle);
        stats[2 * g] = (float)middle;
        stats[2 * g + 1] = (float)(1.0 / sqrt(fmax(spread, 0.0) / (rows * (double)l->per_group) + epsilon));
    }
}

/* The table's center and factor. stats: [groups, 2] */
static void fill_table(const eq_norm_layout *l, eq_norm_space space, const float *stats)
{
    float *center = space.table + CENTER * l->width, *factor = space.table + FACTOR * l->width;
    const float *shift = space.table + SHIFT * l->width, *gamma = space.table + GAMMA * l->width;
    for (int64_t k = 0; k < l->c; k++) {
        const float *group = stats + 2 * (k / l->per_group);
        center[k] = group[0] - shift[k];
        factor[k] = group[1] * gamma[k];
    }
    eq_norm_repeat(l, center);
    eq_norm_repeat(l, factor);
}

/* given: [groups, 2] statistics to use in place of stats, or NULL */
static void forward_image(const eq_norm_layout *l, const void *x, const norm_part *part, const float *given,
                          eq_norm_space space, double epsilon, void *y, float *stats)
{
    int64_t step = l->block * l->c;
#pragma omp parallel for schedule(static) if (l->split)
    for (int64_t b = 0; b < l->blocks; b++)
        if (part->window)
            sum_window(l, part, x, b, space.table, space.partial + b * 2 * l->width);
        else
            sum_block(l, eq_at(x, b * step, l->dtype), eq_norm_block_rows(l, b), space.table,
                      space.partial + b * 2 * l->width);
    eq_norm_add_blocks(l, space, 2);
    finish_statistics(l, space, part->pixels, epsilon, stats);
    fill_table(l, space, given ? given : stats);
#pragma omp parallel for schedule(static) if (l->split)
    for (int64_t b = 0; b < l->blocks; b++)
        write_block(l, eq_at(x, b * step, l->dtype), eq_norm_block_rows(l, b), space.table,
                    eq_at_mutable(y, b * step, l->dtype));
}

static bool supports(const eq_graph *graph, const eq_node *node)
{
    return eq_is_f32_or_bf16(graph, node->in[0]) &&
           eq_info(graph, node->in[0])->dtype == eq_info(graph, node->out[0])->dtype;
}

static eq_status prepare(const eq_kernel_env *env, const eq_node *node, void **state, size_t *scratch_bytes)
{
    eq_norm_layout l = eq_norm_layout_of(env->graph, node, node->in[0]);
    *scratch_bytes = eq_norm_scratch_bytes(&l);
    return EQ_OK;
}

/* run's work for image i */
static void run_image(const eq_norm_layout *l, const eq_graph *graph, const eq_node *node, void *const *in,
                      void *const *out, void *scratch, int64_t i)
{
    eq_norm_space space = eq_norm_space_at(l, scratch, i);
    int64_t start = i * l->rows * l->c, row = 2 * i * l->groups;
    const float *given = in[4];
    norm_part part = part_of(l, eq_shape_at(graph, node->in[0]), in[5]);
    eq_norm_load_table(l, space, GAMMA, graph, node->in[1], in[1], 0);
    eq_norm_load_table(l, space, BETA, graph, node->in[2], in[2], 0);
    eq_norm_load_table(l, space, SHIFT, graph, node->in[3], in[3], i);
    /* The first pixel: sums around it lose nothing where the mean is large. */
    eq_norm_load_table(l, space, PIVOT, graph, node->in[0], in[0], i * l->rows);
    forward_image(l, eq_at(in[0], start, l->dtype), &part, given ? given + row : NULL, space,
                  (double)node->attr.epsilon, eq_at_mutable(out[0], start, l->dtype), (float *)out[1] + row);
}

/* in: x, gamma, beta, shift?, stats?, window?; out: y, stats */
static eq_status run(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in, void *const *out,
                     void *scratch)
{
    eq_norm_layout l = eq_norm_layout_of(env->graph, node, node->in[0]);
    EQ_NORM_FOR_IMAGES(l, i, run_image(&l, env->graph, node, in, out, scratch, i));
    return EQ_OK;
}

const eq_kernel eq_cpu_group_norm = {
    .op = "group_norm", .backend = "cpu", .supports = supports, .prepare = prepare, .run = run, .any_dtype = true};
