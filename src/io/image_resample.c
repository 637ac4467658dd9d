#include "io/image_resample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Weights are fixed-point numbers with this many binary digits; a sum of them times a byte fits an int32. */
enum { PRECISION = 32 - 8 - 2 };

/* The input samples that make an output sample, and their weights. */
typedef struct span {
    int first, count;
} span;

typedef struct table {
    span *spans;      /* [samples] */
    int32_t *weights; /* [samples, widest] */
    size_t widest;
} table;

static void table_free(table *t)
{
    free(t->spans);
    free(t->weights);
}

static double triangle(double x)
{
    return fabs(x) < 1 ? 1 - fabs(x) : 0;
}

/* Keys' cubic with a = -1/2. */
static double cubic(double x)
{
    static const double a = -0.5;
    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

static const struct {
    double support;
    double (*at)(double x);
} filters[] = {
    [EQ_FILTER_BILINEAR] = {1, triangle},
    [EQ_FILTER_BICUBIC] = {2, cubic},
};

static int32_t fixed_point(double weight)
{
    return (int32_t)(weight * (1 << PRECISION) + (weight < 0 ? -0.5 : 0.5));
}

/* When shrinking, the filter widens by the factor: that is the antialiasing. real: [t->widest] scratch */
static void fill_span(int i, int length, double scale, eq_image_filter filter, double *real, table *t)
{
    double widening = fmax(scale, 1), narrowing = 1 / widening, support = filters[filter].support * widening;
    double centre = (i + 0.5) * scale, sum = 0;
    int first = (int)fmax(centre - support + 0.5, 0), end = (int)fmin(centre + support + 0.5, length);
    for (int k = 0; k < end - first; k++)
        sum += real[k] = filters[filter].at((k + first - centre + 0.5) * narrowing);
    t->spans[i] = (span){first, end - first};
    for (int k = 0; k < end - first; k++)
        t->weights[(size_t)i * t->widest + (size_t)k] = fixed_point(real[k] / sum);
}

/* From an axis of `length` samples to one of `samples`. */
static eq_status table_new(eq_context *ctx, int length, int samples, eq_image_filter filter, table *out)
{
    double scale = (double)length / samples;
    out->widest = (size_t)ceil(filters[filter].support * fmax(scale, 1)) * 2 + 1;
    out->spans = calloc((size_t)samples, sizeof *out->spans);
    out->weights = calloc((size_t)samples * out->widest, sizeof *out->weights);
    double *real = malloc(out->widest * sizeof *real);
    bool complete = out->spans && out->weights && real;
    for (int i = 0; complete && i < samples; i++)
        fill_span(i, length, scale, filter, real, out);
    free(real);
    return complete ? EQ_OK : eq_fail_memory(ctx, "resampling weights");
}

/* in: the first of span.count samples, `stride` bytes apart */
static uint8_t weigh(const uint8_t *in, size_t stride, span s, const int32_t *weights)
{
    int32_t sum = 1 << (PRECISION - 1);
    for (int k = 0; k < s.count; k++)
        sum += weights[k] * in[(size_t)k * stride];
    if (sum < 0)
        return 0;
    sum >>= PRECISION;
    return (uint8_t)(sum > 255 ? 255 : sum);
}

/* in: [height, w, 3] -> out: [height, width, 3] */
static void across(const eq_image *in, const table *t, eq_image *out)
{
    for (int y = 0; y < out->height; y++)
        for (int x = 0; x < out->width; x++) {
            const uint8_t *first = in->pixels + ((size_t)y * (size_t)in->width + (size_t)t->spans[x].first) * 3;
            for (size_t c = 0; c < 3; c++)
                out->pixels[((size_t)y * (size_t)out->width + (size_t)x) * 3 + c] =
                    weigh(first + c, 3, t->spans[x], t->weights + (size_t)x * t->widest);
        }
}

/* in: [h, width, 3] -> out: [height, width, 3] */
static void down(const eq_image *in, const table *t, eq_image *out)
{
    size_t row = (size_t)out->width * 3;
    for (int y = 0; y < out->height; y++)
        for (size_t x = 0; x < row; x++)
            out->pixels[(size_t)y * row + x] = weigh(in->pixels + (size_t)t->spans[y].first * row + x, row, t->spans[y],
                                                     t->weights + (size_t)y * t->widest);
}

/* The passes round to bytes one after the other, across first, as Pillow's do. */
eq_status eq_image_resample(eq_context *ctx, const eq_image *image, int width, int height, eq_image_filter filter,
                            eq_image *out)
{
    *out = (eq_image){0};
    eq_image narrow = {0}, result = {0};
    table columns = {0}, rows = {0};
    eq_status status;
    EQ_TRY_GOTO(status, eq_image_new(ctx, width, image->height, &narrow), done);
    EQ_TRY_GOTO(status, eq_image_new(ctx, width, height, &result), done);
    EQ_TRY_GOTO(status, table_new(ctx, image->width, width, filter, &columns), done);
    EQ_TRY_GOTO(status, table_new(ctx, image->height, height, filter, &rows), done);
    across(image, &columns, &narrow);
    down(&narrow, &rows, &result);
    *out = result;
    result = (eq_image){0};
done:
    eq_image_free(&narrow);
    eq_image_free(&result);
    table_free(&columns);
    table_free(&rows);
    return status;
}

eq_status eq_image_crop(eq_context *ctx, const eq_image *image, int left, int top, int width, int height, eq_image *out)
{
    EQ_TRY(eq_image_new(ctx, width, height, out));
    for (int y = 0; y < height; y++)
        memcpy(out->pixels + (size_t)y * (size_t)width * 3,
               image->pixels + ((size_t)(top + y) * (size_t)image->width + (size_t)left) * 3, (size_t)width * 3);
    return EQ_OK;
}
