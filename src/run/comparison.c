#include "run/comparison.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/path.h"
#include "eval/comparison_report.h"
#include "guidance/target.h"
#include "run/comparison_parts.h"
#include "run/session.h"

static const double CHECKPOINT_SECONDS = 120;

/* --- for all parts --- */

eq_status eq_comparison_path(const eq_comparison *c, const char *name, char **out)
{
    *out = eq_path_join(c->options->out, name);
    return *out ? EQ_OK : eq_fail_memory(c->ctx, "a path");
}

eq_status eq_comparison_write_json(const eq_comparison *c, const char *name, const json_t *root)
{
    char *path;
    EQ_TRY(eq_comparison_path(c, name, &path));
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(8)), *folder = eq_path_folder(path);
    eq_status status = text && folder ? eq_make_folders(c->ctx, folder) : eq_fail_memory(c->ctx, name);
    if (status == EQ_OK)
        status = eq_file_write(c->ctx, path, text, strlen(text));
    free(path);
    free(text);
    free(folder);
    return status;
}

void eq_comparison_tell(const eq_comparison *c, const char *doing, double more)
{
    if (c->options->progress)
        c->options->progress(c->options->progress_user, doing, c->done + more, c->total);
}

bool eq_comparison_tunes(const eq_comparison *c, int m)
{
    const eq_suite_method *method = &c->suite->methods[m];
    return method->strength == EQ_SUITE_TUNED && eq_method_find(method->method)->step;
}

eq_status eq_comparison_pipeline(eq_comparison *c, int m, eq_pipeline **out)
{
    *out = c->method_pipelines[m] ? c->method_pipelines[m] : c->pipeline;
    for (int a = 0; a < (*out)->adp_count; a++)
        EQ_TRY(eq_adp_set_factor(c->ctx, &(*out)->adps[a], c->suite->methods[m].method, c->factors[m][a]));
    return EQ_OK;
}

static bool uses_classifier(const eq_suite_method *method)
{
    const eq_method *known = eq_method_find(method->method);
    return known->sees_images || known->rejects;
}

bool eq_comparison_wants(const eq_comparison *c, const char *attribute, double *p)
{
    for (int t = 0; t < c->suite->target_count; t++)
        for (int i = 0; i < c->targets[t].count; i++) {
            const eq_target *target = &c->targets[t].items[i];
            int a = eq_attribute_find(target->attributes, target->attribute_count, attribute);
            if (a >= 0 && p)
                eq_target_marginal(target, a, p);
            if (a >= 0)
                return true;
        }
    return false;
}

eq_generate_options eq_comparison_options_of(const eq_comparison *c, const eq_suite_method *method, int64_t seed)
{
    const eq_suite *s = c->suite;
    eq_generate_options o = {.count = s->count,
                             .seed = (uint64_t)seed,
                             .steps = (int)s->steps,
                             .sampler = s->sampler,
                             .eta = s->eta,
                             .deterministic = s->eta == 0,
                             .method = "none",
                             .prompts = &s->prompt,
                             .prompt_count = s->prompt ? 1 : 0,
                             .negative_prompt = s->negative,
                             .cfg = s->cfg,
                             .bf16 = c->bf16};
    if (!method)
        return o;
    o.method = method->method;
    o.loss = method->loss;
    o.strength = method->strength == EQ_SUITE_FIXED ? method->fixed : 0;
    o.temperature = method->temperature;
    o.guide_first = method->guide_first;
    o.guide_last = method->guide_last;
    o.coupled = method->coupled;
    if (uses_classifier(method))
        o.guide_classifier = c->options->classifier;
    if (eq_method_find(method->method)->text != EQ_TEXT_NONE) {
        o.class_words = s->class_words;
        o.class_word_count = s->class_word_count;
    }
    return o;
}

/* --- opening --- */

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

static eq_status open_targets(eq_comparison *c)
{
    for (int t = 0; t < c->suite->target_count; t++)
        for (int i = 0; i < c->suite->targets[t].count; i++) {
            eq_status status = eq_targets_add(c->ctx, &c->targets[t], c->suite->targets[t].texts[i],
                                              c->pipeline->attributes, c->pipeline->adp_count);
            if (status == EQ_BAD_USAGE)
                return eq_fail(c->ctx, EQ_BAD_INPUT, "%s: targets[%d]: %s", c->options->suite_path, t + 1,
                               eq_last_error(c->ctx));
            EQ_TRY(status);
        }
    return EQ_OK;
}

