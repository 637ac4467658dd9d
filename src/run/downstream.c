#include "run/downstream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/path.h"
#include "eval/label_folder.h"
#include "io/json.h"
#include "run/downstream_data.h"

typedef struct job {
    eq_context *ctx;
    const eq_downstream_options *options;
    eq_downstream_data data;
    eq_downstream *out;
    int **called; /* [seeds][data.n] what the current set's classifiers call the test images */
    /* The training in progress, for whoever watches. */
    int set, seed;
    int64_t steps_before; /* of all earlier trainings */
} job;

static const eq_downstream_folder *added_of(const job *j, int set)
{
    return set == 0 ? NULL : &j->data.added[set - 1];
}

/* --- one training --- */

static void show_progress(void *user, const eq_training_progress *now)
{
    const job *j = user;
    const eq_downstream_options *o = j->options;
    eq_downstream_progress p = {.set = j->out->sets[j->set].name,
                                .seed = j->seed + 1,
                                .step = j->steps_before + now->step,
                                .steps = o->optimiser.total_steps * o->seeds * j->out->set_count,
                                .loss = now->loss};
    o->progress(o->progress_user, &p);
}

static eq_status train(job *j, const char *folder)
{
    const eq_downstream_options *o = j->options;
    const eq_downstream_folder *added = added_of(j, j->set);
    eq_labelled_folder more = {0};
    if (added)
        more = (eq_labelled_folder){.name = added->name, .images = added->images, .labels = added->labels};
    const eq_classifier_training run = {.images = j->data.train.images,
                                        .labels = j->data.train.labels,
                                        .added = &more,
                                        .added_count = added != NULL,
                                        .out = folder,
                                        .network = o->network,
                                        .attributes = &o->attribute,
                                        .attribute_count = 1,
                                        .optimiser = o->optimiser,
                                        .batch = o->batch,
                                        .balance = o->balance,
                                        .strict = true,
                                        .seed = o->seed + (uint64_t)j->seed,
                                        .checkpoint_seconds = 60,
                                        .resume = o->resume,
                                        .save_dtype = EQ_F32,
                                        .progress = o->progress ? show_progress : NULL,
                                        .progress_user = j};
    eq_classifier_config config;
    eq_classifier_score scores[EQ_CLASSIFIER_MAX_ATTRIBUTES];
    eq_status status = eq_classifier_train(j->ctx, &run, &config, scores);
    eq_classifier_config_free(&config);
    for (int a = 0; a < EQ_CLASSIFIER_MAX_ATTRIBUTES; a++)
        free(scores[a].confusion);
    return status;
}

/* called: [data.n] */
static eq_status ask(job *j, const char *folder, int *called)
{
    eq_classifier *classifier;
    EQ_TRY(eq_classifier_open(j->ctx, folder, &classifier));
    eq_folder_labels answers;
    eq_status status = eq_label_folder(
        j->ctx, classifier, &(eq_label_folder_options){.folder = j->data.test.images, .strict = true}, &answers);
    int classes = j->data.classes;
    for (int i = 0; status == EQ_OK && i < j->data.n; i++)
        called[i] = eq_most_probable(answers.probabilities[0] + j->data.file[i] * classes, classes);
    if (status == EQ_OK)
        eq_folder_labels_free(&answers);
    eq_classifier_close(classifier);
    return status;
}

/* --- answers, kept from one call to the next --- */

/* All that decides what the current set's classifiers answer, but for the seed. */
static void fingerprint(const job *j, char hex[EQ_SHA256_HEX])
{
    const eq_downstream_options *o = j->options;
    const eq_optimiser_options *p = &o->optimiser;
    const eq_downstream_folder *added = added_of(j, j->set);
    char text[512];
    int length = snprintf(text, sizeof text, "%s %s %s %d %d %lld %g %lld %g %g %g %d %d %llu", o->attribute, o->groups,
                          o->network.trunk->name, o->network.size, o->network.blocks, (long long)p->total_steps,
                          p->learning_rate, (long long)p->warmup_steps, p->ema_decay, p->clip_norm, p->weight_decay,
                          o->batch, o->balance, (unsigned long long)o->seed);
    eq_sha256 hash = eq_sha256_start();
    eq_sha256_update(&hash, text, (size_t)length < sizeof text ? (size_t)length : sizeof text);
    eq_sha256_update(&hash, o->network.channels, (size_t)o->network.stages * sizeof(int));
    eq_sha256_update(&hash, j->data.train.hash, EQ_SHA256_HEX);
    eq_sha256_update(&hash, j->data.test.hash, EQ_SHA256_HEX);
    if (added)
        eq_sha256_update(&hash, added->hash, EQ_SHA256_HEX);
    uint8_t digest[EQ_SHA256_BYTES];
    eq_sha256_finish(&hash, digest);
    eq_sha256_to_hex(digest, hex);
}

