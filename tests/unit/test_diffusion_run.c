/* Training data and training runs of a tiny diffusion model: order of visits, a loss that falls, runs stopped and
 * resumed that end as runs that were not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <omp.h>

#include "base/file.h"
#include "synth/portraits.h"
#include "temporary.h"
#include "train/diffusion_run.h"
#include "unit/same_files.h"
#include "unit/tiny.h"

enum { PORTRAITS = 13 };

static eq_context *ctx;
static void *folder;
static char *images;

static int setup(void **state)
{
    if (temporary_setup(&folder) != 0)
        return -1;
    images = eq_path_join(folder, "data");
    eq_synth_options options = {.count = PORTRAITS, .size = 16, .seed = 1, .out_dir = images};
    return eq_synth_write(ctx, &options, NULL, NULL) == EQ_OK ? 0 : -1;
}

static int teardown(void **state)
{
    free(images);
    return temporary_teardown(&folder);
}

/* --- data --- */

static void datasets(void **state)
{
    eq_dataset data;
    assert_ok(eq_dataset_open(ctx, images, 16, true, &data));
    assert_int_equal(data.count, PORTRAITS);
    assert_string_equal(data.names[0], "images/000000.png");
    assert_string_equal(data.names[12], "images/000012.png");
    float plain[TINY_PIXELS], mirrored[TINY_PIXELS];
    eq_dataset_image(&data, 3, false, plain);
    eq_dataset_image(&data, 3, true, mirrored);
    for (int y = 0; y < 16; y++)
        for (int x = 0; x < 16; x++)
            for (int c = 0; c < 3; c++) {
                uint8_t pixel = data.pixels[3 * TINY_PIXELS + (y * 16 + x) * 3 + c];
                assert_near(plain[(y * 16 + x) * 3 + c], pixel / 127.5 - 1, 1e-6);
                assert_true(plain[(y * 16 + x) * 3 + c] == mirrored[(y * 16 + 15 - x) * 3 + c]);
            }
    eq_dataset_close(&data);
    assert_ok(eq_dataset_open(ctx, images, 8, true, &data)); /* scaled */
    assert_int_equal(data.size, 8);
    eq_dataset_close(&data);
}

static int warnings;
static void count_warnings(void *user, eq_log_level level, const char *line)
{
    if (level == EQ_LOG_WARNING) {
        warnings++;
        assert_non_null(strstr(line, "broken.png"));
    }
}

static void unreadable_images(void **state)
{
    char *broken = eq_path_join(images, "broken.png");
    assert_ok(eq_file_write(ctx, broken, "not an image", 12));
    eq_dataset data;
    eq_set_log(ctx, count_warnings, NULL);
    warnings = 0;
    assert_ok(eq_dataset_open(ctx, images, 16, false, &data));
    eq_set_log(ctx, NULL, NULL);
    assert_int_equal(data.count, PORTRAITS);
    assert_int_equal(data.skipped, 1);
    assert_int_equal(warnings, 1);
    eq_dataset_close(&data);
    assert_fails(eq_dataset_open(ctx, images, 16, true, &data), EQ_BAD_INPUT, "broken.png");
    assert_null(data.pixels);
    remove(broken);
    free(broken);
    char *empty = eq_path_join(folder, "empty");
    assert_ok(eq_make_folders(ctx, empty));
    assert_fails(eq_dataset_open(ctx, empty, 16, false, &data), EQ_BAD_INPUT, "no readable PNG");
    free(empty);
    assert_fails(eq_dataset_open(ctx, "/nowhere", 16, false, &data), EQ_BAD_INPUT, "/nowhere");
}

/* Every epoch visits each image once, in an order of its own that does not depend on what was asked before. */
static void order_of_visits(void **state)
{
    enum { COUNT = 50, EPOCHS = 4 };
    eq_order order, again, other;
    int64_t visits[EPOCHS * COUNT];
    assert_ok(eq_order_open(ctx, 7, COUNT, &order));
    for (int e = 0; e < EPOCHS; e++) {
        int seen[COUNT] = {0};
        for (int i = 0; i < COUNT; i++) {
            visits[e * COUNT + i] = eq_order_at(&order, e * COUNT + i);
            seen[visits[e * COUNT + i]]++;
        }
        for (int i = 0; i < COUNT; i++)
            assert_int_equal(seen[i], 1);
        if (e > 0)
            assert_memory_not_equal(visits + e * COUNT, visits, COUNT * sizeof *visits);
    }
    assert_ok(eq_order_open(ctx, 7, COUNT, &again));
    assert_ok(eq_order_open(ctx, 8, COUNT, &other));
    int same = 0;
    for (int i = EPOCHS * COUNT - 1; i >= 0; i -= 3) { /* resumed anywhere */
        assert_int_equal(eq_order_at(&again, i), visits[i]);
        same += eq_order_at(&other, i) == visits[i];
    }
    assert_true(same < 20);
    eq_order_close(&order);
    eq_order_close(&again);
    eq_order_close(&other);
}

