/* Targets from the command line's text and from JSON files. Both are read into a draft: named cells with a number
 * each, checked and completed at the end. */
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guidance/target.h"
#include "io/json.h"

static const double SUM_TOLERANCE = 1e-3;

typedef struct draft {
    eq_context *ctx;
    eq_status fault;   /* what a fault in the input is: EQ_BAD_USAGE or EQ_BAD_INPUT */
    const char *where; /* begins every message */
    eq_target target;
    bool *named; /* [target.cells] */
} draft;

static void draft_free(draft *d)
{
    eq_target_free(&d->target);
    free(d->named);
    d->named = NULL;
}

static eq_status add_attribute(draft *d, const char *name, const eq_attribute *known, int known_count)
{
    eq_target *target = &d->target;
    int found = eq_attribute_find(known, known_count, name);
    if (*name == '\0' && known_count == 0)
        return eq_fail(d->ctx, d->fault, "%s: there is an attribute without a name", d->where);
    if (found < 0 && known_count == 0)
        return eq_fail(
            d->ctx, d->fault,
            "%s: there is no attribute '%.100s', nor any other: the model has no attribute predictors; give one "
            "with --adp",
            d->where, name);
    if (found < 0) {
        const char *names[64];
        int count = known_count < 64 ? known_count : 64;
        for (int i = 0; i < count; i++)
            names[i] = known[i].name;
        char list[256];
        return eq_fail(d->ctx, d->fault, "%s: there is no attribute '%.100s'; there is: %s", d->where, name,
                       eq_join_names(names, count, list, sizeof(list)));
    }
    if (eq_attribute_find(target->attributes, target->attribute_count, name) >= 0)
        return eq_fail(d->ctx, d->fault, "%s: the attribute '%s' is named twice", d->where, name);
    if (target->attribute_count == EQ_TARGET_ATTRIBUTES)
        return eq_fail(d->ctx, d->fault, "%s: more than %d attributes in one target", d->where, EQ_TARGET_ATTRIBUTES);
    if (known[found].classes < 1 || known[found].classes > EQ_TARGET_CELLS / target->cells)
        return eq_fail(d->ctx, d->fault, "%s: a target can have 1 to %d cells", d->where, EQ_TARGET_CELLS);
    EQ_TRY(eq_attribute_copy(d->ctx, &known[found], &target->attributes[target->attribute_count]));
    target->attribute_count++;
    target->cells *= known[found].classes;
    return EQ_OK;
}

static char *trim(char *text)
{
    const char *blanks = " \t\r\n";
    text += strspn(text, blanks);
    size_t length = strlen(text);
    while (length > 0 && strchr(blanks, text[length - 1]) != NULL)
        length--;
    text[length] = '\0';
    return text;
}

/* names: one attribute, or several with '*' between them; overwritten. */
static eq_status begin(draft *d, char *names, const eq_attribute *known, int known_count)
{
    d->target = (eq_target){.cells = 1};
    d->target.attributes = calloc(EQ_TARGET_ATTRIBUTES, sizeof(eq_attribute));
    if (d->target.attributes == NULL)
        return eq_fail_memory(d->ctx, "a target");
    names = trim(names);
    if (eq_attribute_find(known, known_count, names) >= 0) {
        EQ_TRY(add_attribute(d, names, known, known_count));
    } else {
        char *name;
        while ((name = strsep(&names, "*")) != NULL)
            EQ_TRY(add_attribute(d, trim(name), known, known_count));
    }
    d->target.p = calloc((size_t)d->target.cells, sizeof(double));
    d->named = calloc((size_t)d->target.cells, sizeof(bool));
    if (d->target.p == NULL || d->named == NULL)
        return eq_fail_memory(d->ctx, "a target");
    return EQ_OK;
}

/* The cell "female/yes" for the attributes from `attribute` on, or -1. Tries every way to read the slashes, since
 * class names may contain some. */
