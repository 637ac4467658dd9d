/* Training of a tiny model of latents and text: gradients through U-Net and text transformer, captions that decide what
 * is shown, a folder that opens, runs stopped and resumed that end as runs that were not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <omp.h>

#include "base/file.h"
#include "diffusion/latent.h"
#include "diffusion/model.h"
#include "diffusion/prompt.h"
#include "equipoise/generate.h"
#include "io/image.h"
#include "temporary.h"
#include "train/text_model.h"
#include "train/vae_run.h"
#include "unit/same_files.h"
#include "unit/tiny.h"
#include "unit/tiny_tokenizer.h"

enum { IMAGES = 6, SIDE = 16, LATENT = 8 * 8 * 4, WIDTH = 32, LENGTH = 5 };

static eq_context *ctx;
static void *folder;
static char *images, *captions, *vae, *tokenizer;

/* Flat pictures with a bright half, each its own; "a", "b" and "c" in turn say what they show. */
static eq_status draw(void)
{
    eq_status status = eq_make_folders(ctx, images);
    for (int i = 0; i < IMAGES && status == EQ_OK; i++) {
        eq_image image;
        char *path = eq_format("%s/%d.png", images, i);
        status = eq_image_new(ctx, SIDE, SIDE, &image);
        for (int k = 0; k < SIDE * SIDE * 3; k++)
            image.pixels[k] = (uint8_t)(k % 3 == i % 3 ? 230 - 10 * i : k / 3 % SIDE < 8 ? 90 + 8 * i : 30);
        if (status == EQ_OK)
            status = eq_image_write_png(ctx, path, &image);
        eq_image_free(&image);
        free(path);
    }
    static const char table[] = "file_name,caption\n0.png,a\n1.png,b\n2.png,c\n3.png,a b\n3.png,a\n4.png,b\n";
    return status == EQ_OK ? eq_file_write(ctx, captions, table, sizeof table - 1) : status;
}

/* An autoencoder of such pictures. */
static eq_status write_vae(void)
{
    bool finished;
    eq_vae_quality quality;
    eq_vae_run run = {.images = images,
                      .training = {.vae = {.in_channels = 3,
                                           .out_channels = 3,
                                           .latent_channels = 4,
                                           .levels = 2,
                                           .block_out_channels = {8, 16},
                                           .layers_per_block = 1,
                                           .norm_num_groups = 4,
                                           .scaling_factor = 1},
                                   .size = SIDE,
                                   .kl_weight = 1e-3,
                                   .optimiser = eq_optimiser_defaults(),
                                   .batch = 4,
                                   .seed = 3,
                                   .dtype = EQ_F32},
                      .course = {.out = vae},
                      .save_dtype = EQ_F32};
    run.training.optimiser.learning_rate = 5e-3;
    run.training.optimiser.warmup_steps = 5;
    run.training.optimiser.ema_decay = 0.9;
    run.training.optimiser.total_steps = 150;
    return eq_vae_run_train(ctx, &run, &finished, &quality);
}

static int setup(void **state)
{
    if (temporary_setup(&folder) != 0)
        return -1;
    images = eq_path_join(folder, "images");
    captions = eq_path_join(folder, "captions.csv");
    vae = eq_path_join(folder, "vae");
    tokenizer = eq_path_join(folder, "tokenizer");
    if (draw() != EQ_OK || write_vae() != EQ_OK || tiny_tokenizer_write(ctx, tokenizer) != EQ_OK) {
        print_error("%s\n", eq_last_error(ctx));
        return -1;
    }
    return tiny_write(ctx, tokenizer, "tokenizer_config.json", "{\"model_max_length\": 5}") == EQ_OK ? 0 : -1;
}

static int teardown(void **state)
{
    free(images);
    free(captions);
    free(vae);
    free(tokenizer);
    return temporary_teardown(&folder);
}

static eq_diffusion_run make_run(const char *out, int64_t steps)
{
    eq_diffusion_run run = {.images = images,
                            .captions = captions,
                            .vae = vae,
                            .tokenizer = tokenizer,
                            .size = SIDE,
                            .schedule = eq_schedule_config_default(),
                            .course = {.out = out},
                            .save_dtype = EQ_F32};
    run.schedule.prediction = EQ_PREDICT_V;
    run.schedule.clip_sample = false;
    run.training = (eq_diffusion_training){.unet = tiny_unet(),
                                           .text = {.hidden_size = WIDTH,
                                                    .intermediate_size = 64,
                                                    .num_hidden_layers = 2,
                                                    .num_attention_heads = 2,
                                                    .hidden_act = EQ_ACT_QUICK_GELU,
                                                    .layer_norm_eps = 1e-5f},
                                           .caption_dropout = 0.2,
                                           .timestep_power = 1,
                                           .batch = 4,
                                           .flip = true,
                                           .seed = 5,
                                           .dtype = EQ_F32};
    run.training.unet.transformer_layers[0] = run.training.unet.transformer_layers[1] = 1;
    run.training.optimiser = eq_optimiser_defaults();
    run.training.optimiser.learning_rate = 3e-3;
    run.training.optimiser.warmup_steps = 5;
    run.training.optimiser.total_steps = steps;
    return run;
}

