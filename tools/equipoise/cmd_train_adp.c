#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"
#include "guidance/adp_file.h"
#include "io/json.h"
#include "models.h"
#include "run/compute_dtype.h"
#include "train/adp_trainer.h"
#include "train/label_choice.h"
#include "train_adp.h"
#include "training_options.h"

typedef eq_adp_settings settings;

static const char *const sources[] = {"samples", "noise", "inversion", NULL};
static const char *const directions[] = {"auto", "means", "decoder", NULL};

static const eq_option options[] = {
    {.heading = "Model and results"},
    EQ_OPTION_MODEL("model whose h the predictors read: a folder, or a name as in generate"),
    EQ_OPTION_ALLOW_UNUSED,
    EQ_OPTION_OUT("folder for one file an attribute; the model's own adp/ is where generate looks"),
    {.name = "h-file",
     .kind = EQ_FILE,
     .value = "FILE",
     .member = offsetof(settings, h_file),
     .help = "keep the recorded h-vectors here; without it they go to a temporary file in --out"},
    {.heading = "What to learn from"},
    {.name = "from",
     .kind = EQ_CHOICE,
     .value = "NAME",
     .choices = sources,
     .standard = "samples",
     .member = offsetof(settings, from),
     .help = "the model's own samples, or --images with noise added or inverted by DDIM"},
    {.name = "classifier",
     .letter = 'c',
     .kind = EQ_FILE,
     .value = "DIR|FILE",
     .member = offsetof(settings, classifier),
     .help = "classifier whose answers are the labels, of any kind that label takes: a folder or a file, or one in the "
             "model's folder"},
    {.name = "class-prompt",
     .kind = EQ_TEXTS,
     .value = "A.C=TEXT",
     .member = offsetof(settings, class_prompts),
     .help = "samples of the prompt TEXT are of class C of attribute A: one or more for each class, in place of a "
             "classifier, for models with a text encoder"},
    {.name = "images",
     .kind = EQ_FOLDER,
     .value = "DIR",
     .member = offsetof(settings, images),
     .help = "images for --from noise and inversion"},
    {.name = "labels",
     .kind = EQ_FILE,
     .value = "FILE",
     .member = offsetof(settings, labels),
     .help = "labels of --images, in place of a classifier: CSV or JSON lines with file_name"},
    {.name = "attribute",
     .kind = EQ_TEXTS,
     .value = "A",
     .member = offsetof(settings, attributes),
     .help = "learn attribute A only, not all there are"},
    {.name = "count",
     .letter = 'n',
     .kind = EQ_INTEGER,
     .value = "N",
     .standard = "2000",
     .range = {10, 1000000},
     .member = offsetof(settings, count),
     .help = "images to sample, evenly over the class prompts, or to use of --images"},
    {.name = "own-samples",
     .kind = EQ_INTEGER,
     .value = "N",
     .standard = "0",
     .range = {0, 1000000},
     .member = offsetof(settings, own_samples),
     .help = "then draw N samples of the model, fit the heads to what --classifier finds became of them, and measure "
             "their accuracy there, too: heads of given images do not know how rarely the model draws a class, nor "
             "how early it shows. 300 are good"},
    {.name = "confidence",
     .kind = EQ_REAL,
     .value = "F",
     .standard = "0.8",
     .real = {0, 1},
     .member = offsetof(settings, confidence),
     .help = "answers of the classifier below this are not learnt from"},
    {.name = "per-class",
     .kind = EQ_INTEGER,
     .value = "N",
     .standard = "0",
     .range = {0, 1000000},
     .member = offsetof(settings, per_class),
     .help = "images of each class to learn from at most, 0 for all: how few will do"},
    {.name = "label-noise",
     .kind = EQ_REAL,
     .value = "F",
     .standard = "0",
     .real = {0, 1},
     .member = offsetof(settings, label_noise),
     .help = "share of the labels to replace by wrong ones, those that the accuracy is measured with too: how many "
             "mistakes will do no harm"},
    {.heading = "Models with a text encoder"},
    {.name = "prompt",
     .letter = 'p',
     .kind = EQ_TEXT,
     .value = "TEXT",
     .member = offsetof(settings, prompt),
     .help = "what the samples show, or what is said of --images; of those the empty prompt where not given"},
    {.name = "negative",
     .kind = EQ_TEXT,
     .value = "TEXT",
     .member = offsetof(settings, negative),
     .help = "what samples are not to show"},
    {.name = "cfg",
     .kind = EQ_REAL,
     .value = "F",
     .standard = "7.5",
     .real = {1, 1000},
     .member = offsetof(settings, cfg),
     .help =
         "scale of classifier-free guidance of samples, of which h of the conditional half is recorded; 1 for none"},
    EQ_OPTION_TOKENIZER,
    {.heading = "Timesteps"},
    {.name = "steps",
     .kind = EQ_INTEGER,
     .value = "N",
     .standard = "50",
     .range = {1, 1000},
     .member = offsetof(settings, steps),
     .help = "steps of the run that the heads belong to"},
    {.name = "every",
     .kind = EQ_INTEGER,
     .value = "N",
     .standard = "1",
     .range = {1, 1000},
     .member = offsetof(settings, every),
     .help = "a head for every so many steps; steps between use the nearest"},
    {.name = "eta",
     .kind = EQ_REAL,
     .value = "F",
     .standard = "0",
     .real = {0, 1},
     .member = offsetof(settings, eta),
     .help = "share of fresh noise while sampling"},
    {.heading = "Heads"},
    {.name = "hidden",
     .kind = EQ_INTEGER,
     .value = "N",
     .standard = "0",
     .range = {0, 4096},
     .member = offsetof(settings, hidden),
     .help = "hidden units of a head; 0 for linear heads"},
    {.name = "epochs",
     .kind = EQ_INTEGER,
     .value = "N",
     .standard = "20",
     .range = {1, 10000},
     .member = offsetof(settings, epochs),
     .help = "passes over the images for each head"},
    EQ_TRAINING_BATCH("64"),
    EQ_TRAINING_LEARNING_RATE("0.001"),
    EQ_TRAINING_WEIGHT_DECAY("0.1"),
    {.name = "held-out",
     .kind = EQ_REAL,
     .value = "F",
     .standard = "0.15",
     .real = {0.01, 0.9},
     .member = offsetof(settings, held_out),
     .help = "share of the images kept to measure the accuracy"},
    {.name = "unbalanced",
     .kind = EQ_FLAG,
     .member = offsetof(settings, unbalanced),
     .help = "show classes as often as they occur, not equally often"},
    {.name = "directions",
     .kind = EQ_CHOICE,
     .value = "NAME",
     .choices = directions,
     .standard = "auto",
     .member = offsetof(settings, directions),
     .help = "how guidance will move h: along differences of class means, or along what turns the classifier's answer "
             "through the decoder, which needs --images and a classifier; auto: the latter where it can be had"},
    {.heading = "Machine"},
    EQ_TRAINING_DTYPE,
    EQ_OPTION_MICRO_BATCH(""),
    EQ_OPTION_STRICT,
    {0}};