static int find_cell(const eq_target *target, int attribute, const char *name)
{
    const eq_attribute *a = &target->attributes[attribute];
    bool last = attribute + 1 == target->attribute_count;
    if (last)
        return eq_class_find(a, name);
    int rest_cells = 1;
    for (int i = attribute + 1; i < target->attribute_count; i++)
        rest_cells *= target->attributes[i].classes;
    for (int class = 0; class < a->classes; class ++) {
        size_t length = strlen(a->class_names[class]);
        if (strncmp(name, a->class_names[class], length) != 0 || name[length] != '/')
            continue;
        int rest = find_cell(target, attribute + 1, name + length + 1);
        if (rest >= 0)
            return class * rest_cells + rest;
    }
    return -1;
}

static eq_status fail_unknown_cell(const draft *d, const char *name)
{
    const eq_target *target = &d->target;
    char classes[400] = "", list[256];
    int length = 0;
    for (int i = 0; i < target->attribute_count && length < (int)sizeof(classes); i++) {
        const eq_attribute *a = &target->attributes[i];
        length += snprintf(classes + length, sizeof(classes) - (size_t)length, "%s%s: %s", i > 0 ? "; " : "", a->name,
                           eq_join_names(a->class_names, a->classes, list, sizeof(list)));
    }
    if (target->attribute_count == 1)
        return eq_fail(d->ctx, d->fault, "%s: no class '%.100s' in %s", d->where, name, classes);
    return eq_fail(d->ctx, d->fault, "%s: no cell '%.100s'; a cell joins one class of each attribute with '/' (%s)",
                   d->where, name, classes);
}

static eq_status set(draft *d, const char *name, double p)
{
    int cell = find_cell(&d->target, 0, name);
    if (cell < 0)
        return fail_unknown_cell(d, name);
    if (d->named[cell])
        return eq_fail(d->ctx, d->fault, "%s: '%.100s' is named twice", d->where, name);
    if (!isfinite(p) || p < 0)
        return eq_fail(d->ctx, d->fault, "%s: '%.100s' has the probability %g; it must lie in 0..1", d->where, name, p);
    d->named[cell] = true;
    d->target.p[cell] = p;
    return EQ_OK;
}

static eq_status finish(draft *d)
{
    const eq_target *target = &d->target;
    double sum = 0;
    int first_unnamed = -1;
    for (int cell = target->cells - 1; cell >= 0; cell--) {
        sum += target->p[cell];
        if (!d->named[cell])
            first_unnamed = cell;
    }
    char missing[128] = "";
    if (first_unnamed >= 0)
        eq_target_cell_name(target, first_unnamed, missing, sizeof(missing));
    /* The slack lets thirds written 0.333 pass, whose sum misses by just more than 0.001 in doubles. */
    if (!(fabs(sum - 1) <= SUM_TOLERANCE + 1e-9)) {
        if (first_unnamed >= 0)
            return eq_fail(d->ctx, d->fault,
                           "%s: the probabilities add up to %.6g, not 1, and '%s' has none: give every class one",
                           d->where, sum, missing);
        return eq_fail(d->ctx, d->fault, "%s: the probabilities add up to %.6g, not 1", d->where, sum);
    }
    if (first_unnamed >= 0)
        eq_log(d->ctx, EQ_LOG_INFO, "%s: '%s' is not named and gets the probability 0, as all unnamed do", d->where,
               missing);
    for (int cell = 0; cell < target->cells; cell++)
        target->p[cell] /= sum;
    return EQ_OK;
}

/* A plain decimal number that fills `text`, whatever the program's locale. */
static bool parse_number(const char *text, double *value)
{
    if (*text == '\0' || strspn(text, "0123456789.eE+-") != strlen(text))
        return false;
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (c == (locale_t)0)
        return false;
    char *end;
    *value = strtod_l(text, &end, c);
    freelocale(c);
    return *end == '\0';
}

