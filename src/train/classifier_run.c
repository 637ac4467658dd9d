#include "train/classifier_run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/attribute.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/path.h"
#include "train/augment.h"
#include "train/labelled_images.h"

typedef struct job {
    eq_context *ctx;
    const eq_classifier_training *run;
    eq_classifier_config *config;
    eq_classifier_score *scores;
    eq_labelled_images images;
    int64_t *train;     /* [train_count] images of the training part of the current fit */
    double *cumulative; /* [train_count] of their weights */
    int64_t train_count;
    eq_params *params;
    int64_t steps_done, steps_resumed, steps_total; /* over all fits; resumed: done before this call */
    double start, smoothed_loss;
    char settings[640];
} job;

/* --- what is learnt from what --- */

static eq_status open_data(job *j)
{
    const eq_classifier_training *run = j->run;
    EQ_TRY(eq_labelled_images_open(j->ctx,
                                   &(eq_labelled_source){.images = run->images,
                                                         .labels = run->labels,
                                                         .size = run->network.size,
                                                         .strict = run->strict,
                                                         .attributes = run->attributes,
                                                         .attribute_count = run->attribute_count,
                                                         .balance = run->balance,
                                                         .added = run->added,
                                                         .added_count = run->added_count},
                                   &j->images));
    for (int a = 0; a < j->images.attribute_count; a++) {
        EQ_TRY(eq_attribute_copy(j->ctx, eq_labelled_attribute(&j->images, a), &j->config->attributes[a]));
        j->config->attribute_count++;
    }
    EQ_TRY(eq_classifier_check(j->ctx, j->config, "the network's settings"));
    size_t n = (size_t)j->images.data.count;
    j->train = malloc(n * sizeof *j->train);
    j->cumulative = malloc(n * sizeof *j->cumulative);
    return j->train && j->cumulative ? EQ_OK : eq_fail_memory(j->ctx, "the training set");
}

/* Whether fit number `fold` of `folds` does not see the image; folds 0: the held-out share. */
static bool is_held_out(const job *j, int64_t image, int fold, int folds)
{
    double place = eq_labelled_place(&j->images, j->run->seed, image);
    if (folds < 2)
        return place < j->run->held_out;
    return (int)(place * folds) == fold;
}

/* What must be the same for a resumed run to be the same run. */
static void describe_settings(job *j)
{
    const eq_classifier_training *run = j->run;
    const eq_optimiser_options *o = &run->optimiser;
    char channels[96] = "";
    size_t used = 0;
    for (int i = 0; i < j->config->stages; i++)
        used += (size_t)snprintf(channels + used, sizeof channels - used, "%s%d", i ? "," : "", j->config->channels[i]);
    eq_sha256 hash = eq_sha256_start();
    for (int64_t i = 0; i < j->images.data.count; i++) {
        eq_sha256_update(&hash, j->images.data.names[i], strlen(j->images.data.names[i]) + 1);
        for (int a = 0; a < j->config->attribute_count; a++)
            eq_sha256_update(&hash, &(int32_t){eq_labelled_class(&j->images, i, a)}, sizeof(int32_t));
    }
    uint8_t digest[EQ_SHA256_BYTES];
    char hex[EQ_SHA256_HEX];
    eq_sha256_finish(&hash, digest);
    eq_sha256_to_hex(digest, hex);
    snprintf(
        j->settings, sizeof j->settings,
        "images %lld, labels %.16s, attributes %d, network %s, size %d, channels %s, blocks %d, batch %d, steps "
        "%lld, learning-rate %g, warmup %lld, ema %g, clip %g, weight-decay %g, balance %d, held-out %g, folds %d, "
        "seed %llu",
        (long long)j->images.data.count, hex, j->config->attribute_count, j->config->trunk->name, j->config->size,
        channels, j->config->blocks, run->batch, (long long)o->total_steps, o->learning_rate,
        (long long)o->warmup_steps, o->ema_decay, o->clip_norm, o->weight_decay, run->balance, run->held_out,
        run->folds, (unsigned long long)run->seed);
}

/* --- one fit --- */

static int64_t pick(const job *j, int64_t visit)
{
    eq_rng rng = eq_rng_make(j->run->seed, (uint64_t)visit, 1);
    double target = (double)eq_rng_uniform(&rng) * j->cumulative[j->train_count - 1];
    int64_t low = 0, high = j->train_count - 1;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (j->cumulative[middle] > target)
            high = middle;
        else
            low = middle + 1;
    }
    return j->train[low];
}

