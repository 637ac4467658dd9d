#include "eval/label_folder.h"

#include <stdlib.h>
#include <string.h>

#include "models/classifier.h"

enum { CHUNK = 64 };

typedef struct job {
    eq_context *ctx;
    eq_classifier *classifier;
    const eq_label_folder_options *options;
    eq_folder_labels *out;
    const eq_attribute *attributes;
    uint8_t *pixels; /* [CHUNK, size, size, 3] */
    int size, waiting;
} job;

/* pixels: [size, size, 3] out */
static eq_status read_image(const job *j, const char *name, uint8_t *pixels)
{
    char *path = eq_path_join(j->options->folder, name);
    if (!path)
        return eq_fail_memory(j->ctx, "a path");
    eq_image whole = {0}, fitted = {0};
    eq_status status = eq_image_read(j->ctx, path, &whole);
    if (status == EQ_OK)
        status = eq_classifier_fit(j->classifier, &whole, &fitted);
    if (status == EQ_OK)
        memcpy(pixels, fitted.pixels, (size_t)j->size * (size_t)j->size * 3);
    eq_image_free(&whole);
    eq_image_free(&fitted);
    free(path);
    return status;
}

/* Labels the images that wait: the last ones of out->files. */
static eq_status label_waiting(job *j)
{
    eq_folder_labels *out = j->out;
    size_t first = out->files.count - (size_t)j->waiting;
    float *probabilities[EQ_CLASSIFIER_MAX_ATTRIBUTES];
    for (int a = 0; a < out->attribute_count; a++)
        probabilities[a] = out->probabilities[a] + first * (size_t)j->attributes[a].classes;
    float *features = out->features;
    if (features)
        features += first * (size_t)eq_classifier_feature_count(j->classifier);
    eq_status status = eq_classifier_run_fitted(j->classifier, j->pixels, j->waiting, probabilities, features);
    j->waiting = 0;
    return status;
}

static eq_status label_all(job *j, eq_names *names)
{
    eq_folder_labels *out = j->out;
    size_t bytes = (size_t)j->size * (size_t)j->size * 3;
    for (size_t i = 0; i < names->count; i++) {
        if (eq_cancelled(j->ctx))
            return eq_fail(j->ctx, EQ_CANCELLED, "cancelled");
        eq_status status = read_image(j, names->name[i], j->pixels + (size_t)j->waiting * bytes);
        if (status == EQ_BAD_INPUT && !j->options->strict) {
            eq_log(j->ctx, EQ_LOG_WARNING, "skipped: %s", eq_last_error(j->ctx));
            out->skipped++;
        } else {
            EQ_TRY(status);
            out->files.name[out->files.count++] = names->name[i];
            names->name[i] = NULL; /* moved */
            j->waiting++;
        }
        if (j->waiting == CHUNK || i + 1 == names->count)
            EQ_TRY(label_waiting(j));
        if (j->options->progress)
            j->options->progress(j->options->progress_user, (int64_t)i + 1, (int64_t)names->count);
    }
    if (out->files.count == 0)
        return eq_fail(j->ctx, EQ_BAD_INPUT, "%s: no readable PNG, JPEG or WebP image below this folder",
                       j->options->folder);
    return EQ_OK;
}

static eq_status allocate(job *j, size_t count)
{
    eq_folder_labels *out = j->out;
    size_t d = (size_t)eq_classifier_feature_count(j->classifier);
    EQ_TRY(eq_probabilities_new(j->ctx, j->attributes, out->attribute_count, (int64_t)count, &out->probabilities));
    out->files.name = calloc(count + 1, sizeof *out->files.name);
    j->pixels = malloc((size_t)CHUNK * (size_t)j->size * (size_t)j->size * 3);
    if (j->options->features)
        out->features = calloc(count * d + 1, sizeof *out->features);
    return out->files.name && j->pixels && (out->features || !j->options->features) ? EQ_OK
                                                                                    : eq_fail_memory(j->ctx, "labels");
}

eq_status eq_label_folder(eq_context *ctx, eq_classifier *classifier, const eq_label_folder_options *options,
                          eq_folder_labels *out)
{
    *out = (eq_folder_labels){0};
    job j = {
        .ctx = ctx, .classifier = classifier, .options = options, .out = out, .size = eq_classifier_size(classifier)};
    j.attributes = eq_classifier_attributes(classifier, &out->attribute_count);
    eq_names names = {0};
    EQ_TRY(eq_list_images(ctx, options->folder, true, &names));
    eq_status status = allocate(&j, names.count);
    if (status == EQ_OK)
        status = label_all(&j, &names);
    free(j.pixels);
    eq_names_free(&names);
    if (status != EQ_OK)
        eq_folder_labels_free(out);
    return status;
}

void eq_folder_labels_free(eq_folder_labels *labels)
{
    eq_probabilities_free(labels->probabilities, labels->attribute_count);
    eq_names_free(&labels->files);
    free(labels->features);
    *labels = (eq_folder_labels){0};
}
