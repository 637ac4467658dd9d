#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "command.h"
#include "eval/evaluation.h"
#include "eval/frechet.h"
#include "eval/label_folder.h"
#include "io/labels.h"

typedef struct settings {
    const char *images, *labels, *classifier, *reference;
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
     .member = offsetof(settings, labels),
     .help = "what each image shows: CSV or JSON lines with a column file_name and one for each attribute"},
    {.name = "classifier",
     .letter = 'c',
     .kind = EQ_FOLDER,
     .value = "DIR",
     .member = offsetof(settings, classifier),
     .help = "classifier to label the images with, in place of --labels; let it be another than the one that guided"},
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
     .help = "grade attribute A only, not all there are; naming its classes counts those that no image shows, too"},
    {.name = "reference",
     .kind = EQ_FOLDER,
     .value = "DIR",
     .member = offsetof(settings, reference),
     .help = "images to measure the Frechet distance to, in the features of --classifier"},
    {0}};

static const char *const examples[] = {
    "equipoise evaluate --images out/images --labels labels.csv --target gender=female:0.5,male:0.5",
    "equipoise evaluate --images out/images --classifier evaluator --reference portraits/images",
    "equipoise evaluate --images out/images --labels labels.csv --attribute gender=female,male --attribute age --json",
    NULL,
};

/* An attribute to grade: one of the labels, perhaps with classes that they do not have, or of the classifier. */
typedef struct graded {
    eq_attribute attribute; /* borrows all its names */
    int column;             /* of the labels or the classifier */
    const float *p;         /* [n, attribute.classes] */
    eq_confusion confusion; /* the classifier's */
    /* For labels; owned. */
    const char **class_names;
    int *class_of;  /* [classes of the column] the class here */
    float *one_hot; /* what p is then */
    char *text;     /* a copy of the option, which names point into */
} graded;

typedef struct grading {
    eq_context *ctx;
    const settings *s;
    eq_progress *progress;
    const eq_attribute *known; /* [known_count] of the labels or the classifier */
    int known_count;
    eq_labels labels;
    eq_classifier *classifier; /* NULL: labels */
    eq_folder_labels answers;  /* of the classifier */
    bool has_frechet;
    double frechet;
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
        free((void *)g->items[i].class_names);
        free(g->items[i].class_of);
        free(g->items[i].one_hot);
        free(g->items[i].text);
    }
    free(g->items);
    free(g->rows);
    eq_targets_free(&g->targets);
    eq_names_free(&g->images);
    eq_labels_free(&g->labels);
    eq_folder_labels_free(&g->answers);
    eq_classifier_close(g->classifier);
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

