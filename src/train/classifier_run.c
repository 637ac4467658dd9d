#include "train/classifier_run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/attribute.h"
#include "base/path.h"
#include "train/augment.h"

typedef struct job {
    eq_context *ctx;
    const eq_classifier_run *run;
    eq_classifier_config *config;
    eq_classifier_score *scores;
    eq_dataset data;
    eq_labels labels;
    int column[EQ_CLASSIFIER_MAX_ATTRIBUTES]; /* of the label table */
    int64_t *row;                             /* [data.count] of the label table, -1: none */
    float *weight;                            /* [data.count] how often an image is to be seen */
    int64_t *train;                           /* [data.count] images of the training part of the current fit */
    double *cumulative;                       /* [data.count] over the training part */
    int64_t train_count;
    eq_params *params;
    int64_t steps_done, steps_total; /* over all fits */
    double start, smoothed_loss;
} job;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* --- what is learnt from what --- */

static int label_of(const job *j, int64_t image, int attribute)
{
    if (j->row[image] < 0)
        return -1;
    return j->labels.classes[j->row[image] * j->labels.attribute_count + j->column[attribute]];
}

static eq_status choose_attributes(job *j)
{
    const eq_classifier_run *run = j->run;
    int count = run->attribute_count > 0 ? run->attribute_count : j->labels.attribute_count;
    if (count > EQ_CLASSIFIER_MAX_ATTRIBUTES)
        return eq_fail(j->ctx, EQ_BAD_USAGE,
                       "%s has %d attributes, at most %d can be learnt at once; name them with --attribute",
                       run->labels, count, EQ_CLASSIFIER_MAX_ATTRIBUTES);
    for (int i = 0; i < count; i++) {
        int column = i;
        if (run->attribute_count > 0)
            column = eq_attribute_find(j->labels.attributes, j->labels.attribute_count, run->attributes[i]);
        if (column < 0)
            return eq_fail(j->ctx, EQ_BAD_USAGE, "%s: no column \"%s\"; the first is \"%s\"", run->labels,
                           run->attributes[i], j->labels.attributes[0].name);
        if (j->labels.attributes[column].classes < 2)
            return eq_fail(j->ctx, EQ_BAD_INPUT, "%s: %s has only one class, \"%s\": nothing to tell apart",
                           run->labels, j->labels.attributes[column].name, j->labels.attributes[column].class_names[0]);
        j->column[i] = column;
        EQ_TRY(eq_attribute_copy(j->ctx, &j->labels.attributes[column], &j->config->attributes[i]));
        j->config->attribute_count++;
    }
    return EQ_OK;
}

/* Images seen more often by the rarest of their classes: 1 / its share, at most 10 times the mean. */
static void weigh_images(job *j)
{
    for (int64_t i = 0; i < j->data.count; i++)
        j->weight[i] = 1;
    if (!j->run->balance)
        return;
    for (int a = 0; a < j->config->attribute_count; a++) {
        int classes = j->config->attributes[a].classes;
        int64_t count[EQ_LABELS_MAX_CLASSES] = {0};
        for (int64_t i = 0; i < j->data.count; i++)
            if (label_of(j, i, a) >= 0)
                count[label_of(j, i, a)]++;
        for (int64_t i = 0; i < j->data.count; i++) {
            int k = label_of(j, i, a);
            float wanted = k < 0 ? 1 : (float)j->data.count / ((float)classes * (float)count[k]);
            if (wanted > j->weight[i])
                j->weight[i] = wanted < 10 ? wanted : 10;
        }
    }
}

static eq_status match_labels(job *j)
{
    eq_names names = {.name = j->data.names, .count = (size_t)j->data.count};
    eq_labels_match match;
    EQ_TRY(eq_labels_match_images(j->ctx, &j->labels, &names, j->row, &match));
    if (match.matched == 0)
        return eq_fail(j->ctx, EQ_BAD_INPUT, "%s names none of the images in %s", j->run->labels, j->run->images);
    if (match.images_unmatched || match.labels_unmatched)
        eq_log(j->ctx, EQ_LOG_WARNING, "%zu images without labels and %zu labels without an image are left out",
               match.images_unmatched, match.labels_unmatched);
    return EQ_OK;
}

