#include "train/adp_trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"
#include "models/layers.h"
#include "train/class_directions.h"
#include "train/head_logits.h"
#include "train/trainer.h"

eq_adp_training eq_adp_training_defaults(void)
{
    return (eq_adp_training){.epochs = 20,
                             .batch = 64,
                             .learning_rate = 1e-3,
                             .weight_decay = 0.1,
                             .held_out = 0.15,
                             .balance = true,
                             .seed = 1};
}

enum {
    ROWS = 64, /* images that one pass of the sums takes before the next columns */
    COLUMNS = 1024,
};

/* One attribute's training over all heads. */
typedef struct adp_job {
    eq_context *ctx;
    const eq_adp_training *training;
    const eq_h_store *store;
    const int *labels;
    eq_adp *adp;
    int64_t *train, *test; /* image numbers with known labels */
    int64_t train_count, test_count;
    int64_t *by_class; /* the training images, class after class */
    int64_t class_start[EQ_ADP_CLASSES + 1];
    double *sum, *square, *class_sum; /* [h_count], [h_count], [classes, h_count] at the current timestep */
    float *mean, *inverse_std;        /* [h_count] of the training part there */
    size_t bytes_read;                /* of the store since it was last let go of */
    eq_params *params;
} adp_job;

/* A share of the images by a hash of their number: the same at every timestep and for every attribute. */
static bool is_held_out(const adp_job *job, int64_t image)
{
    eq_rng rng = eq_rng_make(job->training->seed, (uint64_t)image, 0x7E57u);
    return eq_rng_uniform(&rng) < job->training->held_out;
}

static eq_status check_training(eq_context *ctx, const eq_adp_training *o, const eq_attribute *attribute,
                                const int *labels, int64_t images)
{
    if (o->epochs < 1 || o->epochs > 100000 || o->batch < 1 || o->batch > 65536)
        return eq_fail(ctx, EQ_BAD_USAGE, "epochs must be 1 to 100000 and the batch 1 to 65536, not %d and %d",
                       o->epochs, o->batch);
    if (!(o->learning_rate > 0) || !(o->weight_decay >= 0) || !(o->held_out > 0 && o->held_out <= 0.9))
        return eq_fail(ctx, EQ_BAD_USAGE,
                       "the learning rate must be above 0, the weight decay 0 or more, the held-out share above 0 and "
                       "at most 0.9; not %g, %g, %g",
                       o->learning_rate, o->weight_decay, o->held_out);
    if (o->hidden < 0 || o->hidden > 65536)
        return eq_fail(ctx, EQ_BAD_USAGE, "hidden units must be 0 (a linear head) to 65536, not %d", o->hidden);
    for (int64_t i = 0; i < images; i++)
        if (labels[i] >= attribute->classes)
            return eq_fail(ctx, EQ_BAD_USAGE, "image %lld has class %d; \"%s\" has %d", (long long)i, labels[i],
                           attribute->name, attribute->classes);
    return EQ_OK;
}

static eq_status split_images(adp_job *job)
{
    int64_t n = job->store->images;
    int classes = job->adp->attribute.classes;
    job->train = malloc((size_t)n * sizeof *job->train);
    job->test = malloc((size_t)n * sizeof *job->test);
    job->by_class = malloc((size_t)n * sizeof *job->by_class);
    if (!job->train || !job->test || !job->by_class)
        return eq_fail_memory(job->ctx, "the training split");
    for (int64_t i = 0; i < n; i++) {
        if (job->labels[i] < 0)
            continue;
        if (is_held_out(job, i))
            job->test[job->test_count++] = i;
        else
            job->train[job->train_count++] = i;
    }
    int64_t next = 0;
    for (int k = 0; k < classes; k++) {
        job->class_start[k] = next;
        for (int64_t i = 0; i < job->train_count; i++)
            if (job->labels[job->train[i]] == k)
                job->by_class[next++] = job->train[i];
        if (next - job->class_start[k] < 2)
            return eq_fail(
                job->ctx, EQ_BAD_INPUT,
                "attribute \"%s\": class \"%s\" has %lld training images, at least 2 are needed (1,000 are good)",
                job->adp->attribute.name, job->adp->attribute.class_names[k], (long long)(next - job->class_start[k]));
    }
    job->class_start[classes] = next;
    return EQ_OK;
}

