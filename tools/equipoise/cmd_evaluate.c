#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "command.h"
#include "eval/evaluation.h"
#include "io/labels.h"

typedef struct settings {
    const char *images, *labels;
    eq_texts attributes, targets, target_files;
} settings;

static const eq_option options[] = {
    {.name = "images",
     .kind = EQ_FOLDER,
     .value = "DIR",
     .required = true,
     .member = offsetof(settings, images),
     .help = "folder of the images to grade, searched to any depth"},
    {.name = "labels",
     .kind = EQ_FILE,
     .value = "FILE",
     .required = true,
     .member = offsetof(settings, labels),
     .help = "what each image shows: CSV or JSON lines with a column file_name and one for each attribute"},
    {.name = "target",
     .kind = EQ_TEXTS,
     .value = "A=C:P,...",
     .member = offsetof(settings, targets),
     .help = "the distribution that was asked for: attribute A has its classes C with probabilities P; A*B=C/D:P,... "
             "for a joint one"},
    {.name = "target-file",
     .kind = EQ_FILES,
     .value = "FILE",
     .member = offsetof(settings, target_files),
     .help = "targets in JSON, {\"gender\": {\"female\": 0.5, \"male\": 0.5}}"},
    {.name = "attribute",
     .kind = EQ_TEXTS,
     .value = "A[=C,C...]",
     .member = offsetof(settings, attributes),
     .help = "grade attribute A only, not all in the labels; naming its classes counts those that no image shows, too"},
    {0}};

static const char *const examples[] = {
    "equipoise evaluate --images out/images --labels labels.csv --target gender=female:0.5,male:0.5",
    "equipoise evaluate --images out/images --labels labels.csv --attribute gender=female,male --attribute age --json",
    NULL,
};

/* An attribute to grade: a column of the labels, perhaps with classes that they do not have. */
typedef struct graded {
    eq_attribute attribute; /* names are borrowed, class_names is owned */
    int column;
    int *class_of; /* [classes of the column] the class here, owned */
    float *p;      /* [n, attribute.classes] one-hot, owned */
    char *text;    /* a copy of the option, which names point into; owned */
} graded;

typedef struct grading {
    eq_context *ctx;
    eq_labels labels;
    eq_names images;
    int64_t *rows; /* [images.count] of the labels, -1: none */
    int count;
    graded *items; /* [count] */
    int n;         /* images that all of the attributes label */
    eq_targets targets;
} grading;

static void grading_free(grading *g)
{
    for (int i = 0; i < g->count; i++) {
        free((void *)g->items[i].attribute.class_names);
        free(g->items[i].class_of);
        free(g->items[i].p);
        free(g->items[i].text);
    }
    free(g->items);
    free(g->rows);
    eq_targets_free(&g->targets);
    eq_names_free(&g->images);
    eq_labels_free(&g->labels);
}

/* Adds a class unless it is there; returns its position. class_names has room. */
static int add_class(eq_attribute *attribute, const char **class_names, const char *name)
{
    int found = eq_class_find(attribute, name);
    if (found >= 0)
        return found;
    class_names[attribute->classes] = name;
    return attribute->classes++;
}

/* classes: "female,male", cut up in place; NULL: those of the labels. */
static eq_status fill_graded(grading *g, graded *item, int column, char *classes)
{
    const eq_attribute *known = &g->labels.attributes[column];
    size_t most = (size_t)known->classes + 1;
    for (const char *c = classes; c && *c; c++)
        most += *c == ',';
    const char **names = calloc(most + 1, sizeof *names);
    item->attribute = (eq_attribute){.name = known->name, .class_names = names};
    item->column = column;
    item->class_of = calloc((size_t)known->classes, sizeof *item->class_of);
    if (!names || !item->class_of)
        return eq_fail_memory(g->ctx, "attributes");
    for (char *rest = classes, *name; (name = strsep(&rest, ",")) != NULL;) {
        if (*name == '\0')
            return eq_fail(g->ctx, EQ_BAD_USAGE, "--attribute %s: a class has no name", known->name);
        add_class(&item->attribute, names, name);
    }
    for (int k = 0; k < known->classes; k++)
        item->class_of[k] = add_class(&item->attribute, names, known->class_names[k]);
    return EQ_OK;
}