static const char *const examples[] = {
    "equipoise train adp --model model --classifier classifier --count 2000 --out model/adp",
    "equipoise train adp --model model --from noise --images photos --labels labels.csv --out model/adp",
    "equipoise train adp --model stable-diffusion --class-prompt 'gender.female=a photo of a female person' "
    "--class-prompt 'gender.male=a photo of a male person' --out stable-diffusion/adp",
    NULL,
};

/* --- heads --- */

static void show_heads(void *user, int done, int heads)
{
    eq_adp_run *r = user;
    eq_progress_set(r->call->progress, done, heads, NULL);
}

static bool is_wanted(const eq_adp_run *r, const char *name)
{
    for (int i = 0; i < r->s->attributes.count; i++)
        if (strcmp(r->s->attributes.item[i], name) == 0)
            return true;
    return r->s->attributes.count == 0;
}

static eq_status check_wanted(const eq_adp_run *r)
{
    for (int i = 0; i < r->s->attributes.count; i++)
        if (eq_attribute_find(r->attributes, r->attribute_count, r->s->attributes.item[i]) < 0)
            return eq_fail(r->call->ctx, EQ_BAD_USAGE,
                           "--attribute %s: there is no such attribute; the first is \"%s\"", r->s->attributes.item[i],
                           r->attributes[0].name);
    return EQ_OK;
}

