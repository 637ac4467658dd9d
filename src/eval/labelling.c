#include "eval/labelling.h"

#include <math.h>
#include <stdlib.h>

#include "io/labels.h"
#include "kernels/program.h"
#include "models/classifier_source.h"

struct eq_classifier {
    eq_context *ctx;
    eq_classifier_source source;
    eq_classifier_values values;
    eq_program *program; /* for as many images as the kind says */
    eq_confusion confusions[EQ_CLASSIFIER_MAX_ATTRIBUTES];
    double accuracies[EQ_CLASSIFIER_MAX_ATTRIBUTES];
};

static eq_status compile(eq_classifier *c)
{
    eq_graph *graph = eq_graph_new(c->ctx, EQ_F32);
    if (!graph)
        return eq_fail_memory(c->ctx, "a graph");
    c->source.kind->build(&c->source, graph, c->source.kind->batch, &c->values);
    return eq_program_compile(graph, &(eq_program_options){.frozen_params = true}, &c->program);
}

/* A class that no held-out image showed has no rates: such a matrix cannot correct anything. */
static bool has_all_classes(const double *confusion, int classes)
{
    for (int i = 0; i < classes; i++) {
        double sum = 0;
        for (int k = 0; k < classes; k++)
            sum += confusion[i * classes + k];
        if (!(sum > 0))
            return false;
    }
    return true;
}

eq_status eq_classifier_open(eq_context *ctx, const char *path, eq_classifier **out)
{
    *out = NULL;
    eq_classifier *c = calloc(1, sizeof *c);
    if (!c)
        return eq_fail_memory(ctx, "a classifier");
    c->ctx = ctx;
    eq_status status = eq_classifier_source_open(ctx, path, &c->source);
    if (status == EQ_OK)
        status = compile(c);
    if (status != EQ_OK) {
        eq_classifier_close(c);
        return status;
    }
    for (int i = 0; i < c->source.attribute_count; i++) {
        const eq_classifier_score *score = &c->source.scores[i];
        int classes = c->source.attributes[i].classes;
        c->accuracies[i] = score->accuracy;
        if (score->confusion && classes <= EQ_CONFUSION_CLASSES && has_all_classes(score->confusion, classes))
            c->confusions[i] = (eq_confusion){classes, score->confusion};
    }
    *out = c;
    return EQ_OK;
}

void eq_classifier_close(eq_classifier *c)
{
    if (!c)
        return;
    eq_program_free(c->program);
    eq_classifier_source_close(&c->source);
    free(c);
}

const eq_attribute *eq_classifier_attributes(const eq_classifier *c, int *count)
{
    *count = c->source.attribute_count;
    return c->source.attributes;
}

const eq_confusion *eq_classifier_confusions(const eq_classifier *c)
{
    return c->confusions;
}

const double *eq_classifier_accuracies(const eq_classifier *c)
{
    return c->accuracies;
}

const char *eq_classifier_hash(const eq_classifier *c)
{
    return c->source.hash;
}

int eq_classifier_size(const eq_classifier *c)
{
    return c->source.preparation.size;
}

int eq_classifier_feature_count(const eq_classifier *c)
{
    return (int)eq_shape_at(eq_program_graph(c->program), c->values.features)->dim[1];
}

eq_status eq_classifier_fit(eq_classifier *c, const eq_image *image, eq_image *out)
{
    return eq_prepare_pixels(c->ctx, &c->source.preparation, image, out);
}

/* pixels: [height, width, 3]; x: [size, size, 3] */
static eq_status load_image(eq_classifier *c, const uint8_t *pixels, int width, int height, float *x)
{
    eq_image image = {width, height, (uint8_t *)pixels}; /* only read */
    eq_image fitted;
    EQ_TRY(eq_classifier_fit(c, &image, &fitted));
    eq_prepare_normalise(&c->source.preparation, fitted.pixels, x);
    eq_image_free(&fitted);
    return EQ_OK;
}

/* Softmax of scale * logits. logits: [classes] -> p: [classes] */
static void softmax(const float *logits, int classes, float scale, float *p)
{
    float largest = logits[0], sum = 0;
    for (int k = 1; k < classes; k++)
        largest = logits[k] > largest ? logits[k] : largest;
    for (int k = 0; k < classes; k++)
        sum += p[k] = expf(scale * (logits[k] - largest));
    for (int k = 0; k < classes; k++)
        p[k] /= sum;
}

/* 1 / |x|; 0 for zeros. x: [d] */
static float inverse_length(const float *x, int d)
{
    double sum = 0;
    for (int k = 0; k < d; k++)
        sum += (double)x[k] * x[k];
    return sum > 0 ? (float)(1 / sqrt(sum)) : 0;
}

static void store_batch(eq_classifier *c, int64_t first, int64_t n, float *const *probabilities, float *features)
{
    int d = eq_classifier_feature_count(c);
    const float *f = eq_program_data(c->program, c->values.features);
    if (features)
        memcpy(features + first * d, f, (size_t)(n * d) * sizeof(float));
    for (int a = 0; probabilities && a < c->source.attribute_count; a++) {
        int classes = c->source.attributes[a].classes;
        const float *logits = eq_program_data(c->program, c->values.logits[a]);
        for (int64_t i = 0; i < n; i++)
            softmax(logits + i * classes, classes, c->source.cosine ? inverse_length(f + i * d, d) : 1,
                    probabilities[a] + (first + i) * classes);
    }
}

/* Images to run the network on. */
typedef struct batch {
    const uint8_t *pixels; /* [count, height, width, 3] */
    int64_t count;
    int width, height;
    bool fitted; /* the pixels are eq_classifier_fit's */
} batch;

