#include "eval/drift.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/intervals.h"
#include "eval/run_manifest.h"
#include "io/image.h"

/* -- statistics -- */

static double psnr_of(const double *mean, int k, const void *user)
{
    return 10 * log10(255.0 * 255.0 / mean[0]); /* infinite for 0 */
}

static double mean_of(const double *mean, int k, const void *user)
{
    return mean[0];
}

eq_status eq_drift_pixels(eq_context *ctx, const double *squared_errors, int pairs, eq_drift *out)
{
    int identical = 0;
    for (int i = 0; i < pairs; i++)
        identical += squared_errors[i] == 0;
    out->pairs = pairs;
    out->identical = eq_wilson(identical, pairs);
    return eq_bootstrap_mean(ctx, squared_errors, pairs, 1, psnr_of, NULL, &out->psnr);
}

/* a, b: [d] */
static double distance_between(const float *a, const float *b, int d)
{
    double sum = 0;
    for (int i = 0; i < d; i++)
        sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return sqrt(sum);
}

eq_status eq_drift_features(eq_context *ctx, const float *ours, const float *twins, int pairs, int d, eq_drift *out)
{
    double *distances = malloc(sizeof(double) * (size_t)pairs);
    if (distances == NULL)
        return eq_fail_memory(ctx, "the drift");
    size_t width = (size_t)d;
    double unrelated = 0;
    for (int i = 0; i < pairs; i++) {
        distances[i] = distance_between(ours + (size_t)i * width, twins + (size_t)i * width, d);
        unrelated += distance_between(ours + (size_t)i * width, twins + (size_t)((i + 1) % pairs) * width, d);
    }
    out->unrelated = pairs > 1 ? unrelated / pairs : NAN;
    eq_status status = eq_bootstrap_mean(ctx, distances, pairs, 1, mean_of, NULL, &out->feature_distance);
    free(distances);
    return status;
}

/* -- pairs -- */

/* Positions among both sides' files. */
typedef struct pair {
    int64_t ours, twin;
} pair;

/* pairs: [ours->manifest.count], in the order of the index; returns how many there are. */
static int find_pairs(const eq_run_manifest *ours, const eq_drift_side *our_side, const eq_run_manifest *twin,
                      const eq_drift_side *twin_side, pair *pairs)
{
    int count = 0;
    for (size_t i = 0; i < ours->manifest.count; i++) {
        const eq_manifest_entry *a = &ours->manifest.entries[i], *b = eq_manifest_find(&twin->manifest, a->index);
        if (b == NULL || b->seed != a->seed)
            continue;
        pair p = {eq_run_manifest_find(ours, our_side->files, a->file),
                  eq_run_manifest_find(twin, twin_side->files, b->file)};
        if (p.ours >= 0 && p.twin >= 0)
            pairs[count++] = p;
    }
    return count;
}

/* -- their distances -- */

static eq_status read_image(eq_context *ctx, const eq_drift_side *side, int64_t at, eq_image *out)
{
    char *path = eq_path_join(side->folder, side->files->name[at]);
    if (path == NULL)
        return eq_fail_memory(ctx, "a path");
    eq_status status = eq_image_read(ctx, path, out);
    free(path);
    return status;
}

static eq_status squared_error(eq_context *ctx, const eq_drift_side *ours, const eq_drift_side *twin, pair p,
                               double *out)
{
    eq_image a = {0}, b = {0};
    eq_status status;
    EQ_TRY_GOTO(status, read_image(ctx, ours, p.ours, &a), done);
    EQ_TRY_GOTO(status, read_image(ctx, twin, p.twin, &b), done);
    if (a.width != b.width || a.height != b.height) {
        status = eq_fail(ctx, EQ_BAD_INPUT, "%s/%s has %dx%d pixels, its twin %s/%s %dx%d", ours->folder,
                         ours->files->name[p.ours], a.width, a.height, twin->folder, twin->files->name[p.twin], b.width,
                         b.height);
        goto done;
    }
    size_t samples = (size_t)a.width * (size_t)a.height * 3;
    double sum = 0;
    for (size_t i = 0; i < samples; i++) {
        double difference = (double)a.pixels[i] - b.pixels[i];
        sum += difference * difference;
    }
    *out = sum / (double)samples;
done:
    eq_image_free(&a);
    eq_image_free(&b);
    return status;
}

