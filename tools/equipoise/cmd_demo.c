#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "command.h"
#include "eval/report.h"
#include "models.h"
#include "run/session.h"

typedef struct settings {
    const char *out, *model, *target, *method;
    int64_t count, steps;
} settings;

static const eq_option options[] = {{.name = "out",
                                     .letter = 'o',
                                     .kind = EQ_FOLDER,
                                     .value = "DIR",
                                     .standard = "demo",
                                     .member = offsetof(settings, out),
                                     .help = "folder for both sets and report.html; an earlier demo in it is replaced"},
                                    {.name = "model",
                                     .letter = 'm',
                                     .kind = EQ_FOLDER,
                                     .value = "DIR",
                                     .standard = "portraits",
                                     .member = offsetof(settings, model),
                                     .help = "model to show; portraits comes with the tool"},
                                    {.name = "target",
                                     .letter = 't',
                                     .kind = EQ_TEXT,
                                     .value = "A=C:P,...",
                                     .standard = "gender=female:0.5,male:0.5",
                                     .member = offsetof(settings, target),
                                     .help = "distribution to ask for"},
                                    {.name = "method",
                                     .kind = EQ_TEXT,
                                     .value = "NAME",
                                     .standard = "distribution",
                                     .member = offsetof(settings, method),
                                     .help = "how images are drawn to it: distribution, sample or assign"},
                                    {.name = "count",
                                     .letter = 'n',
                                     .kind = EQ_INTEGER,
                                     .value = "N",
                                     .standard = "64",
                                     .range = {2, 10000},
                                     .member = offsetof(settings, count),
                                     .help = "images before and after"},
                                    {.name = "steps",
                                     .kind = EQ_INTEGER,
                                     .value = "N",
                                     .standard = "50",
                                     .range = {2, 1000},
                                     .member = offsetof(settings, steps),
                                     .help = "steps from noise to image"},
                                    {0}};

typedef struct demo {
    const eq_invocation *call;
    const settings *s;
    char *model, *evaluator_folder;
    char *before, *after, *report;
    eq_pipeline *pipeline;
    eq_classifier *evaluator;
    eq_targets targets;
    const char *doing;
} demo;

static void show_progress(void *user, int64_t done, int64_t total)
{
    demo *d = user;
    eq_progress_set(d->call->progress, (double)done / (double)total * (double)d->s->count, (double)d->s->count, NULL);
}

static eq_status open_all(demo *d)
{
    eq_context *ctx = d->call->ctx;
    EQ_TRY(eq_model_folder(ctx, d->s->model, &d->model));
    d->evaluator_folder = eq_path_join(d->model, "evaluator");
    d->before = eq_path_join(d->s->out, "before");
    d->after = eq_path_join(d->s->out, "after");
    d->report = eq_path_join(d->s->out, "report.html");
    if (!d->evaluator_folder || !d->before || !d->after || !d->report)
        return eq_fail_memory(ctx, "paths");
    EQ_TRY(eq_pipeline_open(ctx, d->model, &d->pipeline));
    int count;
    const eq_attribute *known = eq_pipeline_attributes(d->pipeline, &count);
    EQ_TRY(eq_targets_add(ctx, &d->targets, d->s->target, known, count));
    return eq_classifier_open(ctx, d->evaluator_folder, &d->evaluator);
}

static void show_stage(void *user, const char *doing)
{
    demo *d = user;
    if (strcmp(doing, "generating") == 0)
        doing = d->doing;
    eq_progress_end(d->call->progress);
    eq_progress_begin(d->call->progress, doing, "images");
}

/* One set, graded and written to `folder`. evaluation: a table for people, malloc'ed. */
static eq_status make_set(demo *d, const char *folder, const char *doing, const char *method, const eq_targets *targets,
                          char **evaluation)
{
    eq_session session = {.pipeline = d->pipeline,
                          .targets = targets,
                          .out = folder,
                          .replace = true,
                          .evaluator = d->evaluator,
                          .evaluator_name = "evaluator",
                          .stage = show_stage,
                          .stage_user = d,
                          .options = {.count = d->s->count,
                                      .seed = (uint64_t)d->call->common.seed,
                                      .steps = (int)d->s->steps,
                                      .method = method,
                                      .bf16 = eq_bf16_is_fast(),
                                      .progress = show_progress,
                                      .progress_user = d}};
    eq_session_result result;
    d->doing = doing;
    eq_status status = eq_session_run(&session, &result);
    eq_progress_end(d->call->progress);
    if (status == EQ_OK)
        status = eq_evaluation_format(d->call->ctx, &result.grade.evaluation, evaluation);
    eq_session_result_free(&result);
    return status;
}

static eq_status run_all(demo *d)
{
    char *before = NULL, *after = NULL;
    eq_targets nothing = {0};
    EQ_TRY(open_all(d));
    eq_status status = make_set(d, d->before, "sampling at random", "none", &nothing, &before);
    if (status == EQ_OK)
        status = make_set(d, d->after, "sampling to the target", d->s->method, &d->targets, &after);
    if (status == EQ_OK)
        status = eq_report_write(d->call->ctx, d->after, d->before, d->report);
    if (status == EQ_OK)
        printf("before, at random:\n%s\nafter, asked for %s:\n%s\nreport: %s\n", before, d->s->target, after,
               d->report);
    free(before);
    free(after);
    return status;
}

static eq_status run(const eq_invocation *call)
{
    demo d = {.call = call, .s = call->settings};
    eq_status status = run_all(&d);
    eq_targets_free(&d.targets);
    eq_classifier_close(d.evaluator);
    eq_pipeline_close(d.pipeline);
    free(d.model);
    free(d.evaluator_folder);
    free(d.before);
    free(d.after);
    free(d.report);
    return status;
}

const eq_command eq_command_demo = {
    .name = "demo",
    .summary = "balance portraits with the model that comes along",
    .description = "Generates a set of portraits at random and one that is guided to a target, from the same noise, "
                   "grades both with an independent classifier and writes a report that shows them side by side.",
    .options = options,
    .settings_size = sizeof(settings),
    .run = run,
};