static const uint16_t *h_of(const adp_job *job, int t, int64_t image)
{
    return job->store->h + ((int64_t)t * job->store->images + image) * job->store->h_count;
}

/* Counts what was read of the store, and lets go of it in time: stores are larger than the memory. */
static void note_read(adp_job *job, int64_t rows)
{
    job->bytes_read += (size_t)(rows * job->store->h_count) * sizeof *job->store->h;
    if (job->bytes_read < EQ_H_STORE_RESIDENT)
        return;
    eq_h_store_release(job->store);
    job->bytes_read = 0;
}

/* Adds columns [from, from + count) of the training images first..end - 1 to the sums. */
static void add_columns(adp_job *job, int t, int64_t first, int64_t end, int64_t from, int64_t count)
{
    float value[COLUMNS];
    double *sum = job->sum + from, *square = job->square + from;
    for (int64_t i = first; i < end; i++) {
        int64_t image = job->train[i];
        double *class_sum = job->class_sum + job->labels[image] * job->store->h_count + from;
        eq_f16_row_to_f32(h_of(job, t, image) + from, (size_t)count, value);
        for (int64_t k = 0; k < count; k++) {
            double v = value[k];
            sum[k] += v;
            square[k] += v * v;
            class_sum[k] += v;
        }
    }
}

/* One pass over the training images, in their order, some rows at a time. */
static void sum_images(adp_job *job, int t)
{
    int64_t count = job->store->h_count, rows = ROWS;
    memset(job->sum, 0, (size_t)count * sizeof *job->sum);
    memset(job->square, 0, (size_t)count * sizeof *job->square);
    memset(job->class_sum, 0, (size_t)(job->adp->attribute.classes * count) * sizeof *job->class_sum);
    for (int64_t first = 0; first < job->train_count; first += rows) {
        int64_t end = first + rows < job->train_count ? first + rows : job->train_count;
#pragma omp parallel for schedule(static)
        for (int64_t k = 0; k < count; k += COLUMNS)
            add_columns(job, t, first, end, k, count - k < COLUMNS ? count - k : COLUMNS);
        note_read(job, end - first);
    }
}

/* Mean and spread of every number of h over the training images. */
static void standardise(adp_job *job)
{
#pragma omp parallel for schedule(static)
    for (int64_t k = 0; k < job->store->h_count; k++) {
        double mean = job->sum[k] / (double)job->train_count;
        double variance = job->square[k] / (double)job->train_count - mean * mean;
        job->mean[k] = (float)mean;
        job->inverse_std[k] = (float)(1.0 / sqrt(variance > 1e-8 ? variance : 1e-8));
    }
}

/* Where each class lies from the middle of all classes, however many images each has. */
static void find_directions(adp_job *job, int t)
{
    int64_t count = job->store->h_count;
    int classes = job->adp->attribute.classes;
    float *direction = job->adp->direction + (int64_t)t * classes * count;
#pragma omp parallel for schedule(static)
    for (int64_t k = 0; k < count; k++) {
        double middle = 0;
        for (int c = 0; c < classes; c++) {
            double mean = job->class_sum[c * count + k] / (double)(job->class_start[c + 1] - job->class_start[c]);
            direction[c * count + k] = (float)mean;
            middle += mean / classes;
        }
        for (int c = 0; c < classes; c++)
            direction[c * count + k] -= (float)middle;
    }
}

/* x: [h_count] standardised */
static void load_row(const adp_job *job, int t, int64_t image, float *x)
{
    eq_f16_row_to_f32(h_of(job, t, image), (size_t)job->store->h_count, x);
    for (int64_t k = 0; k < job->store->h_count; k++)
        x[k] = (x[k] - job->mean[k]) * job->inverse_std[k];
}

