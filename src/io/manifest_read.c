#include "io/manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "io/json.h"

enum { MAX_FILE_BYTES = 1 << 30, MAX_ITEMS = 1000 /* targets, attributes, and classes of one */ };

/* A line's document, and the arrays of its entry. Entries are sorted apart from these. */
struct document {
    json_t *root;
    eq_manifest_target *targets;
    eq_manifest_prediction *predictions; /* [prediction_count] */
    int prediction_count;
};

static void document_free(struct document *document)
{
    for (int i = 0; i < document->prediction_count; i++) {
        free((void *)document->predictions[i].attribute.class_names);
        free((float *)document->predictions[i].p);
    }
    free(document->predictions);
    free(document->targets);
    json_decref(document->root);
}

/* The object under `key` and its size, which is bounded. */
static eq_status bounded_object(eq_context *ctx, const eq_json *json, const char *key, eq_json *out, int *count)
{
    EQ_TRY(eq_json_object(ctx, json, key, out));
    if (json_object_size(out->object) > MAX_ITEMS)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: more than %d items", out->where, MAX_ITEMS);
    *count = (int)json_object_size(out->object);
    return EQ_OK;
}

static eq_status read_targets(eq_context *ctx, const eq_json *json, struct document *document, int *count)
{
    eq_json map;
    EQ_TRY(bounded_object(ctx, json, "target_class", &map, count));
    document->targets = calloc((size_t)*count + 1, sizeof *document->targets);
    if (!document->targets)
        return eq_fail_memory(ctx, "a manifest");
    const char *target;
    json_t *value;
    int i = 0;
    json_object_foreach(map.object, target, value)
    {
        document->targets[i].target = target;
        EQ_TRY(eq_json_string_or(ctx, &map, target, NULL, &document->targets[i].cell));
        i++;
    }
    return EQ_OK;
}

static eq_status read_prediction(eq_context *ctx, const eq_json *map, const char *name,
                                 eq_manifest_prediction *prediction)
{
    eq_json classes;
    int count = 0;
    EQ_TRY(bounded_object(ctx, map, name, &classes, &count));
    const char **names = calloc((size_t)count + 1, sizeof *names);
    float *p = calloc((size_t)count + 1, sizeof *p);
    *prediction = (eq_manifest_prediction){{name, count, names}, p};
    if (!names || !p)
        return eq_fail_memory(ctx, "a manifest");
    const char *class_name;
    json_t *value;
    int k = 0;
    json_object_foreach(classes.object, class_name, value)
    {
        double probability;
        EQ_TRY(eq_json_float(ctx, &classes, class_name, 0, 1, &probability));
        names[k] = class_name;
        p[k++] = (float)probability;
    }
    return EQ_OK;
}

static eq_status read_predictions(eq_context *ctx, const eq_json *json, struct document *document)
{
    eq_json map;
    int count = 0;
    EQ_TRY(bounded_object(ctx, json, "adp", &map, &count));
    document->predictions = calloc((size_t)count + 1, sizeof *document->predictions);
    if (!document->predictions)
        return eq_fail_memory(ctx, "a manifest");
    document->prediction_count = count;
    const char *name;
    json_t *value;
    int i = 0;
    json_object_foreach(map.object, name, value)
    {
        EQ_TRY(read_prediction(ctx, &map, name, &document->predictions[i]));
        i++;
    }
    return EQ_OK;
}

static eq_status read_entry(eq_context *ctx, const eq_json *json, struct document *document, eq_manifest_entry *entry)
{
    int64_t seed;
    EQ_TRY(eq_json_string(ctx, json, "file", &entry->file));
    EQ_TRY(eq_json_int(ctx, json, "seed", 0, INT64_MAX, &seed));
    EQ_TRY(eq_json_int(ctx, json, "index", 0, INT64_MAX, &entry->index));
    EQ_TRY(eq_json_int(ctx, json, "batch", 0, INT64_MAX, &entry->batch));
    EQ_TRY(eq_json_bool(ctx, json, "guided", &entry->guided));
    EQ_TRY(eq_json_string_or(ctx, json, "prompt", NULL, &entry->prompt));
    entry->replacement = eq_json_has(json, "replaces");
    EQ_TRY(eq_json_int_or(ctx, json, "replaces", -1, 0, INT64_MAX, &entry->replaces));
    EQ_TRY(read_targets(ctx, json, document, &entry->target_count));
    EQ_TRY(read_predictions(ctx, json, document));
    entry->seed = (uint64_t)seed;
    entry->targets = document->targets;
    entry->prediction_count = document->prediction_count;
    entry->predictions = document->predictions;
    return EQ_OK;
}

