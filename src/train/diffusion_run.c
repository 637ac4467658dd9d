#include "train/diffusion_run.h"

#include <stdio.h>
#include <stdlib.h>

#include "diffusion/model.h"
#include "diffusion/sampling.h"
#include "io/sheet.h"
#include "train/text_model.h"

enum { SHEET_IMAGES = 36, SHEET_COLUMNS = 6, SHEET_STEPS = 50 };
static const double sheet_cfg = 5;

typedef struct run_state {
    eq_context *ctx;
    const eq_diffusion_run *run;
    eq_schedule schedule;
    eq_diffusion_training training; /* the run's, completed */
    eq_dataset data;
    eq_training_text text; /* of models of text, in place of data */
    eq_diffusion_trainer trainer;
    char settings[1024];
} run_state;

static void describe_text(run_state *s, size_t used)
{
    const eq_clip_text_config *text = &s->training.text;
    snprintf(s->settings + used, sizeof s->settings - used,
             ", text %d x %d, heads %d, tokens %d of %d, caption-dropout %g, latents %s", text->num_hidden_layers,
             text->hidden_size, text->num_attention_heads, text->max_position_embeddings, text->vocab_size,
             s->training.caption_dropout, eq_tensor_file_metadata(&s->text.set.cache, "made_from"));
}

/* What must be the same for a resumed run to be the same run. */
static void describe_settings(run_state *s)
{
    const eq_diffusion_training *t = &s->training;
    const eq_unet_config *u = &t->unet;
    char channels[96] = "";
    size_t used = 0;
    for (int i = 0; i < u->levels; i++)
        used += (size_t)snprintf(channels + used, sizeof channels - used, "%s%d%s%s", i ? "," : "",
                                 u->block_out_channels[i], u->down_attention[i] ? "a" : "",
                                 u->up_attention[u->levels - 1 - i] ? "A" : "");
    int length = snprintf(
        s->settings, sizeof s->settings,
        "images %lld, size %d, channels %s, layers %d, groups %d, head-dim %d, batch %d, steps %lld, learning-rate %g, warmup %lld, ema %g, "
        "clip %g, weight-decay %g, weighting %s, flip %d, skip-dropout %g, timestep-power %g, seed %llu, dtype %s, T %d, betas %d %g..%g, prediction %d, %s start",
        (long long)(s->run->captions ? s->text.set.count : s->data.count), u->sample_size, channels,
        u->layers_per_block, u->norm_num_groups, eq_unet_head_dim(u), t->batch, (long long)t->optimiser.total_steps,
        t->optimiser.learning_rate, (long long)t->optimiser.warmup_steps, t->optimiser.ema_decay,
        t->optimiser.clip_norm, t->optimiser.weight_decay, eq_loss_weighting_name(t->weighting), t->flip,
        t->skip_dropout, t->timestep_power, (unsigned long long)t->seed, eq_dtype_name(t->dtype),
        s->run->schedule.num_train_timesteps, s->run->schedule.beta_kind, s->run->schedule.beta_start,
        s->run->schedule.beta_end, s->run->schedule.prediction, t->initial ? "given" : "fresh");
    if (s->run->captions)
        describe_text(s, (size_t)length);
}

/* Samples from the parameters as they are; the same noise every time, so that sheets can be compared. */
static eq_status sample(run_state *s, int steps, float *x)
{
    const eq_unet_config *unet = &s->training.unet;
    eq_denoiser *denoiser = NULL;
    eq_plan plan = {0};
    eq_denoiser_options options = {
        .count = SHEET_IMAGES, .height = unet->sample_size, .width = unet->sample_size, .dtype = s->training.dtype};
    EQ_TRY(eq_plan_new(s->ctx, &(eq_plan_options){.sampler = &eq_sampler_ddim, .steps = steps}, &s->schedule, &plan));
    eq_status status = eq_denoiser_new(s->ctx, unet, s->trainer.params, &options, &denoiser);
    if (status == EQ_OK)
        status = eq_sample(s->ctx,
                           &(eq_sampling){.denoiser = denoiser,
                                          .plan = &plan,
                                          .n = SHEET_IMAGES,
                                          .height = unet->sample_size,
                                          .width = unet->sample_size,
                                          .channels = unet->in_channels,
                                          .output_channels = unet->out_channels,
                                          .seed = s->training.seed},
                           x);
    eq_denoiser_free(denoiser);
    eq_plan_free(&plan);
    return status;
}

