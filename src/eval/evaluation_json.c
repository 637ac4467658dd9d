/* An evaluation as JSON. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "eval/evaluation.h"
#include "eval/kid.h"
#include "eval/precision_recall.h"
#include "io/json.h"

/* An object or array under construction fails once and stays failed: `value` may be NULL, and is always consumed. */
static void put(bool *failed, json_t *object, const char *key, json_t *value)
{
    *failed |= json_object_set_new(object, key, value) != 0;
}

static void push(bool *failed, json_t *array, json_t *value)
{
    *failed |= json_array_append_new(array, value) != 0;
}

/* JSON has no infinity. */
static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *interval_json(eq_estimate e)
{
    return json_pack("[o, o]", number(e.low), number(e.high));
}

static json_t *estimate_json(eq_estimate e)
{
    return json_pack("[o, o, o]", number(e.value), number(e.low), number(e.high));
}

static json_t *estimates_json(bool *failed, const eq_attribute *attribute, const eq_estimate *estimates)
{
    json_t *object = json_object();
    for (int i = 0; i < attribute->classes; i++)
        put(failed, object, attribute->class_names[i], estimate_json(estimates[i]));
    return object;
}

/* "fd" and "fd_interval". */
static void put_estimate(bool *failed, json_t *object, const char *key, eq_estimate e)
{
    char interval_key[32];
    snprintf(interval_key, sizeof(interval_key), "%s_interval", key);
    put(failed, object, key, number(e.value));
    put(failed, object, interval_key, interval_json(e));
}

static void put_noise(bool *failed, json_t *object, eq_noise_floor noise)
{
    put(failed, object, "noise_floor", number(noise.mean));
    put(failed, object, "noise_floor_95", number(noise.p95));
}

/* How the evaluator did on validation images. */
static void put_confusion(bool *failed, json_t *object, const eq_attribute *attribute, const double *confusion)
{
    int k = attribute->classes;
    double right = 0, all = 0;
    json_t *rows = json_object();
    for (int i = 0; i < k; i++) {
        json_t *row = json_object();
        for (int j = 0; j < k; j++) {
            put(failed, row, attribute->class_names[j], number(confusion[i * k + j]));
            all += confusion[i * k + j];
        }
        right += confusion[i * k + i];
        put(failed, rows, attribute->class_names[i], row);
    }
    put(failed, object, "evaluator_accuracy", number(right / all));
    put(failed, object, "confusion", rows);
}

static json_t *similarity_json(eq_similarity s)
{
    return json_pack("{s:i, s:i, s:o, s:o, s:o}", "n", s.n, "reference_n", s.reference_n, "frechet", number(s.frechet),
                     "kid", number(s.kid), "kid_std", number(s.kid_std));
}

static json_t *attribute_json(bool *failed, const eq_attribute_evaluation *a)
{
    const eq_attribute *attribute = &a->attribute;
    json_t *object = json_object(), *counts = json_object();
    for (int i = 0; i < attribute->classes; i++)
        put(failed, counts, attribute->class_names[i], json_integer(a->counts[i]));
    put(failed, object, "counts", counts);
    put(failed, object, "frequency", estimates_json(failed, attribute, a->frequency));
    if (a->target != NULL) {
        json_t *target = json_object();
        for (int i = 0; i < attribute->classes; i++)
            put(failed, target, attribute->class_names[i], number(a->target[i]));
        put(failed, object, "target", target);
        put_estimate(failed, object, "fd", a->distances.fd);
        put_estimate(failed, object, "fd_soft", a->fd_soft);
        put_noise(failed, object, a->noise);
        put_estimate(failed, object, "kl", a->distances.kl);
        put_estimate(failed, object, "tv", a->distances.tv);
        put_estimate(failed, object, "chi2", a->distances.chi2);
        put(failed, object, "chi2_p", number(a->chi2_p));
        put_estimate(failed, object, "deviation_ratio", a->distances.deviation);
    }
    put_estimate(failed, object, "ambiguity", a->ambiguity);
    if (a->confusion != NULL)
        put_confusion(failed, object, attribute, a->confusion);
    if (a->corrected != NULL) {
        json_t *corrected = json_object();
        put(failed, corrected, "frequency", estimates_json(failed, attribute, a->corrected));
        if (a->target != NULL)
            put_estimate(failed, corrected, "fd", a->corrected_fd);
        put(failed, object, "corrected", corrected);
    }
    if (a->similarity != NULL) {
        json_t *similarity = json_object();
        for (int i = 0; i < attribute->classes; i++)
            put(failed, similarity, attribute->class_names[i], similarity_json(a->similarity[i]));
        put(failed, object, "similarity", similarity);
    }
    return object;
}

