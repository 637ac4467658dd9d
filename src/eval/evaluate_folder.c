#include "eval/evaluation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "eval/drift.h"
#include "eval/features.h"
#include "eval/label_folder.h"
#include "eval/run_manifest.h"
#include "io/labels.h"

/* Whose features sets are compared in, as reports name it. */
static const char FEATURES[] = "evaluator", INCEPTION[] = "Inception-v3";

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
    const eq_evaluate_options *options;
    const eq_attribute *known; /* [known_count] of the labels or the classifier */
    int known_count;
    eq_labels labels;
    eq_classifier *classifier;  /* NULL: labels */
    eq_folder_labels answers;   /* of the classifier */
    eq_folder_labels reference; /* its answers for the reference */
    bool has_drift;
    eq_drift drift;
    eq_names images;
    int64_t *rows; /* [images.count] of the labels, -1: none */
    int count;
    graded *items; /* [count] */
    int n;         /* images that all of the attributes label */
    eq_names kept; /* [n] their names, which others own */
    /* With Inception-v3. */
    float *inception_ours, *inception_theirs; /* [n, inception_dimension], [reference_n, inception_dimension] */
    int inception_dimension, reference_n;
    bool has_clip;
    eq_clip_evaluation clip;
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
    free(g->kept.name);
    free(g->inception_ours);
    free(g->inception_theirs);
    free(g->clip.clip);
    eq_targets_free(&g->targets);
    eq_names_free(&g->images);
    eq_labels_free(&g->labels);
    eq_folder_labels_free(&g->answers);
    eq_folder_labels_free(&g->reference);
    eq_drift_clear(&g->drift);
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
        return classes ? eq_fail(g->ctx, EQ_BAD_USAGE, "attribute %s: its classes are the classifier's; give no own",
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
            return eq_fail(g->ctx, EQ_BAD_USAGE, "attribute %s: a class has no name", known->name);
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
    return eq_fail(g->ctx, EQ_BAD_USAGE, "attribute %s: the %s; there is: %s", name,
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
            return eq_fail(g->ctx, EQ_BAD_USAGE, "attribute %s is given twice", name);
    return fill_graded(g, item, column, classes);
}

static eq_status choose_attributes(grading *g, const eq_evaluate_options *o)
{
    int most = o->attribute_count > 0 ? o->attribute_count : g->known_count;
    g->items = calloc((size_t)most, sizeof *g->items);
    if (!g->items)
        return eq_fail_memory(g->ctx, "attributes");
    for (int i = 0; i < o->attribute_count; i++)
        EQ_TRY(add_attribute(g, o->attributes[i]));
    for (int i = 0; o->attribute_count == 0 && i < g->known_count; i++)
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
static eq_status match_images(grading *g, const eq_evaluate_options *o)
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
        return eq_fail(g->ctx, EQ_BAD_INPUT, "%s labels none of the %zu images in %s", o->labels, g->images.count,
                       o->images);
    if ((size_t)g->n < g->images.count)
        eq_log(g->ctx, EQ_LOG_WARNING, "%zu of %zu images have no label or not all, and are left out",
               g->images.count - (size_t)g->n, g->images.count);
    if (match.labels_unmatched > 0)
        eq_log(g->ctx, EQ_LOG_WARNING, "%zu of %zu labels have no image", match.labels_unmatched, g->labels.count);
    return EQ_OK;
}

static eq_status read_targets(grading *g, const eq_evaluate_options *o)
{
    eq_attribute *known = calloc((size_t)g->count, sizeof *known);
    eq_status status = known ? EQ_OK : eq_fail_memory(g->ctx, "attributes");
    for (int a = 0; status == EQ_OK && a < g->count; a++)
        known[a] = g->items[a].attribute;
    for (int i = 0; status == EQ_OK && i < o->target_count; i++)
        status = eq_targets_add(g->ctx, &g->targets, o->targets[i], known, g->count);
    for (int i = 0; status == EQ_OK && i < o->target_file_count; i++)
        status = eq_targets_read(g->ctx, &g->targets, o->target_files[i], known, g->count);
    free(known);
    return status;
}

static eq_status grade(const grading *g, const eq_evaluate_options *o, eq_evaluation *out)
{
    eq_attribute *attributes = calloc((size_t)g->count, sizeof *attributes);
    const float **p = calloc((size_t)g->count, sizeof *p);
    eq_confusion *confusions = calloc((size_t)g->count, sizeof *confusions);
    const float **reference_p = calloc((size_t)g->count, sizeof *reference_p);
    eq_reference_set reference = {.features = FEATURES,
                                  .name = o->reference,
                                  .n = (int)g->reference.files.count,
                                  .dimension = g->classifier ? eq_classifier_feature_count(g->classifier) : 0,
                                  .theirs = g->reference.features,
                                  .ours = g->answers.features,
                                  .probabilities = g->classifier ? reference_p : NULL};
    if (o->inception) {
        reference.features = INCEPTION;
        reference.n = g->reference_n;
        reference.dimension = g->inception_dimension;
        reference.theirs = g->inception_theirs;
        reference.ours = g->inception_ours;
    }
    eq_status status = attributes && p && confusions && reference_p ? EQ_OK : eq_fail_memory(g->ctx, "attributes");
    for (int a = 0; status == EQ_OK && a < g->count; a++) {
        attributes[a] = g->items[a].attribute;
        p[a] = g->items[a].p;
        confusions[a] = g->items[a].confusion;
        if (o->reference && g->classifier)
            reference_p[a] = g->reference.probabilities[g->items[a].column];
    }
    if (status == EQ_OK)
        status =
            eq_evaluate(g->ctx,
                        &(eq_evaluation_input){.n = g->n,
                                               .evaluator = g->classifier ? o->classifier : eq_path_name(o->labels),
                                               .attribute_count = g->count,
                                               .attributes = attributes,
                                               .probabilities = p,
                                               .confusions = confusions,
                                               .reference = o->reference ? &reference : NULL,
                                               .drift = g->has_drift ? &g->drift : NULL,
                                               .clip = g->has_clip ? &g->clip : NULL,
                                               .targets = g->targets.items,
                                               .target_count = g->targets.count},
                        out);
    free(attributes);
    free(p);
    free(confusions);
    free(reference_p);
    return status;
}

/* --- with a classifier --- */

/* Passes progress on with the folder that it is about. */
typedef struct labelling_progress {
    const eq_evaluate_options *options;
    const char *folder;
} labelling_progress;

static void show_progress(void *user, int64_t done, int64_t total)
{
    const labelling_progress *p = user;
    p->options->progress(p->options->progress_user, p->folder, done, total);
}

static eq_status ask_classifier(const grading *g, const char *folder, eq_folder_labels *out)
{
    labelling_progress progress = {g->options, folder};
    return eq_label_folder(
        g->ctx, g->classifier,
        &(eq_label_folder_options){.folder = folder,
                                   .features = (g->options->reference && !g->options->inception) || g->options->twin,
                                   .progress = g->options->progress ? show_progress : NULL,
                                   .progress_user = &progress},
        out);
}

static eq_status use_twin(grading *g)
{
    eq_folder_labels twin;
    EQ_TRY(ask_classifier(g, g->options->twin, &twin));
    const eq_drift_side ours = {g->options->images, &g->answers.files, g->answers.features};
    const eq_drift_side theirs = {g->options->twin, &twin.files, twin.features};
    eq_status status =
        eq_drift_measure(g->ctx, &ours, &theirs, FEATURES, eq_classifier_feature_count(g->classifier), &g->drift);
    g->has_drift = status == EQ_OK;
    eq_folder_labels_free(&twin);
    return status;
}

static eq_status use_classifier(grading *g)
{
    EQ_TRY(eq_classifier_open(g->ctx, g->options->classifier, &g->classifier));
    g->known = eq_classifier_attributes(g->classifier, &g->known_count);
    EQ_TRY(choose_attributes(g, g->options));
    EQ_TRY(read_targets(g, g->options));
    EQ_TRY(ask_classifier(g, g->options->images, &g->answers));
    for (int a = 0; a < g->count; a++)
        g->items[a].p = g->answers.probabilities[g->items[a].column];
    g->n = (int)g->answers.files.count;
    if (g->options->reference)
        EQ_TRY(ask_classifier(g, g->options->reference, &g->reference));
    return g->options->twin ? use_twin(g) : EQ_OK;
}

/* --- with labels --- */

/* Pixels only: labels have no features. */
static eq_status compare_twin(grading *g)
{
    eq_names twin = {0};
    EQ_TRY(eq_list_images(g->ctx, g->options->twin, true, &twin));
    const eq_drift_side ours = {g->options->images, &g->images, NULL}, theirs = {g->options->twin, &twin, NULL};
    eq_status status = eq_drift_measure(g->ctx, &ours, &theirs, NULL, 0, &g->drift);
    g->has_drift = status == EQ_OK;
    eq_names_free(&twin);
    return status;
}

static eq_status use_labels(grading *g, const eq_evaluate_options *o)
{
    EQ_TRY(eq_labels_read(g->ctx, o->labels, &g->labels));
    g->known = g->labels.attributes;
    g->known_count = g->labels.attribute_count;
    EQ_TRY(eq_list_images(g->ctx, o->images, true, &g->images));
    if (g->images.count == 0)
        return eq_fail(g->ctx, EQ_BAD_INPUT, "%s: no PNG, JPEG or WebP image below this folder", o->images);
    EQ_TRY(choose_attributes(g, o));
    EQ_TRY(read_targets(g, o));
    EQ_TRY(match_images(g, o));
    return o->twin ? compare_twin(g) : EQ_OK;
}

/* --- with other networks --- */

/* The images that are graded, in their order. */
static eq_status list_kept(grading *g)
{
    const eq_names *files = g->classifier ? &g->answers.files : &g->images;
    g->kept.name = calloc(files->count + 1, sizeof *g->kept.name);
    if (!g->kept.name)
        return eq_fail_memory(g->ctx, "names");
    for (size_t i = 0; i < files->count; i++)
        if (g->classifier || is_labelled(g, g->rows[i]))
            g->kept.name[g->kept.count++] = files->name[i];
    return EQ_OK;
}

static eq_status run_inception(grading *g, eq_inception *inception, const char *folder, const eq_names *files,
                               float **features)
{
    labelling_progress progress = {g->options, folder};
    g->inception_dimension = eq_inception_feature_count(inception);
    *features = calloc(files->count * (size_t)g->inception_dimension + 1, sizeof **features);
    if (!*features)
        return eq_fail_memory(g->ctx, "features");
    return eq_inception_run(inception, folder, files, g->options->progress ? show_progress : NULL, &progress,
                            *features);
}

static eq_status use_inception(grading *g)
{
    eq_inception *inception;
    eq_names listed = {0};
    EQ_TRY(eq_inception_open(g->ctx, g->options->inception, &inception));
    eq_status status = g->classifier ? EQ_OK : eq_list_images(g->ctx, g->options->reference, true, &listed);
    const eq_names *theirs = g->classifier ? &g->reference.files : &listed;
    if (status == EQ_OK && theirs->count == 0)
        status =
            eq_fail(g->ctx, EQ_BAD_INPUT, "%s: no PNG, JPEG or WebP image below this folder", g->options->reference);
    if (status == EQ_OK)
        status = run_inception(g, inception, g->options->images, &g->kept, &g->inception_ours);
    if (status == EQ_OK)
        status = run_inception(g, inception, g->options->reference, theirs, &g->inception_theirs);
    g->reference_n = (int)theirs->count;
    eq_names_free(&listed);
    eq_inception_close(inception);
    return status;
}

/* files, prompts: [kept.count]; finds those that the manifest has a prompt for. */
static int find_prompts(const grading *g, const eq_run_manifest *run, char **files, const char **prompts)
{
    int count = 0;
    for (size_t i = 0; i < run->manifest.count; i++) {
        const eq_manifest_entry *entry = &run->manifest.entries[i];
        int64_t at = entry->prompt ? eq_run_manifest_find(run, &g->kept, entry->file) : -1;
        if (at < 0 || (size_t)count == g->kept.count)
            continue;
        files[count] = g->kept.name[at];
        prompts[count++] = entry->prompt;
    }
    return count;
}

static eq_status use_clip(grading *g)
{
    const eq_evaluate_options *o = g->options;
    eq_run_manifest run;
    labelling_progress progress = {o, o->images};
    EQ_TRY(eq_run_manifest_read(g->ctx, o->images, &run));
    char **files = calloc(g->kept.count + 1, sizeof *files);
    const char **prompts = calloc(g->kept.count + 1, sizeof *prompts);
    g->clip.clip = strdup(o->clip);
    eq_status status = files && prompts && g->clip.clip ? EQ_OK : eq_fail_memory(g->ctx, "prompts");
    if (status == EQ_OK)
        g->clip.n = find_prompts(g, &run, files, prompts);
    if (status == EQ_OK && g->clip.n == 0)
        status = eq_fail(g->ctx, EQ_BAD_INPUT,
                         "%s: the manifest has no prompts for these images; CLIP scores are of images made from text",
                         o->images);
    else if (status == EQ_OK && (size_t)g->clip.n < g->kept.count)
        eq_log(g->ctx, EQ_LOG_WARNING, "%zu of %zu images have no prompt in the manifest and get no CLIP score",
               g->kept.count - (size_t)g->clip.n, g->kept.count);
    if (status == EQ_OK)
        status = eq_clip_score(g->ctx, o->clip, o->images, &(eq_names){files, (size_t)g->clip.n}, prompts,
                               o->progress ? show_progress : NULL, &progress, &g->clip.score);
    g->has_clip = status == EQ_OK;
    free(files);
    free(prompts);
    eq_run_manifest_free(&run);
    return status;
}

static eq_status check_options(eq_context *ctx, const eq_evaluate_options *options)
{
    if (!options->labels == !options->classifier)
        return eq_fail(ctx, EQ_BAD_USAGE, "images are graded by labels or by a classifier: one of them, not %s",
                       options->labels ? "both" : "none");
    if (options->reference && !options->classifier && !options->inception)
        return eq_fail(ctx, EQ_BAD_USAGE, "comparing with a reference needs the features of a classifier or Inception");
    if (options->inception && !options->reference)
        return eq_fail(ctx, EQ_BAD_USAGE,
                       "Inception's features are for comparing with a reference, which is not given");
    return EQ_OK;
}

eq_status eq_evaluate_folder(eq_context *ctx, const eq_evaluate_options *options, eq_evaluation *out)
{
    *out = (eq_evaluation){0};
    EQ_TRY(check_options(ctx, options));
    grading g = {.ctx = ctx, .options = options};
    eq_status status = options->classifier ? use_classifier(&g) : use_labels(&g, options);
    if (status == EQ_OK)
        status = list_kept(&g);
    if (status == EQ_OK && options->inception)
        status = use_inception(&g);
    if (status == EQ_OK && options->clip)
        status = use_clip(&g);
    if (status == EQ_OK)
        status = grade(&g, options, out);
    grading_free(&g);
    return status;
}
