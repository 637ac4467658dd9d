/* Training runs of a tiny autoencoder: gradients, a loss that falls, the folder that comes of it, runs stopped and
 * resumed that end as runs that were not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <omp.h>

#include "base/file.h"
#include "diffusion/latent.h"
#include "diffusion/model.h"
#include "synth/portraits.h"
#include "temporary.h"
#include "train/vae_run.h"
#include "unit/same_files.h"
#include "unit/tiny.h"

enum { PORTRAITS = 24, SIDE = 16 };

static eq_context *ctx;
static void *folder;
static char *images;

static int setup(void **state)
{
    if (temporary_setup(&folder) != 0)
        return -1;
    images = eq_path_join(folder, "data");
    eq_synth_options options = {.count = PORTRAITS, .size = SIDE, .seed = 1, .out_dir = images};
    return eq_synth_write(ctx, &options, NULL, NULL) == EQ_OK ? 0 : -1;
}

static int teardown(void **state)
{
    free(images);
    return temporary_teardown(&folder);
}

static eq_vae_training training(int64_t steps)
{
    eq_vae_training t = {.vae = {.in_channels = 3,
                                 .out_channels = 3,
                                 .latent_channels = 4,
                                 .levels = 2,
                                 .block_out_channels = {8, 16},
                                 .layers_per_block = 1,
                                 .norm_num_groups = 4,
                                 .scaling_factor = 1},
                         .size = SIDE,
                         .edge_weight = 0.5,
                         .kl_weight = 1e-3,
                         .batch = 4,
                         .flip = true,
                         .seed = 5,
                         .dtype = EQ_F32};
    t.optimiser = eq_optimiser_defaults();
    t.optimiser.learning_rate = 3e-3;
    t.optimiser.warmup_steps = 5;
    t.optimiser.total_steps = steps;
    return t;
}

static eq_vae_run make_run(const char *out, int64_t steps)
{
    return (eq_vae_run){
        .images = images, .training = training(steps), .course = {.out = out}, .strict = true, .save_dtype = EQ_F32};
}

/* The loss as the step that changes nothing sees it: the learning rate is 0 there. */
static double loss_now(eq_vae_trainer *trainer)
{
    double loss, norm;
    trainer->core.optimiser.step = 0; /* the same batch again */
    trainer->core.optimiser.options.learning_rate = 0;
    assert_ok(eq_vae_trainer_step(trainer, &loss, &norm));
    return loss;
}

/* Along a random direction in all parameters, through encoder, sample, decoder, and every term of the loss. */
static void gradients_hold(void **state)
{
    eq_dataset data;
    eq_vae_trainer trainer;
    eq_vae_training options = training(10);
    options.loss = EQ_VAE_L2; /* without the kinks of absolute values */
    options.edge_weight = 0;
    options.kl_weight = 0.1;
    assert_ok(eq_dataset_open(ctx, images, SIDE, true, &data));
    assert_ok(eq_vae_trainer_open(ctx, &options, &data, data.count, &trainer));
    size_t count = (size_t)trainer.params->total;
    float *p = trainer.params->storage, *direction = tiny_normals(3, count), *start = malloc(count * sizeof *start);
    /* Zeros would hide what comes before them. */
    for (size_t i = 0; i < count; i++)
        start[i] = p[i] + 0.02f * direction[(i + 1) % count];
    memcpy(p, start, count * sizeof *p);
    loss_now(&trainer);
    double slope = 0, step = 1e-3, ends[2];
    for (size_t i = 0; i < count; i++)
        slope += (double)trainer.core.gradients[i] * direction[i];
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < count; i++)
            p[i] = start[i] + (float)((side ? step : -step) * direction[i]);
        ends[side] = loss_now(&trainer);
    }
    assert_near((ends[1] - ends[0]) / (2 * step) / slope, 1, 2e-2);
    free(direction);
    free(start);
    eq_vae_trainer_close(&trainer);
    eq_dataset_close(&data);
}

