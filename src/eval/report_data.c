#include "eval/report_data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const eq_estimate NOTHING = {NAN, NAN, NAN};

/* -- values of any type -- */

static double number_or_nan(const json_t *value)
{
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* [value, low, high]. */
static eq_estimate estimate(const json_t *triple)
{
    return (eq_estimate){number_or_nan(json_array_get(triple, 0)), number_or_nan(json_array_get(triple, 1)),
                         number_or_nan(json_array_get(triple, 2))};
}

/* "fd" and "fd_interval"; a distance that is null is infinite. */
static eq_estimate distance(const json_t *object, const char *key)
{
    char interval_key[32];
    snprintf(interval_key, sizeof(interval_key), "%s_interval", key);
    const json_t *value = json_object_get(object, key), *interval = json_object_get(object, interval_key);
    const json_t *high = json_array_get(interval, 1);
    return (eq_estimate){json_is_null(value) ? INFINITY : number_or_nan(value),
                         number_or_nan(json_array_get(interval, 0)),
                         json_is_null(high) ? INFINITY : number_or_nan(high)};
}

const json_t *eq_report_value(const eq_report_run *run, const char *path)
{
    const json_t *value = run->json.object;
    char key[64];
    for (;;) {
        size_t length = strcspn(path, ".");
        snprintf(key, sizeof(key), "%.*s", (int)length, path);
        value = json_object_get(value, key);
        if (path[length] == 0)
            return value;
        path += length + 1;
    }
}

double eq_report_number(const eq_report_run *run, const char *path)
{
    return number_or_nan(eq_report_value(run, path));
}

const char *eq_report_string(const eq_report_run *run, const char *path)
{
    return json_string_value(eq_report_value(run, path));
}

/* -- the evaluation -- */

/* counts: {class: number}, which says what classes there are. Missing numbers become NaN. */
static eq_status read_classes(eq_context *ctx, const json_t *object, const json_t *counts, eq_report_class **out,
                              int *count)
{
    size_t size = json_object_size(counts);
    *count = 0;
    *out = calloc(size + 1, sizeof(**out));
    if (*out == NULL)
        return eq_fail_memory(ctx, "a report");
    const json_t *frequency = json_object_get(object, "frequency"), *target = json_object_get(object, "target");
    const json_t *corrected = json_object_get(json_object_get(object, "corrected"), "frequency");
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)counts, name, value)
    {
        (*out)[(*count)++] = (eq_report_class){.name = name,
                                               .count = number_or_nan(value),
                                               .frequency = estimate(json_object_get(frequency, name)),
                                               .target = number_or_nan(json_object_get(target, name)),
                                               .corrected = estimate(json_object_get(corrected, name))};
    }
    return EQ_OK;
}

/* Left out unless every row and column is there. */
static eq_status read_confusion(eq_context *ctx, const json_t *object, eq_report_attribute *a)
{
    const json_t *rows = json_object_get(object, "confusion");
    size_t k = (size_t)a->class_count;
    if (!json_is_object(rows))
        return EQ_OK;
    a->confusion = calloc(k * k + 1, sizeof(*a->confusion));
    if (a->confusion == NULL)
        return eq_fail_memory(ctx, "a report");
    bool complete = true;
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < k; j++) {
            const json_t *row = json_object_get(rows, a->classes[i].name);
            a->confusion[i * k + j] = number_or_nan(json_object_get(row, a->classes[j].name));
            complete &= isfinite(a->confusion[i * k + j]);
        }
    if (!complete) {
        free(a->confusion);
        a->confusion = NULL;
    }
    return EQ_OK;
}