static eq_status load_one(eq_classifier *c, const batch *b, int64_t index, float *x)
{
    const uint8_t *pixels = b->pixels + index * b->width * b->height * 3;
    if (!b->fitted)
        return load_image(c, pixels, b->width, b->height, x);
    eq_prepare_normalise(&c->source.preparation, pixels, x);
    return EQ_OK;
}

static eq_status run(eq_classifier *c, const batch *b, float *const *probabilities, float *features,
                     eq_label_progress progress, void *user)
{
    int64_t size = eq_classifier_size(c), image = size * size * 3, most = c->source.kind->batch;
    for (int64_t first = 0; first < b->count; first += most) {
        int64_t n = b->count - first < most ? b->count - first : most;
        float *x = eq_program_data(c->program, c->values.images);
        if (eq_cancelled(c->ctx))
            return eq_fail(c->ctx, EQ_CANCELLED, "cancelled");
        for (int64_t i = 0; i < n; i++)
            EQ_TRY(load_one(c, b, first + i, x + i * image));
        EQ_TRY(eq_program_run(c->program));
        store_batch(c, first, n, probabilities, features);
        if (progress)
            progress(user, first + n, b->count);
    }
    return EQ_OK;
}

eq_status eq_classifier_run(eq_classifier *c, const uint8_t *pixels, int64_t count, int width, int height,
                            float *const *probabilities, float *features, eq_label_progress progress, void *user)
{
    return run(c, &(batch){pixels, count, width, height, false}, probabilities, features, progress, user);
}

eq_status eq_classifier_run_fitted(eq_classifier *c, const uint8_t *pixels, int64_t count, float *const *probabilities,
                                   float *features)
{
    int size = eq_classifier_size(c);
    return run(c, &(batch){pixels, count, size, size, true}, probabilities, features, NULL, NULL);
}

int eq_most_probable(const float *p, int classes)
{
    int best = 0;
    for (int k = 1; k < classes; k++)
        best = p[k] > p[best] ? k : best;
    return best;
}

eq_status eq_probabilities_new(eq_context *ctx, const eq_attribute *attributes, int attribute_count, int64_t count,
                               float ***out)
{
    float **probabilities = calloc((size_t)attribute_count + 1, sizeof *probabilities);
    bool complete = probabilities != NULL;
    for (int a = 0; complete && a < attribute_count; a++) {
        probabilities[a] = calloc((size_t)count * (size_t)attributes[a].classes + 1, sizeof(float));
        complete = probabilities[a] != NULL;
    }
    if (!complete) {
        eq_probabilities_free(probabilities, attribute_count);
        return eq_fail_memory(ctx, "probabilities");
    }
    *out = probabilities;
    return EQ_OK;
}

void eq_probabilities_free(float **probabilities, int attribute_count)
{
    for (int a = 0; probabilities && a < attribute_count; a++)
        free(probabilities[a]);
    free(probabilities);
}

eq_status eq_classifier_pseudo_label(eq_classifier *c, const uint8_t *pixels, int64_t count, int width, int height,
                                     double confidence, int64_t stride, int *classes)
{
    const eq_attribute *attributes = c->source.attributes;
    int attribute_count = c->source.attribute_count;
    float **p = NULL;
    EQ_TRY(eq_probabilities_new(c->ctx, attributes, attribute_count, count, &p));
    eq_status status = eq_classifier_run(c, pixels, count, width, height, p, NULL, NULL, NULL);
    for (int a = 0; status == EQ_OK && a < attribute_count; a++)
        for (int64_t i = 0; i < count; i++) {
            const float *row = p[a] + i * attributes[a].classes;
            int best = eq_most_probable(row, attributes[a].classes);
            classes[a * stride + i] = row[best] >= confidence ? best : -1;
        }
    eq_probabilities_free(p, attribute_count);
    return status;
}

/* A view of files and attributes with the most probable classes; its classes and probabilities are to be freed. */
static eq_status make_table(eq_context *ctx, const char *const *files, int64_t count, const eq_attribute *attributes,
                            int attribute_count, float *const *probabilities, eq_labels *out)
{
    size_t cells = (size_t)count * (size_t)attribute_count;
    *out = (eq_labels){.count = (size_t)count,
                       .files = (char **)files,
                       .attribute_count = attribute_count,
                       .attributes = (eq_attribute *)attributes,
                       .classes = malloc((cells + 1) * sizeof *out->classes),
                       .probabilities = malloc((cells + 1) * sizeof *out->probabilities)};
    if (!out->classes || !out->probabilities) {
        free(out->classes);
        free(out->probabilities);
        return eq_fail_memory(ctx, "labels");
    }
    for (int64_t i = 0; i < count; i++)
        for (int a = 0; a < attribute_count; a++) {
            const float *p = probabilities[a] + i * attributes[a].classes;
            int best = eq_most_probable(p, attributes[a].classes);
            out->classes[i * attribute_count + a] = best;
            out->probabilities[i * attribute_count + a] = p[best];
        }
    return EQ_OK;
}

eq_status eq_write_labels(eq_context *ctx, const char *path, const char *const *files, int64_t count,
                          const eq_attribute *attributes, int attribute_count, float *const *probabilities)
{
    eq_labels table;
    EQ_TRY(make_table(ctx, files, count, attributes, attribute_count, probabilities, &table));
    eq_status status = eq_labels_write_csv(ctx, path, &table);
    free(table.classes);
    free(table.probabilities);
    return status;
}

eq_status eq_print_labels(eq_context *ctx, FILE *out, const char *const *files, int64_t count,
                          const eq_attribute *attributes, int attribute_count, float *const *probabilities)
{
    eq_labels table;
    EQ_TRY(make_table(ctx, files, count, attributes, attribute_count, probabilities, &table));
    eq_labels_print_csv(out, &table);
    free(table.classes);
    free(table.probabilities);
    return EQ_OK;
}
