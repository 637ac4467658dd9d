#include "train/decoder_directions.h"

#include <math.h>
#include <stdlib.h>

#include "base/attribute.h"
#include "base/rng.h"
#include "diffusion/forward.h"
#include "diffusion/prediction.h"
#include "kernels/program.h"
#include "ops/autodiff.h"
#include "ops/ops.h"
#include "train/class_directions.h"

/* The network, the classifier on the x_0 that it predicts, and the gradient at h. */
typedef struct finder {
    eq_context *ctx;
    const eq_decoder_directions *job;
    int attribute_count, rows; /* rows: classes of all attributes */
    int64_t count;             /* numbers of h */
    eq_program *program;
    eq_unet unet;
    eq_value x0_x, x0_m;                           /* inputs [n, 1, 1, 1] f32: the maps to x_0 (eq_prediction) */
    eq_value labels[EQ_CLASSIFIER_MAX_ATTRIBUTES]; /* inputs [n] i32 */
    eq_value gradient;                             /* [n, h', w', c] f32 of the cross-entropy */
    double *rows_sum, *own, *work;                 /* [rows, count] */
} finder;

/* prediction [n, h, w, out_channels] and sample [n, h, w, c] -> predicted x_0 [n, h, w, c] */
static eq_value predicted_x0(finder *f, eq_graph *g, int64_t n)
{
    int channels = f->job->model->unet.in_channels;
    eq_value output = f->unet.prediction;
    if (f->job->model->unet.out_channels > channels)
        output = eq_slice(g, output, 3, 0, channels);
    f->x0_x = eq_graph_input(g, "x0_x", EQ_F32, eq_shape_of(n, 1, 1, 1));
    f->x0_m = eq_graph_input(g, "x0_m", EQ_F32, eq_shape_of(n, 1, 1, 1));
    return eq_add(g, eq_multiply(g, f->unet.sample, f->x0_x), eq_multiply(g, output, f->x0_m));
}

static void describe(finder *f, eq_graph *g)
{
    const eq_decoder_directions *job = f->job;
    const eq_unet_config *config = &job->model->unet;
    const eq_classifier_config *classes = &job->classifier->config;
    int64_t n = job->batch;
    eq_classifier_values classified;
    eq_unet_build(&(eq_builder){g, job->model->params}, config, n, config->sample_size, config->sample_size, &f->unet);
    eq_classifier_apply(&(eq_builder){g, job->classifier->params}, classes, predicted_x0(f, g, n), &classified);
    eq_value loss = EQ_NONE;
    for (int a = 0; a < classes->attribute_count; a++) {
        f->labels[a] = eq_graph_input(g, eq_prefix_format("labels.%d", a).text, EQ_I32, eq_shape_of(n));
        eq_value one = eq_cross_entropy(g, classified.logits[a], f->labels[a]);
        loss = a ? eq_add(g, loss, one) : one;
    }
    eq_graph_backward(g, loss, 1, &f->unet.h, &f->gradient);
    f->gradient = eq_cast(g, f->gradient, EQ_F32);
    eq_graph_output(g, f->gradient, "gradient");
}

static eq_status compile(finder *f)
{
    eq_graph *graph = eq_graph_new(f->ctx, f->job->dtype);
    if (!graph)
        return eq_fail_memory(f->ctx, "a graph");
    describe(f, graph);
    return eq_program_compile(graph, &(eq_program_options){.frozen_params = true}, &f->program);
}

/* The inputs for images first, first + 1, ... at timestep t, towards a class of an attribute. To be filled for every
 * run, which uses their memory for other things when it has read them. */
