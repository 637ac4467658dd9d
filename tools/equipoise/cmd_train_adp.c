#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"
#include "command.h"
#include "eval/labelling.h"
#include "guidance/adp_file.h"
#include "io/labels.h"
#include "models.h"
#include "run/record.h"
#include "train/adp_trainer.h"
#include "train/dataset.h"
#include "training_options.h"

typedef struct settings {
    const char *model, *out, *classifier, *images, *labels, *h_file;
    eq_texts attributes;
    int from, dtype;
    int64_t count, steps, every, hidden, epochs, batch, micro_batch;
    double eta, learning_rate, weight_decay, held_out, confidence;
    bool unbalanced, strict;
} settings;

static const char *const sources[] = {"samples", "noise", "inversion", NULL};
enum { FROM_SAMPLES, FROM_NOISE, FROM_INVERSION };
static const char *const dtypes[] = {"f32", "bf16", NULL};

static const eq_option options[] = {
    {.heading = "Model and results"},
    {.name = "model",
     .letter = 'm',
     .kind = EQ_FOLDER,
     .value = "DIR|NAME",
     .required = true,
     .member = offsetof(settings, model),
     .help = "model whose h the predictors read: a folder, or a name as in generate"},
    {.name = "out",
     .letter = 'o',
     .kind = EQ_FOLDER,
     .value = "DIR",
     .required = true,
     .member = offsetof(settings, out),
     .help = "folder for one file an attribute; the model's own adp/ is where generate looks"},
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
     .help = "images to sample, or to use of --images"},
    {.name = "confidence",
     .kind = EQ_REAL,
     .value = "F",
     .standard = "0.8",
     .real = {0, 1},
     .member = offsetof(settings, confidence),
     .help = "answers of the classifier below this are not learnt from"},
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
    {.heading = "Machine"},
    {.name = "dtype",
     .kind = EQ_CHOICE,
     .value = "NAME",
     .choices = dtypes,
     .standard = "f32",
     .member = offsetof(settings, dtype),
     .help = "numbers to compute the network in"},
    {.name = "micro-batch",
     .kind = EQ_INTEGER,
     .value = "N",
     .standard = "0",
     .range = {0, 4096},
     .member = offsetof(settings, micro_batch),
     .help = "images through the network at a time, 0 to let the tool choose"},
    EQ_TRAINING_STRICT,
    {0}};

static const char *const examples[] = {
    "equipoise train adp --model model --classifier classifier --count 2000 --out model/adp",
    "equipoise train adp --model model --from noise --images photos --labels labels.csv --out model/adp",
    NULL,
};

typedef struct adp_run {
    const eq_invocation *call;
    const settings *s;
    char *model;
    eq_pipeline *pipeline;
    int64_t count;
    uint8_t *pixels; /* [count, size, size, 3] */
    eq_dataset data; /* of --images */
    char *h_path;
    eq_h_store store;
    int attribute_count;
    const eq_attribute *attributes; /* of the classifier or the labels */
    int *classes;                   /* [attribute_count, count], -1: unknown */
    json_t *report;                 /* {attribute: {timesteps, accuracy}} */
} adp_run;

/* --- images and labels --- */

static void show_images(void *user, int64_t done, int64_t total)
{
    adp_run *r = user;
    eq_progress_set(r->call->progress, (double)done / (double)total * (double)r->count, (double)r->count, NULL);
}

static eq_status record(adp_run *r)
{
    const settings *s = r->s;
    eq_context *ctx = r->call->ctx;
    eq_record_options o = {.steps = (int)s->steps,
                           .every = (int)s->every,
                           .eta = s->eta,
                           .seed = (uint64_t)r->call->common.seed,
                           .micro_batch = s->micro_batch,
                           .bf16 = s->dtype == 1,
                           .progress = show_images,
                           .progress_user = r};
    EQ_TRY(eq_make_folders(ctx, s->out));
    eq_progress_begin(r->call->progress, s->from == FROM_SAMPLES ? "sampling" : "encoding", "images");
    if (s->from == FROM_SAMPLES) {
        r->count = o.count = s->count;
        EQ_TRY(eq_record_samples(r->pipeline, &o, r->h_path, &r->pixels));
    } else {
        EQ_TRY(eq_dataset_open(ctx, s->images, r->pipeline->model.unet.sample_size, s->strict, &r->data));
        r->count = o.count = r->data.count < s->count ? r->data.count : s->count;
        EQ_TRY(eq_record_images(r->pipeline, &o, r->data.pixels, s->from == FROM_INVERSION, r->h_path));
    }
    eq_progress_end(r->call->progress);
    return eq_h_store_open(ctx, r->h_path, &r->store);
}

