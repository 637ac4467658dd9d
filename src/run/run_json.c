#include "run/run_json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/process.h"
#include "io/json.h"

/* --- identity --- */

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

/* What calibration stored with the predictors for the method. */
static json_t *factors_json(const eq_pipeline *pipeline, const eq_method *method)
{
    json_t *root = json_object();
    for (int a = 0; method->step && a < pipeline->adp_count; a++) {
        double factor = eq_adp_factor_of(&pipeline->adps[a], method->name);
        if (factor > 0)
            json_object_set_new(root, pipeline->attributes[a].name, json_real(factor));
    }
    return root;
}

static eq_status predictors_json(eq_context *ctx, const eq_pipeline *pipeline, json_t *out)
{
    for (int a = 0; a < pipeline->adp_count; a++) {
        char hash[EQ_SHA256_HEX];
        EQ_TRY(eq_sha256_file(ctx, pipeline->adp_paths[a], hash));
        json_object_set_new(out, pipeline->attributes[a].name, json_string(hash));
    }
    return EQ_OK;
}

eq_status eq_run_identity(eq_context *ctx, eq_pipeline *pipeline, const eq_run_settings *settings,
                          const eq_targets *targets, json_t **out)
{
    const char *hash;
    EQ_TRY(eq_model_hash(ctx, &pipeline->model, &hash));
    json_t *predictors = json_object();
    *out = json_pack("{s:o, s:s, s:O, s:o, s:o}", "settings", eq_run_settings_json(settings), "model", hash,
                     "predictors", predictors, "factors", factors_json(pipeline, settings->guidance.method), "targets",
                     targets_json(targets));
    eq_status status = *out ? predictors_json(ctx, pipeline, predictors) : eq_fail_memory(ctx, "run.json");
    json_decref(predictors);
    if (status == EQ_OK && pipeline->model.vae_path) {
        char vae[EQ_SHA256_HEX];
        status = eq_tensor_file_hash(ctx, &pipeline->model.vae_weights, vae);
        json_object_set_new(*out, "vae", json_string(vae));
    }
    if (status != EQ_OK) {
        json_decref(*out);
        *out = NULL;
    }
    return status;
}

/* "40", "p2", "nothing" */
static void describe(const json_t *value, char *buffer, size_t size)
{
    char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    snprintf(buffer, size, "%.60s", json_is_string(value) ? json_string_value(value) : text ? text : "nothing");
    free(text);
}

/* Numbers in run.json are rounded. */
static bool same_value(const json_t *a, const json_t *b)
{
    if (!json_is_number(a) || !json_is_number(b))
        return json_equal(a, b);
    double x = json_number_value(a), y = json_number_value(b);
    return fabs(x - y) <= 1e-7 * fmax(fabs(x), fabs(y));
}

static eq_status compare(eq_context *ctx, const json_t *begun, const json_t *now, const char *parent,
                         const char *folder);

/* What both have under the key. */
static eq_status compare_key(eq_context *ctx, const json_t *begun, const json_t *now, const char *parent,
                             const char *key, const char *folder)
{
    const json_t *before = json_object_get(begun, key), *after = json_object_get(now, key);
    if (json_is_object(before) && json_is_object(after))
        return compare(ctx, before, after, strcmp(key, "settings") == 0 ? NULL : key, folder);
    if (same_value(before, after))
        return EQ_OK;
    char was[64], is[64];
    describe(before, was, sizeof was);
    describe(after, is, sizeof is);
    return eq_fail(ctx, EQ_BAD_USAGE,
                   "%s was begun with %s%s%s %s, not %s; continue it with the options it was begun with, or choose "
                   "another --out",
                   folder, parent ? parent : "", parent ? " " : "", key, was, is);
}

static eq_status compare(eq_context *ctx, const json_t *begun, const json_t *now, const char *parent,
                         const char *folder)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)now, key, value) EQ_TRY(compare_key(ctx, begun, now, parent, key, folder));
    json_object_foreach((json_t *)begun, key, value) EQ_TRY(compare_key(ctx, begun, now, parent, key, folder));
    return EQ_OK;
}

eq_status eq_run_identity_check(eq_context *ctx, const json_t *begun, const json_t *now, const char *folder)
{
    return compare(ctx, begun, now, NULL, folder);
}

