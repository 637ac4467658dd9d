/* An evaluation as JSON and as a table. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/evaluation.h"
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
        put(failed, object, "fd", number(a->distances.fd.value));
        put(failed, object, "fd_interval", interval_json(a->distances.fd));
        put(failed, object, "fd_soft", number(a->fd_soft));
        put_noise(failed, object, a->noise);
        put(failed, object, "kl", number(a->distances.kl.value));
        put(failed, object, "kl_interval", interval_json(a->distances.kl));
        put(failed, object, "tv", number(a->distances.tv.value));
        put(failed, object, "tv_interval", interval_json(a->distances.tv));
        put(failed, object, "chi2_p", number(a->chi2_p));
    }
    put(failed, object, "ambiguity", number(a->ambiguity));
    if (a->confusion != NULL)
        put_confusion(failed, object, attribute, a->confusion);
    if (a->corrected != NULL) {
        json_t *corrected = json_object();
        put(failed, corrected, "frequency", estimates_json(failed, attribute, a->corrected));
        if (a->target != NULL) {
            put(failed, corrected, "fd", number(a->corrected_fd.value));
            put(failed, corrected, "fd_interval", interval_json(a->corrected_fd));
        }
        put(failed, object, "corrected", corrected);
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
    put(failed, object, "l2", number(joint->l2.value));
    put(failed, object, "l2_interval", interval_json(joint->l2));
    put_noise(failed, object, joint->noise);
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
    if (evaluation->has_frechet) {
        json_t *frechet = json_object();
        put(&failed, frechet, "features", json_string(evaluation->frechet_features));
        put(&failed, frechet, "reference", eq_json_text(evaluation->frechet_reference));
        put(&failed, frechet, "value", number(evaluation->frechet));
        put(&failed, object, "frechet", frechet);
    }
    if (failed) {
        json_decref(object);
        return eq_fail(ctx, EQ_FAILED, "an evaluation cannot become JSON: memory is out, or a name is not UTF-8");
    }
    *json = object;
    return EQ_OK;
}

static void print_row(FILE *out, int width, const char *name, int count, eq_estimate frequency, const double *target,
                      const eq_estimate *corrected)
{
    fprintf(out, "  %-*s %8d   %.3f   %.3f to %.3f", width, name, count, frequency.value, frequency.low,
            frequency.high);
    if (target != NULL)
        fprintf(out, "    %.3f", *target);
    if (corrected != NULL)
        fprintf(out, "   %.3f (%.3f to %.3f)", corrected->value, corrected->low, corrected->high);
    fputc('\n', out);
}

static void print_header(FILE *out, int width, const char *name, bool target, bool corrected)
{
    fprintf(out, "\n%-*s %8s   %-5s   %-14s%s%s\n", width + 2, name, "count", "share", "95% interval",
            target ? "   target" : "", corrected ? "   corrected" : "");
}

static void print_noise(FILE *out, double fd, eq_noise_floor noise)
{
    fprintf(out, "; chance alone: %.3f on average, up to %.3f in 95 of 100 runs%s\n", noise.mean, noise.p95,
            fd > noise.p95 ? ": off target beyond chance" : "");
}

static void print_attribute(FILE *out, const eq_attribute_evaluation *a)
{
    const eq_attribute *attribute = &a->attribute;
    int width = (int)strlen(attribute->name);
    for (int i = 0; i < attribute->classes; i++)
        if ((int)strlen(attribute->class_names[i]) > width)
            width = (int)strlen(attribute->class_names[i]);
    print_header(out, width, attribute->name, a->target != NULL, a->corrected != NULL);
    for (int i = 0; i < attribute->classes; i++)
        print_row(out, width, attribute->class_names[i], a->counts[i], a->frequency[i],
                  a->target != NULL ? &a->target[i] : NULL, a->corrected != NULL ? &a->corrected[i] : NULL);
    if (a->target != NULL) {
        const eq_distances *d = &a->distances;
        fprintf(out, "  FD %.3f (%.3f to %.3f)", d->fd.value, d->fd.low, d->fd.high);
        print_noise(out, d->fd.value, a->noise);
        fprintf(out, "  soft FD %.3f, KL %.4f, TV %.3f, chi-square p %.3g", a->fd_soft, d->kl.value, d->tv.value,
                a->chi2_p);
        if (a->corrected != NULL)
            fprintf(out, ", corrected FD %.3f", a->corrected_fd.value);
        fputc('\n', out);
    }
    fprintf(out, "  ambiguous: %.1f%% of the images\n", 100 * a->ambiguity);
}

/* false when memory is out. */
static bool print_joint(FILE *out, const eq_joint_evaluation *joint)
{
    const eq_target *target = &joint->target;
    int width = eq_target_name(target, NULL, 0);
    for (int cell = 0; cell < target->cells; cell++) {
        int length = eq_target_cell_name(target, cell, NULL, 0);
        width = length > width ? length : width;
    }
    char *name = malloc((size_t)width + 1);
    if (name == NULL)
        return false;
    eq_target_name(target, name, (size_t)width + 1);
    print_header(out, width, name, true, false);
    for (int cell = 0; cell < target->cells; cell++) {
        eq_target_cell_name(target, cell, name, (size_t)width + 1);
        print_row(out, width, name, joint->counts[cell], joint->frequency[cell], &target->p[cell], NULL);
    }
    free(name);
    fprintf(out, "  L2 %.3f (%.3f to %.3f)", joint->l2.value, joint->l2.low, joint->l2.high);
    print_noise(out, joint->l2.value, joint->noise);
    return true;
}

eq_status eq_evaluation_format(eq_context *ctx, const eq_evaluation *evaluation, char **text)
{
    char *buffer = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&buffer, &size);
    if (out == NULL)
        return eq_fail_memory(ctx, "an evaluation's table");
    fprintf(out, "%d image%s, labelled by %s\n", evaluation->n, evaluation->n == 1 ? "" : "s", evaluation->evaluator);
    for (int i = 0; i < evaluation->attribute_count; i++)
        print_attribute(out, &evaluation->attributes[i]);
    bool complete = true;
    for (int i = 0; complete && i < evaluation->joint_count; i++)
        complete = print_joint(out, &evaluation->joint[i]);
    if (evaluation->has_frechet)
        fprintf(out, "\nFrechet distance to %s: %.4g (features: %s)\n", evaluation->frechet_reference,
                evaluation->frechet, evaluation->frechet_features);
    complete &= !ferror(out);
    if (fclose(out) != 0 || !complete) {
        free(buffer);
        return eq_fail_memory(ctx, "an evaluation's table");
    }
    *text = buffer;
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