static void choose_training_part(job *j, int fold, int folds)
{
    double sum = 0;
    j->train_count = 0;
    for (int64_t i = 0; i < j->images.data.count; i++) {
        if (!j->images.listed[i] || (fold >= 0 && is_held_out(j, i, fold, folds)))
            continue;
        sum += j->images.weight[i];
        j->cumulative[j->train_count] = sum;
        j->train[j->train_count++] = i;
    }
}

typedef struct inputs {
    float *images;                                 /* [batch, size, size, 3] */
    int32_t *labels[EQ_CLASSIFIER_MAX_ATTRIBUTES]; /* [batch] */
    float *work;                                   /* [batch, size, size, 3] */
} inputs;

static void fill_row(const job *j, const inputs *in, int i, int64_t visit)
{
    int size = j->run->network.size;
    size_t count = (size_t)size * (size_t)size * 3;
    int64_t image = pick(j, visit);
    eq_rng rng = eq_rng_make(j->run->seed, (uint64_t)visit, 2);
    eq_dataset_image(&j->images.data, image, false, in->images + (size_t)i * count);
    eq_augment(&rng, in->images + (size_t)i * count, size, in->work + (size_t)i * count);
    for (int a = 0; a < j->config->attribute_count; a++)
        in->labels[a][i] = eq_labelled_class(&j->images, image, a);
}

static void report(job *j, const eq_trainer *trainer, double loss, double norm)
{
    j->steps_done++;
    j->smoothed_loss = j->smoothed_loss == 0 ? loss : 0.98 * j->smoothed_loss + 0.02 * loss;
    if (!j->run->progress)
        return;
    double rate = (double)(j->steps_done - j->steps_resumed) / (eq_seconds() - j->start + 1e-9);
    eq_training_progress p = {.step = j->steps_done,
                              .total_steps = j->steps_total,
                              .loss = j->smoothed_loss,
                              .gradient_norm = norm,
                              .learning_rate = eq_learning_rate(&j->run->optimiser, trainer->optimiser.step - 1),
                              .images_per_second = rate * j->run->batch,
                              .seconds_left = (double)(j->steps_total - j->steps_done) / rate};
    j->run->progress(j->run->progress_user, &p);
}

/* Ends with a checkpoint in every case but a fault. */
static eq_status run_updates(job *j, eq_trainer *trainer, const inputs *in, const char *checkpoint)
{
    int batch = j->run->batch;
    double last = eq_seconds();
    while (trainer->optimiser.step < j->run->optimiser.total_steps && !eq_cancelled(j->ctx)) {
        int64_t first = trainer->optimiser.step * batch;
#pragma omp parallel for schedule(static)
        for (int i = 0; i < batch; i++)
            fill_row(j, in, i, first + i);
        double loss, norm;
        EQ_TRY(eq_trainer_step(trainer, &loss, &norm));
        report(j, trainer, loss, norm);
        if (j->run->checkpoint_seconds > 0 && eq_seconds() - last > j->run->checkpoint_seconds) {
            EQ_TRY(eq_trainer_save(trainer, checkpoint, j->settings));
            last = eq_seconds();
        }
    }
    EQ_TRY(eq_trainer_save(trainer, checkpoint, j->settings));
    if (eq_cancelled(j->ctx))
        return eq_fail(j->ctx, EQ_CANCELLED, "stopped at update %lld; continue with --resume",
                       (long long)trainer->optimiser.step);
    eq_trainer_swap_average(trainer);
    return EQ_OK;
}

static eq_status build_trainer(job *j, eq_trainer *trainer, inputs *in)
{
    const eq_classifier_training *run = j->run;
    eq_graph *graph = eq_graph_new(j->ctx, EQ_F32);
    if (!graph)
        return eq_fail_memory(j->ctx, "a graph");
    j->params->trainable = true;
    eq_classifier_values values;
    eq_classifier_build(&(eq_builder){graph, j->params}, j->config, run->batch, &values);
    eq_value labels[EQ_CLASSIFIER_MAX_ATTRIBUTES], loss = EQ_NONE;
    for (int a = 0; a < j->config->attribute_count; a++) {
        labels[a] = eq_graph_input(graph, NULL, EQ_I32, eq_shape_of(run->batch));
        eq_value one = eq_cross_entropy(graph, values.logits[a], labels[a]);
        loss = a == 0 ? one : eq_add(graph, loss, one);
    }
    EQ_TRY(eq_trainer_open(j->ctx, j->params, graph, loss, &run->optimiser, trainer));
    in->images = eq_program_data(trainer->program, values.images);
    for (int a = 0; a < j->config->attribute_count; a++)
        in->labels[a] = eq_program_data(trainer->program, labels[a]);
    size_t size = (size_t)run->network.size;
    in->work = malloc((size_t)run->batch * size * size * 3 * sizeof *in->work);
    return in->work ? EQ_OK : eq_fail_memory(j->ctx, "the augmentation");
}

