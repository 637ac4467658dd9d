#include "run/folder.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/path.h"
#include "io/image.h"
#include "io/manifest.h"

/* --- images --- */

static eq_status write_image(eq_context *ctx, const char *folder, const eq_generation *g, int64_t index, int64_t i)
{
    char *path = eq_format("%s/images/%06" PRId64 ".png", folder, index);
    if (!path)
        return eq_fail_memory(ctx, "a path");
    eq_image image = {g->width, g->height, g->pixels + (size_t)i * (size_t)g->width * (size_t)g->height * 3};
    eq_status status = eq_image_write_png(ctx, path, &image);
    free(path);
    return status;
}

static eq_status append_entry(eq_context *ctx, eq_manifest_writer *writer, const eq_run_record *r, int64_t i)
{
    const eq_generation *g = r->generation;
    char file[64], names[EQ_MAX_ADPS][256], cells[EQ_MAX_ADPS][256];
    eq_manifest_target targets[EQ_MAX_ADPS];
    eq_manifest_prediction predictions[EQ_MAX_ADPS];
    int64_t index = r->options->first_index + i;
    snprintf(file, sizeof file, "images/%06" PRId64 ".png", index);
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
    return eq_manifest_append(ctx, writer,
                              &(eq_manifest_entry){.file = file,
                                                   .seed = r->options->seed,
                                                   .index = index,
                                                   .batch = i / g->coupled,
                                                   .guided = g->moved[i],
                                                   .target_count = g->target_count,
                                                   .targets = targets,
                                                   .prediction_count = g->attribute_count,
                                                   .predictions = predictions});
}

static eq_status make_images_folder(eq_context *ctx, const char *folder)
{
    char *images = eq_path_join(folder, "images");
    eq_status status = images ? eq_make_folders(ctx, images) : eq_fail_memory(ctx, "a path");
    free(images);
    return status;
}

static eq_status write_images(eq_context *ctx, const char *folder, const eq_run_record *r)
{
    EQ_TRY(make_images_folder(ctx, folder));
    char *path = eq_path_join(folder, "manifest.jsonl");
    if (!path)
        return eq_fail_memory(ctx, "a path");
    eq_manifest_writer writer = {0};
    eq_status status = eq_manifest_writer_open(ctx, path, &writer);
    for (int64_t i = 0; i < r->generation->count && status == EQ_OK; i++) {
        status = write_image(ctx, folder, r->generation, r->options->first_index + i, i);
        if (status == EQ_OK)
            status = append_entry(ctx, &writer, r, i);
    }
    if (status == EQ_OK)
        status = eq_manifest_writer_close(ctx, &writer);
    else
        eq_manifest_writer_close(NULL, &writer);
    free(path);
    return status;
}

static eq_status write_labels(eq_context *ctx, const char *folder, const eq_run_record *r)
{
    int64_t n = r->generation->count;
    char **files = calloc((size_t)n, sizeof *files);
    char *path = eq_path_join(folder, "labels.csv");
    eq_status status = files && path ? EQ_OK : eq_fail_memory(ctx, "labels");
    for (int64_t i = 0; status == EQ_OK && i < n; i++)
        if (!(files[i] = eq_format("images/%06" PRId64 ".png", r->options->first_index + i)))
            status = eq_fail_memory(ctx, "labels");
    int attribute_count;
    const eq_attribute *attributes = eq_classifier_attributes(r->evaluator, &attribute_count);
    if (status == EQ_OK)
        status = eq_write_labels(ctx, path, (const char *const *)files, n, attributes, attribute_count,
                                 r->grade->probabilities);
    for (int64_t i = 0; files && i < n; i++)
        free(files[i]);
    free(files);
    free(path);
    return status;
}

/* --- run.json --- */

static json_t *model_json(const eq_model *model)
{
    const int64_t *d = model->h_shape.dim;
    return json_pack("{s:s, s:s, s:[I,I,I]}", "folder", model->folder, "hash", model->hash, "h_shape", (json_int_t)d[0],
                     (json_int_t)d[1], (json_int_t)d[2]);
}

static eq_status heads_json(eq_context *ctx, const eq_pipeline *pipeline, json_t **out)
{
    *out = json_array();
    for (int a = 0; a < pipeline->adp_count; a++) {
        char hash[EQ_SHA256_HEX];
        EQ_TRY(eq_sha256_file(ctx, pipeline->adp_paths[a], hash));
        json_array_append_new(*out, json_pack("{s:s, s:s, s:s, s:i}", "attribute", pipeline->attributes[a].name, "file",
                                              pipeline->adp_paths[a], "hash", hash, "heads", pipeline->adps[a].heads));
    }
    return EQ_OK;
}

