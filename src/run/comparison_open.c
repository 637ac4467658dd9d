/* What a comparison works with: its methods, targets and classifiers, as the suite has them, and its folder. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "guidance/target.h"
#include "run/class_words.h"
#include "run/comparison_parts.h"
#include "run/grade.h"
#include "run/settings.h"

/* --- methods --- */

static eq_status find_methods(const eq_comparison *c)
{
    for (int m = 0; m < c->suite->method_count; m++) {
        const char *known[32], *name = c->suite->methods[m].method;
        char names[512];
        int count = 0;
        while (count < 32 && eq_method_at(count)) {
            known[count] = eq_method_at(count)->name;
            count++;
        }
        if (!eq_method_find(name))
            return eq_fail(c->ctx, EQ_BAD_INPUT, "%s: methods[%d]: there is no method \"%.60s\"; there are: %s",
                           c->options->suite_path, m + 1, name, eq_join_names(known, count, names, sizeof names));
    }
    return EQ_OK;
}

static bool words_prompts(const eq_suite_method *method)
{
    return eq_method_find(method->method)->text != EQ_TEXT_NONE;
}

/* What would fail only after hours, and keys that a method has no use for, as they would be thought to do something. */
static eq_status check_methods(const eq_comparison *c)
{
    const char *path = c->options->suite_path;
    bool any_words = false;
    for (int m = 0; m < c->suite->method_count; m++) {
        const eq_suite_method *method = &c->suite->methods[m];
        any_words = any_words || words_prompts(method);
        if (eq_run_method_suits(c->pipeline, eq_method_find(method->method)) != EQ_OK)
            return eq_fail(c->ctx, EQ_BAD_USAGE, "%s: methods[%d]: %s", path, m + 1, eq_last_error(c->ctx));
        if (method->class_word_count > 0 && !words_prompts(method))
            return eq_fail(c->ctx, EQ_BAD_INPUT,
                           "%s: methods[%d]: %s has no use for \"class_words\"; prompt-quota and fair-diffusion do",
                           path, m + 1, method->method);
        if (method->jacobian && !eq_method_find(method->method)->sees_images)
            return eq_fail(c->ctx, EQ_BAD_INPUT, "%s: methods[%d]: %s has no use for \"jacobian\"; universal does",
                           path, m + 1, method->method);
        if (method->jacobian && eq_model_prompted(&c->pipeline->model))
            return eq_fail(c->ctx, EQ_BAD_USAGE,
                           "%s: methods[%d]: \"jacobian\" takes models without prompts; %s has them", path, m + 1,
                           c->options->model);
    }
    if (c->suite->class_word_count > 0 && !any_words)
        return eq_fail(c->ctx, EQ_BAD_INPUT,
                       "%s: no method of the suite has a use for \"class_words\"; prompt-quota and fair-diffusion do",
                       path);
    return EQ_OK;
}

/* --- targets --- */

/* Where prompts alone guide, they are the only ones that have to know the classes. */
static bool prompts_alone(const eq_comparison *c)
{
    int words = 0, others = 0;
    for (int m = 0; m < c->suite->method_count; m++) {
        words += words_prompts(&c->suite->methods[m]);
        others += !words_prompts(&c->suite->methods[m]) && !eq_comparison_is_unguided(&c->suite->methods[m]);
    }
    return words > 0 && others == 0;
}

static eq_status open_targets(eq_comparison *c)
{
    const eq_attribute *known = prompts_alone(c) ? NULL : c->pipeline->attributes;
    for (int t = 0; t < c->suite->target_count; t++)
        for (int i = 0; i < c->suite->targets[t].count; i++) {
            eq_status status =
                eq_targets_add(c->ctx, &c->targets[t], c->suite->targets[t].texts[i], known, c->pipeline->adp_count);
            if (status == EQ_BAD_USAGE)
                return eq_fail(c->ctx, EQ_BAD_INPUT, "%s: targets[%d]: %s", c->options->suite_path, t + 1,
                               eq_last_error(c->ctx));
            EQ_TRY(status);
        }
    return EQ_OK;
}