/* Every loss falls, and the folder opens and passes images through as well as was said. */
static void training_makes_an_autoencoder(void **state)
{
    char *out = eq_path_join(folder, "vae"), *sheet = eq_path_join(out, "samples/step-0000150.png");
    bool finished;
    eq_vae_quality fresh, trained;
    eq_vae_run run = make_run(out, 1);
    run.training.optimiser.learning_rate = 1e-9;
    char *other = eq_path_join(folder, "fresh");
    run.course.out = other;
    assert_ok(eq_vae_run_train(ctx, &run, &finished, &fresh));
    run = make_run(out, 150);
    run.course.sheet_seconds = 1e6; /* only at the end */
    assert_ok(eq_vae_run_train(ctx, &run, &finished, &trained));
    assert_true(finished);
    assert_int_equal(trained.images, PORTRAITS / 10);
    if (!(trained.psnr > fresh.psnr + 3))
        fail_msg("PSNR from %g to %g", fresh.psnr, trained.psnr);
    eq_model_vae file;
    assert_ok(eq_model_vae_open(ctx, out, &file));
    assert_int_equal(file.config.levels, 2);
    assert_near(file.config.scaling_factor * trained.latent_std, 1, 1e-5);
    eq_latent_codec *codec;
    eq_dataset data;
    float image[TINY_PIXELS], latent[8 * 8 * 4], result[TINY_PIXELS];
    double squares = 0;
    assert_ok(eq_dataset_open(ctx, images, SIDE, true, &data));
    assert_ok(eq_latent_codec_new(ctx, &file.config, file.params, &(eq_latent_options){.dtype = EQ_F32}, &codec));
    eq_dataset_image(&data, data.count - 1, false, image);
    assert_ok(eq_latent_encode(codec, image, 1, SIDE, SIDE, NULL, 0, latent));
    assert_ok(eq_latent_decode(codec, latent, 1, 8, 8, result));
    for (int k = 0; k < TINY_PIXELS; k++)
        squares += (result[k] - image[k]) * (result[k] - image[k]) / 4 / TINY_PIXELS;
    assert_true(-10 * log10(squares) > fresh.psnr + 2);
    eq_image drawn;
    assert_ok(eq_image_read(ctx, sheet, &drawn));
    assert_int_equal(drawn.width, 6 * (SIDE + 2) + 2);
    eq_image_free(&drawn);
    eq_latent_codec_free(codec);
    eq_model_vae_close(&file);
    eq_dataset_close(&data);
    free(out);
    free(other);
    free(sheet);
}

/* A step a round, each with a process's worth of fresh state. */
static void resumed_runs_end_the_same(void **state)
{
    enum { STEPS = 5 };
    char *whole = eq_path_join(folder, "whole"), *parts = eq_path_join(folder, "parts");
    bool finished;
    eq_vae_quality quality;
    eq_vae_run run = make_run(whole, STEPS);
    assert_ok(eq_vae_run_train(ctx, &run, &finished, &quality));
    run = make_run(parts, STEPS);
    run.course.budget_seconds = 1e-9;
    run.course.sheet_seconds = 1e-9; /* looking at it changes nothing */
    run.course.resume = true;
    int rounds = 0;
    for (finished = false; !finished && rounds < 10; rounds++)
        assert_ok(eq_vae_run_train(ctx, &run, &finished, &quality));
    assert_int_equal(rounds, STEPS);
    assert_same_files(ctx, whole, parts, "checkpoint.safetensors");
    assert_same_files(ctx, whole, parts, "diffusion_pytorch_model.safetensors");
    assert_same_files(ctx, whole, parts, "config.json");
    run.training.kl_weight = 1;
    assert_fails(eq_vae_run_train(ctx, &run, &finished, &quality), EQ_BAD_INPUT, "other settings");
    free(whole);
    free(parts);
}