/* A run's parts, by themselves. */
typedef struct parts {
    eq_diffusion_training training;
    eq_training_text text;
    eq_schedule schedule;
    eq_diffusion_trainer trainer;
} parts;

static void open_parts(const eq_diffusion_run *run, parts *p)
{
    *p = (parts){.training = run->training};
    assert_ok(eq_schedule_new(ctx, &run->schedule, NULL, &p->schedule));
    assert_ok(eq_training_text_open(ctx, run, &p->training, &p->text));
    eq_diffusion_data data = {.latents = &p->text.set};
    assert_ok(eq_diffusion_trainer_open(ctx, &p->training, &p->schedule, data, &p->trainer));
}

static void close_parts(parts *p)
{
    eq_diffusion_trainer_close(&p->trainer);
    eq_training_text_close(&p->text);
    eq_schedule_free(&p->schedule);
}

/* --- data --- */

/* Latents are the autoencoder's, scaled, also of mirrored images; the image without a caption is left out. */
static void latents_and_captions(void **state)
{
    char *out = eq_path_join(folder, "data"), *cache = eq_path_join(out, "latents.safetensors");
    eq_diffusion_run run = make_run(out, 1);
    parts p;
    open_parts(&run, &p);
    const eq_latent_set *set = &p.text.set;
    assert_int_equal(set->count, IMAGES - 1);
    assert_int_equal(set->first[4] - set->first[3], 2);
    assert_string_equal(set->caption[set->first[3] + 1], "a");
    assert_int_equal(set->length, LENGTH);
    const int32_t a[LENGTH] = {TINY_BOS, 4, TINY_EOS, TINY_EOS, TINY_EOS};
    assert_memory_equal(set->tokens, a, sizeof a);
    assert_int_equal(set->empty[1], TINY_EOS);
    eq_latent_codec *codec;
    eq_dataset data;
    float image[TINY_PIXELS], expected[LATENT], found[LATENT];
    assert_ok(eq_dataset_open(ctx, images, SIDE, true, &data));
    assert_ok(
        eq_latent_codec_new(ctx, &p.text.vae.config, p.text.vae.params, &(eq_latent_options){.dtype = EQ_F32}, &codec));
    for (int flip = 0; flip < 2; flip++) {
        eq_dataset_image(&data, 4, flip, image);
        assert_ok(eq_latent_encode(codec, image, 1, SIDE, SIDE, NULL, 0, expected));
        eq_latent_set_latent(set, 4, flip, found);
        assert_true(tiny_relative_error(found, expected, LATENT) < 1e-3); /* float16 */
    }
    eq_latent_codec_free(codec);
    eq_dataset_close(&data);
    close_parts(&p);
    /* Of other images, the cache is refused; strictly, so are images without captions. */
    run.size = 8;
    p = (parts){.training = run.training};
    assert_fails(eq_training_text_open(ctx, &run, &p.training, &p.text), EQ_BAD_INPUT, "of other images");
    remove(cache);
    run = make_run(out, 1);
    run.strict = true;
    assert_fails(eq_training_text_open(ctx, &run, &p.training, &p.text), EQ_BAD_INPUT, "no caption for 5.png");
    free(out);
    free(cache);
}

/* --- gradients --- */

/* The loss of the first batch, nothing changed. */
static double loss_now(eq_diffusion_trainer *trainer)
{
    double loss, norm;
    trainer->core.optimiser.step = 0;
    trainer->core.optimiser.options.learning_rate = 0;
    assert_ok(eq_diffusion_trainer_step(trainer, &loss, &norm));
    return loss;
}

/* The parameters at start + distance * direction, in one of the networks. */
static void move(eq_diffusion_trainer *trainer, const eq_params *part, const float *start, const float *direction,
                 double distance)
{
    float *storage = trainer->params->storage;
    memcpy(storage, start, (size_t)trainer->params->total * sizeof *start);
    for (int i = 0; i < part->count; i++) {
        int64_t first = (float *)part->items[i].tensor.data - storage;
        int64_t last = first + eq_shape_count(&part->items[i].tensor.shape);
        for (int64_t k = first; k < last; k++)
            storage[k] += (float)distance * direction[k];
    }
}

