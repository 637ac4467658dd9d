#include "train/vae_run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diffusion/model.h"
#include "io/sheet.h"
#include "ops/ops.h"

enum { SHEET_PAIRS = 18, SHEET_COLUMNS = 6, HELD_OUT = 256, GRADE_BATCH = 8 };

typedef struct run_state {
    eq_context *ctx;
    const eq_vae_run *run;
    eq_dataset data;
    eq_vae_trainer trainer;
    eq_vae_quality *quality;
    float *original; /* [size, size, 3] for grading */
    char settings[512];
} run_state;

/* At least one image is learnt from. */
static int64_t held_out(const eq_dataset *data)
{
    int64_t tenth = data->count / 10;
    return tenth > HELD_OUT ? HELD_OUT : tenth > 0 ? tenth : data->count > 1;
}

static void describe_settings(run_state *s)
{
    const eq_vae_training *t = &s->run->training;
    const eq_optimiser_options *o = &t->optimiser;
    char channels[96] = "";
    size_t used = 0;
    for (int i = 0; i < t->vae.levels; i++)
        used += (size_t)snprintf(channels + used, sizeof channels - used, "%s%d", i ? "," : "",
                                 t->vae.block_out_channels[i]);
    snprintf(s->settings, sizeof s->settings,
             "autoencoder, images %lld, size %d, channels %s, latent-channels %d, layers %d, groups %d, batch %d, "
             "steps %lld, learning-rate %g, warmup %lld, ema %g, clip %g, weight-decay %g, loss %d, edges %g, kl %g, "
             "flip %d, seed %llu, dtype %s, %s start",
             (long long)s->data.count, t->size, channels, t->vae.latent_channels, t->vae.layers_per_block,
             t->vae.norm_num_groups, t->batch, (long long)o->total_steps, o->learning_rate, (long long)o->warmup_steps,
             o->ema_decay, o->clip_norm, o->weight_decay, t->loss, t->edge_weight, t->kl_weight, t->flip,
             (unsigned long long)t->seed, eq_dtype_name(t->dtype), t->initial ? "given" : "fresh");
}

/* --- grading --- */

/* Passes images through with the parameters as they are, by the means of their latents. It does not ask whether the run
 * is cancelled: what is left behind then is to be graded, too. */
typedef struct grader {
    eq_program *program;
    eq_value image, moments, result; /* [GRADE_BATCH, ...] */
    size_t pixels, numbers;          /* of an image [size, size, 3], of a latent [side, side, latent_channels] */
} grader;

static eq_status open_grader(run_state *s, grader *g)
{
    const eq_vae_training *t = &s->run->training;
    int side = t->size / eq_vae_scale(&t->vae);
    *g = (grader){.pixels = (size_t)t->size * (size_t)t->size * 3,
                  .numbers = (size_t)side * (size_t)side * (size_t)t->vae.latent_channels};
    eq_graph *graph = eq_graph_new(s->ctx, EQ_F32);
    if (!graph)
        return eq_fail_memory(s->ctx, "a graph");
    eq_params params = *s->trainer.params;
    params.trainable = false;
    eq_builder b = {graph, &params};
    g->image = eq_graph_input(graph, "image", EQ_F32, eq_shape_of(GRADE_BATCH, t->size, t->size, 3));
    g->moments = eq_vae_encode(&b, &t->vae, g->image);
    eq_value mean = eq_slice(graph, g->moments, 3, 0, t->vae.latent_channels);
    g->result = eq_vae_decode_fine(&b, &t->vae, eq_vae_decode_coarse(&b, &t->vae, mean, 1), 1, NULL);
    eq_graph_output(graph, g->moments, "moments");
    eq_graph_output(graph, g->result, "result");
    return eq_program_compile(graph, &(eq_program_options){.frozen_params = true}, &g->program);
}

/* An index that may lie beyond either end of the data, for sets smaller than what is shown. */
static int64_t around(const run_state *s, int64_t index)
{
    int64_t count = s->data.count;
    return (index % count + count) % count;
}

/* Images first, first + step, ... of the data. */
static eq_status pass_through(run_state *s, grader *g, int64_t first, int64_t step)
{
    float *image = eq_program_data(g->program, g->image);
    for (int64_t i = 0; i < GRADE_BATCH; i++)
        eq_dataset_image(&s->data, around(s, first + i * step), false, image + (size_t)i * g->pixels);
    return eq_program_run(g->program);
}

/* Of 8-bit images. original, result: [pixels] in [-1, 1] */
static double psnr_of(const float *original, const float *result, size_t pixels)
{
    double sum = 0;
    for (size_t i = 0; i < pixels; i++) {
        double found = fmin(fmax(result[i], -1), 1);
        double difference = (rint((found + 1) * 127.5) - rint((original[i] + 1) * 127.5)) / 255;
        sum += difference * difference;
    }
    return -10 * log10(fmax(sum / (double)pixels, 1e-10));
}

typedef struct sums {
    double psnr, latent, squares;
} sums;

