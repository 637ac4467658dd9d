#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "command.h"
#include "eval/intervals.h"
#include "io/json.h"
#include "train/classifier_run.h"
#include "training_options.h"

typedef struct settings {
    const char *images, *labels, *out;
    eq_texts attributes;
    bool resume, strict;
    int trunk;
    int64_t size, blocks;
    eq_integers channels;
    int64_t steps, batch, warmup;
    double learning_rate, ema, weight_decay, clip;
    bool balance;
    double held_out;
    int64_t folds;
    double checkpoint_minutes;
    int save_dtype;
} settings;

/* In the order of the trunks and of the dtypes below. */
static const char *const trunks[] = {"resnet", "convnet", NULL};
static const char *const dtypes[] = {"f16", "bf16", "f32", NULL};
static const eq_dtype dtype_of[] = {EQ_F16, EQ_BF16, EQ_F32};

static const eq_option options[] = {
    {.heading = "Folders"},
    EQ_OPTION_IMAGES("folder of the images to learn from, searched to any depth"),
    {.name = "labels",
     .kind = EQ_FILE,
     .value = "FILE",
     .required = true,
     .member = offsetof(settings, labels),
     .help = "what each image shows: CSV or JSON lines with a column file_name and one for each attribute"},
    EQ_OPTION_OUT("folder for the classifier and its checkpoints"),
    {.name = "attribute",
     .kind = EQ_TEXTS,
     .value = "A",
     .member = offsetof(settings, attributes),
     .help = "learn attribute A only, not all in the labels"},
    EQ_TRAINING_RESUME,
    EQ_OPTION_STRICT,
    {.heading = "Network"},
    {.name = "network",
     .kind = EQ_CHOICE,
     .value = "NAME",
     .choices = trunks,
     .standard = "resnet",
     .member = offsetof(settings, trunk),
     .help = "residual blocks and a global average, or plain convolutions with max pooling; let a classifier that "
             "grades be another than the one that labelled"},
    EQ_TRAINING_SIZE("64"),
    EQ_TRAINING_CLASSIFIER_CHANNELS,
    {.name = "blocks",
     .kind = EQ_INTEGER,
     .value = "N",
     .standard = "1",
     .range = {1, 8},
     .member = offsetof(settings, blocks),
     .help = "blocks a stage"},
    {.heading = "Optimiser"},
    EQ_TRAINING_STEPS("1000"),
    EQ_TRAINING_BATCH("32"),
    EQ_TRAINING_LEARNING_RATE("0.002"),
    EQ_TRAINING_WARMUP("50"),
    EQ_TRAINING_EMA("0.99", "classifier"),
    EQ_TRAINING_WEIGHT_DECAY("0.05"),
    EQ_TRAINING_CLIP("1"),
    EQ_TRAINING_BALANCE,
    {.heading = "Grading"},
    {.name = "held-out",
     .kind = EQ_REAL,
     .value = "F",
     .standard = "0.1",
     .real = {0, 0.9},
     .member = offsetof(settings, held_out),
     .help = "share of the images not learnt from but graded on; 0 for none"},
    {.name = "folds",
     .kind = EQ_INTEGER,
     .value = "N",
     .standard = "0",
     .range = {0, 100},
     .member = offsetof(settings, folds),
     .help = "grade by cross-validation instead: N classifiers, each on what it did not learn from, then one of all "
             "images; 0 for none"},
    {.heading = "Run"},
    EQ_TRAINING_CHECKPOINT_MINUTES("2"),
    {.name = "save-dtype",
     .kind = EQ_CHOICE,
     .value = "NAME",
     .choices = dtypes,
     .standard = "f16",
     .member = offsetof(settings, save_dtype),
     .help = "numbers of the weights in the classifier's file"},
    {0}};

static const char *const examples[] = {
    "equipoise train classifier --images portraits/images --labels portraits/labels.csv --out classifier",
    "equipoise train classifier --images photos --labels labels.csv --attribute gender --balance --folds 5 --out gender",
    "equipoise train classifier --images others --labels others.csv --network convnet --out evaluator",
    NULL,
};

static eq_status fill_run(const eq_invocation *call, eq_training_watch *w, eq_classifier_training *run)
{
    const settings *s = call->settings;
    eq_optimiser_options optimiser = EQ_TRAINING_OPTIMISER(s);
    optimiser.final_fraction = 0.01;
    *run = (eq_classifier_training){.images = s->images,
                                    .labels = s->labels,
                                    .out = s->out,
                                    .attributes = s->attributes.item,
                                    .attribute_count = s->attributes.count,
                                    .optimiser = optimiser,
                                    .batch = (int)s->batch,
                                    .held_out = s->held_out,
                                    .folds = (int)s->folds,
                                    .balance = s->balance,
                                    .strict = s->strict,
                                    .seed = (uint64_t)call->common.seed,
                                    .checkpoint_seconds = 60 * s->checkpoint_minutes,
                                    .resume = s->resume,
                                    .save_dtype = dtype_of[s->save_dtype],
                                    .progress = eq_training_show,
                                    .progress_user = w};
    EQ_TRY(
        eq_training_classifier(call, eq_trunk_find(trunks[s->trunk]), s->size, &s->channels, s->blocks, &run->network));
    if (s->folds == 1)
        return eq_fail(call->ctx, EQ_BAD_USAGE, "--folds must be 2 or more, or 0 for none, not 1");
    if (s->folds > 0 && eq_given(call, "held-out"))
        return eq_fail(call->ctx, EQ_BAD_USAGE, "--held-out and --folds are two ways of grading; give one of them");
    return EQ_OK;
}

