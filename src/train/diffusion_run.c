#include "train/diffusion_run.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/path.h"
#include "diffusion/model.h"
#include "diffusion/sampling.h"
#include "io/sheet.h"

enum { SHEET_IMAGES = 36, SHEET_COLUMNS = 6, SHEET_STEPS = 50 };

typedef struct run_state {
    eq_context *ctx;
    const eq_diffusion_run *run;
    eq_schedule schedule;
    eq_dataset data;
    eq_diffusion_trainer trainer;
    char *checkpoint;
    char settings[512];
    double start, last_checkpoint, last_sheet;
    int64_t first_step;
    double smoothed_loss;
} run_state;

/* What must be the same for a resumed run to be the same run. */
static void describe_settings(run_state *s)
{
    const eq_diffusion_training *t = &s->run->training;
    const eq_unet_config *u = &t->unet;
    char channels[96] = "";
    size_t used = 0;
    for (int i = 0; i < u->levels; i++)
        used += (size_t)snprintf(channels + used, sizeof channels - used, "%s%d%s%s", i ? "," : "",
                                 u->block_out_channels[i], u->down_attention[i] ? "a" : "",
                                 u->up_attention[u->levels - 1 - i] ? "A" : "");
    snprintf(
        s->settings, sizeof s->settings,
        "images %lld, size %d, channels %s, layers %d, groups %d, head-dim %d, batch %d, steps %lld, learning-rate %g, warmup %lld, ema %g, "
        "clip %g, weight-decay %g, weighting %s, flip %d, skip-dropout %g, seed %llu, dtype %s, T %d, betas %d %g..%g, prediction %d, %s start",
        (long long)s->data.count, u->sample_size, channels, u->layers_per_block, u->norm_num_groups,
        eq_unet_head_dim(u), t->batch, (long long)t->optimiser.total_steps, t->optimiser.learning_rate,
        (long long)t->optimiser.warmup_steps, t->optimiser.ema_decay, t->optimiser.clip_norm, t->optimiser.weight_decay,
        eq_loss_weighting_name(t->weighting), t->flip, t->skip_dropout, (unsigned long long)t->seed,
        eq_dtype_name(t->dtype), s->run->schedule.num_train_timesteps, s->run->schedule.beta_kind,
        s->run->schedule.beta_start, s->run->schedule.beta_end, s->run->schedule.prediction,
        t->initial ? "given" : "fresh");
}

/* x: [count, size, size, 3] in [-1, 1] */
static eq_status write_sheet(run_state *s, const float *x, const char *path)
{
    int size = s->run->training.unet.sample_size;
    eq_image images[SHEET_IMAGES] = {{0}}, sheet = {0};
    eq_status status = EQ_OK;
    for (int i = 0; i < SHEET_IMAGES && status == EQ_OK; i++) {
        status = eq_image_new(s->ctx, size, size, &images[i]);
        if (status == EQ_OK)
            eq_image_from_float(x + (size_t)i * (size_t)size * (size_t)size * 3, &images[i]);
    }
    if (status == EQ_OK)
        status = eq_sheet(s->ctx, images, SHEET_IMAGES, SHEET_COLUMNS, 2, &sheet);
    if (status == EQ_OK)
        status = eq_image_write_png(s->ctx, path, &sheet);
    for (int i = 0; i < SHEET_IMAGES; i++)
        eq_image_free(&images[i]);
    eq_image_free(&sheet);
    return status;
}

/* Samples from the parameters as they are; the same noise every time, so that sheets can be compared. */
static eq_status sample(run_state *s, float *x)
{
    const eq_unet_config *unet = &s->run->training.unet;
    eq_denoiser *denoiser = NULL;
    eq_plan plan = {0};
    eq_denoiser_options options = {.count = SHEET_IMAGES,
                                   .height = unet->sample_size,
                                   .width = unet->sample_size,
                                   .dtype = s->run->training.dtype};
    int steps =
        s->schedule.config.num_train_timesteps < SHEET_STEPS ? s->schedule.config.num_train_timesteps : SHEET_STEPS;
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
                                          .seed = s->run->training.seed},
                           x);
    eq_denoiser_free(denoiser);
    eq_plan_free(&plan);
    return status;
}

static eq_status sample_sheet(run_state *s)
{
    int size = s->run->training.unet.sample_size;
    char *folder = eq_path_join(s->run->out, "samples");
    char *path = eq_format("%s/samples/step-%07lld.png", s->run->out, (long long)s->trainer.core.optimiser.step);
    float *x = malloc((size_t)SHEET_IMAGES * (size_t)size * (size_t)size * 3 * sizeof *x);
    eq_status status = folder && path && x ? eq_make_folders(s->ctx, folder) : eq_fail_memory(s->ctx, "a sample sheet");
    if (status == EQ_OK) {
        eq_trainer_swap_average(&s->trainer.core);
        status = sample(s, x);
        eq_trainer_swap_average(&s->trainer.core);
    }
    if (status == EQ_OK)
        status = write_sheet(s, x, path);
    free(folder);
    free(path);
    free(x);
    return status;
}

static eq_status save_checkpoint(run_state *s)
{
    s->last_checkpoint = eq_seconds();
    return eq_trainer_save(&s->trainer.core, s->checkpoint, s->settings);
}