/* Without a classifier of the suite's or the model's, no method may want one. */
static eq_status refuse_guides(const eq_comparison *c)
{
    for (int m = 0; m < c->suite->method_count; m++)
        if (uses_classifier(&c->suite->methods[m]))
            return eq_fail(c->ctx, EQ_BAD_USAGE,
                           "%s: methods[%d]: %s works with a classifier, and %s has none of its own; name one as "
                           "\"classifier\"",
                           c->options->suite_path, m + 1, c->suite->methods[m].method, c->options->model);
    return EQ_OK;
}

/* The evaluator must not have had a part in what it grades. */
static eq_status open_classifiers(eq_comparison *c)
{
    const eq_comparison_options *o = c->options;
    EQ_TRY(eq_classifier_open(c->ctx, o->evaluator, &c->evaluator));
    if (!o->classifier)
        return refuse_guides(c);
    EQ_TRY(eq_classifier_open(c->ctx, o->classifier, &c->classifier));
    c->self_grading = strcmp(eq_classifier_hash(c->evaluator), eq_classifier_hash(c->classifier)) == 0;
    if (c->self_grading && !o->allow_self_grading)
        return eq_fail(c->ctx, EQ_BAD_USAGE,
                       "the evaluator, %s, has the weights of the classifier that guides and labels, %s: its grades "
                       "would say how well it was pleased; give another \"evaluator\", or --allow-self-grading",
                       o->evaluator, o->classifier);
    if (c->self_grading)
        eq_log(c->ctx, EQ_LOG_WARNING, "the evaluator is the classifier that guides and labels: its grades say little");
    return EQ_OK;
}

static eq_status allocate(eq_comparison *c)
{
    size_t methods = (size_t)c->suite->method_count, targets = (size_t)c->suite->target_count;
    size_t seeds = (size_t)c->suite->seed_count;
    c->method_pipelines = calloc(methods, sizeof(eq_pipeline *));
    c->factors = calloc(methods, sizeof *c->factors);
    c->targets = calloc(targets, sizeof *c->targets);
    c->rows = calloc(targets * methods, sizeof *c->rows);
    c->tuning = json_object();
    c->heads = json_object();
    bool complete = c->method_pipelines && c->factors && c->targets && c->rows && c->tuning && c->heads;
    for (size_t i = 0; complete && i < targets * methods; i++) {
        c->rows[i].cells = calloc(seeds, sizeof *c->rows[i].cells);
        complete = c->rows[i].cells != NULL;
    }
    return complete ? EQ_OK : eq_fail_memory(c->ctx, "a comparison");
}

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