/* --- training --- */

static eq_diffusion_training training(int64_t steps)
{
    eq_diffusion_training t = {.unet = tiny_unet(),
                               .weighting = EQ_WEIGHT_UNIFORM,
                               .batch = 4,
                               .flip = true,
                               .skip_dropout = 0.3,
                               .timestep_power = 1,
                               .seed = 5,
                               .dtype = EQ_F32};
    t.optimiser = eq_optimiser_defaults();
    t.optimiser.learning_rate = 3e-3;
    t.optimiser.warmup_steps = 5;
    t.optimiser.total_steps = steps;
    return t;
}

static void the_loss_falls(void **state)
{
    enum { STEPS = 80, PART = 20 };
    static const eq_dtype dtypes[] = {EQ_F32, EQ_BF16};
    eq_dataset data;
    eq_schedule schedule;
    eq_schedule_config config = eq_schedule_config_default();
    assert_ok(eq_schedule_new(ctx, &config, NULL, &schedule));
    assert_ok(eq_dataset_open(ctx, images, 16, true, &data));
    for (int d = 0; d < 2; d++) {
        eq_diffusion_training options = training(STEPS);
        options.dtype = dtypes[d];
        eq_diffusion_trainer trainer;
        assert_ok(eq_diffusion_trainer_open(ctx, &options, &schedule, (eq_diffusion_data){.images = &data}, &trainer));
        double first = 0, last = 0;
        for (int i = 0; i < STEPS; i++) {
            double loss, norm;
            assert_ok(eq_diffusion_trainer_step(&trainer, &loss, &norm));
            assert_true(norm > 0);
            if (i == 0)
                assert_near(loss, 1, 0.2); /* a fresh network predicts 0, and the noise has variance 1 */
            first += i < PART ? loss / PART : 0;
            last += i >= STEPS - PART ? loss / PART : 0;
        }
        if (!(last < 0.75 * first))
            fail_msg("%s: loss from %g to %g", eq_dtype_name(dtypes[d]), first, last);
        eq_diffusion_trainer_close(&trainer);
    }
    eq_dataset_close(&data);
    eq_schedule_free(&schedule);
}

/* A fresh network puts out zeros, so that the first loss is the mean square of what it should have: of images, where it
 * is to predict these. */
static void the_first_loss_is_known(void **state)
{
    eq_dataset data;
    eq_schedule schedule;
    eq_schedule_config config = eq_schedule_config_default();
    eq_diffusion_training options = training(3);
    eq_diffusion_trainer trainer;
    eq_order order;
    double loss, norm, expected = 0;
    float image[TINY_PIXELS];
    config.prediction = EQ_PREDICT_SAMPLE;
    assert_ok(eq_schedule_new(ctx, &config, NULL, &schedule));
    assert_ok(eq_dataset_open(ctx, images, 16, true, &data));
    assert_ok(eq_diffusion_trainer_open(ctx, &options, &schedule, (eq_diffusion_data){.images = &data}, &trainer));
    assert_ok(eq_order_open(ctx, options.seed, data.count, &order));
    assert_ok(eq_diffusion_trainer_step(&trainer, &loss, &norm));
    for (int i = 0; i < options.batch; i++) {
        eq_dataset_image(&data, eq_order_at(&order, i), false, image);
        for (int k = 0; k < TINY_PIXELS; k++)
            expected += (double)image[k] * image[k] / (options.batch * TINY_PIXELS);
    }
    assert_near(loss, expected, 1e-5);
    eq_order_close(&order);
    eq_diffusion_trainer_close(&trainer);
    eq_dataset_close(&data);
    eq_schedule_free(&schedule);
}