/* The cell's name in memory of its own; NULL when that is out. */
static char *cell_name(const eq_target *target, int cell)
{
    size_t size = (size_t)eq_target_cell_name(target, cell, NULL, 0) + 1;
    char *name = malloc(size);
    if (name != NULL)
        eq_target_cell_name(target, cell, name, size);
    return name;
}

static json_t *joint_json(bool *failed, const eq_joint_evaluation *joint)
{
    const eq_target *target = &joint->target;
    json_t *object = json_object(), *names = json_array(), *cells = json_object();
    json_t *frequency = json_object(), *p = json_object();
    for (int i = 0; i < target->attribute_count; i++)
        push(failed, names, json_string(target->attributes[i].name));
    for (int cell = 0; cell < target->cells; cell++) {
        char *name = cell_name(target, cell);
        /* A NULL key fails like a NULL value. */
        put(failed, cells, name, json_integer(joint->counts[cell]));
        put(failed, frequency, name, estimate_json(joint->frequency[cell]));
        put(failed, p, name, number(target->p[cell]));
        free(name);
    }
    put(failed, object, "attributes", names);
    put(failed, object, "cells", cells);
    put(failed, object, "frequency", frequency);
    put(failed, object, "target", p);
    put_estimate(failed, object, "l2", joint->l2);
    put_noise(failed, object, joint->noise);
    return object;
}

static void put_reference(bool *failed, json_t *object, const eq_reference_evaluation *r)
{
    const eq_similarity *whole = &r->whole;
    put(failed, object, "frechet",
        json_pack("{s:s, s:i, s:o, s:i, s:o}", "features", r->features, "dimension", r->dimension, "reference",
                  eq_json_text(r->reference), "reference_n", whole->reference_n, "value", number(whole->frechet)));
    put(failed, object, "kid",
        json_pack("{s:s, s:o, s:o, s:o, s:i, s:i}", "features", r->features, "reference", eq_json_text(r->reference),
                  "value", number(whole->kid), "std", number(whole->kid_std), "subsets", EQ_KID_SUBSETS, "subset_size",
                  whole->kid_subset));
    put(failed, object, "precision_recall",
        json_pack("{s:s, s:o, s:i, s:o, s:o}", "features", r->features, "reference", eq_json_text(r->reference),
                  "neighbours", EQ_NEIGHBOURS, "precision", estimate_json(r->precision), "recall",
                  estimate_json(r->recall)));
}

static json_t *drift_json(const eq_drift *drift)
{
    json_t *object = json_pack("{s:o, s:i, s:o, s:o}", "twin", eq_json_text(drift->twin), "pairs", drift->pairs,
                               "identical", estimate_json(drift->identical), "psnr", estimate_json(drift->psnr));
    if (object != NULL && drift->features != NULL &&
        json_object_update_new(object, json_pack("{s:s, s:o, s:o}", "features", drift->features, "feature_distance",
                                                 estimate_json(drift->feature_distance), "unrelated_distance",
                                                 number(drift->unrelated))) != 0) {
        json_decref(object);
        return NULL;
    }
    return object;
}

eq_status eq_evaluation_json(eq_context *ctx, const eq_evaluation *evaluation, json_t **json)
{
    bool failed = false;
    json_t *object = json_object(), *attributes = json_object(), *joint = json_array();
    for (int i = 0; i < evaluation->attribute_count; i++) {
        const eq_attribute_evaluation *a = &evaluation->attributes[i];
        put(&failed, attributes, a->attribute.name, attribute_json(&failed, a));
    }
    for (int i = 0; i < evaluation->joint_count; i++)
        push(&failed, joint, joint_json(&failed, &evaluation->joint[i]));
    put(&failed, object, "n", json_integer(evaluation->n));
    put(&failed, object, "evaluator", eq_json_text(evaluation->evaluator));
    put(&failed, object, "attributes", attributes);
    put(&failed, object, "joint", joint);
    if (evaluation->reference != NULL)
        put_reference(&failed, object, evaluation->reference);
    if (evaluation->drift != NULL)
        put(&failed, object, "drift", drift_json(evaluation->drift));
    if (evaluation->clip != NULL)
        put(&failed, object, "clip_score",
            json_pack("{s:o, s:i, s:o}", "clip", eq_json_text(evaluation->clip->clip), "n", evaluation->clip->n,
                      "value", estimate_json(evaluation->clip->score)));
    if (failed) {
        json_decref(object);
        return eq_fail(ctx, EQ_FAILED, "an evaluation cannot become JSON: memory is out, or a name is not UTF-8");
    }
    *json = object;
    return EQ_OK;
}

eq_status eq_evaluation_format_json(eq_context *ctx, const eq_evaluation *evaluation, char **text)
{
    json_t *json;
    EQ_TRY(eq_evaluation_json(ctx, evaluation, &json));
    *text = json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    json_decref(json);
    return *text ? EQ_OK : eq_fail_memory(ctx, "an evaluation's JSON");
}