/* Adds image `index` of the data, number i of the grader's batch. */
static void add_image(run_state *s, const grader *g, int64_t index, int i, sums *sum)
{
    int64_t channels = s->run->training.vae.latent_channels;
    const float *result = (const float *)eq_program_data(g->program, g->result) + (size_t)i * g->pixels;
    const float *moments = (const float *)eq_program_data(g->program, g->moments) + 2 * (size_t)i * g->numbers;
    eq_dataset_image(&s->data, index, false, s->original);
    sum->psnr += psnr_of(s->original, result, g->pixels);
    for (int64_t k = 0; k < 2 * (int64_t)g->numbers; k++) {
        double mean = k / channels % 2 == 0 ? moments[k] : 0;
        sum->latent += mean;
        sum->squares += mean * mean;
    }
}

static eq_status grade(run_state *s)
{
    grader g;
    sums sum = {0};
    int64_t kept = held_out(&s->data), count = kept ? kept : 1, first = s->data.count - count;
    eq_status status = open_grader(s, &g);
    for (int64_t i = 0; status == EQ_OK && i < count; i += GRADE_BATCH) {
        status = pass_through(s, &g, first + i, 1);
        for (int k = 0; k < GRADE_BATCH && i + k < count; k++)
            add_image(s, &g, first + i + k, k, &sum);
    }
    double numbers = (double)count * (double)g.numbers, mean = sum.latent / numbers;
    *s->quality = (eq_vae_quality){.images = kept,
                                   .psnr = sum.psnr / (double)count,
                                   .latent_std = sqrt(fmax(sum.squares / numbers - mean * mean, 1e-12))};
    eq_program_free(g.program);
    return status;
}

/* --- the loop's parts --- */

static eq_status step(void *user, double *loss, double *norm)
{
    run_state *s = user;
    return eq_vae_trainer_step(&s->trainer, loss, norm);
}

static eq_status save(void *user)
{
    run_state *s = user;
    const eq_vae_run *run = s->run;
    eq_vae_config config = run->training.vae;
    EQ_TRY(grade(s));
    config.scaling_factor = (float)(1 / s->quality->latent_std);
    return eq_vae_save(s->ctx, run->course.out, &config, s->trainer.params, run->training.size, run->save_dtype);
}

/* Images beside what becomes of them, from the last on: those that are not learnt from, as far as there are enough. */
static eq_status sheet(void *user, const char *path)
{
    run_state *s = user;
    grader g;
    eq_status status = open_grader(s, &g);
    float *images = malloc(2 * SHEET_PAIRS * g.pixels * sizeof *images);
    if (status == EQ_OK && !images)
        status = eq_fail_memory(s->ctx, "a sheet");
    for (int64_t i = 0; status == EQ_OK && i < SHEET_PAIRS; i++) {
        int64_t place = i % GRADE_BATCH;
        if (place == 0)
            status = pass_through(s, &g, s->data.count - 1 - i, -1);
        const float *result = eq_program_data(g.program, g.result);
        eq_dataset_image(&s->data, around(s, s->data.count - 1 - i), false, images + (size_t)(2 * i) * g.pixels);
        memcpy(images + (size_t)(2 * i + 1) * g.pixels, result + (size_t)place * g.pixels, g.pixels * sizeof *images);
    }
    if (status == EQ_OK)
        status = eq_sheet_write(s->ctx, images, 2 * SHEET_PAIRS, s->run->training.size, SHEET_COLUMNS, path);
    eq_program_free(g.program);
    free(images);
    return status;
}

static eq_status run_all(run_state *s, bool *finished)
{
    const eq_vae_run *run = s->run;
    EQ_TRY(eq_vae_check(s->ctx, &run->training.vae, "the network's configuration"));
    EQ_TRY(eq_dataset_open(s->ctx, run->images, run->training.size, run->strict, &s->data));
    if (s->data.skipped)
        eq_log(s->ctx, EQ_LOG_WARNING, "%lld unreadable files skipped", (long long)s->data.skipped);
    describe_settings(s);
    s->original = malloc((size_t)run->training.size * (size_t)run->training.size * 3 * sizeof *s->original);
    if (!s->original)
        return eq_fail_memory(s->ctx, "an image");
    EQ_TRY(eq_vae_trainer_open(s->ctx, &run->training, &s->data, s->data.count - held_out(&s->data), &s->trainer));
    eq_training_loop loop = {.course = &run->course,
                             .trainer = &s->trainer.core,
                             .settings = s->settings,
                             .batch = run->training.batch,
                             .user = s,
                             .step = step,
                             .save = save,
                             .sheet = sheet};
    return eq_training_loop_run(s->ctx, &loop, finished);
}

eq_status eq_vae_run_train(eq_context *ctx, const eq_vae_run *run, bool *finished, eq_vae_quality *quality)
{
    run_state s = {.ctx = ctx, .run = run, .quality = quality};
    *finished = false;
    *quality = (eq_vae_quality){0};
    eq_status status = run_all(&s, finished);
    eq_vae_trainer_close(&s.trainer);
    eq_dataset_close(&s.data);
    free(s.original);
    return status;
}