static eq_status open_all(eq_comparison *c)
{
    EQ_TRY(allocate(c));
    EQ_TRY(find_methods(c));
    EQ_TRY(eq_pipeline_open(c->ctx, c->options->model, &c->pipeline));
    EQ_TRY(open_targets(c));
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

/* --- cells --- */

static bool is_unguided(const eq_suite_method *method)
{
    return strcmp(method->method, "none") == 0;
}

/* method NULL: the unguided run, which all targets share. */
static eq_status cell_folder(const eq_comparison *c, const eq_suite_target *target, const eq_suite_method *method,
                             int64_t seed, char **out)
{
    *out = method ? eq_format("%s/%s/seed-%lld", target->folder, method->name, (long long)seed)
                  : eq_format("unguided/seed-%lld", (long long)seed);
    return *out ? EQ_OK : eq_fail_memory(c->ctx, "a path");
}

typedef struct cell_progress {
    eq_comparison *c;
    char doing[2 * EQ_SUITE_NAME + 32];
    int64_t most; /* images that are drawn in addition count from 0 again */
} cell_progress;

static void show_cell(void *user, int64_t done, int64_t total)
{
    cell_progress *p = user;
    p->most = done > p->most ? done : p->most;
    eq_comparison_tell(p->c, p->doing, (double)p->most);
}

/* Runs what is not there yet. */
static eq_status run_cell(eq_comparison *c, int target, int method, int64_t seed)
{
    const eq_suite_method *m = method < 0 ? NULL : &c->suite->methods[method];
    const eq_suite_target *t = target < 0 ? NULL : &c->suite->targets[target];
    static const eq_targets nothing = {0};
    cell_progress progress = {.c = c};
    char *name, *folder = NULL;
    eq_pipeline *pipeline = c->pipeline;
    if (m)
        EQ_TRY(eq_comparison_pipeline(c, method, &pipeline));
    EQ_TRY(cell_folder(c, t, m, seed, &name));
    eq_status status = eq_comparison_path(c, name, &folder);
    snprintf(progress.doing, sizeof progress.doing, "%s", name);
    free(name);
    EQ_TRY(status);
    eq_session session = {.pipeline = pipeline,
                          .options = eq_comparison_options_of(c, m, seed),
                          .targets = t ? &c->targets[target] : &nothing,
                          .out = folder,
                          .resume = true,
                          /* one that was killed before its first checkpoint */
                          .replace = eq_run_folder_state(folder) == EQ_FOLDER_OTHER,
                          .checkpoint_seconds = CHECKPOINT_SECONDS};
    session.options.progress = show_cell;
    session.options.progress_user = &progress;
    eq_session_result result = {0};
    status = eq_session_run(&session, &result);
    eq_session_result_free(&result);
    free(folder);
    c->done += (double)(c->suite->count * c->suite->steps);
    eq_comparison_tell(c, progress.doing, 0);
    return status;
}

static eq_status run_cells(eq_comparison *c)
{
    const eq_suite *s = c->suite;
    for (int i = 0; i < s->seed_count; i++)
        EQ_TRY(run_cell(c, -1, -1, s->seeds[i]));
    for (int t = 0; t < s->target_count; t++)
        for (int m = 0; m < s->method_count; m++)
            for (int i = 0; i < s->seed_count && !is_unguided(&s->methods[m]); i++)
                EQ_TRY(run_cell(c, t, m, s->seeds[i]));
    return EQ_OK;
}

static eq_status name_cells(eq_comparison *c)
{
    const eq_suite *s = c->suite;
    for (int t = 0; t < s->target_count; t++)
        for (int m = 0; m < s->method_count; m++)
            for (int i = 0; i < s->seed_count; i++)
                EQ_TRY(cell_folder(c, &s->targets[t], is_unguided(&s->methods[m]) ? NULL : &s->methods[m], s->seeds[i],
                                   &c->rows[t * s->method_count + m].cells[i].folder));
    return EQ_OK;
}

/* --- the whole --- */

/* U-Net passes of all that is to be done, as if nothing were there and no image were drawn twice. */
static double foreseen(const eq_comparison *c)
{
    const eq_suite *s = c->suite;
    int guided = 0;
    for (int m = 0; m < s->method_count; m++)
        guided += !is_unguided(&s->methods[m]);
    double cells = (double)s->seed_count * (1 + (double)guided * s->target_count);
    return cells * (double)(s->count * s->steps) + eq_comparison_tuning_passes(c);
}

static eq_status write_all(eq_comparison *c)
{
    json_t *json;
    char *page;
    EQ_TRY(eq_comparison_json(c, &json));
    eq_status status = eq_comparison_write_json(c, "comparison.json", json);
    json_decref(json);
    EQ_TRY(status);
    EQ_TRY(eq_comparison_write_csv(c));
    EQ_TRY(eq_comparison_path(c, "comparison.html", &page));
    status = eq_comparison_report_write(c->ctx, c->options->out, page);
    free(page);
    return status;
}

static eq_status run_all(eq_comparison *c)
{
    EQ_TRY(open_all(c));
    EQ_TRY(eq_comparison_open_grading(c));
    EQ_TRY(name_cells(c));
    c->total = foreseen(c);
    EQ_TRY(eq_comparison_train_heads(c));
    EQ_TRY(eq_comparison_tune(c));
    EQ_TRY(run_cells(c));
    EQ_TRY(eq_comparison_grade(c));
    return write_all(c);
}

static void close_all(eq_comparison *c)
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
    free(c->rows);
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

eq_status eq_comparison_run(eq_context *ctx, const eq_comparison_options *options)
{
    const char *dtype = options->suite->dtype;
    eq_comparison c = {.ctx = ctx,
                       .options = options,
                       .suite = options->suite,
                       .bf16 = strcmp(dtype, "bf16") == 0 || (strcmp(dtype, "auto") == 0 && eq_bf16_is_fast())};
    eq_status status = run_all(&c);
    close_all(&c);
    return status == EQ_CANCELLED
               ? eq_fail(ctx, EQ_CANCELLED, "stopped; the same command again goes on from here (%s)", options->out)
               : status;
}