/* A number, or a fraction of two: "1/3". text: overwritten. */
static bool parse_probability(char *text, double *value)
{
    double below;
    char *slash = strchr(text, '/');
    if (!slash)
        return parse_number(text, value);
    *slash = '\0';
    bool numbers = parse_number(trim(text), value) && parse_number(trim(slash + 1), &below) && below != 0;
    *slash = '/';
    if (numbers)
        *value /= below;
    return numbers;
}

/* text: overwritten. */
static eq_status parse_items(draft *d, char *text)
{
    char *item;
    while ((item = strsep(&text, ",")) != NULL) {
        char *colon = strrchr(item, ':');
        if (colon == NULL)
            return eq_fail(d->ctx, d->fault, "%s: '%.100s' should read CLASS:PROBABILITY", d->where, trim(item));
        *colon = '\0';
        char *number = trim(colon + 1);
        double p;
        if (!parse_probability(number, &p))
            return eq_fail(d->ctx, d->fault, "%s: '%.100s' is not a probability, such as 0.5 or 1/3", d->where, number);
        EQ_TRY(set(d, trim(item), p));
    }
    return EQ_OK;
}

/* text: after the '=' */
static eq_status name_classes(eq_context *ctx, const char *text, eq_attribute *attributes, int count)
{
    for (const char *item = text; item; item = strchr(item, ',') ? strchr(item, ',') + 1 : NULL) {
        size_t length = strcspn(item, ",");
        const char *colon = memrchr(item, ':', length);
        char *cell = strndup(item, colon ? (size_t)(colon - item) : length);
        eq_status status =
            cell ? eq_attributes_add_cell(ctx, cell, attributes, count) : eq_fail_memory(ctx, "a target's text");
        free(cell);
        EQ_TRY(status);
    }
    return EQ_OK;
}

eq_status eq_target_parse(eq_context *ctx, const char *text, const eq_attribute *known, int known_count, eq_target *out)
{
    eq_attribute named[EQ_TARGET_ATTRIBUTES];
    int named_count = 0;
    char where[200];
    snprintf(where, sizeof(where), "target '%.150s'", text);
    draft d = {.ctx = ctx, .fault = EQ_BAD_USAGE, .where = where};
    char *copy = strdup(text);
    if (copy == NULL)
        return eq_fail_memory(ctx, "a target's text");
    eq_status status = EQ_OK;
    char *equals = strchr(copy, '=');
    if (equals == NULL) {
        status = eq_fail(ctx, EQ_BAD_USAGE, "%s should read ATTRIBUTE=CLASS:PROBABILITY,...", where);
        goto done;
    }
    *equals = '\0';
    if (!known) {
        EQ_TRY_GOTO(status, eq_attributes_named(ctx, copy, named, &named_count), done);
        EQ_TRY_GOTO(status, name_classes(ctx, equals + 1, named, named_count), done);
        known = named;
        known_count = named_count;
    }
    EQ_TRY_GOTO(status, begin(&d, copy, known, known_count), done);
    EQ_TRY_GOTO(status, parse_items(&d, equals + 1), done);
    EQ_TRY_GOTO(status, finish(&d), done);
    *out = d.target;
    d.target = (eq_target){0};
done:
    eq_attributes_clear(named, named_count);
    draft_free(&d);
    free(copy);
    return status;
}

/* Takes the target over; frees it on failure. */
static eq_status append_target(eq_context *ctx, eq_targets *targets, eq_target *target, eq_status fault,
                               const char *where)
{
    for (int i = 0; i < targets->count; i++) {
        const eq_target *other = &targets->items[i];
        for (int a = 0; a < target->attribute_count; a++) {
            if (eq_attribute_find(other->attributes, other->attribute_count, target->attributes[a].name) < 0)
                continue;
            char name[128];
            eq_target_name(other, name, sizeof(name));
            eq_status status = eq_fail(ctx, fault, "%s: '%s' already has a target, '%s'; give each attribute one",
                                       where, target->attributes[a].name, name);
            eq_target_free(target);
            return status;
        }
    }
    eq_target *items = realloc(targets->items, sizeof(eq_target) * ((size_t)targets->count + 1));
    if (items == NULL) {
        eq_target_free(target);
        return eq_fail_memory(ctx, "the list of targets");
    }
    items[targets->count++] = *target;
    targets->items = items;
    return EQ_OK;
}

