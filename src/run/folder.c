#include "run/folder.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/path.h"
#include "io/image.h"
#include "io/manifest.h"
#include "run/generation.h"

enum { FILE_NAME = 64 };

static void image_file(int64_t index, char name[FILE_NAME])
{
    snprintf(name, FILE_NAME, "images/%06" PRId64 ".png", index);
}

static bool has(const char *folder, const char *name)
{
    char *path = eq_path_join(folder, name);
    bool there = path && eq_path_exists(path);
    free(path);
    return there;
}

static bool is_empty(const char *folder)
{
    DIR *directory = opendir(folder);
    if (!directory)
        return false;
    int entries = 0;
    while (readdir(directory))
        entries++;
    closedir(directory);
    return entries <= 2; /* . and .. */
}

eq_folder_state eq_run_folder_state(const char *folder)
{
    if (!eq_path_exists(folder) || is_empty(folder))
        return EQ_FOLDER_NEW;
    if (has(folder, "run.json"))
        return EQ_FOLDER_FINISHED;
    return has(folder, "checkpoint.safetensors") ? EQ_FOLDER_BEGUN : EQ_FOLDER_OTHER;
}

/* --- taking away --- */

static eq_status remove_file(eq_context *ctx, const char *folder, const char *name)
{
    char *path = eq_path_join(folder, name);
    if (!path)
        return eq_fail_memory(ctx, "a path");
    eq_status status = unlink(path) == 0 || errno == ENOENT ? EQ_OK : eq_fail_system(ctx, "remove", path, errno);
    free(path);
    return status;
}