/* At power 3, half of the timesteps get an eighth of the visits. */
static void noisy_timesteps_come_up_more_often(void **state)
{
    enum { VISITS = 20000, T = 1000 };
    const double powers[] = {1, 3}, shares[] = {1.0 / 2, 1.0 / 8};
    for (int p = 0; p < 2; p++) {
        eq_diffusion_training options = {.timestep_power = powers[p], .seed = 5};
        int early = 0;
        for (int i = 0; i < VISITS; i++) {
            int t = eq_diffusion_training_timestep(&options, i, T);
            assert_in_range(t, 0, T - 1);
            early += t < T / 2;
        }
        assert_near((double)early / VISITS, shares[p], 0.012); /* three standard deviations: 0.011 and 0.007 */
    }
}

static void trainer_refusals(void **state)
{
    eq_dataset data;
    eq_schedule schedule;
    eq_schedule_config config = eq_schedule_config_default();
    eq_diffusion_trainer trainer;
    assert_ok(eq_schedule_new(ctx, &config, NULL, &schedule));
    assert_ok(eq_dataset_open(ctx, images, 16, true, &data));
    eq_diffusion_training t = training(1);
    t.batch = 0;
    assert_fails(eq_diffusion_trainer_open(ctx, &t, &schedule, (eq_diffusion_data){.images = &data}, &trainer),
                 EQ_BAD_USAGE, "1 to 4096, not 0");
    eq_diffusion_trainer_close(&trainer);
    t = training(1);
    t.unet.out_channels = 6;
    assert_fails(eq_diffusion_trainer_open(ctx, &t, &schedule, (eq_diffusion_data){.images = &data}, &trainer),
                 EQ_BAD_USAGE, "not 3 and 6");
    eq_diffusion_trainer_close(&trainer);
    t = training(1);
    t.unet.norm_num_groups = 5;
    assert_fails(eq_diffusion_trainer_open(ctx, &t, &schedule, (eq_diffusion_data){.images = &data}, &trainer),
                 EQ_BAD_INPUT, "norm_num_groups");
    eq_diffusion_trainer_close(&trainer);
    t = training(1);
    t.timestep_power = 0.5;
    assert_fails(eq_diffusion_trainer_open(ctx, &t, &schedule, (eq_diffusion_data){.images = &data}, &trainer),
                 EQ_BAD_USAGE, "--timestep-power must be 1 to 8, not 0.5");
    eq_diffusion_trainer_close(&trainer);
    eq_dataset_close(&data);
    eq_schedule_free(&schedule);
}

/* --- runs --- */

static eq_diffusion_run make_run(const char *out, int64_t steps)
{
    return (eq_diffusion_run){.images = images,
                              .training = training(steps),
                              .schedule = eq_schedule_config_default(),
                              .course = {.out = out},
                              .strict = true,
                              .save_dtype = EQ_F32};
}

/* Stops after every step or so, each time with a process's worth of fresh state. */
static void check_resume(int threads)
{
    enum { STEPS = 6 };
    char *whole = eq_format("%s/whole-%d", (char *)folder, threads);
    char *parts = eq_format("%s/parts-%d", (char *)folder, threads);
    int before = omp_get_max_threads();
    bool finished;
    omp_set_num_threads(threads);
    eq_diffusion_run run = make_run(whole, STEPS);
    assert_ok(eq_diffusion_run_train(ctx, &run, &finished));
    assert_true(finished);
    run = make_run(parts, STEPS);
    run.course.budget_seconds = 1e-9;
    run.course.checkpoint_seconds = 1e-9;
    run.course.resume = true;
    int rounds = 0;
    for (finished = false; !finished && rounds < 10; rounds++)
        assert_ok(eq_diffusion_run_train(ctx, &run, &finished));
    omp_set_num_threads(before);
    assert_int_equal(rounds, STEPS); /* a step a round */
    assert_true(finished);
    assert_same_files(ctx, whole, parts, "checkpoint.safetensors");
    assert_same_files(ctx, whole, parts, "unet/diffusion_pytorch_model.safetensors");
    free(whole);
    free(parts);
}

static void resumed_runs_end_the_same(void **state)
{
    check_resume(1);
    check_resume(2);
}

