#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "command.h"
#include "models.h"
#include "run/comparison.h"
#include "synth/portraits.h"

typedef struct settings {
    const char *suite, *model, *out, *evaluator;
    bool allow_self_grading;
} settings;

static const eq_option options[] = {
    {.name = "suite",
     .letter = 's',
     .kind = EQ_FILE,
     .value = "FILE|NAME",
     .required = true,
     .member = offsetof(settings, suite),
     .help = "what to compare: methods, targets, seeds, in JSON; or a name such as paper, which comes with the tool"},
    EQ_OPTION_MODEL("model to compare them on: a folder, or a name as in generate"),
    EQ_OPTION_OUT(
        "folder for a run's folder each, comparison.json, comparison.csv and comparison.html; what it has already is "
        "kept, and the rest done"),
    {.name = "evaluator",
     .kind = EQ_FILE,
     .value = "DIR|FILE",
     .member = offsetof(settings, evaluator),
     .help = "classifier that grades, in place of the suite's: a folder or a file, or one in the model's folder"},
    {.name = "allow-self-grading",
     .kind = EQ_FLAG,
     .member = offsetof(settings, allow_self_grading),
     .help = "go on where the evaluator is the classifier that guides; the report says so in red"},
    {0}};

static const char *const examples[] = {
    "equipoise compare --suite paper --model portraits --out paper",
    "equipoise compare --suite mine.json --model models/mine --out mine",
    NULL,
};

/* FILE as it is, or a suite of that name in one of the places where they come. */
static eq_status find_suite(eq_context *ctx, const char *name, char **out)
{
    const char *places[] = {"suites", EQUIPOISE_DATA_FOLDER "/suites", EQUIPOISE_SOURCE_FOLDER "/suites"};
    bool plain = !strchr(name, '/') && !eq_path_exists(name);
    for (size_t i = 0; plain && i < sizeof places / sizeof places[0]; i++) {
        *out = eq_format("%s/%s.json", places[i], name);
        if (*out && eq_path_exists(*out))
            return EQ_OK;
        free(*out);
    }
    *out = strdup(name);
    return *out ? EQ_OK : eq_fail_memory(ctx, "a path");
}

/* --- drawn images --- */

static void show_drawing(void *user, uint64_t done, uint64_t total)
{
    const eq_invocation *call = user;
    eq_progress_set(call->progress, (double)done, (double)total, NULL);
}

static eq_status draw(void *user, const eq_suite_images *images, const char *folder)
{
    const eq_invocation *call = user;
    eq_portrait_distribution distribution = images->balanced ? eq_portrait_balanced() : eq_portrait_biased();
    eq_synth_options o = {.count = (uint64_t)images->count,
                          .seed = (uint64_t)images->seed,
                          .distribution = &distribution,
                          .out_dir = folder};
    eq_progress_begin(call->progress, "drawing", "images");
    eq_status status = eq_synth_write(call->ctx, &o, show_drawing, user);
    eq_progress_end(call->progress);
    return status;
}

/* --- progress --- */

typedef struct stage {
    const eq_invocation *call;
    bool begun;
} stage;

static void show_progress(void *user, const char *doing, double done, double total)
{
    stage *s = user;
    if (!s->begun)
        eq_progress_begin(s->call->progress, "comparing", "U-Net passes");
    s->begun = true;
    eq_progress_set(s->call->progress, done, total, doing);
}

/* --- the whole --- */

/* What a run can be of is not known before: a model without a folder for classifiers has none. */
static eq_status compare(const eq_invocation *call, const eq_suite *suite, const char *path)
{
    const settings *s = call->settings;
    char *model = NULL, *evaluator = NULL, *classifier = NULL;
    stage progress = {.call = call};
    eq_status status;
    EQ_TRY_GOTO(status, eq_model_folder(call->ctx, s->model, &model), done);
    EQ_TRY_GOTO(status,
                eq_classifier_folder(call->ctx, model, s->evaluator ? s->evaluator : suite->evaluator, &evaluator),
                done);
    bool named = eq_json_has(&suite->json, "classifier");
    if (named)
        EQ_TRY_GOTO(status, eq_classifier_folder(call->ctx, model, suite->classifier, &classifier), done);
    else if (!(classifier = eq_path_join(model, "classifier")))
        EQ_TRY_GOTO(status, eq_fail_memory(call->ctx, "a path"), done);
    eq_comparison_options o = {.suite = suite,
                               .suite_path = path,
                               .model = model,
                               .evaluator = evaluator,
                               .classifier = named || eq_path_exists(classifier) ? classifier : NULL,
                               .out = s->out,
                               .draw = draw,
                               .draw_user = (void *)call,
                               .allow_self_grading = s->allow_self_grading,
                               .progress = show_progress,
                               .progress_user = &progress};
    status = eq_comparison_run(call->ctx, &o);
    eq_progress_end(call->progress);
done:
    free(model);
    free(evaluator);
    free(classifier);
    return status;
}

static eq_status run(const eq_invocation *call)
{
    const settings *s = call->settings;
    eq_suite suite;
    char *path;
    EQ_TRY(find_suite(call->ctx, s->suite, &path));
    eq_status status = eq_suite_read(call->ctx, path, &suite);
    if (status == EQ_OK) {
        status = compare(call, &suite, path);
        eq_suite_close(&suite);
    }
    free(path);
    if (status == EQ_OK)
        printf("%s/comparison.html\n", s->out);
    return status;
}

const eq_command eq_command_compare = {
    .name = "compare",
    .summary = "methods side by side, on the same targets and seeds",
    .description =
        "Generates with every method of a suite for every target and seed, with strengths that are tuned alike for each "
        "method on seeds of their own, and grades all of it with one evaluator: distance to the target, likeness to a "
        "balanced reference, drift from the unguided images of the same noise, cost. What differs by no more than chance "
        "explains is marked as such.\n\n"
        "Interrupted at any time, the same command goes on from there. A suite may get more methods, targets and seeds; "
        "other changes ask for another --out.",
    .examples = examples,
    .options = options,
    .settings_size = sizeof(settings),
    .run = run,
};
