#include "train/labelled_images.h"

#include <stdlib.h>
#include <string.h>

#include "base/attribute.h"
#include "base/hash.h"

const eq_attribute *eq_labelled_attribute(const eq_labelled_images *images, int attribute)
{
    return &images->attributes[attribute];
}

int eq_labelled_class(const eq_labelled_images *images, int64_t image, int attribute)
{
    return images->classes[image * images->attribute_count + attribute];
}

double eq_labelled_place(const eq_labelled_images *images, uint64_t seed, int64_t image)
{
    eq_rng rng = eq_rng_make(seed, eq_hash_name(images->data.names[image]), 0);
    return eq_rng_uniform(&rng);
}

/* --- what is learnt --- */

static eq_status choose_attribute(eq_context *ctx, const eq_labelled_source *source, const eq_attribute *attribute,
                                  eq_labelled_images *out)
{
    if (attribute->classes < 2)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: %s has only one class, \"%s\": nothing to tell apart", source->labels,
                       attribute->name, attribute->class_names[0]);
    if (eq_attribute_find(out->attributes, out->attribute_count, attribute->name) >= 0)
        return eq_fail(ctx, EQ_BAD_USAGE, "attribute \"%s\" is given twice", attribute->name);
    EQ_TRY(eq_attribute_copy(ctx, attribute, &out->attributes[out->attribute_count]));
    out->attribute_count++;
    return EQ_OK;
}

static eq_status choose_attributes(eq_context *ctx, const eq_labelled_source *source, const eq_labels *labels,
                                   eq_labelled_images *out)
{
    int count = source->attribute_count > 0 ? source->attribute_count : labels->attribute_count;
    if (count > EQ_CLASSIFIER_MAX_ATTRIBUTES)
        return eq_fail(ctx, EQ_BAD_USAGE,
                       "%d attributes, at most %d can be learnt at once; name those to learn with --attribute", count,
                       EQ_CLASSIFIER_MAX_ATTRIBUTES);
    for (int i = 0; i < count; i++) {
        int column = i;
        if (source->attribute_count > 0)
            column = eq_attribute_find(labels->attributes, labels->attribute_count, source->attributes[i]);
        if (column < 0)
            return eq_fail(ctx, EQ_BAD_USAGE, "%s: no attribute \"%s\"; the first is \"%s\"", source->labels,
                           source->attributes[i], labels->attributes[0].name);
        EQ_TRY(choose_attribute(ctx, source, &labels->attributes[column], out));
    }
    return EQ_OK;
}

/* --- folders --- */

/* Where an attribute stands in a table, and which class each of the table's is. */
typedef struct column {
    int at;
    int class_of[EQ_LABELS_MAX_CLASSES];
} column;

static eq_status find_column(eq_context *ctx, const eq_labelled_folder *folder, const eq_labels *labels,
                             const eq_attribute *attribute, column *out)
{
    out->at = eq_attribute_find(labels->attributes, labels->attribute_count, attribute->name);
    if (out->at < 0)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: no column \"%s\", which is to be learnt", folder->labels,
                       attribute->name);
    const eq_attribute *theirs = &labels->attributes[out->at];
    for (int k = 0; k < theirs->classes; k++) {
        out->class_of[k] = eq_class_find(attribute, theirs->class_names[k]);
        if (out->class_of[k] < 0)
            return eq_fail(ctx, EQ_BAD_INPUT,
                           "%s: %s has a class \"%s\", which the first table of labels does not; its first is \"%s\"",
                           folder->labels, attribute->name, theirs->class_names[k], attribute->class_names[0]);
    }
    return EQ_OK;
}

/* Moves the images of `more` in, with the folder's name before theirs. */
static eq_status append_images(eq_context *ctx, const eq_labelled_folder *folder, eq_dataset *more, eq_dataset *data)
{
    if (data->count == 0 && !folder->name) {
        *data = *more;
        *more = (eq_dataset){0};
        return EQ_OK;
    }
    size_t count = (size_t)data->count, total = count + (size_t)more->count;
    size_t bytes = (size_t)more->size * (size_t)more->size * 3;
    uint8_t *pixels = realloc(data->pixels, total * bytes);
    data->pixels = pixels ? pixels : data->pixels;
    char **names = realloc(data->names, total * sizeof *names);
    data->names = names ? names : data->names;
    if (!pixels || !names)
        return eq_fail_memory(ctx, "the training set");
    memcpy(pixels + count * bytes, more->pixels, (size_t)more->count * bytes);
    for (int64_t i = 0; i < more->count; i++) {
        names[data->count] = eq_format("%s/%s", folder->name, more->names[i]);
        if (!names[data->count])
            return eq_fail_memory(ctx, "the training set");
        data->count++;
    }
    data->skipped += more->skipped;
    return EQ_OK;
}