eq_status eq_targets_add(eq_context *ctx, eq_targets *targets, const char *text, const eq_attribute *known,
                         int known_count)
{
    eq_target target;
    EQ_TRY(eq_target_parse(ctx, text, known, known_count, &target));
    char where[200];
    snprintf(where, sizeof(where), "target '%.150s'", text);
    return append_target(ctx, targets, &target, EQ_BAD_USAGE, where);
}

static eq_status read_entry(eq_context *ctx, eq_targets *targets, const char *path, const char *key, json_t *value,
                            const eq_attribute *known, int known_count)
{
    char where[400];
    snprintf(where, sizeof(where), "%.200s: target '%.150s'", path, key);
    draft d = {.ctx = ctx, .fault = EQ_BAD_INPUT, .where = where};
    eq_attribute named[EQ_TARGET_ATTRIBUTES];
    int named_count = 0;
    const char *cell;
    json_t *p;
    char *names = strdup(key);
    if (names == NULL)
        return eq_fail_memory(ctx, "a target's text");
    eq_status status = EQ_OK;
    if (!json_is_object(value)) {
        status = eq_fail(ctx, EQ_BAD_INPUT, "%s should be an object {\"CLASS\": PROBABILITY, ...}", where);
        goto done;
    }
    if (!known) {
        EQ_TRY_GOTO(status, eq_attributes_named(ctx, key, named, &named_count), done);
        json_object_foreach(value, cell, p)
            EQ_TRY_GOTO(status, eq_attributes_add_cell(ctx, cell, named, named_count), done);
        known = named;
        known_count = named_count;
    }
    EQ_TRY_GOTO(status, begin(&d, names, known, known_count), done);
    json_object_foreach(value, cell, p)
    {
        if (!json_is_number(p)) {
            status = eq_fail(ctx, EQ_BAD_INPUT, "%s: the probability of '%.100s' is not a number", where, cell);
            goto done;
        }
        EQ_TRY_GOTO(status, set(&d, cell, json_number_value(p)), done);
    }
    EQ_TRY_GOTO(status, finish(&d), done);
    status = append_target(ctx, targets, &d.target, EQ_BAD_INPUT, where);
    d.target = (eq_target){0};
done:
    eq_attributes_clear(named, named_count);
    draft_free(&d);
    free(names);
    return status;
}

/* Closes the document. */
static eq_status add_and_close(eq_context *ctx, eq_targets *targets, eq_json *json, const eq_attribute *known,
                               int known_count)
{
    eq_status status = EQ_OK;
    int before = targets->count;
    if (json_object_size(json->object) == 0)
        status = eq_fail(ctx, EQ_BAD_INPUT, "%s should hold an object {\"ATTRIBUTE\": {\"CLASS\": PROBABILITY, ...}}",
                         json->where);
    const char *key;
    json_t *value;
    json_object_foreach(json->object, key, value)
        EQ_TRY_GOTO(status, read_entry(ctx, targets, json->where, key, value, known, known_count), done);
done:
    while (status != EQ_OK && targets->count > before)
        eq_target_free(&targets->items[--targets->count]);
    eq_json_close(json);
    return status;
}

eq_status eq_targets_read(eq_context *ctx, eq_targets *targets, const char *path, const eq_attribute *known,
                          int known_count)
{
    eq_json json;
    EQ_TRY(eq_json_read(ctx, path, &json));
    return add_and_close(ctx, targets, &json, known, known_count);
}

eq_status eq_targets_parse(eq_context *ctx, eq_targets *targets, const char *text, size_t size, const char *name,
                           const eq_attribute *known, int known_count)
{
    eq_json json;
    EQ_TRY(eq_json_parse(ctx, text, size, name, &json));
    return add_and_close(ctx, targets, &json, known, known_count);
}
