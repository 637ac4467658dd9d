/* Strengths for a comparison: each method tries the same factors on the same images, of a seed that is not graded, for
 * each attribute, and keeps the best by the measure of calibration, as the predictors see it. No method gets more tries
 * than another, and the evaluator has no part in it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/path.h"
#include "run/calibrate.h"
#include "run/comparison_parts.h"

double eq_comparison_tuning_passes(const eq_comparison *c)
{
    double p[EQ_ADP_CLASSES], attributes = 0, methods = 0;
    for (int a = 0; a < c->pipeline->adp_count; a++)
        attributes += eq_comparison_wants(c, c->pipeline->attributes[a].name, p);
    for (int m = 0; m < c->suite->method_count; m++)
        methods += eq_comparison_tunes(c, m) * eq_comparison_step_passes(&c->suite->methods[m]);
    return (methods > 0) * (methods * attributes * c->suite->factor_count + 1) *
           (double)(c->suite->tuning_count * c->suite->steps);
}

typedef struct tuning {
    eq_comparison *c;
    bool has_twin;
    eq_generation twin; /* unguided */
    double weight;      /* passes a step */
    char doing[EQ_SUITE_NAME + 64];
} tuning;

static void show(void *user, int64_t done, int64_t total)
{
    const tuning *t = user;
    eq_comparison_tell(t->c, t->doing, t->weight * (double)done);
}

static eq_status generate(tuning *t, int method, const eq_targets *targets, eq_generation *out)
{
    eq_comparison *c = t->c;
    const eq_suite_method *m = method < 0 ? NULL : &c->suite->methods[method];
    eq_generate_options o = eq_comparison_options_of(c, m, c->suite->tuning_seed);
    o.count = c->suite->tuning_count;
    t->weight = eq_comparison_step_passes(m);
    o.progress = show;
    o.progress_user = t;
    eq_pipeline *pipeline = c->pipeline;
    if (m)
        EQ_TRY(eq_comparison_pipeline(c, method, &pipeline));
    EQ_TRY(eq_generate(pipeline, &o, targets, out));
    c->done += t->weight * (double)(o.count * o.steps);
    return EQ_OK;
}

/* All factors for one attribute; leaves the best. Adds a line a factor to `tried`. */
static eq_status tune_attribute(tuning *t, int method, int a, double *p, json_t *tried)
{
    eq_comparison *c = t->c;
    eq_attribute *attribute = &c->pipeline->attributes[a];
    eq_target alone = {.attribute_count = 1, .attributes = attribute, .cells = attribute->classes, .p = p};
    const eq_targets targets = {1, &alone};
    const eq_targets nothing = {0};
    if (!t->has_twin)
        EQ_TRY(generate(t, -1, &nothing, &t->twin));
    t->has_twin = true;
    double best = 1, lowest = INFINITY;
    for (int f = 0; f < c->suite->factor_count; f++) {
        eq_generation guided;
        c->factors[method][a] = c->suite->factors[f];
        snprintf(t->doing, sizeof t->doing, "tuning %s", c->suite->methods[method].name);
        EQ_TRY(generate(t, method, &targets, &guided));
        double distance = eq_calibration_distance(&guided, a, attribute->classes, p);
        double drift = eq_calibration_drift(&guided, &t->twin), cost = eq_calibration_cost(distance, drift);
        eq_generation_free(&guided);
        json_array_append_new(tried, json_pack("{s:f, s:f, s:f, s:f}", "factor", c->suite->factors[f], "distance",
                                               distance, "drift", drift, "cost", cost));
        if (cost < lowest) {
            lowest = cost;
            best = c->suite->factors[f];
        }
    }
    c->factors[method][a] = best;
    return EQ_OK;
}