static eq_status write_answers(job *j, const char *path, const int *called)
{
    char hex[EQ_SHA256_HEX];
    fingerprint(j, hex);
    json_t *classes = json_array(), *files = json_object();
    for (int k = 0; k < j->data.classes; k++)
        json_array_append_new(classes, eq_json_text(j->data.attributes[0].class_names[k]));
    for (int i = 0; i < j->data.n; i++)
        json_object_set_new(files, j->data.test.files.name[j->data.file[i]], json_integer(called[i]));
    json_t *json = json_pack("{ss, so, so}", "settings", hex, "classes", classes, "called", files);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    eq_status status = text ? eq_file_write(j->ctx, path, text, strlen(text)) : eq_fail_memory(j->ctx, "answers");
    free(text);
    return status;
}

static eq_status parse_answers(job *j, const eq_json *json, const char *path, int *called)
{
    char hex[EQ_SHA256_HEX];
    const char *theirs;
    eq_json files;
    fingerprint(j, hex);
    EQ_TRY(eq_json_string(j->ctx, json, "settings", &theirs));
    if (strcmp(theirs, hex) != 0)
        return eq_fail(j->ctx, EQ_BAD_INPUT,
                       "%s: was made with other settings or images; use the same, or another --out", path);
    EQ_TRY(eq_json_object(j->ctx, json, "called", &files));
    for (int i = 0; i < j->data.n; i++) {
        int64_t class;
        EQ_TRY(eq_json_int(j->ctx, &files, j->data.test.files.name[j->data.file[i]], 0, j->data.classes - 1, &class));
        called[i] = (int)class;
    }
    return EQ_OK;
}

static eq_status read_answers(job *j, const char *path, int *called)
{
    eq_json json;
    EQ_TRY(eq_json_read(j->ctx, path, &json));
    eq_status status = parse_answers(j, &json, path, called);
    eq_json_close(&json);
    return status;
}

static eq_status train_and_ask(job *j)
{
    const char *set = j->out->sets[j->set].name;
    char *folder = eq_format("%s/%s/seed-%d", j->options->out, set, j->seed + 1);
    char *path = folder ? eq_path_join(folder, "answers.json") : NULL;
    int *called = j->called[j->seed];
    eq_status status = path ? EQ_OK : eq_fail_memory(j->ctx, "a path");
    if (status == EQ_OK && eq_path_exists(path)) {
        status = read_answers(j, path, called);
    } else if (status == EQ_OK) {
        status = train(j, folder);
        if (status == EQ_OK)
            status = ask(j, folder, called);
        if (status == EQ_OK)
            status = write_answers(j, path, called);
    }
    free(folder);
    free(path);
    j->steps_before += j->options->optimiser.total_steps;
    return status;
}

/* --- all of them --- */

static eq_status grade_set(job *j)
{
    eq_downstream_set *set = &j->out->sets[j->set];
    for (j->seed = 0; j->seed < j->options->seeds; j->seed++)
        EQ_TRY(train_and_ask(j));
    const eq_fairness_test test = {.n = j->data.n,
                                   .groups = j->data.groups,
                                   .classes = j->data.classes,
                                   .group = j->data.group,
                                   .truth = j->data.truth};
    EQ_TRY(eq_fairness_grade(j->ctx, &test, (const int *const *)j->called, j->options->seeds, &set->fairness));
    for (int m = 0; j->set > 0 && m < EQ_FAIRNESS_MEASURES; m++)
        EQ_TRY(eq_fairness_difference(j->ctx, &set->fairness, &j->out->sets[0].fairness, (eq_fairness_measure)m,
                                      &set->over_train[m]));
    return EQ_OK;
}

static eq_status compare_with_control(job *j)
{
    for (int s = 0; j->out->control >= 0 && s < j->out->set_count; s++)
        for (int m = 0; m < EQ_FAIRNESS_MEASURES; m++)
            EQ_TRY(eq_fairness_difference(j->ctx, &j->out->sets[s].fairness, &j->out->sets[j->out->control].fairness,
                                          (eq_fairness_measure)m, &j->out->sets[s].over_control[m]));
    return EQ_OK;
}

/* Counts what the set's images show. */
static eq_status describe_set(job *j, int s)
{
    eq_downstream_set *set = &j->out->sets[s];
    const eq_downstream_folder *added = added_of(j, s);
    set->name = strdup(added ? added->name : j->data.train.name);
    set->cells = calloc((size_t)j->out->cell_count, sizeof *set->cells);
    if (!set->name || !set->cells)
        return eq_fail_memory(j->ctx, "the sets");
    bool complete = true;
    set->images = (int64_t)j->data.train.files.count;
    eq_downstream_count(&j->data, &j->data.train, set->cells, &complete);
    if (added) {
        set->images += (int64_t)added->files.count;
        eq_downstream_count(&j->data, added, set->cells, &complete);
    }
    if (!complete) {
        free(set->cells);
        set->cells = NULL;
    }
    return EQ_OK;
}