/* --- the report --- */

/* How an attribute was graded. total 0: not at all. */
typedef struct graded {
    int right, total;
    eq_estimate accuracy;
} graded;

static graded sum_up(const eq_attribute *attribute, const eq_classifier_score *score)
{
    graded g = {0};
    double right = 0, total = 0;
    for (int i = 0; i < attribute->classes; i++)
        for (int k = 0; k < attribute->classes; k++) {
            double count = score->confusion[i * attribute->classes + k];
            total += count;
            right += i == k ? count : 0;
        }
    g.right = (int)right;
    g.total = (int)total;
    if (g.total > 0)
        g.accuracy = eq_wilson(g.right, g.total);
    return g;
}

static json_t *score_json(const eq_attribute *attribute, const eq_classifier_score *score)
{
    graded g = sum_up(attribute, score);
    json_t *confusion = json_object();
    for (int i = 0; i < attribute->classes; i++) {
        json_t *row = json_object();
        for (int k = 0; k < attribute->classes; k++)
            json_object_set_new(row, attribute->class_names[k],
                                json_integer((json_int_t)score->confusion[i * attribute->classes + k]));
        json_object_set_new(confusion, attribute->class_names[i], row);
    }
    json_t *accuracy = g.total > 0 ? json_pack("[f, f, f]", g.accuracy.value, g.accuracy.low, g.accuracy.high) : NULL;
    return json_pack("{si, so, so}", "images", g.total, "accuracy", accuracy ? accuracy : json_null(), "confusion",
                     confusion);
}

static void print_score(const eq_attribute *attribute, const eq_classifier_score *score)
{
    graded g = sum_up(attribute, score);
    if (g.total == 0) {
        printf("%-12s not graded\n", attribute->name);
        return;
    }
    printf("%-12s accuracy %.4f (%.4f to %.4f), %d of %d right\n", attribute->name, g.accuracy.value, g.accuracy.low,
           g.accuracy.high, g.right, g.total);
    for (int i = 0; i < attribute->classes; i++) {
        double sum = 0;
        for (int k = 0; k < attribute->classes; k++)
            sum += score->confusion[i * attribute->classes + k];
        printf("  %-12s", attribute->class_names[i]);
        for (int k = 0; k < attribute->classes; k++)
            if (k == i || score->confusion[i * attribute->classes + k] > 0)
                printf("  %s %.0f", attribute->class_names[k], score->confusion[i * attribute->classes + k]);
        printf("%s\n", sum > 0 ? "" : "  (no image)");
    }
}

static eq_status report(const eq_invocation *call, const eq_classifier_config *config,
                        const eq_classifier_score *scores)
{
    const settings *s = call->settings;
    if (call->common.json) {
        json_t *attributes = json_object();
        for (int a = 0; a < config->attribute_count; a++)
            json_object_set_new(attributes, config->attributes[a].name, score_json(&config->attributes[a], &scores[a]));
        return eq_print_json(
            call, json_pack("{so, sI, ss, so}", "out", eq_json_text(s->out), "steps", (json_int_t)s->steps, "graded_by",
                            s->folds > 0 ? "cross-validation" : "held-out images", "attributes", attributes));
    }
    printf("classifier in %s: %" PRId64 " updates; graded by %s\n", s->out, s->steps,
           s->folds > 0 ? "cross-validation" : "held-out images");
    for (int a = 0; a < config->attribute_count; a++)
        print_score(&config->attributes[a], &scores[a]);
    return EQ_OK;
}

static eq_status run(const eq_invocation *call)
{
    eq_training_watch w = {.progress = call->progress};
    eq_classifier_training training;
    eq_classifier_config config;
    eq_classifier_score scores[EQ_CLASSIFIER_MAX_ATTRIBUTES];
    EQ_TRY(fill_run(call, &w, &training));
    eq_progress_begin(call->progress, "training", "updates");
    eq_status status = eq_classifier_train(call->ctx, &training, &config, scores);
    eq_progress_end(call->progress);
    if (status == EQ_OK)
        status = report(call, &config, scores);
    eq_classifier_config_free(&config);
    for (int a = 0; a < EQ_CLASSIFIER_MAX_ATTRIBUTES; a++)
        free(scores[a].confusion);
    return status;
}

const eq_command eq_command_train_classifier = {
    .name = "train classifier",
    .summary = "train an attribute classifier on labelled images",
    .description =
        "Trains one network that tells all attributes of the labels, with images mirrored, moved, recoloured, blurred "
        "and made noisy at random. Where a label is missing, its attribute is not learnt from that image. Which "
        "images are held out depends on the seed and their names.\n\n"
        "An interrupted run leaves checkpoints, and --resume with the same options continues it as if nothing had "
        "happened.",
    .examples = examples,
    .options = options,
    .settings_size = sizeof(settings),
    .reports = true,
    .run = run,
};