static void other_settings_are_refused(void **state)
{
    char *out = eq_path_join(folder, "refused");
    bool finished;
    eq_diffusion_run run = make_run(out, 2);
    assert_ok(eq_diffusion_run_train(ctx, &run, &finished));
    assert_fails(eq_diffusion_run_train(ctx, &run, &finished), EQ_BAD_USAGE, "--resume");
    assert_false(finished);
    run.course.resume = true;
    assert_ok(eq_diffusion_run_train(ctx, &run, &finished)); /* nothing left to do */
    assert_true(finished);
    for (int i = 0; i < 7; i++) {
        run = make_run(out, 2);
        run.course.resume = true;
        switch (i) {
        case 0: run.training.optimiser.total_steps = 3; break;
        case 1: run.training.optimiser.learning_rate = 1e-3; break;
        case 2: run.training.batch = 2; break;
        case 3: run.training.seed = 6; break;
        case 4: run.training.weighting = EQ_WEIGHT_MIN_SNR; break;
        case 5: run.training.unet.block_out_channels[1] = 24; break;
        case 6: run.schedule.prediction = EQ_PREDICT_V; break;
        }
        assert_fails(eq_diffusion_run_train(ctx, &run, &finished), EQ_BAD_INPUT, "other settings");
        assert_false(finished);
    }
    free(out);
}

static void bad_networks_are_refused_first(void **state)
{
    bool finished;
    char *out = eq_path_join(folder, "never");
    eq_diffusion_run run = make_run(out, 2);
    run.training.unet.levels = 100;
    assert_fails(eq_diffusion_run_train(ctx, &run, &finished), EQ_BAD_INPUT, "1 to 8 levels");
    run = make_run(out, 2);
    run.training.unet.sample_size = -16;
    assert_fails(eq_diffusion_run_train(ctx, &run, &finished), EQ_BAD_INPUT, "sample_size");
    run = make_run(out, 2);
    run.images = "/nowhere";
    assert_fails(eq_diffusion_run_train(ctx, &run, &finished), EQ_BAD_INPUT, "/nowhere");
    assert_false(eq_path_exists(out));
    free(out);
}

static void cancel_at_three(void *user, const eq_training_progress *p)
{
    assert_int_equal(p->total_steps, 8);
    assert_true(p->loss > 0 && p->gradient_norm > 0 && p->learning_rate > 0 && p->images_per_second > 0);
    if (p->step == 3)
        eq_cancel(user);
}

/* Cancelled, a run leaves all that a finished one does, and goes on from there. */
static void cancelled_runs_go_on(void **state)
{
    char *out = eq_path_join(folder, "cancelled"), *sheet = eq_path_join(out, "samples/step-0000008.png");
    eq_context *mine = eq_context_new();
    bool finished;
    eq_diffusion_run run = make_run(out, 8);
    run.schedule.num_train_timesteps = 4; /* so that the sample sheet takes four steps */
    run.course.progress = cancel_at_three;
    run.course.progress_user = mine;
    assert_int_equal(eq_diffusion_run_train(mine, &run, &finished), EQ_CANCELLED);
    assert_false(finished);
    assert_non_null(strstr(eq_last_error(mine), "step 3"));
    eq_context_free(mine);
    eq_model model;
    assert_ok(eq_model_open(ctx, out, &model));
    eq_model_close(&model);
    run.course.progress = NULL;
    run.course.resume = true;
    run.course.sheet_seconds = 1e6; /* only at the end */
    assert_ok(eq_diffusion_run_train(ctx, &run, &finished));
    assert_true(finished);
    eq_image image;
    assert_ok(eq_image_read(ctx, sheet, &image));
    assert_true(image.width == 6 * 18 + 2 && image.height == 6 * 18 + 2);
    eq_image_free(&image);
    free(out);
    free(sheet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(datasets),
        cmocka_unit_test(unreadable_images),
        cmocka_unit_test(order_of_visits),
        cmocka_unit_test(the_loss_falls),
        cmocka_unit_test(the_first_loss_is_known),
        cmocka_unit_test(noisy_timesteps_come_up_more_often),
        cmocka_unit_test(trainer_refusals),
        cmocka_unit_test(resumed_runs_end_the_same),
        cmocka_unit_test(other_settings_are_refused),
        cmocka_unit_test(bad_networks_are_refused_first),
        cmocka_unit_test(cancelled_runs_go_on),
    };
    ctx = eq_context_new();
    omp_set_num_threads(1); /* the networks are tiny: threads would mostly wait for each other */
    int failed = cmocka_run_group_tests(tests, setup, teardown);
    eq_context_free(ctx);
    return failed;
}