static eq_status unknown_attribute(const grading *g, const char *name)
{
    char known[256] = "";
    size_t used = 0;
    for (int i = 0; i < g->labels.attribute_count && used < sizeof known; i++)
        used +=
            (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", g->labels.attributes[i].name);
    return eq_fail(g->ctx, EQ_BAD_USAGE, "--attribute %s: the labels have no such column; there is: %s", name, known);
}

/* option: "gender" or "gender=female,male". */
static eq_status add_attribute(grading *g, const char *option)
{
    graded *item = &g->items[g->count++];
    item->text = strdup(option);
    if (!item->text)
        return eq_fail_memory(g->ctx, "attributes");
    char *classes = item->text, *name = strsep(&classes, "=");
    int column = eq_attribute_find(g->labels.attributes, g->labels.attribute_count, name);
    if (column < 0)
        return unknown_attribute(g, name);
    for (int i = 0; i < g->count - 1; i++)
        if (g->items[i].column == column)
            return eq_fail(g->ctx, EQ_BAD_USAGE, "--attribute %s is given twice", name);
    return fill_graded(g, item, column, classes);
}

static eq_status choose_attributes(grading *g, const settings *s)
{
    int most = s->attributes.count > 0 ? s->attributes.count : g->labels.attribute_count;
    g->items = calloc((size_t)most, sizeof *g->items);
    if (!g->items)
        return eq_fail_memory(g->ctx, "attributes");
    for (int i = 0; i < s->attributes.count; i++)
        EQ_TRY(add_attribute(g, s->attributes.item[i]));
    for (int i = 0; s->attributes.count == 0 && i < g->labels.attribute_count; i++)
        EQ_TRY(fill_graded(g, &g->items[g->count++], i, NULL));
    return EQ_OK;
}

static bool is_labelled(const grading *g, int64_t row)
{
    for (int a = 0; row >= 0 && a < g->count; a++)
        if (g->labels.classes[row * g->labels.attribute_count + g->items[a].column] < 0)
            return false;
    return row >= 0;
}

/* Fills the one-hot probabilities of the images that have all labels. */
static eq_status match_images(grading *g, const settings *s)
{
    eq_labels_match match;
    g->rows = calloc(g->images.count + 1, sizeof *g->rows);
    if (!g->rows)
        return eq_fail_memory(g->ctx, "labels");
    EQ_TRY(eq_labels_match_images(g->ctx, &g->labels, &g->images, g->rows, &match));
    for (int a = 0; a < g->count; a++) {
        g->items[a].p = calloc((g->images.count + 1) * (size_t)g->items[a].attribute.classes, sizeof(float));
        if (!g->items[a].p)
            return eq_fail_memory(g->ctx, "labels");
    }
    for (size_t i = 0; i < g->images.count; i++) {
        int64_t row = g->rows[i];
        if (!is_labelled(g, row))
            continue;
        for (int a = 0; a < g->count; a++) {
            const graded *item = &g->items[a];
            int class = item->class_of[g->labels.classes[row * g->labels.attribute_count + item->column]];
            item->p[(size_t)g->n * (size_t)item->attribute.classes + (size_t) class] = 1;
        }
        g->n++;
    }
    if (g->n == 0)
        return eq_fail(g->ctx, EQ_BAD_INPUT, "%s labels none of the %zu images in %s", s->labels, g->images.count,
                       s->images);
    if ((size_t)g->n < g->images.count)
        eq_log(g->ctx, EQ_LOG_WARNING, "%zu of %zu images have no label or not all, and are left out",
               g->images.count - (size_t)g->n, g->images.count);
    if (match.labels_unmatched > 0)
        eq_log(g->ctx, EQ_LOG_WARNING, "%zu of %zu labels have no image", match.labels_unmatched, g->labels.count);
    return EQ_OK;
}

static eq_status read_targets(grading *g, const settings *s)
{
    eq_attribute *known = calloc((size_t)g->count, sizeof *known);
    eq_status status = known ? EQ_OK : eq_fail_memory(g->ctx, "attributes");
    for (int a = 0; status == EQ_OK && a < g->count; a++)
        known[a] = g->items[a].attribute;
    for (int i = 0; status == EQ_OK && i < s->targets.count; i++)
        status = eq_targets_add(g->ctx, &g->targets, s->targets.item[i], known, g->count);
    for (int i = 0; status == EQ_OK && i < s->target_files.count; i++)
        status = eq_targets_read(g->ctx, &g->targets, s->target_files.item[i], known, g->count);
    free(known);
    return status;
}

static eq_status grade(const grading *g, const settings *s, eq_evaluation *out)
{
    eq_attribute *attributes = calloc((size_t)g->count, sizeof *attributes);
    const float **p = calloc((size_t)g->count, sizeof *p);
    eq_status status = attributes && p ? EQ_OK : eq_fail_memory(g->ctx, "attributes");
    for (int a = 0; status == EQ_OK && a < g->count; a++) {
        attributes[a] = g->items[a].attribute;
        p[a] = g->items[a].p;
    }
    if (status == EQ_OK)
        status = eq_evaluate(g->ctx,
                             &(eq_evaluation_input){.n = g->n,
                                                    .evaluator = eq_path_name(s->labels),
                                                    .attribute_count = g->count,
                                                    .attributes = attributes,
                                                    .probabilities = p,
                                                    .targets = g->targets.items,
                                                    .target_count = g->targets.count},
                             out);
    free(attributes);
    free(p);
    return status;
}

static eq_status read_inputs(grading *g, const settings *s)
{
    EQ_TRY(eq_labels_read(g->ctx, s->labels, &g->labels));
    EQ_TRY(eq_list_images(g->ctx, s->images, true, &g->images));
    if (g->images.count == 0)
        return eq_fail(g->ctx, EQ_BAD_INPUT, "%s: no PNG, JPEG or WebP image below this folder", s->images);
    EQ_TRY(choose_attributes(g, s));
    EQ_TRY(read_targets(g, s));
    return match_images(g, s);
}

static eq_status report(const eq_invocation *call, const eq_evaluation *evaluation)
{
    if (call->common.json) {
        json_t *json;
        EQ_TRY(eq_evaluation_json(call->ctx, evaluation, &json));
        return eq_print_json(call, json);
    }
    char *text;
    EQ_TRY(eq_evaluation_format(call->ctx, evaluation, &text));
    fputs(text, stdout);
    free(text);
    return EQ_OK;
}

static eq_status run(const eq_invocation *call)
{
    const settings *s = call->settings;
    grading g = {.ctx = call->ctx};
    eq_evaluation evaluation = {0};
    eq_status status = read_inputs(&g, s);
    if (status == EQ_OK)
        status = grade(&g, s, &evaluation);
    if (status == EQ_OK)
        status = report(call, &evaluation);
    eq_evaluation_free(&evaluation);
    grading_free(&g);
    return status;
}

const eq_command eq_command_evaluate = {
    .name = "evaluate",
    .summary = "measure how a set of images is distributed",
    .description =
        "Counts the classes of each attribute and compares them with the targets: FD is the distance between the "
        "frequencies and the target (L2 norm), beside what chance alone would give at that number of images; every "
        "proportion has a 95% interval.\n\n"
        "Attributes are what an image appears to show, according to the labels.",
    .examples = examples,
    .options = options,
    .settings_size = sizeof(settings),
    .reports = true,
    .run = run,
};