static eq_status resume(job *j, eq_trainer *trainer, const char *checkpoint)
{
    if (!eq_path_exists(checkpoint))
        return EQ_OK;
    EQ_TRY(eq_trainer_load(trainer, checkpoint, j->settings));
    j->steps_done += trainer->optimiser.step;
    j->steps_resumed += trainer->optimiser.step;
    return EQ_OK;
}

/* Trains fresh parameters on all images but those of the fold (-1: on all), or goes on from the checkpoint. */
static eq_status fit(job *j, int fold, int folds, const char *checkpoint)
{
    choose_training_part(j, fold, folds);
    if (j->train_count < 2)
        return eq_fail(j->ctx, EQ_BAD_INPUT, "%s: %lld labelled images to learn from; more are needed", j->run->images,
                       (long long)j->train_count);
    eq_params_initialise(j->params, j->run->seed);
    eq_trainer trainer = {0};
    inputs in = {0};
    eq_status status = build_trainer(j, &trainer, &in);
    if (status == EQ_OK)
        status = resume(j, &trainer, checkpoint);
    if (status == EQ_OK)
        status = run_updates(j, &trainer, &in, checkpoint);
    free(in.work);
    eq_trainer_close(&trainer);
    return status;
}

/* --- grading --- */

static void count_answer(job *j, int attribute, int truth, const float *logits)
{
    int classes = j->config->attributes[attribute].classes, best = 0;
    for (int k = 1; k < classes; k++)
        best = logits[k] > logits[best] ? k : best;
    j->scores[attribute].confusion[truth * classes + best]++;
}

enum { GRADE_BATCH = 16 };

typedef struct grader {
    eq_program *program;
    eq_classifier_values values;
    int64_t images[GRADE_BATCH]; /* in the program's batch */
    int count;
} grader;

static eq_status grade_batch(job *j, grader *g)
{
    EQ_TRY(eq_program_run(g->program));
    for (int a = 0; a < j->config->attribute_count; a++) {
        const float *logits = eq_program_data(g->program, g->values.logits[a]);
        for (int i = 0; i < g->count; i++) {
            int truth = eq_labelled_class(&j->images, g->images[i], a);
            if (truth >= 0)
                count_answer(j, a, truth, logits + i * j->config->attributes[a].classes);
        }
    }
    g->count = 0;
    return EQ_OK;
}

static eq_status grade_held_out(job *j, grader *g, int fold, int folds)
{
    size_t numbers = (size_t)j->run->network.size * (size_t)j->run->network.size * 3;
    float *x = eq_program_data(g->program, g->values.images);
    for (int64_t i = 0; i < j->images.data.count; i++) {
        if (!j->images.listed[i] || !is_held_out(j, i, fold, folds))
            continue;
        eq_dataset_image(&j->images.data, i, false, x + (size_t)g->count * numbers);
        g->images[g->count++] = i;
        if (g->count == GRADE_BATCH)
            EQ_TRY(grade_batch(j, g));
    }
    return g->count > 0 ? grade_batch(j, g) : EQ_OK;
}

/* Adds the answers on the images that the fit did not see to the confusion matrices. */
static eq_status grade(job *j, int fold, int folds)
{
    eq_graph *graph = eq_graph_new(j->ctx, EQ_F32);
    if (!graph)
        return eq_fail_memory(j->ctx, "a graph");
    grader g = {0};
    j->params->trainable = false;
    eq_classifier_build(&(eq_builder){graph, j->params}, j->config, GRADE_BATCH, &g.values);
    EQ_TRY(eq_program_compile(graph, &(eq_program_options){.frozen_params = true}, &g.program));
    eq_status status = grade_held_out(j, &g, fold, folds);
    eq_program_free(g.program);
    return status;
}