static eq_status measure_pixels(eq_context *ctx, const eq_drift_side *ours, const eq_drift_side *twin,
                                const pair *pairs, int count, eq_drift *out)
{
    double *errors = malloc(sizeof(double) * (size_t)count);
    if (errors == NULL)
        return eq_fail_memory(ctx, "the drift");
    eq_status status = EQ_OK;
    for (int i = 0; status == EQ_OK && i < count; i++)
        status = eq_cancelled(ctx) ? eq_fail(ctx, EQ_CANCELLED, "cancelled")
                                   : squared_error(ctx, ours, twin, pairs[i], &errors[i]);
    if (status == EQ_OK)
        status = eq_drift_pixels(ctx, errors, count, out);
    free(errors);
    return status;
}

static eq_status measure_features(eq_context *ctx, const eq_drift_side *ours, const eq_drift_side *twin,
                                  const char *features, int d, const pair *pairs, int count, eq_drift *out)
{
    size_t width = (size_t)d;
    float *a = malloc(sizeof(float) * (size_t)count * width), *b = malloc(sizeof(float) * (size_t)count * width);
    out->features = strdup(features);
    eq_status status =
        a != NULL && b != NULL && out->features != NULL ? EQ_OK : eq_fail_memory(ctx, "the drift's features");
    for (size_t i = 0; status == EQ_OK && i < (size_t)count; i++) {
        memcpy(a + i * width, ours->features + (size_t)pairs[i].ours * width, width * sizeof(float));
        memcpy(b + i * width, twin->features + (size_t)pairs[i].twin * width, width * sizeof(float));
    }
    if (status == EQ_OK)
        status = eq_drift_features(ctx, a, b, count, d, out);
    free(a);
    free(b);
    return status;
}

static eq_status measure(eq_context *ctx, const eq_drift_side *ours, const eq_drift_side *twin,
                         const eq_run_manifest *our_run, const eq_run_manifest *twin_run, const char *features, int d,
                         eq_drift *out)
{
    pair *pairs = malloc(sizeof(pair) * (our_run->manifest.count + 1));
    if (pairs == NULL)
        return eq_fail_memory(ctx, "the drift");
    int count = find_pairs(our_run, ours, twin_run, twin, pairs);
    eq_status status = EQ_OK;
    if (count == 0)
        status = eq_fail(ctx, EQ_BAD_INPUT, "%s and %s have no images of the same seed and index", ours->folder,
                         twin->folder);
    else if ((size_t)count < ours->files->count)
        eq_log(ctx, EQ_LOG_WARNING, "%zu of %zu images have no twin in %s", ours->files->count - (size_t)count,
               ours->files->count, twin->folder);
    out->twin = strdup(twin->folder);
    if (status == EQ_OK && out->twin == NULL)
        status = eq_fail_memory(ctx, "the drift");
    if (status == EQ_OK)
        status = measure_pixels(ctx, ours, twin, pairs, count, out);
    if (status == EQ_OK && ours->features != NULL && twin->features != NULL)
        status = measure_features(ctx, ours, twin, features, d, pairs, count, out);
    free(pairs);
    return status;
}

eq_status eq_drift_measure(eq_context *ctx, const eq_drift_side *ours, const eq_drift_side *twin, const char *features,
                           int d, eq_drift *out)
{
    *out = (eq_drift){0};
    eq_run_manifest our_run, twin_run;
    EQ_TRY(eq_run_manifest_read(ctx, ours->folder, &our_run));
    eq_status status = eq_run_manifest_read(ctx, twin->folder, &twin_run);
    if (status == EQ_OK) {
        status = measure(ctx, ours, twin, &our_run, &twin_run, features, d, out);
        eq_run_manifest_free(&twin_run);
    }
    eq_run_manifest_free(&our_run);
    if (status != EQ_OK)
        eq_drift_clear(out);
    return status;
}

void eq_drift_clear(eq_drift *drift)
{
    free(drift->twin);
    free(drift->features);
    *drift = (eq_drift){0};
}