static void add_report(eq_adp_run *r, const eq_adp *adp)
{
    json_t *timesteps = json_array();
    for (int i = 0; i < adp->heads; i++)
        json_array_append_new(timesteps, json_integer(adp->timesteps[i]));
    json_t *item =
        json_pack("{s:o, s:o}", "timesteps", timesteps, "accuracy", eq_json_numbers(adp->accuracy, adp->heads));
    if (adp->outcome_accuracy)
        json_object_set_new(item, "outcome_accuracy", eq_json_numbers(adp->outcome_accuracy, adp->heads));
    json_object_set_new(r->report, adp->attribute.name, item);
}

static eq_status train_attribute(eq_adp_run *r, int a, eq_adp *adp)
{
    const settings *s = r->s;
    eq_adp_training training = {.epochs = (int)s->epochs,
                                .batch = (int)s->batch,
                                .learning_rate = s->learning_rate,
                                .weight_decay = s->weight_decay,
                                .held_out = s->held_out,
                                .hidden = (int)s->hidden,
                                .balance = !s->unbalanced,
                                .seed = (uint64_t)r->call->common.seed};
    int *labels = r->learnt.classes + a * r->learnt.count, classes = r->attributes[a].classes;
    if (s->per_class > 0)
        eq_labels_limit(labels, r->learnt.count, classes, s->per_class, training.seed);
    if (s->label_noise > 0 && classes > 1)
        eq_labels_disturb(labels, r->learnt.count, classes, s->label_noise, training.seed);
    eq_progress_begin(r->call->progress, r->attributes[a].name, "heads");
    EQ_TRY(eq_adp_train(r->call->ctx, &training, &r->learnt.store, &r->attributes[a], labels, show_heads, r, adp));
    eq_progress_end(r->call->progress);
    if (r->classifier)
        snprintf(adp->labeller, sizeof adp->labeller, "%s", eq_classifier_hash(r->classifier));
    return EQ_OK;
}

static eq_status write_heads(eq_adp_run *r, const eq_adp *adp)
{
    char *path = eq_format("%s/%s.safetensors", r->s->out, adp->attribute.name);
    eq_status status = path ? eq_adp_write(r->call->ctx, path, adp) : eq_fail_memory(r->call->ctx, "a path");
    free(path);
    return status;
}

static eq_status train_all(eq_adp_run *r)
{
    eq_adp *adps = calloc((size_t)r->attribute_count + 1, sizeof *adps);
    int count = 0;
    eq_status status = adps ? EQ_OK : eq_fail_memory(r->call->ctx, "heads");
    for (int a = 0; status == EQ_OK && a < r->attribute_count; a++)
        if (is_wanted(r, r->attributes[a].name)) {
            status = train_attribute(r, a, &adps[count]);
            count += status == EQ_OK;
        }
    if (status == EQ_OK)
        status = eq_adp_directions(r, adps, count);
    if (status == EQ_OK)
        status = eq_adp_outcomes(r, adps, count);
    for (int i = 0; i < count; i++) {
        if (status == EQ_OK)
            status = write_heads(r, &adps[i]);
        if (status == EQ_OK)
            add_report(r, &adps[i]);
        eq_adp_free(&adps[i]);
    }
    free(adps);
    return status == EQ_OK ? eq_adp_write_curves(r) : status;
}

/* --- where labels come from --- */

static eq_status with_classifier(eq_adp_run *r)
{
    char *folder;
    EQ_TRY(eq_classifier_folder(r->call->ctx, r->model, r->s->classifier, &folder));
    eq_status status = eq_classifier_open(r->call->ctx, folder, &r->classifier);
    free(folder);
    EQ_TRY(status);
    r->attributes = eq_classifier_attributes(r->classifier, &r->attribute_count);
    EQ_TRY(check_wanted(r));
    EQ_TRY(eq_adp_record_classified(r));
    return train_all(r);
}

static eq_status with_prompts(eq_adp_run *r)
{
    r->attributes = r->prompts.attributes;
    r->attribute_count = r->prompts.attribute_count;
    EQ_TRY(check_wanted(r));
    EQ_TRY(eq_adp_record_prompted(r));
    return train_all(r);
}

