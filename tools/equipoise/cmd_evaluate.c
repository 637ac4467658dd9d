#include <stdlib.h>

#include "command.h"
#include "eval/evaluation.h"

typedef struct settings {
    const char *images, *labels, *classifier, *reference, *inception, *twin, *clip;
    eq_texts attributes, targets, target_files;
} settings;

static const eq_option options[] = {
    EQ_OPTION_IMAGES("folder of the images to grade, searched to any depth"),
    {.name = "labels",
     .kind = EQ_FILE,
     .value = "FILE",
     .member = offsetof(settings, labels),
     .help = "what each image shows: CSV or JSON lines with a column file_name and one for each attribute"},
    {.name = "classifier",
     .letter = 'c',
     .kind = EQ_FILE,
     .value = "DIR|FILE",
     .member = offsetof(settings, classifier),
     .help = "classifier to label the images with, in place of --labels, of any kind that label takes; let it be "
             "another than the one that guided"},
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
     .help =
         "images to compare with in the features of --inception, or else of --classifier: Frechet distance and KID, of "
         "the whole and of each class that --classifier tells, precision and recall"},
    {.name = "inception",
     .kind = EQ_FILE,
     .value = "FILE",
     .member = offsetof(settings, inception),
     .help = "Inception-v3 as pytorch-fid has it (pt_inception-2015-12-05-6726825d.pth), for the distances that are "
             "published as FID and KID"},
    {.name = "clip",
     .kind = EQ_FOLDER,
     .value = "DIR",
     .member = offsetof(settings, clip),
     .help = "CLIP, in transformers' or OpenAI's layout with its vocabulary, to score how well images show the prompts "
             "that their manifest.jsonl has for them"},
    {.name = "twin",
     .kind = EQ_FOLDER,
     .value = "DIR",
     .member = offsetof(settings, twin),
     .help = "an unguided run with the same seed, to measure how far the images moved from it: PSNR, and with "
             "--classifier the distance in its features; images are paired by both runs' manifest.jsonl"},
    {0}};

static const char *const examples[] = {
    "equipoise evaluate --images out/images --labels labels.csv --target gender=female:0.5,male:0.5",
    "equipoise evaluate --images out/images --classifier evaluator --reference portraits/images",
    "equipoise evaluate --images out --classifier evaluator --twin unguided",
    "equipoise evaluate --images out/images --labels labels.csv --attribute gender=female,male --attribute age --json",
    NULL,
};

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

/* What the progress shows: labelling goes over the images, then over the reference and the twin. */
typedef struct labelling {
    eq_progress *progress;
    const char *folder;
} labelling;

static void show_progress(void *user, const char *folder, int64_t done, int64_t total)
{
    labelling *l = user;
    if (l->folder != folder) {
        eq_progress_end(l->progress);
        eq_progress_begin(l->progress, "labelling", "images");
        l->folder = folder;
    }
    eq_progress_set(l->progress, (double)done, (double)total, NULL);
}

static eq_status run(const eq_invocation *call)
{
    const settings *s = call->settings;
    if (!s->labels == !s->classifier)
        return eq_fail(call->ctx, EQ_BAD_USAGE, "give --labels or --classifier%s", s->labels ? ", not both" : "");
    if (s->reference && !s->classifier && !s->inception)
        return eq_fail(call->ctx, EQ_BAD_USAGE, "--reference needs the features of a --classifier or of --inception");
    if (s->inception && !s->reference)
        return eq_fail(call->ctx, EQ_BAD_USAGE, "--inception compares with a --reference, which is missing");
    labelling l = {.progress = call->progress};
    eq_evaluation evaluation;
    eq_status status = eq_evaluate_folder(call->ctx,
                                          &(eq_evaluate_options){.images = s->images,
                                                                 .labels = s->labels,
                                                                 .classifier = s->classifier,
                                                                 .reference = s->reference,
                                                                 .inception = s->inception,
                                                                 .twin = s->twin,
                                                                 .clip = s->clip,
                                                                 .attributes = s->attributes.item,
                                                                 .attribute_count = s->attributes.count,
                                                                 .targets = s->targets.item,
                                                                 .target_count = s->targets.count,
                                                                 .target_files = s->target_files.item,
                                                                 .target_file_count = s->target_files.count,
                                                                 .progress = show_progress,
                                                                 .progress_user = &l},
                                          &evaluation);
    eq_progress_end(call->progress);
    if (status == EQ_OK)
        status = report(call, &evaluation);
    eq_evaluation_free(&evaluation);
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