static void fill_inputs(finder *f, int64_t first, int64_t t, int attribute, int class)
{
    const eq_decoder_directions *job = f->job;
    size_t count = (size_t)job->model->unet.sample_size * (size_t)job->model->unet.sample_size * 3;
    double alpha = job->model->schedule.alphas_cumprod[t];
    eq_prediction map = eq_prediction_at(&job->model->schedule, alpha);
    float *sample = eq_program_data(f->program, f->unet.sample);
    for (int64_t i = 0; i < job->batch; i++) {
        float *x = sample + (size_t)i * count;
        eq_rng rng = eq_rng_make(job->seed, (uint64_t)(first + i), (uint32_t)t);
        eq_rng_normals(&rng, x, count);
        eq_add_noise(alpha, count, job->images + (size_t)(first + i) * count, x, x);
        ((float *)eq_program_data(f->program, f->unet.timestep))[i] = (float)t;
        ((float *)eq_program_data(f->program, f->x0_x))[i] = (float)map.x0_x;
        ((float *)eq_program_data(f->program, f->x0_m))[i] = (float)map.x0_m;
        for (int a = 0; a < f->attribute_count; a++)
            ((int32_t *)eq_program_data(f->program, f->labels[a]))[i] = a == attribute ? class : -1;
    }
}

/* Adds the ascent of the log-probability that fill_inputs asked for, the mean over the batch, to a row. */
static eq_status add_ascent(finder *f, double *row)
{
    EQ_TRY(eq_program_run(f->program));
    const float *gradient = eq_program_data(f->program, f->gradient);
    for (int64_t i = 0; i < f->job->batch; i++)
        for (int64_t k = 0; k < f->count; k++)
            row[k] -= gradient[i * f->count + k];
    return EQ_OK;
}

/* All rows at timestep t, each attribute's less their mean. */
static eq_status find_rows(finder *f, int64_t t)
{
    const eq_decoder_directions *job = f->job;
    memset(f->rows_sum, 0, (size_t)f->rows * (size_t)f->count * sizeof *f->rows_sum);
    for (int64_t first = 0; first + job->batch <= job->count; first += job->batch) {
        double *row = f->rows_sum;
        for (int a = 0; a < f->attribute_count; a++)
            for (int c = 0; c < job->classifier->config.attributes[a].classes; c++, row += f->count) {
                fill_inputs(f, first, t, a, c);
                EQ_TRY(add_ascent(f, row));
            }
    }
    double *rows = f->rows_sum;
    for (int a = 0; a < f->attribute_count; a++) {
        int classes = job->classifier->config.attributes[a].classes;
        for (int64_t k = 0; k < f->count; k++) {
            double mean = 0;
            for (int c = 0; c < classes; c++)
                mean += rows[c * f->count + k] / classes;
            for (int c = 0; c < classes; c++)
                rows[c * f->count + k] -= mean;
        }
        rows += classes * f->count;
    }
    return EQ_OK;
}

static double dot(const double *a, const double *b, int64_t count)
{
    double sum = 0;
    for (int64_t k = 0; k < count; k++)
        sum += a[k] * b[k];
    return sum;
}

/* Takes from x what lies along the orthonormal rows of basis. */
static void project_out(const double *basis, int rows, int64_t count, double *x)
{
    for (int r = 0; r < rows; r++) {
        double along = dot(basis + r * count, x, count);
        for (int64_t k = 0; k < count; k++)
            x[k] -= along * basis[r * count + k];
    }
}

void eq_remove_other_rows(const double *gradients, int rows, int first, int n, int64_t count, double *own, double *work)
{
    int basis = 0;
    for (int r = 0; r < rows; r++) {
        if (r >= first && r < first + n)
            continue;
        double *x = work + basis * count, before = sqrt(dot(gradients + r * count, gradients + r * count, count));
        memcpy(x, gradients + r * count, (size_t)count * sizeof *x);
        project_out(work, basis, count, x);
        project_out(work, basis, count, x); /* again: what rounding left */
        double norm = sqrt(dot(x, x, count));
        if (norm <= 1e-6 * before || norm == 0)
            continue; /* within the span already */
        for (int64_t k = 0; k < count; k++)
            x[k] /= norm;
        basis++;
    }
    for (int r = 0; r < n; r++) {
        memcpy(own + r * count, gradients + (first + r) * count, (size_t)count * sizeof *own);
        project_out(work, basis, count, own + r * count);
    }
}