static eq_status with_labels(eq_adp_run *r)
{
    eq_labels labels;
    EQ_TRY(eq_labels_read(r->call->ctx, r->s->labels, &labels));
    r->attributes = labels.attributes;
    r->attribute_count = labels.attribute_count;
    eq_status status = check_wanted(r);
    if (status == EQ_OK)
        status = eq_adp_record_labelled(r, &labels);
    if (status == EQ_OK)
        status = train_all(r);
    eq_labels_free(&labels);
    return status;
}

/* --- the whole --- */

static eq_status check_settings(const eq_adp_run *r)
{
    const settings *s = r->s;
    eq_context *ctx = r->call->ctx;
    bool samples = s->from == EQ_ADP_FROM_SAMPLES, prompts = s->class_prompts.count > 0;
    if (!samples && !s->images)
        return eq_fail(ctx, EQ_BAD_USAGE, "--from %s needs --images", sources[s->from]);
    if (samples && (s->images || s->labels))
        return eq_fail(ctx, EQ_BAD_USAGE, "--images and --labels go with --from noise or inversion");
    if (!samples && (prompts || s->negative || eq_given(r->call, "cfg")))
        return eq_fail(ctx, EQ_BAD_USAGE, "--class-prompt, --negative and --cfg go with --from samples");
    if (prompts && s->prompt)
        return eq_fail(ctx, EQ_BAD_USAGE, "--prompt and --class-prompt cannot both be given");
    if ((s->classifier != NULL) + (s->labels != NULL) + prompts != 1)
        return eq_fail(ctx, EQ_BAD_USAGE, "give --classifier or %s, and not both",
                       samples ? "--class-prompt" : "--labels");
    if (s->own_samples > 0 && !s->classifier)
        return eq_fail(ctx, EQ_BAD_USAGE, "--own-samples needs --classifier, which tells what became of them");
    return EQ_OK;
}

static eq_status run_all(eq_adp_run *r)
{
    eq_context *ctx = r->call->ctx;
    EQ_TRY(check_settings(r));
    r->dtype = eq_compute_dtype(ctx, eq_training_dtypes[r->s->dtype]);
    if (r->s->class_prompts.count > 0)
        EQ_TRY(eq_class_prompts_read(ctx, &r->s->class_prompts, r->s->count, &r->prompts));
    eq_set_allow_unused(ctx, r->s->allow_unused);
    EQ_TRY(eq_model_folder(ctx, r->s->model, &r->model));
    EQ_TRY(eq_pipeline_open(ctx, r->model, &r->pipeline));
    r->report = json_object();
    if (!r->report)
        return eq_fail_memory(ctx, "a report");
    EQ_TRY(r->s->classifier ? with_classifier(r) : r->s->labels ? with_labels(r) : with_prompts(r));
    if (r->call->common.json)
        return eq_print_json(r->call, json_incref(r->report));
    eq_adp_print_table(r);
    return EQ_OK;
}

static eq_status run(const eq_invocation *call)
{
    eq_adp_run r = {.call = call, .s = call->settings};
    bool fresh = !eq_path_exists(r.s->out);
    eq_status status = run_all(&r);
    eq_adp_recorded_close(&r.learnt);
    if (status != EQ_OK && fresh)
        rmdir(r.s->out); /* where nothing came of it */
    eq_dataset_close(&r.data);
    eq_classifier_close(r.classifier);
    eq_class_prompts_free(&r.prompts);
    eq_pipeline_close(r.pipeline);
    json_decref(r.report);
    free(r.model);
    return status;
}

const eq_command eq_command_train_adp = {
    .name = "train adp",
    .summary = "train attribute predictors on a model's h-space",
    .description =
        "Records what the middle of the U-Net computes (h) at every timestep, while the model samples or for given "
        "images, and trains a small classifier a timestep to tell the attributes from it. Labels come from a classifier "
        "(pseudo-labels), a table, or the prompts that the samples are of. Accuracy is measured on images kept out of "
        "the training: a table here, and curves in accuracy.html in --out.",
    .examples = examples,
    .options = options,
    .settings_size = sizeof(settings),
    .reports = true,
    .run = run,
};
