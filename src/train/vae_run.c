#include "train/vae_run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "diffusion/latent.h"
#include "diffusion/model.h"
#include "io/sheet.h"

enum { SHEET_PAIRS = 18, SHEET_COLUMNS = 6, HELD_OUT = 256 };

typedef struct run_state {
    eq_context *ctx;
    const eq_vae_run *run;
    eq_dataset data;
    eq_vae_trainer trainer;
    eq_vae_quality *quality;
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

/* Encodes and decodes with the parameters as they are. */
typedef struct grader {
    eq_latent_codec *codec;
    float *image, *latent, *result; /* of one image */
    size_t pixels, numbers;         /* [size, size, 3]; [side, side, latent_channels] */
} grader;

static eq_status open_grader(run_state *s, grader *g)
{
    const eq_vae_training *t = &s->run->training;
    eq_vae_config config = t->vae;
    int side = t->size / eq_vae_scale(&config);
    config.scaling_factor = 1;
    *g = (grader){.pixels = (size_t)t->size * (size_t)t->size * 3,
                  .numbers = (size_t)side * (size_t)side * (size_t)config.latent_channels};
    g->image = malloc((2 * g->pixels + g->numbers) * sizeof *g->image);
    if (!g->image)
        return eq_fail_memory(s->ctx, "images to grade");
    g->result = g->image + g->pixels;
    g->latent = g->result + g->pixels;
    return eq_latent_codec_new(s->ctx, &config, s->trainer.params, &(eq_latent_options){.dtype = EQ_F32}, &g->codec);
}

static void close_grader(run_state *s, grader *g)
{
    eq_latent_codec_free(g->codec);
    free(g->image);
    s->trainer.params->trainable = true; /* the codec, which does not train, has said otherwise */
}

/* Image `index`, the mean of its latent, and what becomes of it. */
static eq_status pass_through(run_state *s, grader *g, int64_t index)
{
    int size = s->run->training.size, side = size / eq_vae_scale(&s->run->training.vae);
    eq_dataset_image(&s->data, index, false, g->image);
    EQ_TRY(eq_latent_moments(g->codec, g->image, 1, size, size, g->latent, NULL));
    return eq_latent_decode(g->codec, g->latent, 1, side, side, g->result);
}

static double psnr_of(const grader *g)
{
    double sum = 0;
    for (size_t i = 0; i < g->pixels; i++) {
        double found = fmin(fmax(g->result[i], -1), 1);
        double difference = (rint((found + 1) * 127.5) - rint((g->image[i] + 1) * 127.5)) / 255;
        sum += difference * difference;
    }
    return -10 * log10(fmax(sum / (double)g->pixels, 1e-10));
}

static eq_status grade(run_state *s)
{
    grader g;
    int64_t count = held_out(&s->data), first = s->data.count - count;
    double psnr = 0, sum = 0, squares = 0;
    eq_status status = open_grader(s, &g);
    for (int64_t i = 0; status == EQ_OK && i < (count ? count : 1); i++) {
        status = pass_through(s, &g, count ? first + i : 0);
        psnr += psnr_of(&g);
        for (size_t k = 0; k < g.numbers; k++) {
            sum += g.latent[k];
            squares += (double)g.latent[k] * g.latent[k];
        }
    }
    double images = (double)(count ? count : 1), numbers = images * (double)g.numbers;
    *s->quality = (eq_vae_quality){.images = count, .psnr = psnr / images};
    s->quality->latent_std = sqrt(fmax(squares / numbers - sum / numbers * (sum / numbers), 1e-12));
    close_grader(s, &g);
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

/* Images beside what becomes of them, of those that are not learnt from as far as there are enough. */
static eq_status sheet(void *user, const char *path)
{
    run_state *s = user;
    grader g;
    eq_status status = open_grader(s, &g);
    float *images = malloc(2 * SHEET_PAIRS * g.pixels * sizeof *images);
    if (status == EQ_OK && !images)
        status = eq_fail_memory(s->ctx, "a sheet");
    for (int64_t i = 0; status == EQ_OK && i < SHEET_PAIRS; i++) {
        status = pass_through(s, &g, s->data.count - 1 - i % s->data.count);
        memcpy(images + (size_t)(2 * i) * g.pixels, g.image, g.pixels * sizeof *images);
        memcpy(images + (size_t)(2 * i + 1) * g.pixels, g.result, g.pixels * sizeof *images);
    }
    if (status == EQ_OK)
        status = eq_sheet_write(s->ctx, images, 2 * SHEET_PAIRS, s->run->training.size, SHEET_COLUMNS, path);
    close_grader(s, &g);
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
    return status;
}