static void cancel_at_three(void *user, const eq_training_progress *p)
{
    if (p->step == 3)
        eq_cancel(user);
}

/* Cancelled, a run leaves all that a finished one does, and goes on from there. */
static void cancelled_runs_go_on(void **state)
{
    char *out = eq_path_join(folder, "cancelled");
    eq_context *mine = eq_context_new();
    bool finished;
    eq_vae_quality quality;
    eq_vae_run run = make_run(out, 6);
    run.course.progress = cancel_at_three;
    run.course.progress_user = mine;
    assert_int_equal(eq_vae_run_train(mine, &run, &finished, &quality), EQ_CANCELLED);
    assert_non_null(strstr(eq_last_error(mine), "step 3"));
    assert_true(quality.psnr > 0);
    eq_context_free(mine);
    eq_model_vae file;
    assert_ok(eq_model_vae_open(ctx, out, &file));
    eq_model_vae_close(&file);
    run.course.progress = NULL;
    run.course.resume = true;
    assert_ok(eq_vae_run_train(ctx, &run, &finished, &quality));
    assert_true(finished);
    free(out);
}

/* From another's weights, a run begins where that one ended. */
static void one_starts_from_another(void **state)
{
    char *first = eq_path_join(folder, "first"), *second = eq_path_join(folder, "second");
    bool finished;
    eq_vae_quality before, after;
    eq_vae_run run = make_run(first, 30);
    run.training.optimiser.ema_decay = 0;
    assert_ok(eq_vae_run_train(ctx, &run, &finished, &before));
    eq_model_vae file;
    assert_ok(eq_model_vae_open(ctx, first, &file));
    run = make_run(second, 1);
    run.training.initial = file.params;
    run.training.optimiser.learning_rate = 1e-9;
    assert_ok(eq_vae_run_train(ctx, &run, &finished, &after));
    assert_near(after.psnr, before.psnr, 1e-2);
    run.training.vae.block_out_channels[1] = 8;
    run.course.resume = false;
    run.course.out = folder;
    assert_fails(eq_vae_run_train(ctx, &run, &finished, &after), EQ_BAD_USAGE, "to start from");
    eq_model_vae_close(&file);
    free(first);
    free(second);
}

static void refusals(void **state)
{
    char *out = eq_path_join(folder, "never");
    bool finished;
    eq_vae_quality quality;
    eq_vae_run run = make_run(out, 1);
    run.training.size = 15;
    assert_fails(eq_vae_run_train(ctx, &run, &finished, &quality), EQ_BAD_USAGE, "multiple of 2");
    run = make_run(out, 1);
    run.training.batch = 0;
    assert_fails(eq_vae_run_train(ctx, &run, &finished, &quality), EQ_BAD_USAGE, "1 to 4096, not 0");
    run = make_run(out, 1);
    run.training.vae.norm_num_groups = 3;
    assert_fails(eq_vae_run_train(ctx, &run, &finished, &quality), EQ_BAD_INPUT, "norm_num_groups");
    run = make_run(out, 1);
    run.training.vae.in_channels = 4;
    assert_fails(eq_vae_run_train(ctx, &run, &finished, &quality), EQ_BAD_USAGE, "not 4 and 3");
    assert_false(eq_path_exists(out));
    eq_model_vae file;
    assert_fails(eq_model_vae_open(ctx, "/nowhere", &file), EQ_BAD_INPUT, "/nowhere");
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_hold),
        cmocka_unit_test(training_makes_an_autoencoder),
        cmocka_unit_test(resumed_runs_end_the_same),
        cmocka_unit_test(one_starts_from_another),
        cmocka_unit_test(cancelled_runs_go_on),
        cmocka_unit_test(refusals),
    };
    ctx = eq_context_new();
    omp_set_num_threads(1); /* the networks are tiny: threads would mostly wait for each other */
    int failed = cmocka_run_group_tests(tests, setup, teardown);
    eq_context_free(ctx);
    return failed;
}