static double slope_along(const eq_diffusion_trainer *trainer, const eq_params *part, const float *direction)
{
    double slope = 0;
    for (int i = 0; i < part->count; i++) {
        int64_t first = (float *)part->items[i].tensor.data - trainer->params->storage;
        int64_t last = first + eq_shape_count(&part->items[i].tensor.shape);
        for (int64_t k = first; k < last; k++)
            slope += (double)trainer->core.gradients[k] * direction[k];
    }
    return slope;
}

/* Along a random direction in the parameters of one of the networks, steep enough for float32 to tell the losses
 * apart. */
static void check_gradient(eq_diffusion_trainer *trainer, const eq_params *part)
{
    const double step = 1e-3;
    size_t total = (size_t)trainer->params->total;
    float *start = malloc(total * sizeof *start), *direction = NULL;
    double loss[4], slope = 0;
    memcpy(start, trainer->params->storage, total * sizeof *start);
    loss_now(trainer);
    for (uint64_t seed = 9; fabs(slope) < 0.01; seed++) {
        assert_true(seed < 30);
        free(direction);
        direction = tiny_normals(seed, total);
        slope = slope_along(trainer, part, direction);
    }
    for (int i = 0; i < 4; i++) {
        move(trainer, part, start, direction, step * (double[]){-2, -1, 1, 2}[i]);
        loss[i] = loss_now(trainer);
    }
    memcpy(trainer->params->storage, start, total * sizeof *start);
    double difference = (8 * (loss[2] - loss[1]) - (loss[3] - loss[0])) / (12 * step);
    assert_near(difference / slope, 1, 2e-2);
    free(start);
    free(direction);
}

static void gradients_hold(void **state)
{
    char *out = eq_path_join(folder, "gradients");
    eq_diffusion_run run = make_run(out, 10);
    parts p;
    open_parts(&run, &p);
    /* Fresh networks have zeros, which hide what comes before them, and embeddings near zero. */
    float *noise = tiny_normals(4, (size_t)p.trainer.params->total);
    for (int64_t i = 0; i < p.trainer.params->total; i++)
        p.trainer.params->storage[i] += 0.05f * noise[i];
    eq_params unet = eq_diffusion_trainer_unet(&p.trainer), text = eq_diffusion_trainer_text(&p.trainer);
    assert_int_equal(unet.count + text.count, p.trainer.params->count);
    assert_string_equal(text.items[0].name, "text_model.embeddings.token_embedding.weight");
    check_gradient(&p.trainer, &unet);
    check_gradient(&p.trainer, &text);
    close_parts(&p);
    free(noise);
    free(out);
}

/* --- training --- */

/* The loss falls, and sampled by their captions, pictures come out as they were. */
static void captions_decide(void **state)
{
    enum { STEPS = 400, PART = 50 };
    char *out = eq_path_join(folder, "decide");
    eq_diffusion_run run = make_run(out, STEPS);
    run.training.flip = false;
    run.training.caption_dropout = 0.1;
    run.training.optimiser.ema_decay = 0.97;
    parts p;
    open_parts(&run, &p);
    double first = 0, last = 0;
    for (int i = 0; i < STEPS; i++) {
        double loss, norm;
        assert_ok(eq_diffusion_trainer_step(&p.trainer, &loss, &norm));
        first += i < PART ? loss / PART : 0;
        last += i >= STEPS - PART ? loss / PART : 0;
    }
    if (!(last < 0.5 * first))
        fail_msg("loss from %g to %g", first, last);
    eq_trainer_swap_average(&p.trainer.core);
    float samples[5 * TINY_PIXELS], latent[LATENT], shown[5 * TINY_PIXELS];
    assert_ok(eq_training_text_sample(ctx, &p.text, &p.trainer, 5, 20, 3, samples));
    eq_latent_codec *codec;
    assert_ok(
        eq_latent_codec_new(ctx, &p.text.vae.config, p.text.vae.params, &(eq_latent_options){.dtype = EQ_F32}, &codec));
    for (int i = 0; i < 5; i++) {
        eq_latent_set_latent(&p.text.set, i, false, latent);
        assert_ok(eq_latent_decode(codec, latent, 1, 8, 8, shown + i * TINY_PIXELS));
    }
    for (int i = 0; i < 3; i++) /* "a", "b" and "c": nearest to a picture of that caption */
        for (int k = 0, nearest = 0; k < 5; k++) {
            double here = tiny_relative_error(samples + i * TINY_PIXELS, shown + k * TINY_PIXELS, TINY_PIXELS);
            double best = tiny_relative_error(samples + i * TINY_PIXELS, shown + nearest * TINY_PIXELS, TINY_PIXELS);
            nearest = here < best ? k : nearest;
            if (k == 4)
                assert_int_equal(nearest % 3, i);
        }
    eq_latent_codec_free(codec);
    close_parts(&p);
    free(out);
}