/* Writes directions of an attribute's head, of the length that they have now. own: [classes, h_count] */
static void store(eq_adp *adp, int head, const double *own)
{
    int64_t count = (int64_t)adp->attribute.classes * adp->h_count;
    float *direction = adp->direction + head * count;
    double length = 0, norm = sqrt(dot(own, own, count));
    for (int64_t k = 0; k < count; k++)
        length += (double)direction[k] * direction[k];
    for (int64_t k = 0; k < count && norm > 0; k++)
        direction[k] = (float)(own[k] * sqrt(length) / norm);
}

static eq_status find_head(finder *f, eq_adp *adps, int adp_count, int head)
{
    const eq_classifier_config *config = &f->job->classifier->config;
    EQ_TRY(find_rows(f, adps[0].timesteps[head]));
    for (int i = 0; i < adp_count; i++) {
        int first = 0, a = 0;
        for (; strcmp(config->attributes[a].name, adps[i].attribute.name) != 0; a++)
            first += config->attributes[a].classes;
        eq_remove_other_rows(f->rows_sum, f->rows, first, config->attributes[a].classes, f->count, f->own, f->work);
        store(&adps[i], head, f->own);
    }
    return EQ_OK;
}

static eq_status check_fit(eq_context *ctx, const eq_decoder_directions *job, const eq_adp *adps, int adp_count)
{
    const eq_classifier_config *config = &job->classifier->config;
    if (job->model->latent || eq_model_prompted(job->model))
        return eq_fail(ctx, EQ_BAD_USAGE,
                       "directions through the decoder need a model of pixels without prompts; "
                       "--directions means works for all");
    if (config->size != job->model->unet.sample_size)
        return eq_fail(ctx, EQ_BAD_USAGE,
                       "directions through the decoder need a classifier of the model's %d pixels a side, not of %d",
                       job->model->unet.sample_size, config->size);
    if (job->count < job->batch)
        return eq_fail(ctx, EQ_BAD_USAGE, "directions through the decoder need %lld images or more, not %lld",
                       (long long)job->batch, (long long)job->count);
    for (int i = 0; i < adp_count; i++) {
        int found = eq_attribute_find(config->attributes, config->attribute_count, adps[i].attribute.name);
        if (found < 0 || config->attributes[found].classes != adps[i].attribute.classes)
            return eq_fail(ctx, EQ_BAD_USAGE, "the classifier does not tell \"%s\" into the predictors' classes",
                           adps[i].attribute.name);
    }
    return EQ_OK;
}

eq_status eq_decoder_directions_find(eq_context *ctx, const eq_decoder_directions *job, eq_adp *adps, int adp_count)
{
    EQ_TRY(check_fit(ctx, job, adps, adp_count));
    finder f = {.ctx = ctx, .job = job, .count = adps[0].h_count};
    f.attribute_count = job->classifier->config.attribute_count;
    for (int a = 0; a < f.attribute_count; a++)
        f.rows += job->classifier->config.attributes[a].classes;
    size_t size = (size_t)f.rows * (size_t)f.count;
    f.rows_sum = malloc(size * sizeof *f.rows_sum);
    f.own = malloc(size * sizeof *f.own);
    f.work = malloc(size * sizeof *f.work);
    eq_status status = f.rows_sum && f.own && f.work ? compile(&f) : eq_fail_memory(ctx, "directions");
    for (int head = 0; status == EQ_OK && head < adps[0].heads; head++) {
        status = find_head(&f, adps, adp_count, head);
        if (status == EQ_OK && job->progress)
            job->progress(job->user, head + 1, adps[0].heads);
    }
    for (int i = 0; status == EQ_OK && i < adp_count; i++)
        eq_class_directions_clean(&adps[i]);
    eq_program_free(f.program);
    free(f.rows_sum);
    free(f.own);
    free(f.work);
    return status;
}
