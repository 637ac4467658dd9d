#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "command.h"
#include "eval/report.h"
#include "models.h"
#include "prompts.h"
#include "run/session.h"

typedef struct settings {
    bool text;
    const char *out, *model, *target, *method, *prompt_file;
    int64_t count, steps;
    double cfg;
} settings;

static const eq_option options[] = {{.name = "text",
                                     .kind = EQ_FLAG,
                                     .member = offsetof(settings, text),
                                     .help = "show a model that makes images from text: occupations, method assign and "
                                             "12 images of each prompt, where they are not given"},
                                    {.name = "out",
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
                                     .help = "images before and after, with --text of each prompt"},
                                    {.name = "steps",
                                     .kind = EQ_INTEGER,
                                     .value = "N",
                                     .standard = "50",
                                     .range = {2, 1000},
                                     .member = offsetof(settings, steps),
                                     .help = "steps from noise to image"},
                                    {.name = "prompt-file",
                                     .kind = EQ_FILE,
                                     .value = "FILE",
                                     .member = offsetof(settings, prompt_file),
                                     .help = "with --text: prompts, one a line, in place of the model's prompts.txt"},
                                    {.name = "cfg",
                                     .kind = EQ_REAL,
                                     .value = "F",
                                     .standard = "5",
                                     .real = {1, 100},
                                     .member = offsetof(settings, cfg),
                                     .help = "with --text: scale of classifier-free guidance"},
                                    {0}};

/* Of the text model, where the options are silent. */
static const char text_model[] = "occupations", text_method[] = "assign", prompts_name[] = "prompts.txt";
enum { TEXT_COUNT = 12 };

typedef struct demo {
    const eq_invocation *call;
    const settings *s;
    char *model, *evaluator_folder;
    char *before, *after, *report;
    eq_pipeline *pipeline;
    eq_classifier *evaluator;
    eq_targets targets;
    const char *doing;
    const char *method;
    int64_t count;      /* images of a set */
    int64_t per_prompt; /* 0: there are no prompts */
    eq_prompt_list prompts;
    const char **texts; /* [prompts.count] views of the list */
    int64_t *images;    /* [prompts.count] */
} demo;

static void show_progress(void *user, int64_t done, int64_t total)
{
    demo *d = user;
    eq_progress_set(d->call->progress, (double)done / (double)total * (double)d->count, (double)d->count, NULL);
}

/* What is shown, and how much of it. */
static eq_status choose(demo *d)
{
    const eq_invocation *call = d->call;
    const settings *s = d->s;
    const char *model = s->text && !eq_given(call, "model") ? text_model : s->model;
    for (int i = 0; i < 2 && !s->text; i++)
        if (eq_given(call, i ? "cfg" : "prompt-file"))
            return eq_fail(call->ctx, EQ_BAD_USAGE, "--%s is for --text", i ? "cfg" : "prompt-file");
    d->method = s->text && !eq_given(call, "method") ? text_method : s->method;
    d->per_prompt = !s->text ? 0 : eq_given(call, "count") ? s->count : TEXT_COUNT;
    d->count = s->count;
    return eq_model_folder(call->ctx, model, &d->model);
}

static eq_status read_prompts(demo *d)
{
    eq_context *ctx = d->call->ctx;
    if (!d->per_prompt)
        return EQ_OK;
    char *own = eq_path_join(d->model, prompts_name);
    eq_status status = own ? eq_prompt_file_read(ctx, d->s->prompt_file ? d->s->prompt_file : own, &d->prompts)
                           : eq_fail_memory(ctx, "a path");
    free(own);
    EQ_TRY(status);
    d->texts = malloc(d->prompts.count * sizeof *d->texts);
    d->images = malloc(d->prompts.count * sizeof *d->images);
    if (!d->texts || !d->images)
        return eq_fail_memory(ctx, "the prompts");
    for (size_t i = 0; i < d->prompts.count; i++) {
        d->texts[i] = d->prompts.items[i].text;
        d->images[i] = d->per_prompt;
    }
    d->count = d->per_prompt * (int64_t)d->prompts.count;
    return EQ_OK;
}

