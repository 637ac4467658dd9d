#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "run/downstream.h"
#include "training_options.h"

typedef struct settings {
    const char *train, *test, *out, *attribute, *groups, *labeller, *control;
    eq_texts added;
    bool resume, balance;
    int64_t seeds, steps, batch, warmup, size;
    double learning_rate, ema, weight_decay, clip;
    eq_integers channels;
} settings;

static const eq_option options[] = {
    {.heading = "Images"},
    {.name = "train",
     .kind = EQ_FOLDER,
     .value = "DIR",
     .required = true,
     .member = offsetof(settings, train),
     .help = "the biased set: labels.csv, and the images in images/ or beside it"},
    {.name = "add",
     .kind = EQ_TEXTS,
     .value = "NAME=DIR",
     .member = offsetof(settings, added),
     .help = "a set to add to it, one at a time: a run's folder or any like --train"},
    {.name = "test",
     .kind = EQ_FOLDER,
     .value = "DIR",
     .required = true,
     .member = offsetof(settings, test),
     .help = "a set like --train to grade on, of other images, with as many of each group as can be had"},
    {.name = "labeller",
     .kind = EQ_FILE,
     .value = "DIR|FILE",
     .member = offsetof(settings, labeller),
     .help = "classifier that labels added folders without labels.csv"},
    {.name = "control",
     .kind = EQ_TEXT,
     .value = "NAME",
     .member = offsetof(settings, control),
     .help = "the added set to compare the others with, beside --train alone: unguided images, say"},
    EQ_OPTION_OUT("folder for downstream.json, downstream.html, and the classifiers"),
    {.name = "resume",
     .kind = EQ_FLAG,
     .member = offsetof(settings, resume),
     .help = "keep the trainings that --out has, and continue"},
    {.heading = "What is learnt"},
    {.name = "attribute",
     .kind = EQ_TEXT,
     .value = "A",
     .required = true,
     .member = offsetof(settings, attribute),
     .help = "the attribute that the classifier learns to tell"},
    {.name = "groups",
     .kind = EQ_TEXT,
     .value = "A[*A...]",
     .required = true,
     .member = offsetof(settings, groups),
     .help = "the attributes that make the groups it is to serve evenly"},
    {.heading = "Training"},
    {.name = "seeds",
     .kind = EQ_INTEGER,
     .value = "N",
     .standard = "5",
     .range = {1, 100},
     .member = offsetof(settings, seeds),
     .help = "trainings on each set, from --seed on"},
    EQ_TRAINING_STEPS("600"),
    EQ_TRAINING_BATCH("32"),
    EQ_TRAINING_LEARNING_RATE("0.002"),
    EQ_TRAINING_WARMUP("50"),
    EQ_TRAINING_EMA("0.99", "classifier"),
    EQ_TRAINING_WEIGHT_DECAY("0.05"),
    EQ_TRAINING_CLIP("1"),
    EQ_TRAINING_BALANCE,
    EQ_TRAINING_SIZE("64"),
    EQ_TRAINING_CLASSIFIER_CHANNELS,
    {0}};

static const char *const examples[] = {
    "equipoise downstream --train biased --add unguided=plain --add assign=balanced --control unguided --test test "
    "--attribute age --groups gender --out comparison",
    NULL,
};

static void show_progress(void *user, const eq_downstream_progress *now)
{
    char note[160];
    snprintf(note, sizeof note, "%.100s, seed %d, loss %.4f", now->set, now->seed, now->loss);
    eq_progress_set(user, (double)now->step, (double)now->steps, note);
}

/* --- options to settings --- */

/* names: a copy of the options, cut at their first '='; sources: [added.count] */
static eq_status fill_sources(const eq_invocation *call, char **names, eq_downstream_source *sources)
{
    const settings *s = call->settings;
    for (int i = 0; i < s->added.count; i++) {
        names[i] = strdup(s->added.item[i]);
        if (!names[i])
            return eq_fail_memory(call->ctx, "--add");
        char *folder = names[i], *name = strsep(&folder, "=");
        if (!folder || !*folder || !*name)
            return eq_fail(call->ctx, EQ_BAD_USAGE, "--add takes NAME=DIR, not %s", s->added.item[i]);
        sources[i] = (eq_downstream_source){name, folder};
    }
    return EQ_OK;
}

static eq_status report(const eq_invocation *call, const eq_downstream *result)
{
    if (call->common.json) {
        json_t *json;
        EQ_TRY(eq_downstream_json(call->ctx, result, &json));
        return eq_print_json(call, json);
    }
    char *text;
    EQ_TRY(eq_downstream_format(call->ctx, result, &text));
    fputs(text, stdout);
    free(text);
    return EQ_OK;
}

static eq_status compare(const eq_invocation *call, const eq_downstream_source *sources)
{
    const settings *s = call->settings;
    eq_optimiser_options optimiser = EQ_TRAINING_OPTIMISER(s);
    optimiser.final_fraction = 0.01;
    eq_downstream_options o = {.train = s->train,
                               .test = s->test,
                               .out = s->out,
                               .added = sources,
                               .added_count = s->added.count,
                               .attribute = s->attribute,
                               .groups = s->groups,
                               .labeller = s->labeller,
                               .control = s->control,
                               .seeds = (int)s->seeds,
                               .seed = (uint64_t)call->common.seed,
                               .optimiser = optimiser,
                               .batch = (int)s->batch,
                               .balance = s->balance,
                               .resume = s->resume,
                               .progress = show_progress,
                               .progress_user = call->progress};
    EQ_TRY(eq_training_classifier(call, &eq_trunk_resnet, s->size, &s->channels, 1, &o.network));
    eq_progress_begin(call->progress, "training", "steps");
    eq_downstream result;
    eq_status status = eq_downstream_run(call->ctx, &o, &result);
    eq_progress_end(call->progress);
    if (status == EQ_OK)
        status = report(call, &result);
    eq_downstream_free(&result);
    return status;
}

static eq_status run(const eq_invocation *call)
{
    const settings *s = call->settings;
    size_t count = (size_t)s->added.count;
    char **names = calloc(count + 1, sizeof *names);
    eq_downstream_source *sources = calloc(count + 1, sizeof *sources);
    eq_status status = names && sources ? fill_sources(call, names, sources) : eq_fail_memory(call->ctx, "--add");
    if (status == EQ_OK)
        status = compare(call, sources);
    for (size_t i = 0; names && i < count; i++)
        free(names[i]);
    free(names);
    free(sources);
    return status;
}

const eq_command eq_command_downstream = {
    .name = "downstream",
    .summary = "measure what added images do for a classifier",
    .description =
        "Trains classifiers of one attribute on a biased set alone, and on it with each of the added sets, all for the "
        "same number of updates; grades them on a test set, and reports accuracy, that of the worst served group "
        "within a class, and the gaps between groups in accuracy, equalised odds and demographic parity. Intervals "
        "are over test images and trainings.\n\n"
        "An added folder without labels.csv is labelled by --labeller; let it be another classifier than the one "
        "that guided.",
    .examples = examples,
    .options = options,
    .settings_size = sizeof(settings),
    .reports = true,
    .run = run,
};