static eq_status read_attribute(eq_context *ctx, const char *name, const json_t *object, eq_report_attribute *a)
{
    const json_t *corrected = json_object_get(object, "corrected");
    *a = (eq_report_attribute){.name = name,
                               .has_target = json_is_object(json_object_get(object, "target")),
                               .has_corrected = json_is_object(corrected),
                               .fd = distance(object, "fd"),
                               .kl = distance(object, "kl"),
                               .tv = distance(object, "tv"),
                               .corrected_fd = corrected != NULL ? distance(corrected, "fd") : NOTHING,
                               .chi2 = distance(object, "chi2"),
                               .deviation = distance(object, "deviation_ratio"),
                               .fd_soft = distance(object, "fd_soft"),
                               .noise_floor = number_or_nan(json_object_get(object, "noise_floor")),
                               .noise_floor_95 = number_or_nan(json_object_get(object, "noise_floor_95")),
                               .chi2_p = number_or_nan(json_object_get(object, "chi2_p")),
                               .ambiguity = distance(object, "ambiguity"),
                               .accuracy = number_or_nan(json_object_get(object, "evaluator_accuracy"))};
    EQ_TRY(read_classes(ctx, object, json_object_get(object, "counts"), &a->classes, &a->class_count));
    return read_confusion(ctx, object, a);
}

/* "gender*glasses". */
static char *joint_name(const json_t *names)
{
    char *name = strdup("");
    size_t i;
    json_t *value;
    json_array_foreach(names, i, value)
    {
        if (name == NULL)
            break;
        char *longer = eq_format("%s%s%s", name, i > 0 ? "*" : "", json_string_value(value));
        free(name);
        name = longer;
    }
    return name;
}

static bool is_joint(const json_t *object)
{
    const json_t *names = json_object_get(object, "attributes");
    size_t count = json_array_size(names);
    for (size_t i = 0; i < count; i++)
        if (!json_is_string(json_array_get(names, i)))
            return false;
    return count >= 1 && count <= EQ_TARGET_ATTRIBUTES && json_is_object(json_object_get(object, "cells"));
}

static eq_status read_joint(eq_context *ctx, const json_t *object, eq_report_joint *j)
{
    const json_t *names = json_object_get(object, "attributes");
    *j = (eq_report_joint){.name = joint_name(names),
                           .attribute_count = (int)json_array_size(names),
                           .l2 = distance(object, "l2"),
                           .noise_floor = number_or_nan(json_object_get(object, "noise_floor")),
                           .noise_floor_95 = number_or_nan(json_object_get(object, "noise_floor_95"))};
    if (j->name == NULL)
        return eq_fail_memory(ctx, "a report");
    for (int i = 0; i < j->attribute_count; i++)
        j->attributes[i] = json_string_value(json_array_get(names, (size_t)i));
    return read_classes(ctx, object, json_object_get(object, "cells"), &j->cells, &j->cell_count);
}

static eq_status read_evaluation(eq_context *ctx, eq_report_run *run)
{
    const json_t *evaluation = json_object_get(run->json.object, "evaluation");
    json_t *attributes = json_object_get(evaluation, "attributes"), *joints = json_object_get(evaluation, "joint");
    run->evaluator = json_string_value(json_object_get(evaluation, "evaluator"));
    run->n = number_or_nan(json_object_get(evaluation, "n"));
    run->attributes = calloc(json_object_size(attributes) + 1, sizeof(*run->attributes));
    run->joints = calloc(json_array_size(joints) + 1, sizeof(*run->joints));
    if (run->attributes == NULL || run->joints == NULL)
        return eq_fail_memory(ctx, "a report");
    const char *name;
    json_t *value;
    json_object_foreach(attributes, name, value)
    {
        if (json_object_size(json_object_get(value, "counts")) > 0)
            EQ_TRY(read_attribute(ctx, name, value, &run->attributes[run->attribute_count++]));
    }
    size_t i;
    json_array_foreach(joints, i, value)
    {
        if (is_joint(value))
            EQ_TRY(read_joint(ctx, value, &run->joints[run->joint_count++]));
    }
    run->graded = run->n >= 1 && run->attribute_count > 0;
    return EQ_OK;
}

/* -- P per step -- */