/* x [n, h_count] -> logits [n, classes] */
static eq_value head_network(const eq_builder *b, eq_value x, int hidden, int classes)
{
    if (hidden == 0)
        return eq_layer_linear(b, x, classes, true, EQ_INIT_ZEROS, EQ_NONE, "first");
    x = eq_layer_linear(b, x, hidden, true, EQ_INIT_UNIFORM, EQ_NONE, "first");
    return eq_layer_linear(b, eq_activate(b->graph, x, EQ_ACT_RELU), classes, true, EQ_INIT_UNIFORM, EQ_NONE, "second");
}

static eq_status declare_head(adp_job *job)
{
    job->params = eq_params_new(job->ctx);
    eq_graph *graph = eq_graph_new(job->ctx, EQ_F32);
    if (!job->params || !graph) {
        eq_graph_free(graph);
        return eq_fail_memory(job->ctx, "a head");
    }
    job->params->declaring = true;
    eq_value x = eq_graph_input(graph, "x", EQ_F32, eq_shape_of(1, job->store->h_count));
    head_network(&(eq_builder){graph, job->params}, x, job->adp->hidden, job->adp->attribute.classes);
    job->params->declaring = false;
    job->params->trainable = true;
    eq_status status = eq_graph_status(graph);
    eq_graph_free(graph);
    return status == EQ_OK ? eq_params_allocate(job->params) : status;
}

/* The image of a visit: classes in turn, or all images alike. */
static int64_t pick(const adp_job *job, int64_t visit)
{
    int classes = job->adp->attribute.classes;
    eq_rng rng = eq_rng_make(job->training->seed, (uint64_t)visit, 0xB47Cu);
    if (!job->training->balance)
        return job->train[eq_rng_below(&rng, (uint32_t)job->train_count)];
    int k = (int)(visit % classes);
    int64_t size = job->class_start[k + 1] - job->class_start[k];
    return job->by_class[job->class_start[k] + eq_rng_below(&rng, (uint32_t)size)];
}

static eq_status run_updates(adp_job *job, int t, eq_trainer *trainer, float *x, int32_t *labels, int64_t updates)
{
    int batch = job->training->batch;
    for (int64_t u = 0; u < updates; u++) {
        if (eq_cancelled(job->ctx))
            return eq_fail(job->ctx, EQ_CANCELLED, "cancelled");
#pragma omp parallel for schedule(static)
        for (int i = 0; i < batch; i++) {
            int64_t image = pick(job, u * batch + i);
            load_row(job, t, image, x + i * job->store->h_count);
            labels[i] = job->labels[image];
        }
        note_read(job, batch);
        double loss, norm;
        EQ_TRY(eq_trainer_step(trainer, &loss, &norm));
    }
    return EQ_OK;
}

static eq_status fit_head(adp_job *job, int t)
{
    const eq_adp_training *o = job->training;
    int64_t updates = (job->train_count * o->epochs + o->batch - 1) / o->batch;
    eq_graph *graph = eq_graph_new(job->ctx, EQ_F32);
    if (!graph)
        return eq_fail_memory(job->ctx, "a graph");
    eq_params_initialise(job->params, o->seed);
    eq_value x = eq_graph_input(graph, "x", EQ_F32, eq_shape_of(o->batch, job->store->h_count));
    eq_value labels = eq_graph_input(graph, "labels", EQ_I32, eq_shape_of(o->batch));
    eq_value logits = head_network(&(eq_builder){graph, job->params}, x, job->adp->hidden, job->adp->attribute.classes);
    eq_value loss = eq_cross_entropy(graph, logits, labels);
    eq_optimiser_options options = eq_optimiser_defaults();
    options.learning_rate = o->learning_rate;
    options.weight_decay = o->weight_decay;
    options.total_steps = updates;
    options.warmup_steps = updates / 20;
    options.ema_decay = 0.95;
    eq_trainer trainer;
    EQ_TRY(eq_trainer_open(job->ctx, job->params, graph, loss, &options, &trainer));
    eq_status status = run_updates(job, t, &trainer, eq_program_data(trainer.program, x),
                                   eq_program_data(trainer.program, labels), updates);
    if (status == EQ_OK)
        eq_trainer_swap_average(&trainer);
    eq_trainer_close(&trainer);
    return status;
}