/* classes: "female,male", cut up in place; NULL: those there are. */
static eq_status fill_graded(grading *g, graded *item, int column, char *classes)
{
    const eq_attribute *known = &g->known[column];
    item->column = column;
    if (g->classifier) {
        item->attribute = *known;
        item->confusion = eq_classifier_confusions(g->classifier)[column];
        return classes ? eq_fail(g->ctx, EQ_BAD_USAGE, "--attribute %s: its classes are the classifier's; give no own",
                                 known->name)
                       : EQ_OK;
    }
    size_t most = (size_t)known->classes + 1;
    for (const char *c = classes; c && *c; c++)
        most += *c == ',';
    const char **names = calloc(most + 1, sizeof *names);
    item->class_names = names;
    item->attribute = (eq_attribute){.name = known->name, .class_names = names};
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
    for (int i = 0; i < g->known_count && used < sizeof known; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", g->known[i].name);
    return eq_fail(g->ctx, EQ_BAD_USAGE, "--attribute %s: the %s; there is: %s", name,
                   g->classifier ? "classifier does not know it" : "labels have no such column", known);
}

/* option: "gender" or "gender=female,male". */
static eq_status add_attribute(grading *g, const char *option)
{
    graded *item = &g->items[g->count++];
    item->text = strdup(option);
    if (!item->text)
        return eq_fail_memory(g->ctx, "attributes");
    char *classes = item->text, *name = strsep(&classes, "=");
    int column = eq_attribute_find(g->known, g->known_count, name);
    if (column < 0)
        return unknown_attribute(g, name);
    for (int i = 0; i < g->count - 1; i++)
        if (g->items[i].column == column)
            return eq_fail(g->ctx, EQ_BAD_USAGE, "--attribute %s is given twice", name);
    return fill_graded(g, item, column, classes);
}

static eq_status choose_attributes(grading *g, const settings *s)
{
    int most = s->attributes.count > 0 ? s->attributes.count : g->known_count;
    g->items = calloc((size_t)most, sizeof *g->items);
    if (!g->items)
        return eq_fail_memory(g->ctx, "attributes");
    for (int i = 0; i < s->attributes.count; i++)
        EQ_TRY(add_attribute(g, s->attributes.item[i]));
    for (int i = 0; s->attributes.count == 0 && i < g->known_count; i++)
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
        graded *item = &g->items[a];
        item->p = item->one_hot = calloc((g->images.count + 1) * (size_t)item->attribute.classes, sizeof(float));
        if (!item->one_hot)
            return eq_fail_memory(g->ctx, "labels");
    }
    for (size_t i = 0; i < g->images.count; i++) {
        int64_t row = g->rows[i];
        if (!is_labelled(g, row))
            continue;
        for (int a = 0; a < g->count; a++) {
            const graded *item = &g->items[a];
            int class = item->class_of[g->labels.classes[row * g->labels.attribute_count + item->column]];
            item->one_hot[(size_t)g->n * (size_t)item->attribute.classes + (size_t) class] = 1;
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
    eq_confusion *confusions = calloc((size_t)g->count, sizeof *confusions);
    eq_frechet_result frechet = {.features = "evaluator", .reference = s->reference, .value = g->frechet};
    eq_status status = attributes && p && confusions ? EQ_OK : eq_fail_memory(g->ctx, "attributes");
    for (int a = 0; status == EQ_OK && a < g->count; a++) {
        attributes[a] = g->items[a].attribute;
        p[a] = g->items[a].p;
        confusions[a] = g->items[a].confusion;
    }
    if (status == EQ_OK)
        status =
            eq_evaluate(g->ctx,
                        &(eq_evaluation_input){.n = g->n,
                                               .evaluator = g->classifier ? s->classifier : eq_path_name(s->labels),
                                               .attribute_count = g->count,
                                               .attributes = attributes,
                                               .probabilities = p,
                                               .confusions = confusions,
                                               .frechet = g->has_frechet ? &frechet : NULL,
                                               .targets = g->targets.items,
                                               .target_count = g->targets.count},
                        out);
    free(attributes);
    free(p);
    free(confusions);
    return status;
}

/* --- with a classifier --- */

static void show_progress(void *user, int64_t done, int64_t total)
{
    eq_progress_set(user, (double)done, (double)total, NULL);
}

static eq_status ask_classifier(const grading *g, const char *folder, eq_folder_labels *out)
{
    eq_progress_begin(g->progress, "labelling", "images");
    eq_status status = eq_label_folder(g->ctx, g->classifier,
                                       &(eq_label_folder_options){.folder = folder,
                                                                  .features = g->s->reference != NULL,
                                                                  .progress = show_progress,
                                                                  .progress_user = g->progress},
                                       out);
    eq_progress_end(g->progress);
    return status;
}

static eq_status add_features(const grading *g, const eq_folder_labels *labels, eq_moments *moments)
{
    return eq_moments_add(g->ctx, moments, labels->features, (int)labels->files.count);
}

static eq_status measure_frechet(grading *g)
{
    int d = eq_classifier_feature_count(g->classifier);
    eq_folder_labels reference;
    eq_moments ours = {0}, theirs = {0};
    EQ_TRY(ask_classifier(g, g->s->reference, &reference));
    eq_status status = eq_moments_new(g->ctx, d, &ours);
    if (status == EQ_OK)
        status = eq_moments_new(g->ctx, d, &theirs);
    if (status == EQ_OK)
        status = add_features(g, &g->answers, &ours);
    if (status == EQ_OK)
        status = add_features(g, &reference, &theirs);
    if (status == EQ_OK)
        status = eq_frechet_distance(g->ctx, &ours, &theirs, &g->frechet);
    g->has_frechet = status == EQ_OK;
    eq_moments_free(&ours);
    eq_moments_free(&theirs);
    eq_folder_labels_free(&reference);
    return status;
}

static eq_status use_classifier(grading *g)
{
    EQ_TRY(eq_classifier_open(g->ctx, g->s->classifier, &g->classifier));
    g->known = eq_classifier_attributes(g->classifier, &g->known_count);
    EQ_TRY(choose_attributes(g, g->s));
    EQ_TRY(read_targets(g, g->s));
    EQ_TRY(ask_classifier(g, g->s->images, &g->answers));
    for (int a = 0; a < g->count; a++)
        g->items[a].p = g->answers.probabilities[g->items[a].column];
    g->n = (int)g->answers.files.count;
    return g->s->reference ? measure_frechet(g) : EQ_OK;
}

/* --- with labels --- */

static eq_status use_labels(grading *g, const settings *s)
{
    EQ_TRY(eq_labels_read(g->ctx, s->labels, &g->labels));
    g->known = g->labels.attributes;
    g->known_count = g->labels.attribute_count;
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
    if (!s->labels == !s->classifier)
        return eq_fail(call->ctx, EQ_BAD_USAGE, "give --labels or --classifier%s", s->labels ? ", not both" : "");
    if (s->reference && !s->classifier)
        return eq_fail(call->ctx, EQ_BAD_USAGE, "--reference needs the features of a --classifier");
    grading g = {.ctx = call->ctx, .s = s, .progress = call->progress};
    eq_evaluation evaluation = {0};
    eq_status status = s->classifier ? use_classifier(&g) : use_labels(&g, s);
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
        "Attributes are what an image appears to show, according to the labels or the classifier; what is known of "
        "the classifier's mistakes from held-out images is corrected for.",
    .examples = examples,
    .options = options,
    .settings_size = sizeof(settings),
    .reports = true,
    .run = run,
};
