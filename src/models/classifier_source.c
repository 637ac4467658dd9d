#include "models/classifier_source.h"

#include <math.h>
#include <stdlib.h>

#include "base/attribute.h"
#include "base/path.h"

/* The first that matches opens a path. */
static const eq_classifier_kind *const kinds[] = {
    &eq_classifier_zero_shot,
    &eq_classifier_torchvision,
    &eq_classifier_own,
};

const eq_classifier_kind *eq_classifier_kind_of(eq_context *ctx, const char *path)
{
    size_t i = 0, last = sizeof kinds / sizeof kinds[0] - 1;
    while (i < last && !kinds[i]->is(ctx, path))
        i++;
    return kinds[i];
}

static bool has_unique_classes(const eq_attribute *attribute)
{
    for (int k = 0; k < attribute->classes; k++)
        if (eq_class_find(attribute, attribute->class_names[k]) != k)
            return false;
    return true;
}

eq_status eq_classifier_source_add(eq_context *ctx, eq_classifier_source *source, const eq_attribute *attribute,
                                   const char *where)
{
    int count = source->attribute_count;
    if (count == EQ_CLASSIFIER_MAX_ATTRIBUTES)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: more than %d attributes", where, count);
    if (eq_attribute_find(source->attributes, count, attribute->name) >= 0)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: the attribute %s is there twice", where, attribute->name);
    if (attribute->classes < 2 || attribute->classes > 256 || !has_unique_classes(attribute))
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: %s: 2 to 256 classes with different names expected", where,
                       attribute->name);
    EQ_TRY(eq_attribute_copy(ctx, attribute, &source->attributes[count]));
    source->scores[count] = (eq_classifier_score){.accuracy = NAN};
    source->attribute_count++;
    return EQ_OK;
}

eq_status eq_classifier_source_open(eq_context *ctx, const char *path, eq_classifier_source *out)
{
    *out = (eq_classifier_source){.kind = eq_classifier_kind_of(ctx, path)};
    eq_status status = out->kind->open(ctx, path, out);
    if (status == EQ_OK && out->attribute_count == 0)
        status = eq_fail(ctx, EQ_BAD_INPUT, "%s: a classifier without attributes", path);
    if (status != EQ_OK)
        eq_classifier_source_close(out);
    return status;
}

void eq_classifier_source_close(eq_classifier_source *source)
{
    if (source->kind)
        source->kind->close(source);
    for (int i = 0; i < source->attribute_count; i++) {
        eq_attribute_clear(&source->attributes[i]);
        free(source->scores[i].confusion);
    }
    *source = (eq_classifier_source){0};
}

/* --- our own --- */

static bool is_folder(eq_context *ctx, const char *path)
{
    (void)ctx;
    return eq_path_is_folder(path);
}

static eq_status open_own(eq_context *ctx, const char *path, eq_classifier_source *out)
{
    eq_classifier_file *file = out->network = calloc(1, sizeof *file);
    if (!file)
        return eq_fail_memory(ctx, "a classifier");
    EQ_TRY(eq_classifier_file_open(ctx, path, file));
    for (int i = 0; i < file->config.attribute_count; i++) {
        EQ_TRY(eq_classifier_source_add(ctx, out, &file->config.attributes[i], path));
        out->scores[i] = file->scores[i]; /* moved */
        file->scores[i].confusion = NULL;
    }
    snprintf(out->architecture, sizeof out->architecture, "%s", file->config.trunk->name);
    snprintf(out->hash, sizeof out->hash, "%s", file->hash);
    out->parameters = file->params->total;
    out->preparation = eq_preparation_own(file->config.size);
    return EQ_OK;
}

static eq_status build_own(const eq_classifier_source *source, eq_graph *graph, int64_t n, eq_classifier_values *out)
{
    const eq_classifier_file *file = source->network;
    return eq_classifier_build(&(eq_builder){graph, file->params}, &file->config, n, out);
}

static void close_own(eq_classifier_source *source)
{
    if (source->network)
        eq_classifier_file_close(source->network);
    free(source->network);
}

const eq_classifier_kind eq_classifier_own = {.name = "equipoise",
                                              .summary = "a folder that train classifier wrote",
                                              .batch = 32,
                                              .is = is_folder,
                                              .open = open_own,
                                              .build = build_own,
                                              .close = close_own};
