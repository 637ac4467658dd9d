#include "train/labelled_images.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

const eq_attribute *eq_labelled_attribute(const eq_labelled_images *images, int attribute)
{
    return &images->labels.attributes[images->column[attribute]];
}

int eq_labelled_class(const eq_labelled_images *images, int64_t image, int attribute)
{
    if (images->row[image] < 0)
        return -1;
    return images->labels.classes[images->row[image] * images->labels.attribute_count + images->column[attribute]];
}

double eq_labelled_place(const eq_labelled_images *images, uint64_t seed, int64_t image)
{
    eq_rng rng = eq_rng_make(seed, eq_hash_name(images->data.names[image]), 0);
    return eq_rng_uniform(&rng);
}

static eq_status choose_attribute(eq_context *ctx, const eq_labelled_source *source, int column,
                                  eq_labelled_images *out)
{
    const eq_attribute *attribute = &out->labels.attributes[column];
    if (attribute->classes < 2)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: %s has only one class, \"%s\": nothing to tell apart", source->labels,
                       attribute->name, attribute->class_names[0]);
    for (int i = 0; i < out->attribute_count; i++)
        if (out->column[i] == column)
            return eq_fail(ctx, EQ_BAD_USAGE, "attribute \"%s\" is given twice", attribute->name);
    out->column[out->attribute_count++] = column;
    return EQ_OK;
}

static eq_status choose_attributes(eq_context *ctx, const eq_labelled_source *source, eq_labelled_images *out)
{
    int count = source->attribute_count > 0 ? source->attribute_count : out->labels.attribute_count;
    if (count > EQ_CLASSIFIER_MAX_ATTRIBUTES)
        return eq_fail(ctx, EQ_BAD_USAGE,
                       "%d attributes, at most %d can be learnt at once; name those to learn with --attribute", count,
                       EQ_CLASSIFIER_MAX_ATTRIBUTES);
    for (int i = 0; i < count; i++) {
        int column = i;
        if (source->attribute_count > 0)
            column = eq_attribute_find(out->labels.attributes, out->labels.attribute_count, source->attributes[i]);
        if (column < 0)
            return eq_fail(ctx, EQ_BAD_USAGE, "%s: no attribute \"%s\"; the first is \"%s\"", source->labels,
                           source->attributes[i], out->labels.attributes[0].name);
        EQ_TRY(choose_attribute(ctx, source, column, out));
    }
    return EQ_OK;
}

static eq_status match_labels(eq_context *ctx, const eq_labelled_source *source, eq_labelled_images *out)
{
    eq_names names = {.name = out->data.names, .count = (size_t)out->data.count};
    eq_labels_match match;
    EQ_TRY(eq_labels_match_images(ctx, &out->labels, &names, out->row, &match));
    if (match.matched == 0)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s names none of the images in %s", source->labels, source->images);
    if (match.images_unmatched || match.labels_unmatched)
        eq_log(ctx, EQ_LOG_WARNING, "%zu images without labels and %zu labels without an image are left out",
               match.images_unmatched, match.labels_unmatched);
    return EQ_OK;
}

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
    EQ_TRY(eq_labels_read(ctx, source->labels, &out->labels));
    EQ_TRY(choose_attributes(ctx, source, out));
    EQ_TRY(eq_dataset_open(ctx, source->images, source->size, source->strict, &out->data));
    size_t n = (size_t)out->data.count;
    out->row = malloc(n * sizeof *out->row);
    out->weight = malloc(n * sizeof *out->weight);
    if (!out->row || !out->weight)
        return eq_fail_memory(ctx, "the training set");
    EQ_TRY(match_labels(ctx, source, out));
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
    eq_labels_free(&images->labels);
    free(images->row);
    free(images->weight);
    *images = (eq_labelled_images){0};
}