static eq_status describe(job *j)
{
    const eq_downstream_options *o = j->options;
    eq_downstream *out = j->out;
    out->attribute = strdup(o->attribute);
    out->groups = strdup(o->groups);
    out->seeds = o->seeds;
    out->steps = o->optimiser.total_steps;
    out->test_images = j->data.n;
    out->cell_count = j->data.groups * j->data.classes;
    out->cell_names = calloc((size_t)out->cell_count, sizeof *out->cell_names);
    out->test_cells = calloc((size_t)out->cell_count, sizeof *out->test_cells);
    out->sets = calloc((size_t)o->added_count + 1, sizeof *out->sets);
    if (!out->attribute || !out->groups || !out->cell_names || !out->test_cells || !out->sets)
        return eq_fail_memory(j->ctx, "the sets");
    for (int c = 0; c < out->cell_count; c++)
        if (!(out->cell_names[c] = eq_downstream_cell_name(&j->data, c)))
            return eq_fail_memory(j->ctx, "the sets");
    for (int i = 0; i < j->data.n; i++)
        out->test_cells[j->data.group[i] * j->data.classes + j->data.truth[i]]++;
    out->control = -1;
    for (int s = 0; s <= o->added_count; s++) {
        out->set_count++;
        EQ_TRY(describe_set(j, s));
        if (o->control && s > 0 && strcmp(out->sets[s].name, o->control) == 0)
            out->control = s;
    }
    if (o->control && out->control < 0)
        return eq_fail(j->ctx, EQ_BAD_USAGE, "--control %s: no --add has that name", o->control);
    for (int s = 2; s < out->set_count; s++)
        if (out->sets[s].images != out->sets[1].images)
            eq_log(j->ctx, EQ_LOG_WARNING,
                   "\"%s\" and \"%s\" add different numbers of images; part of their difference may be that",
                   out->sets[1].name, out->sets[s].name);
    return EQ_OK;
}

static eq_status check_out(job *j)
{
    char *train = eq_path_join(j->options->out, j->data.train.name);
    eq_status status = train ? EQ_OK : eq_fail_memory(j->ctx, "a path");
    if (status == EQ_OK && !j->options->resume && eq_path_exists(train))
        status = eq_fail(j->ctx, EQ_BAD_USAGE,
                         "%s: there is a comparison here already; continue it with --resume, or choose another --out",
                         j->options->out);
    free(train);
    return status;
}

static eq_status write_results(job *j)
{
    json_t *json;
    EQ_TRY(eq_downstream_json(j->ctx, j->out, &json));
    char *text = json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    json_decref(json);
    char *path = eq_path_join(j->options->out, "downstream.json");
    char *page = eq_path_join(j->options->out, "downstream.html");
    eq_status status =
        text && path && page ? eq_file_write(j->ctx, path, text, strlen(text)) : eq_fail_memory(j->ctx, "results");
    if (status == EQ_OK)
        status = eq_downstream_html(j->ctx, j->out, page);
    free(text);
    free(path);
    free(page);
    return status;
}

static eq_status run_job(job *j)
{
    EQ_TRY(eq_downstream_data_open(j->ctx, j->options, &j->data));
    EQ_TRY(check_out(j));
    EQ_TRY(describe(j));
    j->called = calloc((size_t)j->options->seeds, sizeof *j->called);
    for (int s = 0; j->called && s < j->options->seeds; s++)
        if (!(j->called[s] = calloc((size_t)j->data.n, sizeof **j->called)))
            return eq_fail_memory(j->ctx, "answers");
    if (!j->called)
        return eq_fail_memory(j->ctx, "answers");
    for (j->set = 0; j->set < j->out->set_count; j->set++)
        EQ_TRY(grade_set(j));
    EQ_TRY(compare_with_control(j));
    return write_results(j);
}

eq_status eq_downstream_run(eq_context *ctx, const eq_downstream_options *options, eq_downstream *out)
{
    *out = (eq_downstream){0};
    job j = {.ctx = ctx, .options = options, .out = out};
    eq_status status = run_job(&j);
    for (int s = 0; j.called && s < options->seeds; s++)
        free(j.called[s]);
    free(j.called);
    eq_downstream_data_free(&j.data);
    if (status != EQ_OK)
        eq_downstream_free(out);
    return status;
}

void eq_downstream_free(eq_downstream *downstream)
{
    for (int s = 0; s < downstream->set_count; s++) {
        free(downstream->sets[s].name);
        free(downstream->sets[s].cells);
        eq_fairness_free(&downstream->sets[s].fairness);
    }
    for (int c = 0; downstream->cell_names && c < downstream->cell_count; c++)
        free(downstream->cell_names[c]);
    free(downstream->attribute);
    free(downstream->groups);
    free(downstream->cell_names);
    free(downstream->test_cells);
    free(downstream->sets);
    *downstream = (eq_downstream){0};
}
