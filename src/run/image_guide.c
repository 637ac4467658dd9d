#include "run/image_guide.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/program.h"
#include "models/classifier_source.h"
#include "ops/autodiff.h"
#include "ops/ops.h"

_Static_assert((int)EQ_GUIDE_ATTRIBUTES >= (int)EQ_CLASSIFIER_MAX_ATTRIBUTES, "a guide holds any classifier");

enum { FORWARD = 0, BACKWARD = 1 }; /* stages */

struct eq_image_guide {
    eq_context *ctx;
    eq_classifier_source source;
    eq_program *program;
    eq_classifier_values values;
    eq_value dlogits[EQ_GUIDE_ATTRIBUTES]; /* inputs [batch, classes] f32 */
    eq_value dimages;                      /* output [batch, size, size, 3] f32 */
    int side, size, batch;
    float *axis;  /* [size, side] weights of the image's samples in the network's, along either axis; NULL: the same */
    float *strip; /* [size, side, 3] scratch: scaled along one of them */
};

/* --- preparation, as a linear map --- */

static double triangle(double x)
{
    return fabs(x) < 1 ? 1 - fabs(x) : 0;
}

/* Keys' cubic with a = -1/2. */
static double cubic(double x)
{
    x = fabs(x);
    if (x < 1)
        return (1.5 * x - 2.5) * x * x + 1;
    return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

/* The weight of input sample k, not normalised, in an output sample that covers [left, right) of the input. */
static double weight_at(const eq_preparation *p, double left, double right, int k)
{
    double width = right - left, centre = (left + right) / 2;
    if (p->mode == EQ_PREPARE_FIT && width >= 1) /* the mean of what is covered */
        return fmax(0, fmin(right, k + 1) - fmax(left, k));
    double distance = (k + 0.5 - centre) / fmax(width, 1);
    return p->mode != EQ_PREPARE_FIT && p->filter == EQ_FILTER_BICUBIC ? cubic(distance) : triangle(distance);
}

/* As image_resize.c and image_resample.c have it, whose numbers are those of bytes. axis: [size, side] out */
static void fill_axis(const eq_preparation *p, int side, float *axis)
{
    int whole = p->mode == EQ_PREPARE_CROP ? p->resize : p->size;
    int margin = (whole - p->size) / 2;
    double scale = (double)side / whole;
    for (int i = 0; i < p->size; i++) {
        double left = (i + margin) * scale, sum = 0;
        for (int k = 0; k < side; k++)
            sum += weight_at(p, left, left + scale, k);
        for (int k = 0; k < side; k++)
            axis[(size_t)i * (size_t)side + (size_t)k] = (float)(weight_at(p, left, left + scale, k) / sum);
    }
}

/* to [rows, width, 3] += axis [rows, from_rows] x from [from_rows, width, 3]; with `turned` axis is [from_rows, rows].
 */
static void down(const float *axis, bool turned, const float *from, int64_t from_rows, int64_t rows, int64_t width,
                 float *to)
{
    for (int64_t y = 0; y < rows; y++)
        for (int64_t k = 0; k < from_rows; k++) {
            float weight = turned ? axis[k * rows + y] : axis[y * from_rows + k];
            for (int64_t j = 0; weight != 0 && j < width * 3; j++)
                to[y * width * 3 + j] += weight * from[k * width * 3 + j];
        }
}

/* to [height, columns, 3] += from [height, from_columns, 3] x axis^T; with `turned` as above. */
static void across(const float *axis, bool turned, const float *from, int64_t from_columns, int64_t columns,
                   int64_t height, float *to)
{
    for (int64_t y = 0; y < height; y++)
        for (int64_t x = 0; x < columns; x++)
            for (int64_t k = 0; k < from_columns; k++) {
                float weight = turned ? axis[k * columns + x] : axis[x * from_columns + k];
                for (int64_t c = 0; weight != 0 && c < 3; c++)
                    to[(y * columns + x) * 3 + c] += weight * from[(y * from_columns + k) * 3 + c];
            }
}

/* x0: [side, side, 3] in [-1, 1] -> images: [size, size, 3] as the network wants them */
static void prepare(eq_image_guide *g, const float *x0, float *images)
{
    size_t pixels = (size_t)g->size * (size_t)g->size;
    if (g->axis) {
        memset(g->strip, 0, (size_t)g->size * (size_t)g->side * 3 * sizeof(float));
        memset(images, 0, pixels * 3 * sizeof(float));
        down(g->axis, false, x0, g->side, g->size, g->side, g->strip);
        across(g->axis, false, g->strip, g->side, g->size, g->size, images);
    } else {
        memcpy(images, x0, pixels * 3 * sizeof(float));
    }
    for (size_t i = 0; i < pixels * 3; i++)
        images[i] = ((images[i] + 1) / 2 - g->source.preparation.mean[i % 3]) / g->source.preparation.std[i % 3];
}

/* The other way: dimages [size, size, 3], which is changed, -> dx0 [side, side, 3] */
static void unprepare(eq_image_guide *g, float *dimages, float *dx0)
{
    size_t pixels = (size_t)g->size * (size_t)g->size;
    for (size_t i = 0; i < pixels * 3; i++)
        dimages[i] /= 2 * g->source.preparation.std[i % 3];
    if (!g->axis) {
        memcpy(dx0, dimages, pixels * 3 * sizeof(float));
        return;
    }
    memset(g->strip, 0, (size_t)g->size * (size_t)g->side * 3 * sizeof(float));
    memset(dx0, 0, (size_t)g->side * (size_t)g->side * 3 * sizeof(float));
    across(g->axis, true, dimages, g->size, g->side, g->size, g->strip);
    down(g->axis, true, g->strip, g->size, g->side, g->side, dx0);
}

/* --- the network --- */

/* The gradient of sum(logits * dlogits), dlogits held fixed. */
static void describe(eq_image_guide *g, eq_graph *graph)
{
    eq_value sum = EQ_NONE;
    g->source.kind->build(&g->source, graph, g->batch, &g->values);
    eq_graph_next_stage(graph);
    for (int a = 0; a < g->source.attribute_count; a++) {
        g->dlogits[a] = eq_graph_input(graph, eq_prefix_format("dlogits.%d", a).text, EQ_F32,
                                       eq_shape_of(g->batch, g->source.attributes[a].classes));
        eq_value product = eq_multiply(graph, g->values.logits[a], g->dlogits[a]);
        eq_value one = eq_sum_to(graph, product, eq_shape_of(1, 1));
        sum = a ? eq_add(graph, sum, one) : one;
    }
    eq_graph_backward(graph, eq_reshape(graph, sum, eq_shape_of(1)), 1, &g->values.images, &g->dimages);
    g->dimages = eq_cast(graph, g->dimages, EQ_F32);
    eq_graph_output(graph, g->dimages, "dimages");
}

static eq_status compile(eq_image_guide *g)
{
    eq_graph *graph = eq_graph_new(g->ctx, EQ_F32);
    if (!graph)
        return eq_fail_memory(g->ctx, "a graph");
    describe(g, graph);
    return eq_program_compile(graph, &(eq_program_options){.frozen_params = true}, &g->program);
}

static eq_status open_guide(eq_image_guide *g, const char *path, int64_t group)
{
    EQ_TRY(eq_classifier_source_open(g->ctx, path, &g->source));
    if (g->source.cosine)
        return eq_fail(g->ctx, EQ_BAD_USAGE,
                       "%s: classifiers by prompts label, but do not guide; give a trained one with --guide-classifier",
                       path);
    const eq_preparation *p = &g->source.preparation;
    g->batch = group < g->source.kind->batch ? (int)group : g->source.kind->batch;
    g->size = p->size;
    if (p->size != g->side || (p->mode == EQ_PREPARE_CROP && p->resize != p->size)) {
        size_t count = (size_t)g->size * (size_t)g->side;
        g->axis = calloc(count, sizeof *g->axis);
        g->strip = malloc(count * 3 * sizeof *g->strip);
        if (!g->axis || !g->strip)
            return eq_fail_memory(g->ctx, "resampling weights");
        fill_axis(p, g->side, g->axis);
    }
    return compile(g);
}

eq_status eq_image_guide_open(eq_context *ctx, const char *path, int side, int64_t group, eq_image_guide **out)
{
    *out = NULL;
    eq_image_guide *g = calloc(1, sizeof *g);
    if (!g)
        return eq_fail_memory(ctx, "a classifier");
    g->ctx = ctx;
    g->side = side;
    eq_status status = open_guide(g, path, group);
    if (status != EQ_OK) {
        eq_image_guide_free(g);
        return status;
    }
    *out = g;
    return EQ_OK;
}

void eq_image_guide_free(eq_image_guide *g)
{
    if (!g)
        return;
    eq_program_free(g->program);
    eq_classifier_source_close(&g->source);
    free(g->axis);
    free(g->strip);
    free(g);
}

/* x0: [n, side, side, 3], n <= batch; the rest of the batch is zeros. */
static eq_status run_forward(eq_image_guide *g, const float *x0, int64_t n)
{
    int64_t count = (int64_t)g->size * g->size * 3, from = (int64_t)g->side * g->side * 3;
    float *images = eq_program_data(g->program, g->values.images);
    if (eq_cancelled(g->ctx))
        return eq_fail(g->ctx, EQ_CANCELLED, "cancelled");
    for (int64_t i = 0; i < n; i++)
        prepare(g, x0 + i * from, images + i * count);
    memset(images + n * count, 0, (size_t)((g->batch - n) * count) * sizeof *images);
    return eq_program_run_stage(g->program, FORWARD);
}

static int64_t images_at(const eq_image_guide *g, int64_t first, int64_t n)
{
    return n - first < g->batch ? n - first : g->batch;
}

static eq_status look(void *user, const float *x0, int64_t n, float *const *logits)
{
    eq_image_guide *g = user;
    int64_t from = (int64_t)g->side * g->side * 3;
    for (int64_t first = 0; first < n; first += g->batch) {
        int64_t images = images_at(g, first, n);
        EQ_TRY(run_forward(g, x0 + first * from, images));
        for (int a = 0; a < g->source.attribute_count; a++) {
            int64_t classes = g->source.attributes[a].classes;
            memcpy(logits[a] + first * classes, eq_program_data(g->program, g->values.logits[a]),
                   (size_t)(images * classes) * sizeof(float));
        }
    }
    return EQ_OK;
}

static eq_status pull(void *user, const float *x0, int64_t n, float *const *dlogits, float *dx0)
{
    eq_image_guide *g = user;
    int64_t count = (int64_t)g->size * g->size * 3, from = (int64_t)g->side * g->side * 3;
    for (int64_t first = 0; first < n; first += g->batch) {
        int64_t images = images_at(g, first, n);
        EQ_TRY(run_forward(g, x0 + first * from, images));
        for (int a = 0; a < g->source.attribute_count; a++) {
            int64_t classes = g->source.attributes[a].classes;
            float *to = eq_program_data(g->program, g->dlogits[a]);
            memset(to, 0, (size_t)(g->batch * classes) * sizeof *to);
            memcpy(to, dlogits[a] + first * classes, (size_t)(images * classes) * sizeof *to);
        }
        EQ_TRY(eq_program_run_stage(g->program, BACKWARD));
        float *dimages = eq_program_data(g->program, g->dimages);
        for (int64_t i = 0; i < images; i++)
            unprepare(g, dimages + i * count, dx0 + (first + i) * from);
    }
    return EQ_OK;
}

eq_guide eq_image_guide_view(eq_image_guide *g)
{
    return (eq_guide){.user = g,
                      .attribute_count = g->source.attribute_count,
                      .attributes = g->source.attributes,
                      .look = look,
                      .pull = pull};
}

size_t eq_image_guide_bytes(const eq_image_guide *g)
{
    size_t axis = g->axis ? (size_t)g->size * (size_t)g->side * 4 * sizeof(float) : 0; /* with the strip */
    return eq_program_bytes(g->program) + axis;
}

const char *eq_image_guide_hash(const eq_image_guide *g)
{
    return g->source.hash;
}
