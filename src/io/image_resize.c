/* Cropping and separable resampling. */
#include "io/image.h"

#include <math.h>
#include <stdlib.h>

/* Which input samples make one output sample: weights sum to 1. */
struct span {
    int first, count;
    float *weights; /* [count], inside the table's block */
};

struct table {
    struct span *spans; /* [output samples] */
    float *block;
};

static void table_free(struct table *table)
{
    free(table->spans);
    free(table->block);
}

static int clamp_int(int value, int low, int high)
{
    return value < low ? low : value > high ? high : value;
}

/* Output sample i covers [left, right) of the input: the mean of what it covers. */
static void area_span(double left, double right, int length, struct span *span)
{
    span->first = clamp_int((int)floor(left), 0, length - 1);
    int last = clamp_int((int)ceil(right) - 1, span->first, length - 1);
    span->count = last - span->first + 1;
    double sum = 0;
    for (int i = 0; i < span->count; i++) {
        double pixel = span->first + i;
        double covered = fmax(0, fmin(right, pixel + 1) - fmax(left, pixel));
        span->weights[i] = (float)covered;
        sum += covered;
    }
    for (int i = 0; i < span->count; i++)
        span->weights[i] = (float)(span->weights[i] / sum);
}

static void bilinear_span(double centre, int length, struct span *span)
{
    double position = fmin(fmax(centre - 0.5, 0), length - 1);
    span->first = clamp_int((int)floor(position), 0, length - 1);
    double fraction = position - span->first;
    span->count = span->first + 1 < length ? 2 : 1;
    span->weights[0] = span->count == 2 ? (float)(1 - fraction) : 1.0f;
    if (span->count == 2)
        span->weights[1] = (float)fraction;
}

/* Maps [start, start + extent) of an axis of `length` samples to `samples` output samples. */
static eq_status table_new(eq_context *ctx, int length, double start, double extent, int samples, struct table *out)
{
    double scale = extent / samples;
    size_t widest = (size_t)ceil(fmax(scale, 1)) + 2;
    out->spans = calloc((size_t)samples, sizeof *out->spans);
    out->block = malloc((size_t)samples * widest * sizeof *out->block);
    if (!out->spans || !out->block)
        return eq_fail_memory(ctx, "resampling weights");
    for (int i = 0; i < samples; i++) {
        struct span *span = &out->spans[i];
        span->weights = out->block + (size_t)i * widest;
        if (scale >= 1)
            area_span(start + i * scale, start + (i + 1) * scale, length, span);
        else
            bilinear_span(start + (i + 0.5) * scale, length, span);
    }
    return EQ_OK;
}

/* in: [w, 3] bytes -> out: [samples, 3] floats */
static void resample_row(const uint8_t *in, const struct table *table, int samples, float *out)
{
    for (int x = 0; x < samples; x++) {
        const struct span *span = &table->spans[x];
        float sum[3] = {0};
        for (int i = 0; i < span->count; i++)
            for (int c = 0; c < 3; c++)
                sum[c] += span->weights[i] * in[3 * (span->first + i) + c];
        for (int c = 0; c < 3; c++)
            out[3 * x + c] = sum[c];
    }
}

/* rows: [input rows, stride] floats -> out: [stride] bytes */
static void resample_column(const float *rows, const struct span *span, size_t stride, uint8_t *out)
{
    for (size_t x = 0; x < stride; x++) {
        float sum = 0;
        for (int i = 0; i < span->count; i++)
            sum += span->weights[i] * rows[(size_t)(span->first + i) * stride + x];
        out[x] = (uint8_t)(fminf(fmaxf(sum, 0), 255) + 0.5f);
    }
}

eq_status eq_image_fit(eq_context *ctx, const eq_image *image, int width, int height, eq_image *out)
{
    *out = (eq_image){0};
    /* The largest centred box of the target's aspect ratio; its edges may fall inside pixels. */
    double crop_width = image->width, crop_height = image->height;
    if ((int64_t)image->width * height > (int64_t)image->height * width)
        crop_width = (double)image->height * width / height;
    else
        crop_height = (double)image->width * height / width;

    eq_image result = {0};
    struct table across = {0}, down = {0};
    float *rows = NULL;
    eq_status status;
    EQ_TRY_GOTO(status, eq_image_new(ctx, width, height, &result), done);
    EQ_TRY_GOTO(status, table_new(ctx, image->width, (image->width - crop_width) / 2, crop_width, width, &across),
                done);
    EQ_TRY_GOTO(status, table_new(ctx, image->height, (image->height - crop_height) / 2, crop_height, height, &down),
                done);
    size_t stride = (size_t)width * 3;
    rows = malloc((size_t)image->height * stride * sizeof *rows);
    if (!rows) {
        status = eq_fail_memory(ctx, "a resized image");
        goto done;
    }
    for (int y = 0; y < image->height; y++)
        resample_row(image->pixels + (size_t)y * (size_t)image->width * 3, &across, width, rows + (size_t)y * stride);
    for (int y = 0; y < height; y++)
        resample_column(rows, &down.spans[y], stride, result.pixels + (size_t)y * stride);
    *out = result;
    result = (eq_image){0};
done:
    eq_image_free(&result);
    table_free(&across);
    table_free(&down);
    free(rows);
    return status;
}
