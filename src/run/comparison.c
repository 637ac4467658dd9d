#include "run/comparison.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/path.h"
#include "eval/comparison_report.h"
#include "guidance/target.h"
#include "run/class_words.h"
#include "run/comparison_parts.h"
#include "run/compute_dtype.h"
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

bool eq_comparison_is_unguided(const eq_suite_method *method)
{
    return strcmp(method->method, "none") == 0;
}

bool eq_comparison_uses_classifier(const eq_suite_method *method)
{
    const eq_method *known = eq_method_find(method->method);
    return known->sees_images || known->rejects;
}

/* The Jacobian adds a pass forward and one backward, which counts as two. */
double eq_comparison_step_passes(const eq_suite_method *method)
{
    return method && method->jacobian ? 4 : 1;
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
    o.jacobian = method->jacobian;
    if (eq_comparison_uses_classifier(method))
        o.guide_classifier = c->options->classifier;
    return o;
}

/* --- cells --- */

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
    double weight; /* passes a step */
    int64_t most;  /* images that are drawn in addition count from 0 again */
} cell_progress;

static void show_cell(void *user, int64_t done, int64_t total)
{
    cell_progress *p = user;
    p->most = done > p->most ? done : p->most;
    eq_comparison_tell(p->c, p->doing, p->weight * (double)p->most);
}

/* Of the method's class words, or else the suite's, those for attributes of the targets: a run refuses others. words:
 * [EQ_SUITE_TARGET_TEXTS], as long-lived as the options. */
static void choose_words(const eq_suite *s, const eq_suite_method *m, const eq_targets *targets, const char **words,
                         eq_generate_options *o)
{
    if (eq_method_find(m->method)->text == EQ_TEXT_NONE)
        return;
    const char *const *texts = m->class_word_count > 0 ? m->class_words : s->class_words;
    int count = m->class_word_count > 0 ? m->class_word_count : s->class_word_count;
    for (int i = 0; i < count; i++)
        if (eq_class_words_concern(texts[i], targets))
            words[o->class_word_count++] = texts[i];
    o->class_words = words;
}

/* Runs what is not there yet. */
static eq_status run_cell(eq_comparison *c, int target, int method, int seed_row)
{
    int64_t seed = c->suite->seeds[seed_row];
    const eq_suite_method *m = method < 0 ? NULL : &c->suite->methods[method];
    const eq_suite_target *t = target < 0 ? NULL : &c->suite->targets[target];
    static const eq_targets nothing = {0};
    cell_progress progress = {.c = c, .weight = eq_comparison_step_passes(m)};
    const char *words[EQ_SUITE_TARGET_TEXTS];
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
                          .pool = m ? &c->pools[method * c->suite->seed_count + seed_row] : NULL,
                          .out = folder,
                          .resume = true,
                          /* one that was killed before its first checkpoint */
                          .replace = eq_run_folder_state(folder) == EQ_FOLDER_OTHER,
                          .checkpoint_seconds = CHECKPOINT_SECONDS};
    if (m)
        choose_words(c->suite, m, session.targets, words, &session.options);
    session.options.progress = show_cell;
    session.options.progress_user = &progress;
    eq_session_result result = {0};
    status = eq_session_run(&session, &result);
    eq_session_result_free(&result);
    free(folder);
    c->done += eq_comparison_step_passes(m) * (double)(c->suite->count * c->suite->steps);
    eq_comparison_tell(c, progress.doing, 0);
    return status;
}

static eq_status run_cells(eq_comparison *c)
{
    const eq_suite *s = c->suite;
    for (int i = 0; i < s->seed_count; i++)
        EQ_TRY(run_cell(c, -1, -1, i));
    for (int t = 0; t < s->target_count; t++)
        for (int m = 0; m < s->method_count; m++)
            for (int i = 0; i < s->seed_count && !eq_comparison_is_unguided(&s->methods[m]); i++)
                EQ_TRY(run_cell(c, t, m, i));
    return EQ_OK;
}

static eq_status name_cells(eq_comparison *c)
{
    const eq_suite *s = c->suite;
    for (int t = 0; t < s->target_count; t++)
        for (int m = 0; m < s->method_count; m++)
            for (int i = 0; i < s->seed_count; i++)
                EQ_TRY(cell_folder(c, &s->targets[t], eq_comparison_is_unguided(&s->methods[m]) ? NULL : &s->methods[m],
                                   s->seeds[i], &c->rows[t * s->method_count + m].cells[i].folder));
    return EQ_OK;
}

/* --- the whole --- */

/* U-Net passes of all that is to be done, as if nothing were there and no image were drawn twice. */
static double foreseen(const eq_comparison *c)
{
    const eq_suite *s = c->suite;
    double guided = 0;
    for (int m = 0; m < s->method_count; m++)
        if (!eq_comparison_is_unguided(&s->methods[m]))
            guided += eq_comparison_step_passes(&s->methods[m]);
    double cells = s->seed_count * (1 + guided * s->target_count);
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
    EQ_TRY(eq_comparison_open(c));
    EQ_TRY(eq_comparison_open_grading(c));
    EQ_TRY(name_cells(c));
    c->total = foreseen(c);
    EQ_TRY(eq_comparison_train_heads(c));
    EQ_TRY(eq_comparison_tune(c));
    EQ_TRY(run_cells(c));
    EQ_TRY(eq_comparison_grade(c));
    return write_all(c);
}

eq_status eq_comparison_run(eq_context *ctx, const eq_comparison_options *options)
{
    eq_comparison c = {.ctx = ctx,
                       .options = options,
                       .suite = options->suite,
                       .bf16 = eq_compute_dtype(ctx, options->suite->dtype) == EQ_BF16};
    eq_status status = run_all(&c);
    eq_comparison_close(&c);
    return status == EQ_CANCELLED
               ? eq_fail(ctx, EQ_CANCELLED, "stopped; the same command again goes on from here (%s)", options->out)
               : status;
}