static eq_status save_model(run_state *s)
{
    eq_trainer_swap_average(&s->trainer.core);
    eq_status status =
        eq_model_save(s->ctx, s->run->out, &s->run->training.unet, s->trainer.params, &s->schedule, s->run->save_dtype);
    eq_trainer_swap_average(&s->trainer.core);
    return status;
}

static void report(run_state *s, double loss, double norm)
{
    int64_t step = s->trainer.core.optimiser.step, total = s->run->training.optimiser.total_steps;
    s->smoothed_loss = s->smoothed_loss == 0 ? loss : 0.98 * s->smoothed_loss + 0.02 * loss;
    if (!s->run->progress)
        return;
    double rate = (double)(step - s->first_step) / (eq_seconds() - s->start + 1e-9);
    eq_training_progress p = {.step = step,
                              .total_steps = total,
                              .loss = s->smoothed_loss,
                              .gradient_norm = norm,
                              .learning_rate = eq_learning_rate(&s->run->training.optimiser, step - 1),
                              .images_per_second = rate * s->run->training.batch,
                              .seconds_left = (double)(total - step) / (rate + 1e-9)};
    s->run->progress(s->run->progress_user, &p);
}

static eq_status train_steps(run_state *s, bool *finished)
{
    int64_t total = s->run->training.optimiser.total_steps;
    while (s->trainer.core.optimiser.step < total && !eq_cancelled(s->ctx)) {
        double loss, norm;
        EQ_TRY(eq_diffusion_trainer_step(&s->trainer, &loss, &norm));
        report(s, loss, norm);
        double time = eq_seconds();
        if (s->run->checkpoint_seconds > 0 && time - s->last_checkpoint > s->run->checkpoint_seconds)
            EQ_TRY(save_checkpoint(s));
        if (s->run->sheet_seconds > 0 && time - s->last_sheet > s->run->sheet_seconds) {
            eq_status status = sample_sheet(s);
            if (status != EQ_OK && status != EQ_CANCELLED) /* cancelled: the loop ends, and the checkpoint is written */
                return status;
            s->last_sheet = eq_seconds();
        }
        if (s->run->budget_seconds > 0 && time - s->start > s->run->budget_seconds)
            break;
    }
    *finished = s->trainer.core.optimiser.step >= total;
    return EQ_OK;
}

static eq_status resume(run_state *s)
{
    if (!eq_path_exists(s->checkpoint))
        return EQ_OK;
    if (!s->run->resume)
        return eq_fail(s->ctx, EQ_BAD_USAGE,
                       "%s: there is a run here already; continue it with --resume, or choose another --out",
                       s->run->out);
    return eq_trainer_load(&s->trainer.core, s->checkpoint, s->settings);
}

static eq_status run_all(run_state *s, bool *finished)
{
    const eq_diffusion_run *run = s->run;
    EQ_TRY(eq_unet_check(s->ctx, &run->training.unet, "the network's configuration"));
    EQ_TRY(eq_schedule_new(s->ctx, &run->schedule, NULL, &s->schedule));
    EQ_TRY(eq_dataset_open(s->ctx, run->images, run->training.unet.sample_size, run->strict, &s->data));
    EQ_TRY(eq_make_folders(s->ctx, run->out));
    if (s->data.skipped)
        eq_log(s->ctx, EQ_LOG_WARNING, "%lld unreadable files skipped", (long long)s->data.skipped);
    describe_settings(s);
    EQ_TRY(eq_diffusion_trainer_open(s->ctx, &run->training, &s->schedule, &s->data, &s->trainer));
    EQ_TRY(resume(s));
    eq_program_memory memory = eq_program_memory_use(s->trainer.core.program);
    eq_log(s->ctx, EQ_LOG_INFO, "%lld images, %.2f M parameters, %.0f MB for activations (%.0f MB unplanned)",
           (long long)s->data.count, (double)s->trainer.params->total / 1e6, (double)memory.arena_bytes / 1e6,
           (double)memory.naive_bytes / 1e6);
    s->first_step = s->trainer.core.optimiser.step;
    s->start = s->last_checkpoint = s->last_sheet = eq_seconds();
    EQ_TRY(train_steps(s, finished));
    EQ_TRY(save_checkpoint(s));
    EQ_TRY(save_model(s));
    if (run->sheet_seconds > 0 && !eq_cancelled(s->ctx))
        EQ_TRY(sample_sheet(s));
    return eq_cancelled(s->ctx) ? eq_fail(s->ctx, EQ_CANCELLED, "stopped at step %lld; continue with --resume",
                                          (long long)s->trainer.core.optimiser.step)
                                : EQ_OK;
}

eq_status eq_diffusion_run_train(eq_context *ctx, const eq_diffusion_run *run, bool *finished)
{
    run_state s = {.ctx = ctx, .run = run, .checkpoint = eq_path_join(run->out, "checkpoint.safetensors")};
    *finished = false;
    eq_status status = s.checkpoint ? run_all(&s, finished) : eq_fail_memory(ctx, "a path");
    eq_diffusion_trainer_close(&s.trainer);
    eq_dataset_close(&s.data);
    eq_schedule_free(&s.schedule);
    free(s.checkpoint);
    return status;
}