/* A hash of everything that decides the outcome. */
static eq_status key_of(eq_comparison *c, int method, char key[EQ_SHA256_HEX])
{
    const eq_suite *s = c->suite;
    const eq_suite_method *m = &s->methods[method];
    const eq_pipeline *pipeline = c->method_pipelines[method] ? c->method_pipelines[method] : c->pipeline;
    const char *model;
    EQ_TRY(eq_model_hash(c->ctx, &c->pipeline->model, &model));
    json_t *factors = json_array(), *targets = json_object();
    eq_status status = EQ_OK;
    for (int f = 0; f < s->factor_count; f++)
        json_array_append_new(factors, json_real(s->factors[f]));
    for (int a = 0; a < pipeline->adp_count && status == EQ_OK; a++) {
        double p[EQ_ADP_CLASSES];
        char heads[EQ_SHA256_HEX];
        const eq_attribute *attribute = &pipeline->attributes[a];
        if (!eq_comparison_wants(c, attribute->name, p))
            continue;
        status = eq_sha256_file(c->ctx, pipeline->adp_paths[a], heads);
        json_t *shares = json_array();
        json_array_append_new(shares, json_string(heads));
        for (int k = 0; k < attribute->classes; k++)
            json_array_append_new(shares, json_real(p[k]));
        json_object_set_new(targets, attribute->name, shares);
    }
    json_t *root =
        json_pack("{s:s, s:s?, s:s, s:f, s:[i,i], s:I, s:I, s:I, s:I, s:s?, s:f, s:b, s:o, s:o}", "method", m->method,
                  "loss", m->loss, "model", model, "temperature", m->temperature, "guide_steps", m->guide_first,
                  m->guide_last, "coupled", (json_int_t)m->coupled, "count", (json_int_t)s->tuning_count, "steps",
                  (json_int_t)s->steps, "seed", (json_int_t)s->tuning_seed, "sampler", s->sampler, "eta", s->eta,
                  "bf16", (int)c->bf16, "factors", factors, "targets", targets);
    if (root && eq_method_find(m->method)->sees_images)
        json_object_set_new(root, "guide", json_string(eq_classifier_hash(c->classifier)));
    if (root && m->jacobian)
        json_object_set_new(root, "jacobian", json_true());
    char *text = root ? json_dumps(root, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(root);
    if (status == EQ_OK && !text)
        status = eq_fail_memory(c->ctx, "tuning");
    if (text) {
        uint8_t digest[EQ_SHA256_BYTES];
        eq_sha256 hash = eq_sha256_start();
        eq_sha256_update(&hash, text, strlen(text));
        eq_sha256_finish(&hash, digest);
        eq_sha256_to_hex(digest, key);
    }
    free(text);
    return status;
}

/* Takes over what was found before; *found says whether it was. */
static eq_status recall(eq_comparison *c, int method, const char *path, const char *key, bool *found)
{
    const char *before;
    eq_json json, factors;
    *found = eq_path_exists(path);
    if (!*found)
        return EQ_OK;
    EQ_TRY(eq_json_read(c->ctx, path, &json));
    eq_status status = eq_json_string(c->ctx, &json, "key", &before);
    if (status == EQ_OK && strcmp(before, key) != 0)
        status =
            eq_fail(c->ctx, EQ_BAD_USAGE,
                    "%s: was found with another model, other predictors or another suite: go on with those, delete "
                    "it and the method's runs, or choose another --out",
                    path);
    if (status == EQ_OK)
        status = eq_json_object(c->ctx, &json, "factors", &factors);
    for (int a = 0; status == EQ_OK && a < c->pipeline->adp_count; a++)
        status = eq_json_float_or(c->ctx, &factors, c->pipeline->attributes[a].name, c->factors[method][a], 0, 1e9,
                                  &c->factors[method][a]);
    if (status == EQ_OK)
        json_object_set(c->tuning, c->suite->methods[method].name, json.object);
    eq_json_close(&json);
    return status;
}

static eq_status tune_method(tuning *t, int method, const char *name, const char *key)
{
    eq_comparison *c = t->c;
    json_t *factors = json_object(), *tried = json_object();
    json_t *root = json_pack("{s:s, s:s, s:o, s:o}", "format", "equipoise tuning 1", "key", key, "factors", factors,
                             "tried", tried);
    eq_status status = root ? EQ_OK : eq_fail_memory(c->ctx, "tuning");
    for (int a = 0; a < c->pipeline->adp_count && status == EQ_OK; a++) {
        double p[EQ_ADP_CLASSES];
        const char *attribute = c->pipeline->attributes[a].name;
        if (!eq_comparison_wants(c, attribute, p))
            continue;
        json_t *list = json_array();
        json_object_set_new(tried, attribute, list);
        status = tune_attribute(t, method, a, p, list);
        json_object_set_new(factors, attribute, json_real(c->factors[method][a]));
    }
    if (status == EQ_OK)
        status = eq_comparison_write_json(c, name, root);
    if (status == EQ_OK)
        json_object_set(c->tuning, c->suite->methods[method].name, root);
    json_decref(root);
    return status;
}

/* Found before, or found now. */
static eq_status tune(tuning *t, int method)
{
    eq_comparison *c = t->c;
    char key[EQ_SHA256_HEX], *name = eq_format("tuning/%s.json", c->suite->methods[method].name), *path = NULL;
    bool found = false;
    double p[EQ_ADP_CLASSES];
    eq_status status = name ? eq_comparison_path(c, name, &path) : eq_fail_memory(c->ctx, "a path");
    if (status == EQ_OK)
        status = key_of(c, method, key);
    if (status == EQ_OK)
        status = recall(c, method, path, key, &found);
    if (status == EQ_OK && !found)
        status = tune_method(t, method, name, key);
    for (int a = 0; found && a < c->pipeline->adp_count; a++)
        c->done += eq_comparison_wants(c, c->pipeline->attributes[a].name, p) *
                   eq_comparison_step_passes(&c->suite->methods[method]) * (double)c->suite->factor_count *
                   (double)(c->suite->tuning_count * c->suite->steps);
    free(name);
    free(path);
    return status;
}

eq_status eq_comparison_tune(eq_comparison *c)
{
    tuning t = {.c = c, .doing = "tuning"};
    eq_status status = EQ_OK;
    for (int m = 0; m < c->suite->method_count && status == EQ_OK; m++)
        if (eq_comparison_tunes(c, m))
            status = tune(&t, m);
    if (t.has_twin)
        eq_generation_free(&t.twin);
    return status;
}