/* --- the loop's parts --- */

static eq_status step(void *user, double *loss, double *norm)
{
    run_state *s = user;
    return eq_diffusion_trainer_step(&s->trainer, loss, norm);
}

static eq_status save(void *user)
{
    run_state *s = user;
    if (s->run->captions)
        return eq_training_text_save(s->ctx, &s->text, &s->trainer, s->run);
    return eq_model_save(s->ctx, s->run->course.out, &s->training.unet, s->trainer.params, &s->schedule,
                         s->run->save_dtype);
}

static eq_status sheet(void *user, const char *path)
{
    run_state *s = user;
    int size = s->run->captions ? s->run->size : s->training.unet.sample_size, T = s->run->schedule.num_train_timesteps;
    float *x = malloc((size_t)SHEET_IMAGES * (size_t)size * (size_t)size * 3 * sizeof *x);
    eq_status status = x ? EQ_OK : eq_fail_memory(s->ctx, "a sample sheet");
    int steps = T < SHEET_STEPS ? T : SHEET_STEPS;
    if (status == EQ_OK)
        status = s->run->captions
                     ? eq_training_text_sample(s->ctx, &s->text, &s->trainer, SHEET_IMAGES, steps, sheet_cfg, x)
                     : sample(s, steps, x);
    if (status == EQ_OK)
        status = eq_sheet_write(s->ctx, x, SHEET_IMAGES, size, SHEET_COLUMNS, path);
    free(x);
    return status;
}

/* Images, or latents with captions. */
static eq_status open_data(run_state *s)
{
    const eq_diffusion_run *run = s->run;
    if (run->captions)
        return eq_training_text_open(s->ctx, run, &s->training, &s->text);
    EQ_TRY(eq_unet_check(s->ctx, &s->training.unet, "the network's configuration"));
    EQ_TRY(eq_dataset_open(s->ctx, run->images, s->training.unet.sample_size, run->strict, &s->data));
    if (s->data.skipped)
        eq_log(s->ctx, EQ_LOG_WARNING, "%lld unreadable files skipped", (long long)s->data.skipped);
    return EQ_OK;
}

static eq_status run_all(run_state *s, bool *finished)
{
    EQ_TRY(eq_schedule_new(s->ctx, &s->run->schedule, NULL, &s->schedule));
    EQ_TRY(open_data(s));
    describe_settings(s);
    eq_diffusion_data data = {s->run->captions ? NULL : &s->data, s->run->captions ? &s->text.set : NULL};
    EQ_TRY(eq_diffusion_trainer_open(s->ctx, &s->training, &s->schedule, data, &s->trainer));
    eq_training_loop loop = {.course = &s->run->course,
                             .trainer = &s->trainer.core,
                             .settings = s->settings,
                             .batch = s->training.batch,
                             .user = s,
                             .step = step,
                             .save = save,
                             .sheet = sheet};
    return eq_training_loop_run(s->ctx, &loop, finished);
}

eq_status eq_diffusion_run_train(eq_context *ctx, const eq_diffusion_run *run, bool *finished)
{
    run_state s = {.ctx = ctx, .run = run, .training = run->training};
    *finished = false;
    eq_status status = run_all(&s, finished);
    eq_diffusion_trainer_close(&s.trainer);
    eq_training_text_close(&s.text);
    eq_dataset_close(&s.data);
    eq_schedule_free(&s.schedule);
    return status;
}