static eq_status open_data(job *j)
{
    const eq_classifier_run *run = j->run;
    EQ_TRY(eq_labels_read(j->ctx, run->labels, &j->labels));
    EQ_TRY(eq_dataset_open(j->ctx, run->images, run->network.size, run->strict, &j->data));
    size_t n = (size_t)j->data.count;
    j->row = malloc(n * sizeof *j->row);
    j->weight = malloc(n * sizeof *j->weight);
    j->train = malloc(n * sizeof *j->train);
    j->cumulative = malloc(n * sizeof *j->cumulative);
    if (!j->row || !j->weight || !j->train || !j->cumulative)
        return eq_fail_memory(j->ctx, "the training set");
    EQ_TRY(match_labels(j));
    EQ_TRY(choose_attributes(j));
    weigh_images(j);
    return eq_classifier_check(j->ctx, j->config, "the network's settings");
}

/* The part, 0..parts - 1, that an image is in: by a hash of its name, so that it stays there when images are added. */
static double place_of(const job *j, int64_t image)
{
    uint64_t hash = 14695981039346656037u;
    for (const char *c = j->data.names[image]; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    eq_rng rng = eq_rng_make(j->run->seed, hash, 0);
    return eq_rng_uniform(&rng);
}

/* Whether fit number `fold` of `folds` does not see the image; folds 0: the held-out share. */
static bool is_held_out(const job *j, int64_t image, int fold, int folds)
{
    double place = place_of(j, image);
    if (folds < 2)
        return place < j->run->held_out;
    return (int)(place * folds) == fold;
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
    for (int64_t i = 0; i < j->data.count; i++) {
        if (j->row[i] < 0 || (fold >= 0 && is_held_out(j, i, fold, folds)))
            continue;
        sum += j->weight[i];
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
    eq_dataset_image(&j->data, image, false, in->images + (size_t)i * count);
    eq_augment(&rng, in->images + (size_t)i * count, size, in->work + (size_t)i * count);
    for (int a = 0; a < j->config->attribute_count; a++)
        in->labels[a][i] = label_of(j, image, a);
}

static void report(job *j, const eq_trainer *trainer, double loss, double norm)
{
    j->steps_done++;
    j->smoothed_loss = j->smoothed_loss == 0 ? loss : 0.98 * j->smoothed_loss + 0.02 * loss;
    if (!j->run->progress)
        return;
    double rate = (double)j->steps_done / (now() - j->start + 1e-9);
    eq_training_progress p = {.step = j->steps_done,
                              .total_steps = j->steps_total,
                              .loss = j->smoothed_loss,
                              .gradient_norm = norm,
                              .learning_rate = eq_learning_rate(&j->run->optimiser, trainer->optimiser.step - 1),
                              .images_per_second = rate * j->run->batch,
                              .seconds_left = (double)(j->steps_total - j->steps_done) / rate};
    j->run->progress(j->run->progress_user, &p);
}

static eq_status run_updates(job *j, eq_trainer *trainer, const inputs *in, const char *checkpoint)
{
    int batch = j->run->batch;
    double last = now();
    while (trainer->optimiser.step < j->run->optimiser.total_steps) {
        if (eq_cancelled(j->ctx)) {
            if (checkpoint)
                EQ_TRY(eq_trainer_save(trainer, checkpoint, ""));
            return eq_fail(j->ctx, EQ_CANCELLED, "stopped at update %lld", (long long)trainer->optimiser.step);
        }
        int64_t first = trainer->optimiser.step * batch;
#pragma omp parallel for schedule(static)
        for (int i = 0; i < batch; i++)
            fill_row(j, in, i, first + i);
        double loss, norm;
        EQ_TRY(eq_trainer_step(trainer, &loss, &norm));
        report(j, trainer, loss, norm);
        if (checkpoint && j->run->checkpoint_seconds > 0 && now() - last > j->run->checkpoint_seconds) {
            EQ_TRY(eq_trainer_save(trainer, checkpoint, ""));
            last = now();
        }
    }
    eq_trainer_swap_average(trainer);
    return EQ_OK;
}

static eq_status build_trainer(job *j, eq_trainer *trainer, inputs *in)
{
    const eq_classifier_run *run = j->run;
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

/* Trains fresh parameters on all images but those of the fold (-1: on all). */
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
    if (status == EQ_OK && checkpoint && j->run->resume && eq_path_exists(checkpoint))
        status = eq_trainer_load(&trainer, checkpoint, "");
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

/* Adds the answers on the images that the fit did not see to the confusion matrices. */
static eq_status grade(job *j, int fold, int folds)
{
    eq_graph *graph = eq_graph_new(j->ctx, EQ_F32);
    if (!graph)
        return eq_fail_memory(j->ctx, "a graph");
    enum { BATCH = 16 };
    j->params->trainable = false;
    eq_classifier_values values;
    eq_program *program;
    eq_classifier_build(&(eq_builder){graph, j->params}, j->config, BATCH, &values);
    EQ_TRY(eq_program_compile(graph, &(eq_program_options){.frozen_params = true}, &program));
    size_t count = (size_t)j->run->network.size * (size_t)j->run->network.size * 3;
    float *x = eq_program_data(program, values.images);
    int64_t images[BATCH];
    int n = 0;
    eq_status status = EQ_OK;
    for (int64_t i = 0; i <= j->data.count && status == EQ_OK; i++) {
        if (n == BATCH || (i == j->data.count && n > 0)) {
            status = eq_program_run(program);
            for (int a = 0; a < j->config->attribute_count; a++)
                for (int k = 0; k < n; k++)
                    if (label_of(j, images[k], a) >= 0)
                        count_answer(j, a, label_of(j, images[k], a),
                                     (float *)eq_program_data(program, values.logits[a]) +
                                         k * j->config->attributes[a].classes);
            n = 0;
        }
        if (i == j->data.count || j->row[i] < 0 || !is_held_out(j, i, fold, folds))
            continue;
        eq_dataset_image(&j->data, i, false, x + (size_t)n * count);
        images[n++] = i;
    }
    eq_program_free(program);
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

static eq_status run_job(job *j, const char *checkpoint)
{
    const eq_classifier_run *run = j->run;
    EQ_TRY(open_data(j));
    EQ_TRY(start_scores(j));
    EQ_TRY(eq_make_folders(j->ctx, run->out));
    j->params = eq_params_new(j->ctx);
    if (!j->params)
        return eq_fail_memory(j->ctx, "parameters");
    EQ_TRY(eq_classifier_declare(j->params, j->config));
    EQ_TRY(eq_params_allocate(j->params));
    int folds = run->folds >= 2 ? run->folds : 0;
    j->steps_total = run->optimiser.total_steps * (folds + 1);
    j->start = now();
    for (int f = 0; f < folds; f++) {
        EQ_TRY(fit(j, f, folds, NULL));
        EQ_TRY(grade(j, f, folds));
    }
    EQ_TRY(fit(j, folds ? -1 : 0, folds, checkpoint));
    if (!folds)
        EQ_TRY(grade(j, 0, 0));
    finish_scores(j);
    return eq_classifier_file_save(j->ctx, run->out, j->config, j->scores, j->params, run->save_dtype);
}

eq_status eq_classifier_run_train(eq_context *ctx, const eq_classifier_run *run, eq_classifier_config *config,
                                  eq_classifier_score *scores)
{
    *config = run->network;
    config->attribute_count = 0;
    for (int a = 0; a < EQ_CLASSIFIER_MAX_ATTRIBUTES; a++)
        scores[a] = (eq_classifier_score){.accuracy = NAN};
    job j = {.ctx = ctx, .run = run, .config = config, .scores = scores};
    char *checkpoint = eq_path_join(run->out, "checkpoint.safetensors");
    eq_status status = checkpoint ? run_job(&j, checkpoint) : eq_fail_memory(ctx, "a path");
    free(checkpoint);
    eq_params_free(j.params);
    eq_dataset_close(&j.data);
    eq_labels_free(&j.labels);
    free(j.row);
    free(j.weight);
    free(j.train);
    free(j.cumulative);
    return status;
}
