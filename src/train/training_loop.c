#include "train/training_loop.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/path.h"

typedef struct loop_state {
    eq_context *ctx;
    const eq_training_loop *loop;
    const eq_training_course *course;
    eq_trainer *trainer;
    char *checkpoint;
    double start, last_checkpoint, last_sheet;
    int64_t first_step;
    double smoothed_loss;
} loop_state;

static int64_t total_steps(const loop_state *s)
{
    return s->trainer->optimiser.options.total_steps;
}

static eq_status save_checkpoint(loop_state *s)
{
    s->last_checkpoint = eq_seconds();
    return eq_trainer_save(s->trainer, s->checkpoint, s->loop->settings);
}

static eq_status save_model(loop_state *s)
{
    eq_trainer_swap_average(s->trainer);
    eq_status status = s->loop->save(s->loop->user);
    eq_trainer_swap_average(s->trainer);
    return status;
}

static eq_status write_sheet(loop_state *s)
{
    char *folder = eq_path_join(s->course->out, "samples");
    char *path = eq_format("%s/samples/step-%07lld.png", s->course->out, (long long)s->trainer->optimiser.step);
    eq_status status = folder && path ? eq_make_folders(s->ctx, folder) : eq_fail_memory(s->ctx, "a sample sheet");
    if (status == EQ_OK) {
        eq_trainer_swap_average(s->trainer);
        status = s->loop->sheet(s->loop->user, path);
        eq_trainer_swap_average(s->trainer);
    }
    free(folder);
    free(path);
    s->last_sheet = eq_seconds();
    return status;
}

static bool sheets_wanted(const loop_state *s)
{
    return s->loop->sheet && s->course->sheet_seconds > 0;
}

static void report(loop_state *s, double loss, double norm)
{
    int64_t step = s->trainer->optimiser.step, total = total_steps(s);
    s->smoothed_loss = s->smoothed_loss == 0 ? loss : 0.98 * s->smoothed_loss + 0.02 * loss;
    if (!s->course->progress)
        return;
    double rate = (double)(step - s->first_step) / (eq_seconds() - s->start + 1e-9);
    eq_training_progress p = {.step = step,
                              .total_steps = total,
                              .loss = s->smoothed_loss,
                              .gradient_norm = norm,
                              .learning_rate = eq_learning_rate(&s->trainer->optimiser.options, step - 1),
                              .images_per_second = rate * s->loop->batch,
                              .seconds_left = (double)(total - step) / (rate + 1e-9)};
    s->course->progress(s->course->progress_user, &p);
}

static eq_status train_steps(loop_state *s, bool *finished)
{
    const eq_training_course *course = s->course;
    while (s->trainer->optimiser.step < total_steps(s) && !eq_cancelled(s->ctx)) {
        double loss, norm;
        EQ_TRY(s->loop->step(s->loop->user, &loss, &norm));
        report(s, loss, norm);
        double time = eq_seconds();
        if (course->checkpoint_seconds > 0 && time - s->last_checkpoint > course->checkpoint_seconds)
            EQ_TRY(save_checkpoint(s));
        if (sheets_wanted(s) && time - s->last_sheet > course->sheet_seconds)
            EQ_TRY(write_sheet(s));
        if (course->budget_seconds > 0 && time - s->start > course->budget_seconds)
            break;
    }
    *finished = s->trainer->optimiser.step >= total_steps(s);
    return EQ_OK;
}

static eq_status resume(loop_state *s)
{
    if (!eq_path_exists(s->checkpoint))
        return EQ_OK;
    if (!s->course->resume)
        return eq_fail(s->ctx, EQ_BAD_USAGE,
                       "%s: there is a run here already; continue it with --resume, or choose another --out",
                       s->course->out);
    return eq_trainer_load(s->trainer, s->checkpoint, s->loop->settings);
}

static eq_status run_all(loop_state *s, bool *finished)
{
    EQ_TRY(resume(s));
    eq_program_memory memory = eq_program_memory_use(s->trainer->program);
    eq_log(s->ctx, EQ_LOG_INFO, "%.2f M parameters, %.0f MB for activations (%.0f MB unplanned)",
           (double)s->trainer->params->total / 1e6, (double)memory.arena_bytes / 1e6, (double)memory.naive_bytes / 1e6);
    s->first_step = s->trainer->optimiser.step;
    s->start = s->last_checkpoint = s->last_sheet = eq_seconds();
    EQ_TRY(train_steps(s, finished));
    EQ_TRY(save_checkpoint(s));
    EQ_TRY(save_model(s));
    if (sheets_wanted(s) && !eq_cancelled(s->ctx))
        EQ_TRY(write_sheet(s));
    return eq_cancelled(s->ctx) ? eq_fail(s->ctx, EQ_CANCELLED, "stopped at step %lld; continue with --resume",
                                          (long long)s->trainer->optimiser.step)
                                : EQ_OK;
}

eq_status eq_training_loop_run(eq_context *ctx, const eq_training_loop *loop, bool *finished)
{
    loop_state s = {.ctx = ctx,
                    .loop = loop,
                    .course = loop->course,
                    .trainer = loop->trainer,
                    .checkpoint = eq_path_join(loop->course->out, "checkpoint.safetensors")};
    *finished = false;
    eq_status status = s.checkpoint ? eq_make_folders(ctx, loop->course->out) : eq_fail_memory(ctx, "a path");
    if (status == EQ_OK)
        status = run_all(&s, finished);
    free(s.checkpoint);
    return status;
}