/* Folds the standardisation into head t: W (h - mean) / std + b = (W / std) h + (b - W mean / std). */
static void store_head(adp_job *job, int t)
{
    eq_adp *adp = job->adp;
    const eq_param *p = job->params->items;
    int outputs = adp->hidden > 0 ? adp->hidden : adp->attribute.classes;
    const float *weight = p[0].tensor.data, *bias = p[1].tensor.data;
    float *to = adp->weight + (int64_t)t * outputs * adp->h_count;
    for (int k = 0; k < outputs; k++) {
        double offset = bias[k];
        for (int64_t j = 0; j < adp->h_count; j++) {
            float scaled = weight[k * adp->h_count + j] * job->inverse_std[j];
            to[k * adp->h_count + j] = scaled;
            offset -= (double)scaled * job->mean[j];
        }
        adp->bias[t * outputs + k] = (float)offset;
    }
    if (adp->hidden > 0) {
        int64_t count = (int64_t)adp->attribute.classes * adp->hidden;
        memcpy(adp->weight2 + t * count, p[2].tensor.data, (size_t)count * sizeof(float));
        memcpy(adp->bias2 + t * adp->attribute.classes, p[3].tensor.data,
               (size_t)adp->attribute.classes * sizeof(float));
    }
}

/* Mean over classes of the held-out cross-entropy of softmax(logits / temperature). */
static double balanced_loss(const adp_job *job, const float *logits, double temperature)
{
    int classes = job->adp->attribute.classes, seen = 0;
    double sum[EQ_ADP_CLASSES] = {0}, mean = 0;
    int64_t total[EQ_ADP_CLASSES] = {0};
    for (int64_t i = 0; i < job->test_count; i++) {
        const float *z = logits + i * classes;
        int truth = job->labels[job->test[i]];
        double normaliser = 0;
        for (int k = 0; k < classes; k++)
            normaliser += exp((z[k] - z[truth]) / temperature);
        sum[truth] += log(normaliser);
        total[truth]++;
    }
    for (int k = 0; k < classes; k++)
        if (total[k] > 0) {
            mean += sum[k] / (double)total[k];
            seen++;
        }
    return seen ? mean / seen : 0;
}

/* Temperature scaling (Guo et al., ICML 2017): heads see few images and many numbers, and are too sure of themselves.
 * The temperature that is best on held-out images goes into the last layer, so that tau = 1 means calibrated. */
static void calibrate_head(adp_job *job, int t, const float *logits)
{
    double best = 1, lowest = INFINITY;
    for (int i = -20; i <= 40; i++) {
        double temperature = exp2(i / 8.0), loss = balanced_loss(job, logits, temperature);
        if (loss < lowest) {
            lowest = loss;
            best = temperature;
        }
    }
    eq_head_adjust(job->adp, t, best, NULL);
}

static eq_status measure_head(adp_job *job, int t)
{
    if (job->test_count == 0) {
        job->adp->accuracy[t] = NAN;
        return EQ_OK;
    }
    float *logits = malloc((size_t)job->test_count * (size_t)job->adp->attribute.classes * sizeof *logits);
    eq_status status = logits ? eq_head_logits(job->ctx, job->adp, t, job->store, t, job->test, job->test_count, logits)
                              : eq_fail_memory(job->ctx, "a head");
    job->bytes_read = 0; /* it let go of the store */
    if (status == EQ_OK) {
        job->adp->accuracy[t] =
            eq_head_accuracy(logits, job->labels, job->test, job->test_count, job->adp->attribute.classes, 1, NULL);
        calibrate_head(job, t, logits);
    }
    free(logits);
    return status;
}