static void finish_scores(job *j)
{
    for (int a = 0; a < j->config->attribute_count; a++) {
        int classes = j->config->attributes[a].classes;
        double right = 0, total = 0;
        for (int t = 0; t < classes; t++)
            for (int k = 0; k < classes; k++) {
                total += j->scores[a].confusion[t * classes + k];
                right += t == k ? j->scores[a].confusion[t * classes + k] : 0;
            }
        j->scores[a].accuracy = total > 0 ? right / total : NAN;
    }
}

static eq_status start_scores(job *j)
{
    for (int a = 0; a < j->config->attribute_count; a++) {
        size_t classes = (size_t)j->config->attributes[a].classes;
        j->scores[a].confusion = calloc(classes * classes, sizeof(double));
        if (!j->scores[a].confusion)
            return eq_fail_memory(j->ctx, "a confusion matrix");
    }
    return EQ_OK;
}

/* Fold -1 is the final classifier. */
static eq_status fit_with_checkpoint(job *j, int fold, int folds)
{
    char *path = fold < 0 || folds == 0 ? eq_path_join(j->run->out, "checkpoint.safetensors")
                                        : eq_format("%s/folds/%d.safetensors", j->run->out, fold + 1);
    eq_status status = path ? fit(j, fold, folds, path) : eq_fail_memory(j->ctx, "a path");
    free(path);
    return status;
}

/* A run that is there already is not overwritten. */
static eq_status check_out(const job *j)
{
    char *checkpoint = eq_path_join(j->run->out, "checkpoint.safetensors");
    char *folds = eq_path_join(j->run->out, "folds");
    eq_status status = checkpoint && folds ? EQ_OK : eq_fail_memory(j->ctx, "a path");
    if (status == EQ_OK && !j->run->resume && (eq_path_exists(checkpoint) || eq_path_exists(folds)))
        status =
            eq_fail(j->ctx, EQ_BAD_USAGE,
                    "%s: there is a run here already; continue it with --resume, or choose another --out", j->run->out);
    if (status == EQ_OK)
        status = eq_make_folders(j->ctx, j->run->folds >= 2 ? folds : j->run->out);
    free(checkpoint);
    free(folds);
    return status;
}

static eq_status run_job(job *j)
{
    const eq_classifier_training *run = j->run;
    if (run->batch < 1 || run->batch > 4096)
        return eq_fail(j->ctx, EQ_BAD_USAGE, "--batch must be 1 to 4096, not %d", run->batch);
    EQ_TRY(open_data(j));
    EQ_TRY(start_scores(j));
    EQ_TRY(check_out(j));
    describe_settings(j);
    j->params = eq_params_new(j->ctx);
    if (!j->params)
        return eq_fail_memory(j->ctx, "parameters");
    EQ_TRY(eq_classifier_declare(j->params, j->config));
    EQ_TRY(eq_params_allocate(j->params));
    eq_log(j->ctx, EQ_LOG_INFO, "%lld images, %d attributes, %.3f M parameters", (long long)j->images.data.count,
           j->config->attribute_count, (double)j->params->total / 1e6);
    int folds = run->folds >= 2 ? run->folds : 0;
    j->steps_total = run->optimiser.total_steps * (folds + 1);
    j->start = eq_seconds();
    for (int f = 0; f < folds; f++) {
        EQ_TRY(fit_with_checkpoint(j, f, folds));
        EQ_TRY(grade(j, f, folds));
    }
    EQ_TRY(fit_with_checkpoint(j, folds ? -1 : 0, folds));
    if (!folds)
        EQ_TRY(grade(j, 0, 0));
    finish_scores(j);
    return eq_classifier_file_save(j->ctx, run->out, j->config, j->scores, j->params, run->save_dtype);
}

eq_status eq_classifier_train(eq_context *ctx, const eq_classifier_training *run, eq_classifier_config *config,
                              eq_classifier_score *scores)
{
    *config = run->network;
    config->attribute_count = 0;
    for (int a = 0; a < EQ_CLASSIFIER_MAX_ATTRIBUTES; a++)
        scores[a] = (eq_classifier_score){.accuracy = NAN};
    job j = {.ctx = ctx, .run = run, .config = config, .scores = scores};
    eq_status status = run_job(&j);
    eq_params_free(j.params);
    eq_labelled_images_close(&j.images);
    free(j.train);
    free(j.cumulative);
    return status;
}