static bool is_curve(const json_t *object)
{
    const json_t *classes = json_object_get(object, "classes"), *rows = json_object_get(object, "p");
    size_t k = json_array_size(classes), steps = json_array_size(rows);
    if (k < 1 || k > EQ_LABELS_MAX_CLASSES || steps < 2 || steps > 100000)
        return false;
    for (size_t i = 0; i < k; i++)
        if (!json_is_string(json_array_get(classes, i)))
            return false;
    for (size_t s = 0; s < steps; s++)
        for (size_t i = 0; i < k; i++) {
            double p = number_or_nan(json_array_get(json_array_get(rows, s), i));
            if (!(p >= -0.001 && p <= 1.001))
                return false;
        }
    return true;
}

static eq_status read_curve(eq_context *ctx, const char *attribute, const json_t *object, eq_report_curve *c)
{
    const json_t *classes = json_object_get(object, "classes"), *rows = json_object_get(object, "p");
    size_t k = json_array_size(classes), steps = json_array_size(rows);
    *c = (eq_report_curve){.attribute = attribute,
                           .class_count = (int)k,
                           .steps = (int)steps,
                           .classes = calloc(k, sizeof(*c->classes)),
                           .timesteps = calloc(steps, sizeof(*c->timesteps)),
                           .p = calloc(steps * k, sizeof(*c->p))};
    if (c->classes == NULL || c->timesteps == NULL || c->p == NULL)
        return eq_fail_memory(ctx, "a report");
    for (size_t i = 0; i < k; i++)
        c->classes[i] = json_string_value(json_array_get(classes, i));
    for (size_t s = 0; s < steps; s++) {
        c->timesteps[s] = number_or_nan(json_array_get(json_object_get(object, "timesteps"), s));
        for (size_t i = 0; i < k; i++)
            c->p[s * k + i] = number_or_nan(json_array_get(json_array_get(rows, s), i));
    }
    return EQ_OK;
}

static eq_status read_curves(eq_context *ctx, eq_report_run *run)
{
    json_t *all = json_object_get(run->json.object, "p_per_step");
    run->curves = calloc(json_object_size(all) + 1, sizeof(*run->curves));
    if (run->curves == NULL)
        return eq_fail_memory(ctx, "a report");
    const char *name;
    json_t *value;
    json_object_foreach(all, name, value)
    {
        if (is_curve(value))
            EQ_TRY(read_curve(ctx, name, value, &run->curves[run->curve_count++]));
    }
    return EQ_OK;
}

/* -- the folder -- */

/* Whether a manifest's file lies in the folder: others are not to be shown. */
static bool is_inside(const char *file)
{
    if (file[0] == '/')
        return false;
    for (;;) {
        size_t length = strcspn(file, "/");
        if (length == 2 && memcmp(file, "..", 2) == 0)
            return false;
        if (file[length] == 0)
            return true;
        file += length + 1;
    }
}

static eq_status list_images(eq_context *ctx, eq_report_run *run)
{
    if (!run->has_manifest)
        return eq_list_images(ctx, run->folder, true, &run->images);
    run->images.name = calloc(run->manifest.count + 1, sizeof(*run->images.name));
    if (run->images.name == NULL)
        return eq_fail_memory(ctx, "a report");
    for (size_t i = 0; i < run->manifest.count; i++) {
        char *name = strdup(run->manifest.entries[i].file);
        if (name == NULL)
            return eq_fail_memory(ctx, "a report");
        run->images.name[run->images.count++] = name;
        if (!is_inside(name))
            return eq_fail(ctx, EQ_BAD_INPUT, "%s/manifest.jsonl: the file '%s' is outside the folder", run->folder,
                           name);
    }
    return EQ_OK;
}