/* The identity of a finished run, from its run.json. */
json_t *eq_run_identity_of(const json_t *run)
{
    json_t *settings = json_deep_copy(json_object_get(run, "settings")), *predictors = json_object(), *head;
    json_object_del(settings, "command");
    size_t i;
    json_array_foreach(json_object_get(run, "heads"), i, head)
    {
        const char *attribute = json_string_value(json_object_get(head, "attribute"));
        if (attribute)
            json_object_set(predictors, attribute, json_object_get(head, "hash"));
    }
    const json_t *model = json_object_get(run, "model");
    json_t *root =
        json_pack("{s:o*, s:O*, s:O*, s:o, s:O*, s:O*}", "settings", settings, "model", json_object_get(model, "hash"),
                  "vae", json_object_get(model, "vae"), "predictors", predictors, "targets",
                  json_object_get(run, "targets"), "factors", json_object_get(run, "factors"));
    json_t *verification = json_object_get(json_object_get(run, "verification"), "asked");
    if (root && verification)
        json_object_set(root, "verification", verification);
    return root;
}

/* --- the document --- */

static json_t *model_json(const eq_run_record *r)
{
    const eq_model *model = &r->pipeline->model;
    const int64_t *d = model->h_shape.dim;
    return json_pack("{s:o, s:O, s:[I,I,I], s:O*}", "folder", eq_json_text(model->folder), "hash",
                     json_object_get(r->identity, "model"), "h_shape", (json_int_t)d[0], (json_int_t)d[1],
                     (json_int_t)d[2], "vae", json_object_get(r->identity, "vae"));
}

static json_t *heads_json(const eq_run_record *r)
{
    json_t *heads = json_array(), *hashes = json_object_get(r->identity, "predictors");
    for (int a = 0; a < r->pipeline->adp_count; a++) {
        const char *name = r->pipeline->attributes[a].name;
        json_array_append_new(heads, json_pack("{s:s, s:o, s:O?, s:i}", "attribute", name, "file",
                                               eq_json_text(r->pipeline->adp_paths[a]), "hash",
                                               json_object_get(hashes, name), "heads", r->pipeline->adps[a].heads));
    }
    return heads;
}

static json_t *settings_json(const eq_run_record *r)
{
    json_t *settings = json_deep_copy(json_object_get(r->identity, "settings"));
    if (r->command)
        json_object_set_new(settings, "command", eq_json_text(r->command));
    return settings;
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

static json_t *planned_json(const eq_generation *g)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "process", (json_int_t)g->process_bytes, "arena",
                     (json_int_t)g->arena_bytes, "packed_weights", (json_int_t)g->weight_bytes, "carries",
                     (json_int_t)g->carry_bytes, "images", (json_int_t)g->held_bytes, "decoder",
                     (json_int_t)g->decoder_bytes, "guidance", (json_int_t)g->guidance_bytes);
}

eq_status eq_run_json(eq_context *ctx, const eq_run_record *r, json_t **out)
{
    const eq_generation *g = r->generation;
    double labelling = r->grade ? r->grade->seconds : 0;
    *out = json_pack("{s:s, s:s, s:o, s:o, s:o, s:O, s:O, s:o, s:{s:f, s:f, s:f, s:f}, s:f, s:I, s:o, s:o}", "format",
                     "equipoise run 1", "version", EQUIPOISE_VERSION, "settings", settings_json(r), "model",
                     model_json(r), "heads", heads_json(r), "targets", json_object_get(r->identity, "targets"),
                     "factors", json_object_get(r->identity, "factors"), "strengths", strengths_json(r), "seconds",
                     "total", g->seconds + labelling, "sampling", g->seconds, "guidance", g->guidance_seconds,
                     "labelling", labelling, "unet_passes", g->unet_passes, "peak_rss_bytes",
                     (json_int_t)eq_process_peak(), "planned_bytes", planned_json(g), "p_per_step", p_per_step_json(r));
    if (!*out)
        return eq_fail_memory(ctx, "run.json");
    if (r->verification)
        json_object_set(*out, "verification", (json_t *)r->verification);
    if (!r->grade)
        return EQ_OK;
    if (eq_self_grading_is_any(r->self_grading))
        json_object_set_new(*out, "self_grading", eq_self_grading_json(r->self_grading));
    json_t *evaluation = NULL;
    eq_status status = eq_evaluation_json(ctx, &r->grade->evaluation, &evaluation);
    if (status == EQ_OK)
        json_object_set_new(*out, "evaluation", evaluation);
    else
        json_decref(*out);
    return status;
}