static int compare_indices(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Whether images/NAME is one that a run wrote, or a temporary file of one that was killed, and not of this set.
 * indices: sorted. */
static bool is_surplus(const char *name, const int64_t *indices, int64_t count)
{
    int64_t index;
    int length = 0;
    if (strncmp(name, ".equipoise-", 11) == 0)
        return true;
    if (sscanf(name, "%" SCNd64 ".png%n", &index, &length) != 1 || length == 0 || name[length])
        return false;
    return count == 0 || !bsearch(&index, indices, (size_t)count, sizeof index, compare_indices);
}

static eq_status remove_surplus(eq_context *ctx, const char *folder, const int64_t *indices, int64_t count)
{
    char *images = eq_path_join(folder, "images");
    DIR *directory = images ? opendir(images) : NULL;
    eq_status status = images ? EQ_OK : eq_fail_memory(ctx, "a path");
    for (struct dirent *entry; status == EQ_OK && directory && (entry = readdir(directory));)
        if (is_surplus(entry->d_name, indices, count))
            status = remove_file(ctx, images, entry->d_name);
    if (directory)
        closedir(directory);
    free(images);
    return status;
}

eq_status eq_run_folder_begin(eq_context *ctx, const char *folder, bool replace)
{
    static const char *const files[] = {"run.json", "checkpoint.safetensors", "manifest.jsonl", "labels.csv",
                                        "report.html"};
    char *images = eq_path_join(folder, "images");
    eq_status status = images ? eq_make_folders(ctx, images) : eq_fail_memory(ctx, "a path");
    free(images);
    for (size_t i = 0; replace && i < sizeof files / sizeof files[0] && status == EQ_OK; i++)
        status = remove_file(ctx, folder, files[i]);
    return status == EQ_OK && replace ? remove_surplus(ctx, folder, NULL, 0) : status;
}

void eq_run_folder_abandon(const char *folder)
{
    char *images = eq_path_join(folder, "images"), *checkpoint = eq_path_join(folder, "checkpoint.safetensors");
    if (images && checkpoint && rmdir(images) == 0 && unlink(checkpoint) == 0)
        rmdir(folder);
    free(images);
    free(checkpoint);
}

/* --- images and manifest --- */

static eq_status write_image(eq_context *ctx, const char *folder, const eq_generation *g, int64_t i)
{
    char name[FILE_NAME];
    image_file(g->indices[i], name);
    char *path = eq_path_join(folder, name);
    if (!path)
        return eq_fail_memory(ctx, "a path");
    eq_image image = {g->width, g->height, g->pixels + (size_t)i * eq_generation_image_bytes(g)};
    eq_status status = eq_image_write_png(ctx, path, &image);
    free(path);
    return status;
}

/* NULL: the model takes none. */
static const char *prompt_of(const eq_run_record *r, int64_t i)
{
    const eq_run_settings *s = r->settings;
    const eq_generation *g = r->generation;
    if (s->prompts.count == 0)
        return NULL;
    return s->prompts.wording.texts[eq_prompts_text_of(&s->prompts, g->indices[i] - s->options->first_index, r->targets,
                                                       g->cells + i, g->count)];
}

static eq_status append_entry(eq_context *ctx, eq_manifest_writer *writer, const eq_run_record *r, int64_t i)
{
    const eq_generation *g = r->generation;
    char file[FILE_NAME], names[EQ_MAX_ADPS][256], cells[EQ_MAX_ADPS][256];
    eq_manifest_target targets[EQ_MAX_ADPS];
    eq_manifest_prediction predictions[EQ_MAX_ADPS];
    image_file(g->indices[i], file);
    for (int t = 0; t < g->target_count; t++) {
        int cell = g->cells[t * g->count + i];
        eq_target_name(&r->targets->items[t], names[t], sizeof names[t]);
        targets[t] = (eq_manifest_target){names[t], NULL};
        if (cell >= 0) {
            eq_target_cell_name(&r->targets->items[t], cell, cells[t], sizeof cells[t]);
            targets[t].cell = cells[t];
        }
    }
    for (int a = 0; a < g->attribute_count; a++)
        predictions[a] = (eq_manifest_prediction){r->pipeline->attributes[a],
                                                  g->predictions[a] + i * r->pipeline->attributes[a].classes};
    const json_t *seed = json_object_get(json_object_get(r->identity, "settings"), "seed");
    return eq_manifest_append(ctx, writer,
                              &(eq_manifest_entry){.file = file,
                                                   .seed = (uint64_t)json_integer_value(seed),
                                                   .index = g->indices[i],
                                                   .batch = g->batches[i],
                                                   .guided = g->moved[i],
                                                   .prompt = prompt_of(r, i),
                                                   .replacement = g->replaces[i] >= 0,
                                                   .replaces = g->replaces[i],
                                                   .target_count = g->target_count,
                                                   .targets = targets,
                                                   .prediction_count = g->attribute_count,
                                                   .predictions = predictions});
}

static eq_status append_entries(eq_context *ctx, const char *path, const eq_run_record *r, const int64_t *rows,
                                int64_t n)
{
    eq_manifest_writer writer = {0};
    EQ_TRY(eq_manifest_writer_open(ctx, path, &writer));
    eq_status status = EQ_OK;
    for (int64_t i = 0; i < n && status == EQ_OK; i++)
        status = append_entry(ctx, &writer, r, rows[i]);
    if (status == EQ_OK)
        return eq_manifest_writer_close(ctx, &writer);
    eq_manifest_writer_close(NULL, &writer);
    return status;
}

eq_status eq_run_folder_add(eq_context *ctx, const char *folder, const eq_run_record *record, const int64_t *rows,
                            int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        EQ_TRY(write_image(ctx, folder, record->generation, rows[i]));
    char *path = eq_path_join(folder, "manifest.jsonl");
    eq_status status = path ? append_entries(ctx, path, record, rows, n) : eq_fail_memory(ctx, "a path");
    free(path);
    return status;
}

eq_status eq_run_folder_read(eq_context *ctx, const char *folder, int64_t n, eq_generation *g)
{
    for (int64_t i = 0; i < n; i++) {
        char name[FILE_NAME];
        eq_image image;
        image_file(g->indices[i], name);
        char *path = eq_path_join(folder, name);
        if (!path)
            return eq_fail_memory(ctx, "a path");
        eq_status status = eq_image_read(ctx, path, &image);
        if (status == EQ_OK && (image.width != g->width || image.height != g->height))
            status = eq_fail(ctx, EQ_BAD_INPUT, "%s: not an image of this run", path);
        else if (status == EQ_OK)
            memcpy(g->pixels + (size_t)i * eq_generation_image_bytes(g), image.pixels, eq_generation_image_bytes(g));
        free(path);
        if (status == EQ_OK)
            eq_image_free(&image);
        EQ_TRY(status);
    }
    return EQ_OK;
}

/* --- the end of a run --- */

typedef struct numbered {
    int64_t index, row;
} numbered;

/* order: [count] rows by image number; indices: [count] the numbers, both malloc'ed. */
static eq_status sort_rows(eq_context *ctx, const eq_generation *g, int64_t **order, int64_t **indices)
{
    size_t n = (size_t)g->count;
    numbered *rows = malloc(n * sizeof *rows);
    *order = malloc(n * sizeof **order);
    *indices = malloc(n * sizeof **indices);
    if (!rows || !*order || !*indices) {
        free(rows);
        return eq_fail_memory(ctx, "a manifest");
    }
    for (int64_t i = 0; i < g->count; i++)
        rows[i] = (numbered){g->indices[i], i};
    qsort(rows, n, sizeof *rows, compare_indices); /* the number comes first */
    for (int64_t i = 0; i < g->count; i++) {
        (*indices)[i] = rows[i].index;
        (*order)[i] = rows[i].row;
    }
    free(rows);
    return EQ_OK;
}

/* Anew under another name: an interrupted run may have left lines for images that were made again. */
static eq_status write_manifest(eq_context *ctx, const char *folder, const eq_run_record *r, const int64_t *order)
{
    char *path = eq_path_join(folder, "manifest.jsonl"), *fresh = eq_path_join(folder, ".equipoise-manifest.tmp");
    eq_status status =
        path && fresh ? remove_file(ctx, folder, ".equipoise-manifest.tmp") : eq_fail_memory(ctx, "a path");
    if (status == EQ_OK)
        status = append_entries(ctx, fresh, r, order, r->generation->count);
    if (status == EQ_OK && rename(fresh, path) != 0)
        status = eq_fail_system(ctx, "write", path, errno);
    if (status != EQ_OK && fresh)
        unlink(fresh);
    free(path);
    free(fresh);
    return status;
}

static eq_status write_labels(eq_context *ctx, const char *folder, const eq_run_record *r)
{
    int64_t n = r->generation->count;
    char(*names)[FILE_NAME] = malloc((size_t)n * sizeof *names);
    const char **files = malloc((size_t)n * sizeof *files);
    char *path = eq_path_join(folder, "labels.csv");
    eq_status status = names && files && path ? EQ_OK : eq_fail_memory(ctx, "labels");
    for (int64_t i = 0; status == EQ_OK && i < n; i++) {
        image_file(r->generation->indices[i], names[i]);
        files[i] = names[i];
    }
    int count;
    const eq_attribute *attributes = eq_classifier_attributes(r->evaluator, &count);
    if (status == EQ_OK)
        status = eq_write_labels(ctx, path, files, n, attributes, count, r->grade->probabilities);
    free(names);
    free(files);
    free(path);
    return status;
}

static eq_status write_json(eq_context *ctx, const char *folder, const eq_run_record *record)
{
    json_t *root;
    EQ_TRY(eq_run_json(ctx, record, &root));
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(8));
    char *path = eq_path_join(folder, "run.json");
    json_decref(root);
    eq_status status = text && path ? eq_file_write(ctx, path, text, strlen(text)) : eq_fail_memory(ctx, "run.json");
    free(text);
    free(path);
    return status;
}

eq_status eq_run_folder_finish(eq_context *ctx, const char *folder, const eq_run_record *record)
{
    int64_t *order, *indices;
    eq_status status = sort_rows(ctx, record->generation, &order, &indices);
    if (status == EQ_OK)
        status = write_manifest(ctx, folder, record, order);
    if (status == EQ_OK)
        status = remove_surplus(ctx, folder, indices, record->generation->count);
    if (status == EQ_OK && record->grade)
        status = write_labels(ctx, folder, record);
    if (status == EQ_OK)
        status = write_json(ctx, folder, record);
    if (status == EQ_OK)
        status = remove_file(ctx, folder, "checkpoint.safetensors");
    free(order);
    free(indices);
    return status;
}