static eq_status read_labels_and_manifest(eq_context *ctx, eq_report_run *run)
{
    char *labels = eq_path_join(run->folder, "labels.csv"), *manifest = eq_path_join(run->folder, "manifest.jsonl");
    eq_status status = labels != NULL && manifest != NULL ? EQ_OK : eq_fail_memory(ctx, "a path");
    if (status == EQ_OK && eq_path_exists(labels)) {
        status = eq_labels_read(ctx, labels, &run->labels);
        run->has_labels = status == EQ_OK;
    }
    if (status == EQ_OK && eq_path_exists(manifest)) {
        status = eq_manifest_read(ctx, manifest, &run->manifest);
        run->has_manifest = status == EQ_OK && run->manifest.count > 0;
    }
    free(labels);
    free(manifest);
    return status;
}

eq_status eq_report_run_read(eq_context *ctx, const char *folder, eq_report_run *out)
{
    *out = (eq_report_run){.folder = folder};
    char *path = eq_path_join(folder, "run.json");
    if (path == NULL)
        return eq_fail_memory(ctx, "a path");
    eq_status status = eq_json_read(ctx, path, &out->json);
    free(path);
    if (status == EQ_OK)
        status = read_evaluation(ctx, out);
    if (status == EQ_OK)
        status = read_curves(ctx, out);
    if (status == EQ_OK)
        status = read_labels_and_manifest(ctx, out);
    if (status == EQ_OK)
        status = list_images(ctx, out);
    if (status != EQ_OK) {
        eq_report_run_free(out);
        return status;
    }
    if (!(out->n >= 1))
        out->n = (double)out->images.count;
    return EQ_OK;
}

void eq_report_run_free(eq_report_run *run)
{
    for (int i = 0; i < run->attribute_count; i++) {
        free(run->attributes[i].classes);
        free(run->attributes[i].confusion);
    }
    for (int i = 0; i < run->joint_count; i++) {
        free(run->joints[i].name);
        free(run->joints[i].cells);
    }
    for (int i = 0; i < run->curve_count; i++) {
        free(run->curves[i].classes);
        free(run->curves[i].timesteps);
        free(run->curves[i].p);
    }
    free(run->attributes);
    free(run->joints);
    free(run->curves);
    eq_labels_free(&run->labels);
    eq_manifest_free(&run->manifest);
    eq_names_free(&run->images);
    eq_json_close(&run->json);
    *run = (eq_report_run){0};
}

/* -- look-up -- */

const eq_report_attribute *eq_report_find_attribute(const eq_report_run *run, const char *name)
{
    for (int i = 0; run != NULL && i < run->attribute_count; i++)
        if (strcmp(run->attributes[i].name, name) == 0)
            return &run->attributes[i];
    return NULL;
}

const eq_report_joint *eq_report_find_joint(const eq_report_run *run, const char *name)
{
    for (int i = 0; run != NULL && i < run->joint_count; i++)
        if (strcmp(run->joints[i].name, name) == 0)
            return &run->joints[i];
    return NULL;
}

const eq_report_curve *eq_report_find_curve(const eq_report_run *run, const char *attribute)
{
    for (int i = 0; run != NULL && i < run->curve_count; i++)
        if (strcmp(run->curves[i].attribute, attribute) == 0)
            return &run->curves[i];
    return NULL;
}

const eq_report_class *eq_report_find_class(const eq_report_class *classes, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(classes[i].name, name) == 0)
            return &classes[i];
    return NULL;
}

double eq_report_distance(const eq_report_class *from, int from_count, const eq_report_class *classes, int count)
{
    double sum = 0;
    for (int i = 0; i < count; i++) {
        const eq_report_class *class = eq_report_find_class(from, from_count, classes[i].name);
        double difference = class != NULL ? class->frequency.value - classes[i].target : NAN;
        sum += difference * difference;
    }
    return count > 0 ? sqrt(sum) : NAN;
}

bool eq_report_same_target(const eq_report_class *a, int a_count, const eq_report_class *b, int b_count)
{
    if (a_count != b_count)
        return false;
    for (int i = 0; i < a_count; i++) {
        const eq_report_class *other = eq_report_find_class(b, b_count, a[i].name);
        if (other == NULL || !(fabs(a[i].target - other->target) < 1e-6))
            return false;
    }
    return true;
}
