#include "eval/labelling.h"

#include <math.h>
#include <stdlib.h>

#include "io/labels.h"
#include "kernels/program.h"
#include "models/classifier_file.h"

enum { BATCH = 32 };

struct eq_classifier {
    eq_context *ctx;
    eq_classifier_file file;
    eq_classifier_values values;
    eq_program *program; /* for BATCH images */
    eq_confusion confusions[EQ_CLASSIFIER_MAX_ATTRIBUTES];
    double accuracies[EQ_CLASSIFIER_MAX_ATTRIBUTES];
};

static eq_status compile(eq_classifier *c)
{
    eq_graph *graph = eq_graph_new(c->ctx, EQ_F32);
    if (!graph)
        return eq_fail_memory(c->ctx, "a graph");
    eq_classifier_build(&(eq_builder){graph, c->file.params}, &c->file.config, BATCH, &c->values);
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

eq_status eq_classifier_open(eq_context *ctx, const char *folder, eq_classifier **out)
{
    *out = NULL;
    eq_classifier *c = calloc(1, sizeof *c);
    if (!c)
        return eq_fail_memory(ctx, "a classifier");
    c->ctx = ctx;
    eq_status status = eq_classifier_file_open(ctx, folder, &c->file);
    if (status == EQ_OK)
        status = compile(c);
    if (status != EQ_OK) {
        eq_classifier_close(c);
        return status;
    }
    for (int i = 0; i < c->file.config.attribute_count; i++) {
        const eq_classifier_score *score = &c->file.scores[i];
        int classes = c->file.config.attributes[i].classes;
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
    eq_classifier_file_close(&c->file);
    free(c);
}

const eq_attribute *eq_classifier_attributes(const eq_classifier *c, int *count)
{
    *count = c->file.config.attribute_count;
    return c->file.config.attributes;
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
    return c->file.hash;
}

int eq_classifier_size(const eq_classifier *c)
{
    return c->file.config.size;
}

int eq_classifier_feature_count(const eq_classifier *c)
{
    return (int)eq_shape_at(eq_program_graph(c->program), c->values.features)->dim[1];
}

/* pixels: [height, width, 3]; x: [size, size, 3] */
static eq_status load_image(eq_classifier *c, const uint8_t *pixels, int width, int height, float *x)
{
    int size = c->file.config.size;
    eq_image image = {width, height, (uint8_t *)pixels}; /* only read */
    if (width == size && height == size) {
        eq_image_to_float(&image, x);
        return EQ_OK;
    }
    eq_image fitted;
    EQ_TRY(eq_image_fit(c->ctx, &image, size, size, &fitted));
    eq_image_to_float(&fitted, x);
    eq_image_free(&fitted);
    return EQ_OK;
}

/* logits: [classes] -> p: [classes] */
static void softmax(const float *logits, int classes, float *p)
{
    float largest = logits[0], sum = 0;
    for (int k = 1; k < classes; k++)
        largest = logits[k] > largest ? logits[k] : largest;
    for (int k = 0; k < classes; k++)
        sum += p[k] = expf(logits[k] - largest);
    for (int k = 0; k < classes; k++)
        p[k] /= sum;
}

static void store_batch(eq_classifier *c, int64_t first, int64_t n, float *const *probabilities, float *features)
{
    int d = eq_classifier_feature_count(c);
    if (features)
        memcpy(features + first * d, eq_program_data(c->program, c->values.features), (size_t)(n * d) * sizeof(float));
    for (int a = 0; probabilities && a < c->file.config.attribute_count; a++) {
        int classes = c->file.config.attributes[a].classes;
        const float *logits = eq_program_data(c->program, c->values.logits[a]);
        for (int64_t i = 0; i < n; i++)
            softmax(logits + i * classes, classes, probabilities[a] + (first + i) * classes);
    }
}

eq_status eq_classifier_run(eq_classifier *c, const uint8_t *pixels, int64_t count, int width, int height,
                            float *const *probabilities, float *features, eq_label_progress progress, void *user)
{
    int64_t image = (int64_t)c->file.config.size * c->file.config.size * 3;
    float *x = eq_program_data(c->program, c->values.images);
    for (int64_t first = 0; first < count; first += BATCH) {
        int64_t n = count - first < BATCH ? count - first : BATCH;
        if (eq_cancelled(c->ctx))
            return eq_fail(c->ctx, EQ_CANCELLED, "cancelled");
        for (int64_t i = 0; i < n; i++)
            EQ_TRY(load_image(c, pixels + (first + i) * width * height * 3, width, height, x + i * image));
        EQ_TRY(eq_program_run(c->program));
        store_batch(c, first, n, probabilities, features);
        if (progress)
            progress(user, first + n, count);
    }
    return EQ_OK;
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