/* Each text must be about an attribute that some target has. `where`: of the suite, for messages. */
static eq_status check_words(const eq_comparison *c, const char *const *texts, int count, const eq_targets *all,
                             const char *where)
{
    eq_class_words words = {texts, count};
    eq_status status = eq_class_words_check(c->ctx, &words, all);
    return status == EQ_BAD_USAGE
               ? eq_fail(c->ctx, EQ_BAD_INPUT, "%s: %s%s", c->options->suite_path, where, eq_last_error(c->ctx))
               : status;
}

static eq_status check_class_words(const eq_comparison *c)
{
    const eq_suite *s = c->suite;
    eq_targets all = {0};
    all.items = calloc((size_t)s->target_count * EQ_SUITE_TARGET_TEXTS, sizeof *all.items);
    if (!all.items)
        return eq_fail_memory(c->ctx, "targets");
    for (int t = 0; t < s->target_count; t++)
        for (int i = 0; i < c->targets[t].count; i++)
            all.items[all.count++] = c->targets[t].items[i]; /* on loan */
    eq_status status = check_words(c, s->class_words, s->class_word_count, &all, "");
    for (int m = 0; m < s->method_count && status == EQ_OK; m++) {
        char where[32];
        snprintf(where, sizeof where, "methods[%d]: ", m + 1);
        status = check_words(c, s->methods[m].class_words, s->methods[m].class_word_count, &all, where);
    }
    free(all.items);
    return status;
}

/* --- classifiers --- */

/* Without a classifier of the suite's or the model's, no method may want one. */
static eq_status refuse_guides(const eq_comparison *c)
{
    for (int m = 0; m < c->suite->method_count; m++)
        if (eq_comparison_uses_classifier(&c->suite->methods[m]))
            return eq_fail(c->ctx, EQ_BAD_USAGE,
                           "%s: methods[%d]: %s works with a classifier, and %s has none of its own; name one as "
                           "\"classifier\"",
                           c->options->suite_path, m + 1, c->suite->methods[m].method, c->options->model);
    return EQ_OK;
}

/* The evaluator must not have had a part in what it grades, as far as that is known. */
static eq_status check_evaluator(eq_comparison *c)
{
    const eq_comparison_options *o = c->options;
    bool same = c->classifier && strcmp(eq_classifier_hash(c->evaluator), eq_classifier_hash(c->classifier)) == 0;
    bool labelled = same;
    for (int t = 0; t < c->suite->target_count; t++)
        labelled = labelled || eq_grade_labelled(c->evaluator, c->pipeline, &c->targets[t]);
    c->self_grading = (eq_self_grading){.labelled = labelled, .guided = same};
    if (!labelled)
        return EQ_OK;
    if (same && !o->allow_self_grading)
        return eq_fail(c->ctx, EQ_BAD_USAGE,
                       "the evaluator, %s, has the weights of the classifier that guides and labels, %s: its grades "
                       "would say how well it was pleased; give another \"evaluator\", or --allow-self-grading",
                       o->evaluator, o->classifier);
    if (!o->allow_self_grading)
        return eq_fail(
            c->ctx, EQ_BAD_USAGE,
            "the evaluator, %s, has the weights of the classifier that labelled for the predictors of %s: its "
            "grades would say how well it was pleased; give another \"evaluator\", or --allow-self-grading",
            o->evaluator, o->model);
    eq_log(c->ctx, EQ_LOG_WARNING, "the evaluator is the classifier that %s: its grades say little",
           same ? "guides and labels" : "labelled for the predictors");
    return EQ_OK;
}

static eq_status open_classifiers(eq_comparison *c)
{
    const eq_comparison_options *o = c->options;
    EQ_TRY(eq_classifier_open(c->ctx, o->evaluator, &c->evaluator));
    EQ_TRY(o->classifier ? eq_classifier_open(c->ctx, o->classifier, &c->classifier) : refuse_guides(c));
    return check_evaluator(c);
}

/* --- folders --- */

/* New, or of a comparison before: what an `out` of ours has first is suite.json. */
static eq_status open_folder(const eq_comparison *c)
{
    const char *out = c->options->out;
    char *suite;
    EQ_TRY(eq_comparison_path(c, "suite.json", &suite));
    bool ours = eq_path_exists(suite), empty = true;
    free(suite);
    DIR *directory = ours ? NULL : opendir(out);
    for (struct dirent *entry; directory && (entry = readdir(directory));)
        empty = empty && entry->d_name[0] == '.';
    if (directory)
        closedir(directory);
    if (!ours && !empty)
        return eq_fail(c->ctx, EQ_BAD_USAGE,
                       "%s: there is something already that is no comparison; choose a new folder", out);
    return eq_comparison_write_json(c, "suite.json", c->suite->json.object);
}