static const uint8_t *pixels_of(const adp_run *r)
{
    return r->pixels ? r->pixels : r->data.pixels;
}

static eq_status allocate_classes(adp_run *r)
{
    size_t count = (size_t)r->attribute_count * (size_t)r->count;
    r->classes = malloc((count + 1) * sizeof *r->classes);
    return r->classes ? EQ_OK : eq_fail_memory(r->call->ctx, "labels");
}

static eq_status label_by_classifier(adp_run *r, eq_classifier *classifier)
{
    int side = r->pipeline->model.unet.sample_size;
    float **p;
    EQ_TRY(allocate_classes(r));
    EQ_TRY(eq_probabilities_new(r->call->ctx, r->attributes, r->attribute_count, r->count, &p));
    eq_progress_begin(r->call->progress, "labelling", "images");
    eq_status status = eq_classifier_run(classifier, pixels_of(r), r->count, side, side, p, NULL, show_images, r);
    eq_progress_end(r->call->progress);
    for (int a = 0; status == EQ_OK && a < r->attribute_count; a++)
        for (int64_t i = 0; i < r->count; i++) {
            const float *row = p[a] + i * r->attributes[a].classes;
            int best = 0;
            for (int k = 1; k < r->attributes[a].classes; k++)
                best = row[k] > row[best] ? k : best;
            r->classes[a * r->count + i] = row[best] >= r->s->confidence ? best : -1;
        }
    eq_probabilities_free(p, r->attribute_count);
    return status;
}

static eq_status label_by_table(adp_run *r, const eq_labels *labels)
{
    eq_names names = {.name = r->data.names, .count = (size_t)r->count};
    int64_t *rows = malloc((size_t)r->count * sizeof *rows);
    if (!rows)
        return eq_fail_memory(r->call->ctx, "labels");
    eq_labels_match match;
    eq_status status = eq_labels_match_images(r->call->ctx, labels, &names, rows, &match);
    if (status == EQ_OK && match.matched == 0)
        status = eq_fail(r->call->ctx, EQ_BAD_INPUT, "%s names none of the images in %s", r->s->labels, r->s->images);
    if (status == EQ_OK)
        status = allocate_classes(r);
    for (int a = 0; status == EQ_OK && a < r->attribute_count; a++)
        for (int64_t i = 0; i < r->count; i++)
            r->classes[a * r->count + i] = rows[i] < 0 ? -1 : labels->classes[rows[i] * labels->attribute_count + a];
    free(rows);
    return status;
}

/* --- heads --- */

static void show_heads(void *user, int done, int heads)
{
    adp_run *r = user;
    eq_progress_set(r->call->progress, done, heads, NULL);
}

static bool is_wanted(const adp_run *r, const char *name)
{
    for (int i = 0; i < r->s->attributes.count; i++)
        if (strcmp(r->s->attributes.item[i], name) == 0)
            return true;
    return r->s->attributes.count == 0;
}

static eq_status check_wanted(const adp_run *r)
{
    for (int i = 0; i < r->s->attributes.count; i++)
        if (eq_attribute_find(r->attributes, r->attribute_count, r->s->attributes.item[i]) < 0)
            return eq_fail(r->call->ctx, EQ_BAD_USAGE,
                           "--attribute %s: there is no such attribute; the first is \"%s\"", r->s->attributes.item[i],
                           r->attributes[0].name);
    return EQ_OK;
}

static void add_report(adp_run *r, const eq_adp *adp)
{
    json_t *timesteps = json_array(), *accuracy = json_array();
    for (int i = 0; i < adp->heads; i++) {
        json_array_append_new(timesteps, json_integer(adp->timesteps[i]));
        json_array_append_new(accuracy, json_real(adp->accuracy[i]));
    }
    json_object_set_new(r->report, adp->attribute.name,
                        json_pack("{s:o, s:o}", "timesteps", timesteps, "accuracy", accuracy));
}

static eq_status train_attribute(adp_run *r, int a)
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
    eq_adp adp;
    eq_progress_begin(r->call->progress, r->attributes[a].name, "heads");
    EQ_TRY(eq_adp_train(r->call->ctx, &training, &r->store, &r->attributes[a], r->classes + a * r->count, show_heads, r,
                        &adp));
    eq_progress_end(r->call->progress);
    char *path = eq_format("%s/%s.safetensors", s->out, r->attributes[a].name);
    eq_status status = path ? eq_adp_write(r->call->ctx, path, &adp) : eq_fail_memory(r->call->ctx, "a path");
    if (status == EQ_OK)
        add_report(r, &adp);
    free(path);
    eq_adp_free(&adp);
    return status;
}