static eq_status open_all(demo *d)
{
    eq_context *ctx = d->call->ctx;
    EQ_TRY(choose(d));
    EQ_TRY(read_prompts(d));
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

/* One set, graded and written to `folder`. */
static eq_status make_set(demo *d, const char *folder, const char *doing, const char *method, const eq_targets *targets,
                          eq_session_result *result)
{
    eq_session session = {.pipeline = d->pipeline,
                          .targets = targets,
                          .out = folder,
                          .replace = true,
                          .evaluator = d->evaluator,
                          .evaluator_name = "evaluator",
                          .stage = show_stage,
                          .stage_user = d,
                          .options = {.count = d->count,
                                      .seed = (uint64_t)d->call->common.seed,
                                      .steps = (int)d->s->steps,
                                      .method = method,
                                      .bf16 = eq_bf16_is_fast(),
                                      .prompts = d->texts,
                                      .prompt_images = d->images,
                                      .prompt_count = (int)d->prompts.count,
                                      .cfg = d->per_prompt ? d->s->cfg : 0,
                                      .progress = show_progress,
                                      .progress_user = d}};
    d->doing = doing;
    eq_status status = eq_session_run(&session, result);
    eq_progress_end(d->call->progress);
    return status;
}

/* How many of the images first..first + n - 1 the evaluator takes for class k. */
static int64_t count_class(const eq_session_result *result, int attribute, int classes, int k, int64_t first, int64_t n)
{
    int64_t found = 0;
    for (int64_t i = first; i < first + n; i++)
        found += eq_most_probable(result->grade.probabilities[attribute] + i * classes, classes) == k;
    return found;
}

/* How many images of each prompt show each class of the first target's attribute, before and after. */
static void print_prompts(const demo *d, const eq_session_result *before, const eq_session_result *after)
{
    int count;
    const eq_attribute *known = eq_classifier_attributes(d->evaluator, &count);
    int attribute = eq_attribute_find(known, count, d->targets.items[0].attributes[0].name);
    if (!d->per_prompt || attribute < 0)
        return;
    const eq_attribute *shown = &known[attribute];
    printf("by prompt, of %" PRId64 " images each, before -> after:\n", d->per_prompt);
    for (size_t p = 0; p < d->prompts.count; p++) {
        int64_t first = (int64_t)p * d->per_prompt;
        printf("  %s:", d->texts[p]);
        for (int k = 0; k < shown->classes; k++)
            printf("%s %s %" PRId64 " -> %" PRId64, k ? "," : "", shown->class_names[k],
                   count_class(before, attribute, shown->classes, k, first, d->per_prompt),
                   count_class(after, attribute, shown->classes, k, first, d->per_prompt));
        printf("\n");
    }
    printf("\n");
}

static eq_status report(demo *d, const eq_session_result *before, const eq_session_result *after)
{
    eq_context *ctx = d->call->ctx;
    char *first = NULL, *second = NULL;
    eq_status status = eq_evaluation_format(ctx, &before->grade.evaluation, &first);
    if (status == EQ_OK)
        status = eq_evaluation_format(ctx, &after->grade.evaluation, &second);
    if (status == EQ_OK)
        status = eq_report_write(ctx, d->after, d->before, d->report);
    if (status == EQ_OK) {
        printf("before, at random:\n%s\nafter, asked for %s:\n%s\n", first, d->s->target, second);
        print_prompts(d, before, after);
        printf("report: %s\n", d->report);
    }
    free(first);
    free(second);
    return status;
}

static eq_status run_all(demo *d)
{
    eq_targets nothing = {0};
    eq_session_result before = {0}, after = {0};
    EQ_TRY(open_all(d));
    eq_status status = make_set(d, d->before, "sampling at random", "none", &nothing, &before);
    if (status == EQ_OK)
        status = make_set(d, d->after, "sampling to the target", d->method, &d->targets, &after);
    if (status == EQ_OK)
        status = report(d, &before, &after);
    eq_session_result_free(&before);
    eq_session_result_free(&after);
    return status;
}

static eq_status run(const eq_invocation *call)
{
    demo d = {.call = call, .s = call->settings};
    eq_status status = run_all(&d);
    eq_targets_free(&d.targets);
    eq_prompt_list_free(&d.prompts);
    free(d.texts);
    free(d.images);
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
                   "grades both with an independent classifier and writes a report that shows them side by side. With "
                   "--text, the sets show occupations that prompts name, and the target holds for each prompt.",
    .options = options,
    .settings_size = sizeof(settings),
    .run = run,
};