static eq_status train_heads(adp_job *job, eq_adp_progress_fn progress, void *user)
{
    EQ_TRY(split_images(job));
    EQ_TRY(declare_head(job));
    for (int t = 0; t < job->store->timesteps; t++) {
        sum_images(job, t);
        standardise(job);
        find_directions(job, t);
        EQ_TRY(fit_head(job, t));
        store_head(job, t);
        EQ_TRY(measure_head(job, t));
        if (progress)
            progress(user, t + 1, job->store->timesteps);
    }
    return EQ_OK;
}

/* Heads are kept by ascending timestep; stores hold them in the order of sampling or of inversion. */
static void reverse_rows(float *rows, int count, int64_t size)
{
    for (int i = 0; rows && i < count / 2; i++)
        for (int64_t k = 0; k < size; k++) {
            float kept = rows[i * size + k];
            rows[i * size + k] = rows[(count - 1 - i) * size + k];
            rows[(count - 1 - i) * size + k] = kept;
        }
}

static void sort_heads(eq_adp *adp, const int64_t *timesteps)
{
    int n = adp->heads, classes = adp->attribute.classes, outputs = adp->hidden > 0 ? adp->hidden : classes;
    bool descending = n > 1 && timesteps[0] > timesteps[1];
    for (int i = 0; i < n; i++)
        adp->timesteps[i] = timesteps[descending ? n - 1 - i : i];
    if (!descending)
        return;
    reverse_rows(adp->weight, n, (int64_t)outputs * adp->h_count);
    reverse_rows(adp->bias, n, outputs);
    reverse_rows(adp->weight2, n, (int64_t)classes * outputs);
    reverse_rows(adp->bias2, n, classes);
    reverse_rows(adp->accuracy, n, 1);
    reverse_rows(adp->direction, n, (int64_t)classes * adp->h_count);
}

eq_status eq_adp_train(eq_context *ctx, const eq_adp_training *training, const eq_h_store *store,
                       const eq_attribute *attribute, const int *labels, eq_adp_progress_fn progress, void *user,
                       eq_adp *out)
{
    *out = (eq_adp){0};
    EQ_TRY(check_training(ctx, training, attribute, labels, store->images));
    EQ_TRY(eq_adp_new(ctx, attribute, store->timesteps, store->h_shape, training->hidden, out));
    adp_job job = {.ctx = ctx, .training = training, .store = store, .labels = labels, .adp = out};
    size_t count = (size_t)store->h_count;
    job.sum = malloc(count * sizeof *job.sum);
    job.square = malloc(count * sizeof *job.square);
    job.class_sum = malloc((size_t)attribute->classes * count * sizeof *job.class_sum);
    job.mean = malloc(count * sizeof *job.mean);
    job.inverse_std = malloc(count * sizeof *job.inverse_std);
    out->accuracy = calloc((size_t)store->timesteps, sizeof *out->accuracy);
    out->direction = calloc((size_t)(store->timesteps * attribute->classes * store->h_count), sizeof *out->direction);
    eq_status status = EQ_OK;
    if (!job.sum || !job.square || !job.class_sum || !job.mean || !job.inverse_std || !out->accuracy || !out->direction)
        status = eq_fail_memory(ctx, "heads");
    if (status == EQ_OK)
        status = train_heads(&job, progress, user);
    free(job.train);
    free(job.test);
    free(job.by_class);
    free(job.sum);
    free(job.square);
    free(job.class_sum);
    free(job.mean);
    free(job.inverse_std);
    eq_params_free(job.params);
    if (status != EQ_OK) {
        eq_adp_free(out);
        return status;
    }
    sort_heads(out, store->timestep);
    eq_class_directions_clean(out);
    out->temperature = 1; /* calibrated */
    snprintf(out->model_hash, sizeof out->model_hash, "%s", store->model_hash);
    return EQ_OK;
}