static eq_status train_all(adp_run *r)
{
    EQ_TRY(check_wanted(r));
    for (int a = 0; a < r->attribute_count; a++)
        if (is_wanted(r, r->attributes[a].name))
            EQ_TRY(train_attribute(r, a));
    return EQ_OK;
}

/* --- the whole --- */

static eq_status check_settings(const adp_run *r)
{
    const settings *s = r->s;
    eq_context *ctx = r->call->ctx;
    if (s->from != FROM_SAMPLES && !s->images)
        return eq_fail(ctx, EQ_BAD_USAGE, "--from %s needs --images", sources[s->from]);
    if (s->from == FROM_SAMPLES && (s->images || s->labels))
        return eq_fail(ctx, EQ_BAD_USAGE, "--images and --labels go with --from noise or inversion");
    if (!s->classifier == !s->labels)
        return eq_fail(ctx, EQ_BAD_USAGE, "give --classifier%s",
                       s->from == FROM_SAMPLES ? "" : " or --labels, and not both");
    return EQ_OK;
}

static eq_status with_classifier(adp_run *r)
{
    eq_classifier *classifier;
    char *folder;
    EQ_TRY(eq_classifier_folder(r->call->ctx, r->model, r->s->classifier, &folder));
    eq_status status = eq_classifier_open(r->call->ctx, folder, &classifier);
    free(folder);
    EQ_TRY(status);
    r->attributes = eq_classifier_attributes(classifier, &r->attribute_count);
    status = check_wanted(r);
    if (status == EQ_OK)
        status = record(r);
    if (status == EQ_OK)
        status = label_by_classifier(r, classifier);
    if (status == EQ_OK)
        status = train_all(r);
    eq_classifier_close(classifier);
    return status;
}

static eq_status with_labels(adp_run *r)
{
    eq_labels labels;
    EQ_TRY(eq_labels_read(r->call->ctx, r->s->labels, &labels));
    r->attributes = labels.attributes;
    r->attribute_count = labels.attribute_count;
    eq_status status = check_wanted(r);
    if (status == EQ_OK)
        status = record(r);
    if (status == EQ_OK)
        status = label_by_table(r, &labels);
    if (status == EQ_OK)
        status = train_all(r);
    eq_labels_free(&labels);
    return status;
}

/* Accuracy by timestep, about ten rows. */
static void print_table(const adp_run *r)
{
    const char *name;
    json_t *item;
    printf("accuracy on held-out images (mean over classes), by timestep\n");
    json_object_foreach(r->report, name, item)
    {
        json_t *timesteps = json_object_get(item, "timesteps"), *accuracy = json_object_get(item, "accuracy");
        size_t heads = json_array_size(timesteps), every = heads > 10 ? (heads + 9) / 10 : 1;
        printf("%-16s", name);
        for (size_t i = 0; i < heads; i += every)
            printf(" %4" JSON_INTEGER_FORMAT ":%.3f", json_integer_value(json_array_get(timesteps, i)),
                   json_real_value(json_array_get(accuracy, i)));
        printf("\n");
    }
}

static eq_status run_all(adp_run *r)
{
    eq_context *ctx = r->call->ctx;
    EQ_TRY(check_settings(r));
    EQ_TRY(eq_model_folder(ctx, r->s->model, &r->model));
    EQ_TRY(eq_pipeline_open(ctx, r->model, &r->pipeline));
    r->h_path = r->s->h_file ? strdup(r->s->h_file) : eq_path_join(r->s->out, "h-vectors.tmp");
    r->report = json_object();
    if (!r->h_path || !r->report)
        return eq_fail_memory(ctx, "a path");
    EQ_TRY(r->s->classifier ? with_classifier(r) : with_labels(r));
    if (r->call->common.json)
        return eq_print_json(r->call, json_incref(r->report));
    print_table(r);
    return EQ_OK;
}

static eq_status run(const eq_invocation *call)
{
    adp_run r = {.call = call, .s = call->settings};
    eq_status status = run_all(&r);
    eq_h_store_close(&r.store);
    if (r.h_path && !r.s->h_file)
        unlink(r.h_path);
    eq_dataset_close(&r.data);
    eq_pipeline_close(r.pipeline);
    json_decref(r.report);
    free(r.pixels);
    free(r.classes);
    free(r.h_path);
    free(r.model);
    return status;
}

const eq_command eq_command_train_adp = {
    .name = "train adp",
    .summary = "train attribute predictors on a model's h-space",
    .description =
        "Records what the middle of the U-Net computes (h) at every timestep, while the model samples or for given "
        "images, and trains a small classifier a timestep to tell the attributes from it. Labels come from a classifier "
        "(pseudo-labels) or a table. Accuracy is measured on images kept out of the training.",
    .examples = examples,
    .options = options,
    .settings_size = sizeof(settings),
    .reports = true,
    .run = run,
};