/* A step a round, each with a process's worth of fresh state, and sheets in between. */
static void resumed_runs_end_the_same(void **state)
{
    enum { STEPS = 4 };
    static const char *const files[] = {"checkpoint.safetensors",   "unet/diffusion_pytorch_model.safetensors",
                                        "unet/config.json",         "text_encoder/model.safetensors",
                                        "text_encoder/config.json", "scheduler/scheduler_config.json",
                                        "vae/config.json",          "tokenizer/vocab.json",
                                        "model_index.json"};
    char *whole = eq_path_join(folder, "whole"), *pieces = eq_path_join(folder, "pieces");
    char *sheet = eq_path_join(pieces, "samples/step-0000004.png");
    bool finished;
    eq_diffusion_run run = make_run(whole, STEPS);
    run.schedule.num_train_timesteps = 10; /* so that a sheet takes ten steps */
    assert_ok(eq_diffusion_run_train(ctx, &run, &finished));
    run.course = (eq_training_course){.out = pieces, .budget_seconds = 1e-9, .sheet_seconds = 1e-9, .resume = true};
    int rounds = 0;
    for (finished = false; !finished && rounds < 10; rounds++)
        assert_ok(eq_diffusion_run_train(ctx, &run, &finished));
    assert_int_equal(rounds, STEPS);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        assert_same_files(ctx, whole, pieces, files[i]);
    assert_true(eq_path_exists(sheet));
    run.training.caption_dropout = 0.3;
    assert_fails(eq_diffusion_run_train(ctx, &run, &finished), EQ_BAD_INPUT, "other settings");
    free(whole);
    free(pieces);
    free(sheet);
}

/* What training wrote, generation opens: with the trainer's text states, and prompts that matter. */
static void the_folder_opens(void **state)
{
    char *out = eq_path_join(folder, "model");
    bool finished;
    eq_diffusion_run run = make_run(out, 30);
    run.training.optimiser.ema_decay = 0;
    assert_ok(eq_diffusion_run_train(ctx, &run, &finished));
    eq_pipeline *pipeline;
    assert_ok(eq_pipeline_open(ctx, out, &pipeline));
    eq_generation set[2];
    for (int i = 0; i < 2; i++) {
        const char *prompt = i ? "b" : "a";
        eq_generate_options options = {
            .count = 2, .seed = 3, .steps = 4, .cfg = 5, .method = "none", .prompts = &prompt, .prompt_count = 1};
        assert_ok(eq_generate(pipeline, &options, &(eq_targets){0}, &set[i]));
        assert_int_equal(set[i].width, SIDE);
    }
    assert_memory_not_equal(set[0].pixels, set[1].pixels, 2 * TINY_PIXELS);
    eq_generation_free(&set[0]);
    eq_generation_free(&set[1]);
    eq_pipeline_close(pipeline);
    eq_prompt_encoder *encoder;
    assert_ok(eq_prompt_encoder_open(ctx, out, &(eq_prompt_options){.dtype = EQ_F32}, &encoder));
    assert_int_equal(eq_prompt_length(encoder), LENGTH);
    assert_int_equal(eq_prompt_width(encoder), WIDTH);
    eq_prompt_encoder_close(encoder);
    free(out);
}

static void refusals(void **state)
{
    char *out = eq_path_join(folder, "never");
    bool finished;
    eq_diffusion_run run = make_run(out, 1);
    run.vae = "/nowhere";
    assert_fails(eq_diffusion_run_train(ctx, &run, &finished), EQ_BAD_INPUT, "/nowhere");
    run = make_run(out, 1);
    run.size = 15;
    assert_fails(eq_diffusion_run_train(ctx, &run, &finished), EQ_BAD_USAGE, "multiple of the autoencoder's 2");
    run = make_run(out, 1);
    run.training.text.num_attention_heads = 5;
    assert_fails(eq_diffusion_run_train(ctx, &run, &finished), EQ_BAD_INPUT, "num_attention_heads");
    run = make_run(out, 1);
    run.training.text.hidden_size = 0;
    assert_fails(eq_diffusion_run_train(ctx, &run, &finished), EQ_BAD_INPUT, "hidden_size");
    assert_false(eq_path_exists(out));
    run = make_run(out, 1);
    run.training.caption_dropout = 2;
    assert_fails(eq_diffusion_run_train(ctx, &run, &finished), EQ_BAD_USAGE, "--caption-dropout");
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(latents_and_captions), cmocka_unit_test(gradients_hold),
        cmocka_unit_test(captions_decide),      cmocka_unit_test(resumed_runs_end_the_same),
        cmocka_unit_test(the_folder_opens),     cmocka_unit_test(refusals),
    };
    ctx = eq_context_new();
    omp_set_num_threads(1); /* the networks are tiny: threads would mostly wait for each other */
    int failed = cmocka_run_group_tests(tests, setup, teardown);
    eq_context_free(ctx);
    return failed;
}