static json_t *targets_json(const eq_targets *targets)
{
    json_t *root = json_object();
    for (int t = 0; t < targets->count; t++) {
        char name[256];
        json_t *cells = json_object();
        for (int c = 0; c < targets->items[t].cells; c++) {
            eq_target_cell_name(&targets->items[t], c, name, sizeof name);
            json_object_set_new(cells, name, json_real(targets->items[t].p[c]));
        }
        eq_target_name(&targets->items[t], name, sizeof name);
        json_object_set_new(root, name, cells);
    }
    return root;
}

static json_t *p_per_step_json(const eq_run_record *r)
{
    const eq_generation *g = r->generation;
    json_t *root = json_object();
    for (int a = 0; a < g->attribute_count; a++) {
        const eq_attribute *attribute = &r->pipeline->attributes[a];
        json_t *classes = json_array(), *timesteps = json_array(), *rows = json_array();
        for (int k = 0; k < attribute->classes; k++)
            json_array_append_new(classes, json_string(attribute->class_names[k]));
        for (int s = 0; s < g->steps; s++) {
            json_t *row = json_array();
            for (int k = 0; k < attribute->classes; k++)
                json_array_append_new(row, json_real(g->mean_per_step[a][s * attribute->classes + k]));
            json_array_append_new(rows, row);
            json_array_append_new(timesteps, json_real(g->timesteps[s]));
        }
        json_object_set_new(root, attribute->name,
                            json_pack("{s:o, s:o, s:o}", "classes", classes, "timesteps", timesteps, "p", rows));
    }
    return root;
}

/* What guidance was done with, which the settings may leave to the predictors. */
static json_t *strengths_json(const eq_run_record *r)
{
    json_t *root = json_object();
    for (int a = 0; a < r->generation->attribute_count; a++)
        if (r->generation->strengths[a] > 0)
            json_object_set_new(root, r->pipeline->attributes[a].name, json_real(r->generation->strengths[a]));
    return root;
}

static json_int_t peak_rss_bytes(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return 0;
    return (json_int_t)usage.ru_maxrss * 1024;
}

static eq_status record_json(eq_context *ctx, const eq_run_record *r, json_t **out)
{
    const eq_generation *g = r->generation;
    double labelling = r->grade ? r->grade->seconds : 0;
    json_t *heads = NULL, *evaluation = NULL;
    eq_status status = heads_json(ctx, r->pipeline, &heads);
    if (status != EQ_OK) {
        json_decref(heads);
        return status;
    }
    *out = json_pack("{s:s, s:s, s:O, s:o, s:o, s:o, s:o, s:{s:f, s:f, s:f, s:f}, s:f, s:I, s:{s:I, s:I}, s:o}",
                     "format", "equipoise run 1", "version", EQUIPOISE_VERSION, "settings", r->settings, "model",
                     model_json(&r->pipeline->model), "heads", heads, "targets", targets_json(r->targets), "strengths",
                     strengths_json(r), "seconds", "total", g->seconds + labelling, "sampling", g->seconds, "guidance",
                     g->guidance_seconds, "labelling", labelling, "unet_passes", g->unet_passes, "peak_rss_bytes",
                     peak_rss_bytes(), "planned_bytes", "arena", (json_int_t)g->arena_bytes, "packed_weights",
                     (json_int_t)g->weight_bytes, "p_per_step", p_per_step_json(r));
    if (!*out)
        return eq_fail_memory(ctx, "run.json");
    if (!r->grade)
        return EQ_OK;
    EQ_TRY(eq_evaluation_json(ctx, &r->grade->evaluation, &evaluation));
    json_object_set_new(*out, "evaluation", evaluation);
    return EQ_OK;
}

static eq_status write_json(eq_context *ctx, const char *folder, const eq_run_record *record)
{
    json_t *root = NULL;
    eq_status status = record_json(ctx, record, &root);
    if (status != EQ_OK) {
        json_decref(root);
        return status;
    }
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(8));
    char *path = eq_path_join(folder, "run.json");
    json_decref(root);
    status = text && path ? eq_file_write(ctx, path, text, strlen(text)) : eq_fail_memory(ctx, "run.json");
    free(text);
    free(path);
    return status;
}

eq_status eq_run_write_folder(eq_context *ctx, const char *folder, const eq_run_record *record)
{
    EQ_TRY(write_images(ctx, folder, record));
    if (record->grade)
        EQ_TRY(write_labels(ctx, folder, record));
    return write_json(ctx, folder, record);
}