/* The folder of the suite's images, which are drawn into `name` where they come from no other. */
static eq_status open_images(const eq_comparison *c, const eq_suite_images *images, const char *name, char **out)
{
    if (images->folder) {
        *out = strdup(images->folder);
        return *out ? EQ_OK : eq_fail_memory(c->ctx, "a path");
    }
    EQ_TRY(eq_comparison_path(c, name, out));
    char *labels = eq_path_join(*out, "labels.csv");
    bool drawn = labels && eq_path_exists(labels);
    free(labels);
    return drawn ? EQ_OK : c->options->draw(c->options->draw_user, images, *out);
}

/* --- the whole --- */

static eq_status allocate(eq_comparison *c)
{
    size_t methods = (size_t)c->suite->method_count, targets = (size_t)c->suite->target_count;
    size_t seeds = (size_t)c->suite->seed_count;
    c->method_pipelines = calloc(methods, sizeof(eq_pipeline *));
    c->pools = calloc(methods * seeds, sizeof *c->pools);
    c->factors = calloc(methods, sizeof *c->factors);
    c->targets = calloc(targets, sizeof *c->targets);
    c->rows = calloc(targets * methods, sizeof *c->rows);
    c->tuning = json_object();
    c->heads = json_object();
    bool complete = c->method_pipelines && c->pools && c->factors && c->targets && c->rows && c->tuning && c->heads;
    for (size_t i = 0; complete && i < targets * methods; i++) {
        c->rows[i].cells = calloc(seeds, sizeof *c->rows[i].cells);
        complete = c->rows[i].cells != NULL;
    }
    return complete ? EQ_OK : eq_fail_memory(c->ctx, "a comparison");
}

eq_status eq_comparison_open(eq_comparison *c)
{
    EQ_TRY(allocate(c));
    EQ_TRY(find_methods(c));
    EQ_TRY(eq_pipeline_open(c->ctx, c->options->model, &c->pipeline));
    EQ_TRY(check_methods(c));
    EQ_TRY(open_targets(c));
    EQ_TRY(check_class_words(c));
    EQ_TRY(open_classifiers(c));
    for (int m = 0; m < c->suite->method_count; m++)
        for (int a = 0; a < c->pipeline->adp_count; a++)
            c->factors[m][a] = eq_adp_factor_of(&c->pipeline->adps[a], c->suite->methods[m].method);
    EQ_TRY(open_folder(c));
    if (c->suite->has_reference)
        EQ_TRY(open_images(c, &c->suite->reference, "reference", &c->reference_folder));
    return c->suite->has_heads_images ? open_images(c, &c->suite->heads_images, "learnt-from", &c->heads_folder)
                                      : EQ_OK;
}

void eq_comparison_close(eq_comparison *c)
{
    const eq_suite *s = c->suite;
    for (int i = 0; c->rows && i < s->target_count * s->method_count; i++) {
        for (int k = 0; c->rows[i].cells && k < s->seed_count; k++) {
            free(c->rows[i].cells[k].folder);
            eq_evaluation_free(&c->rows[i].cells[k].evaluation);
        }
        free(c->rows[i].cells);
    }
    for (int t = 0; c->targets && t < s->target_count; t++)
        eq_targets_free(&c->targets[t]);
    for (int m = 0; c->method_pipelines && m < s->method_count; m++)
        eq_pipeline_close(c->method_pipelines[m]);
    for (int i = 0; c->pools && i < s->method_count * s->seed_count; i++)
        eq_image_pool_free(&c->pools[i]);
    free(c->rows);
    free(c->pools);
    free(c->targets);
    free(c->method_pipelines);
    free(c->factors);
    free(c->reference_folder);
    free(c->confusions);
    free(c->heads_folder);
    json_decref(c->tuning);
    json_decref(c->heads);
    eq_folder_labels_free(&c->reference);
    eq_classifier_close(c->evaluator);
    eq_classifier_close(c->classifier);
    eq_pipeline_close(c->pipeline);
}