/* Labels the images of `more`, which come next. */
static eq_status match_labels(eq_context *ctx, const eq_labelled_folder *folder, const eq_labels *labels,
                              const eq_dataset *more, const column *columns, eq_labelled_images *out)
{
    int64_t first = out->data.count;
    size_t total = (size_t)(first + more->count), attributes = (size_t)out->attribute_count;
    int *classes = realloc(out->classes, total * attributes * sizeof *classes);
    out->classes = classes ? classes : out->classes;
    bool *listed = realloc(out->listed, total * sizeof *listed);
    out->listed = listed ? listed : out->listed;
    int64_t *rows = malloc((size_t)more->count * sizeof *rows);
    if (!classes || !listed || !rows) {
        free(rows);
        return eq_fail_memory(ctx, "the training set");
    }
    eq_names names = {.name = more->names, .count = (size_t)more->count};
    eq_labels_match match = {0};
    eq_status status = eq_labels_match_images(ctx, labels, &names, rows, &match);
    for (int64_t i = 0; status == EQ_OK && i < more->count; i++) {
        listed[first + i] = rows[i] >= 0;
        for (int a = 0; a < out->attribute_count; a++) {
            int k = rows[i] < 0 ? -1 : labels->classes[rows[i] * labels->attribute_count + columns[a].at];
            classes[(first + i) * out->attribute_count + a] = k < 0 ? -1 : columns[a].class_of[k];
        }
    }
    free(rows);
    EQ_TRY(status);
    if (match.matched == 0)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s names none of the images in %s", folder->labels, folder->images);
    if (match.images_unmatched || match.labels_unmatched)
        eq_log(ctx, EQ_LOG_WARNING, "%zu images without labels and %zu labels without an image are left out",
               match.images_unmatched, match.labels_unmatched);
    return EQ_OK;
}

static eq_status add_folder(eq_context *ctx, const eq_labelled_source *source, const eq_labelled_folder *folder,
                            const eq_labels *labels, eq_labelled_images *out)
{
    eq_dataset more = {0};
    column *columns = malloc((size_t)out->attribute_count * sizeof *columns);
    eq_status status = columns ? EQ_OK : eq_fail_memory(ctx, "the training set");
    for (int a = 0; status == EQ_OK && a < out->attribute_count; a++)
        status = find_column(ctx, folder, labels, &out->attributes[a], &columns[a]);
    if (status == EQ_OK)
        status = eq_dataset_open(ctx, folder->images, source->size, source->strict, &more);
    if (status == EQ_OK)
        status = match_labels(ctx, folder, labels, &more, columns, out);
    if (status == EQ_OK)
        status = append_images(ctx, folder, &more, &out->data);
    eq_dataset_close(&more);
    free(columns);
    return status;
}

/* With NULL, the source's first folder, whose table says what there is to learn. */
static eq_status read_folder(eq_context *ctx, const eq_labelled_source *source, const eq_labelled_folder *added,
                             eq_labelled_images *out)
{
    const eq_labelled_folder first = {.images = source->images, .labels = source->labels};
    const eq_labelled_folder *folder = added ? added : &first;
    eq_labels labels;
    EQ_TRY(eq_labels_read(ctx, folder->labels, &labels));
    eq_status status = added ? EQ_OK : choose_attributes(ctx, source, &labels, out);
    if (status == EQ_OK)
        status = add_folder(ctx, source, folder, &labels, out);
    eq_labels_free(&labels);
    return status;
}

/* --- weights --- */

static void balance(eq_labelled_images *images, int attribute)
{
    int classes = eq_labelled_attribute(images, attribute)->classes;
    int64_t count[EQ_LABELS_MAX_CLASSES] = {0}, labelled = 0;
    for (int64_t i = 0; i < images->data.count; i++) {
        int k = eq_labelled_class(images, i, attribute);
        if (k >= 0) {
            count[k]++;
            labelled++;
        }
    }
    for (int64_t i = 0; i < images->data.count; i++) {
        int k = eq_labelled_class(images, i, attribute);
        if (k < 0)
            continue;
        float wanted = (float)labelled / ((float)classes * (float)count[k]);
        wanted = wanted < 10 ? wanted : 10;
        images->weight[i] = images->weight[i] > wanted ? images->weight[i] : wanted;
    }
}

static eq_status open_parts(eq_context *ctx, const eq_labelled_source *source, eq_labelled_images *out)
{
    EQ_TRY(read_folder(ctx, source, NULL, out));
    for (int i = 0; i < source->added_count; i++)
        EQ_TRY(read_folder(ctx, source, &source->added[i], out));
    size_t n = (size_t)out->data.count;
    out->weight = malloc(n * sizeof *out->weight);
    if (!out->weight)
        return eq_fail_memory(ctx, "the training set");
    for (size_t i = 0; i < n; i++)
        out->weight[i] = 1;
    for (int a = 0; source->balance && a < out->attribute_count; a++)
        balance(out, a);
    return EQ_OK;
}

eq_status eq_labelled_images_open(eq_context *ctx, const eq_labelled_source *source, eq_labelled_images *out)
{
    *out = (eq_labelled_images){0};
    eq_status status = open_parts(ctx, source, out);
    if (status != EQ_OK)
        eq_labelled_images_close(out);
    return status;
}

void eq_labelled_images_close(eq_labelled_images *images)
{
    eq_dataset_close(&images->data);
    for (int a = 0; a < images->attribute_count; a++)
        eq_attribute_clear(&images->attributes[a]);
    free(images->classes);
    free(images->listed);
    free(images->weight);
    *images = (eq_labelled_images){0};
}