/* Parses one line, which becomes the next entry and document. */
static eq_status add_line(eq_context *ctx, const char *text, size_t size, const char *where, eq_manifest *manifest)
{
    size_t count = manifest->document_count;
    if ((count & (count - 1)) == 0) { /* grows at powers of two */
        size_t capacity = count ? count * 2 : 1;
        struct document *documents = reallocarray(manifest->documents, capacity, sizeof *documents);
        if (documents)
            manifest->documents = documents;
        eq_manifest_entry *entries = reallocarray(manifest->entries, capacity, sizeof *entries);
        if (entries)
            manifest->entries = entries;
        if (!documents || !entries)
            return eq_fail_memory(ctx, "a manifest");
    }
    eq_json json;
    EQ_TRY(eq_json_parse(ctx, text, size, where, &json));
    struct document document = {.root = json.object};
    eq_manifest_entry entry = {0};
    eq_status status = read_entry(ctx, &json, &document, &entry);
    if (status != EQ_OK) {
        document_free(&document);
        return status;
    }
    ((struct document *)manifest->documents)[manifest->document_count++] = document;
    manifest->entries[manifest->count++] = entry;
    return EQ_OK;
}

struct position {
    int64_t index;
    size_t line;
};

static int compare_positions(const void *a, const void *b)
{
    const struct position *x = a, *y = b;
    if (x->index != y->index)
        return x->index < y->index ? -1 : 1;
    return x->line < y->line ? -1 : x->line > y->line;
}

/* Sorts by index; the last line of an index stays. */
static eq_status sort_entries(eq_context *ctx, eq_manifest *manifest)
{
    size_t count = manifest->count;
    struct position *positions = calloc(count + 1, sizeof *positions);
    eq_manifest_entry *sorted = calloc(count + 1, sizeof *sorted);
    if (!positions || !sorted) {
        free(positions);
        free(sorted);
        return eq_fail_memory(ctx, "a manifest");
    }
    for (size_t i = 0; i < count; i++)
        positions[i] = (struct position){manifest->entries[i].index, i};
    qsort(positions, count, sizeof *positions, compare_positions);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (i + 1 == count || positions[i].index != positions[i + 1].index)
            sorted[kept++] = manifest->entries[positions[i].line];
    free(positions);
    free(manifest->entries);
    manifest->entries = sorted;
    manifest->count = kept;
    return EQ_OK;
}

eq_status eq_manifest_parse(eq_context *ctx, const char *text, size_t size, const char *name, eq_manifest *out)
{
    *out = (eq_manifest){0};
    eq_manifest manifest = {0};
    eq_status status = EQ_OK;
    const char *end = text + size;
    for (size_t line = 1; status == EQ_OK && text < end; line++) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        if (!newline)
            break;
        char where[224];
        snprintf(where, sizeof where, "%.180s: line %zu", name, line);
        status = add_line(ctx, text, (size_t)(newline - text), where, &manifest);
        text = newline + 1;
    }
    if (status == EQ_OK)
        status = sort_entries(ctx, &manifest);
    if (status != EQ_OK) {
        eq_manifest_free(&manifest);
        return status;
    }
    *out = manifest;
    return EQ_OK;
}

eq_status eq_manifest_read(eq_context *ctx, const char *path, eq_manifest *out)
{
    uint8_t *bytes;
    size_t size;
    *out = (eq_manifest){0};
    EQ_TRY(eq_file_read(ctx, path, MAX_FILE_BYTES, &bytes, &size));
    eq_status status = eq_manifest_parse(ctx, (const char *)bytes, size, path, out);
    free(bytes);
    return status;
}

void eq_manifest_free(eq_manifest *manifest)
{
    if (!manifest)
        return;
    struct document *documents = manifest->documents;
    for (size_t i = 0; i < manifest->document_count; i++)
        document_free(&documents[i]);
    free(documents);
    free(manifest->entries);
    *manifest = (eq_manifest){0};
}

const eq_manifest_entry *eq_manifest_find(const eq_manifest *manifest, int64_t index)
{
    size_t low = 0, high = manifest->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (manifest->entries[middle].index == index)
            return &manifest->entries[middle];
        if (manifest->entries[middle].index < index)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}
