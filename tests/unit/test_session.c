/* Generations into folders with a tiny random model: what is in the folder, runs that are stopped or killed and
 * continued, refusals, and exact quotas. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <omp.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "guidance/adp_file.h"
#include "io/image.h"
#include "io/json.h"
#include "io/manifest.h"
#include "models/classifier_file.h"
#include "run/session.h"
#include "temporary.h"
#include "unit/tiny.h"

enum { FIRST = 40, COUNT = 10, STEPS = 5 };

static eq_context *ctx;
static void *folder;
static eq_pipeline *pipeline;
static eq_targets balanced;
static eq_classifier *verifier;

/* A classifier with random weights; NULL unless it sees at least 3 of each gender in the images. */
static eq_classifier *make_classifier(const char *path, uint64_t seed, const eq_generation *images)
{
    const eq_classifier_config config = {.trunk = eq_trunk_find("resnet"),
                                         .size = TINY_SIDE,
                                         .stages = 2,
                                         .channels = {4, 8},
                                         .blocks = 1,
                                         .attribute_count = 1,
                                         .attributes = {tiny_gender()}};
    const eq_classifier_score scores[1] = {{.accuracy = NAN}};
    eq_params *params = eq_params_new(ctx);
    assert_ok(eq_classifier_declare(params, &config));
    assert_ok(eq_params_allocate(params));
    eq_params_initialise(params, seed);
    for (int64_t i = 0; i < params->total; i++)
        params->storage[i] *= 3;
    assert_ok(eq_classifier_file_save(ctx, path, &config, scores, params, EQ_F32));
    eq_params_free(params);
    eq_classifier *classifier;
    assert_ok(eq_classifier_open(ctx, path, &classifier));
    float p[2 * COUNT], *rows[] = {p};
    assert_ok(eq_classifier_run(classifier, images->pixels, COUNT, TINY_SIDE, TINY_SIDE, rows, NULL, NULL, NULL));
    int women = 0;
    for (int i = 0; i < COUNT; i++)
        women += p[2 * i] > p[2 * i + 1];
    if (women != COUNT / 2 && women >= 3 && women <= COUNT - 3)
        return classifier;
    eq_classifier_close(classifier);
    return NULL;
}

static int setup(void **state)
{
    if (temporary_setup(&folder) != 0)
        return -1;
    eq_unet_config unet = tiny_unet();
    eq_attribute gender = tiny_gender();
    eq_adp adp;
    char *model = eq_path_join(folder, "model"), *adps = eq_path_join(model, "adp");
    char *path = eq_path_join(adps, "gender.safetensors"), *classifier = eq_path_join(folder, "classifier");
    assert_ok(tiny_model(ctx, model, &unet, 3));
    assert_ok(tiny_adp(ctx, &gender, 10, 50, 0, eq_shape_of(8, 8, 16), 8, 1, &adp));
    assert_ok(eq_make_folders(ctx, adps));
    assert_ok(eq_adp_write(ctx, path, &adp));
    eq_adp_free(&adp);
    assert_ok(eq_pipeline_open(ctx, model, &pipeline));
    int count;
    const eq_attribute *known = eq_pipeline_attributes(pipeline, &count);
    assert_ok(eq_targets_add(ctx, &balanced, "gender=female:0.5,male:0.5", known, count));
    eq_generate_options options = {.count = COUNT, .first_index = FIRST, .seed = 7, .steps = STEPS, .strength = 2};
    eq_generation images;
    assert_ok(eq_generate(pipeline, &options, &balanced, &images));
    for (uint64_t seed = 1; seed < 100 && !verifier; seed++)
        verifier = make_classifier(classifier, seed, &images);
    assert_non_null(verifier);
    eq_generation_free(&images);
    free(model);
    free(adps);
    free(path);
    free(classifier);
    return 0;
}

static int teardown(void **state)
{
    eq_targets_free(&balanced);
    eq_classifier_close(verifier);
    eq_pipeline_close(pipeline);
    return temporary_teardown(&folder);
}

/* --- helpers --- */

/* Where a run is to be stopped. */
typedef struct stop {
    int64_t at, calls;
    bool kill;
} stop;

static void count_down(void *user, int64_t done, int64_t total)
{
    stop *s = user;
    if (++s->calls != s->at)
        return;
    if (s->kill)
        _exit(9);
    eq_cancel(ctx);
}

static eq_session session_in(const char *out)
{
    return (eq_session){.pipeline = pipeline,
                        .targets = &balanced,
                        .out = out,
                        .verifier_name = "classifier",
                        .verify_limit = 20,
                        .options = {.count = COUNT,
                                    .first_index = FIRST,
                                    .seed = 7,
                                    .steps = STEPS,
                                    .strength = 2,
                                    .coupled = 4,
                                    .progress = count_down}};
}

static char *path_in(const char *out, const char *name)
{
    char *path = eq_path_join(out, name);
    assert_non_null(path);
    return path;
}

static bool is_there(const char *out, const char *name)
{
    char *path = path_in(out, name);
    bool there = eq_path_exists(path);
    free(path);
    return there;
}

static void assert_same_file(const char *a, const char *b, const char *name)
{
    char *paths[2] = {path_in(a, name), path_in(b, name)};
    uint8_t *bytes[2];
    size_t size[2];
    for (int i = 0; i < 2; i++)
        assert_ok(eq_file_read(ctx, paths[i], 1 << 24, &bytes[i], &size[i]));
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(bytes[0], bytes[1], size[0]);
    for (int i = 0; i < 2; i++) {
        free(bytes[i]);
        free(paths[i]);
    }
}

static void read_run(const char *out, eq_json *run)
{
    char *path = path_in(out, "run.json");
    assert_ok(eq_json_read(ctx, path, run));
    free(path);
}

/* Manifest, images and what run.json says of them. */
static void assert_same_run(const char *a, const char *b)
{
    static const char *const keys[] = {"settings", "targets", "strengths", "p_per_step", "heads"};
    assert_same_file(a, b, "manifest.jsonl");
    char *path = path_in(a, "manifest.jsonl");
    eq_manifest manifest;
    assert_ok(eq_manifest_read(ctx, path, &manifest));
    assert_int_equal(manifest.count, COUNT);
    for (size_t i = 0; i < manifest.count; i++)
        assert_same_file(a, b, manifest.entries[i].file);
    eq_manifest_free(&manifest);
    free(path);
    eq_json runs[2];
    read_run(a, &runs[0]);
    read_run(b, &runs[1]);
    for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
        assert_true(json_equal(json_object_get(runs[0].object, keys[k]), json_object_get(runs[1].object, keys[k])));
    for (int i = 0; i < 2; i++)
        eq_json_close(&runs[i]);
    assert_false(is_there(a, "checkpoint.safetensors"));
    assert_false(is_there(b, "checkpoint.safetensors"));
}

static void run_whole(const eq_session *session)
{
    eq_session_result result;
    stop never = {0};
    eq_session s = *session;
    s.options.progress_user = &never;
    assert_ok(eq_session_run(&s, &result));
    eq_session_result_free(&result);
}

/* --- the folder --- */

static void what_a_run_leaves(void **state)
{
    char *out = path_in(folder, "run");
    eq_session session = session_in(out);
    stop never = {0};
    session.options = (eq_generate_options){.count = 101,
                                            .first_index = FIRST,
                                            .steps = 2,
                                            .preset = "p2",
                                            .strength = 0.01,
                                            .progress = count_down,
                                            .progress_user = &never};
    eq_session_result result;
    assert_ok(eq_session_run(&session, &result));
    char *manifest_path = path_in(out, "manifest.jsonl"), *image_path = path_in(out, "images/000140.png");
    eq_manifest manifest;
    assert_ok(eq_manifest_read(ctx, manifest_path, &manifest));
    assert_int_equal(manifest.count, 101);
    const eq_manifest_entry *last = eq_manifest_find(&manifest, 140);
    assert_non_null(last);
    assert_string_equal(last->file, "images/000140.png");
    assert_int_equal(last->batch, 1); /* p2 couples 100 */
    assert_int_equal(eq_manifest_find(&manifest, 139)->batch, 0);
    assert_true(last->guided);
    assert_false(last->replacement);
    assert_int_equal(last->prediction_count, 1);
    eq_manifest_free(&manifest);
    eq_image image;
    assert_ok(eq_image_read(ctx, image_path, &image));
    assert_memory_equal(image.pixels, result.generation.pixels + 100 * TINY_PIXELS, TINY_PIXELS);
    eq_image_free(&image);

    eq_json json, part;
    const char *text;
    double number;
    int64_t whole;
    read_run(out, &json);
    assert_ok(eq_json_object(ctx, &json, "model", &part));
    assert_ok(eq_json_string(ctx, &part, "hash", &text));
    const char *hash;
    assert_ok(eq_model_hash(ctx, &pipeline->model, &hash));
    assert_string_equal(text, hash);
    assert_ok(eq_json_object(ctx, &json, "settings", &part)); /* the preset's, not the defaults */
    assert_ok(eq_json_string(ctx, &part, "spacing", &text));
    assert_string_equal(text, "paper");
    assert_ok(eq_json_string(ctx, &part, "loss", &text));
    assert_string_equal(text, "chi2");
    assert_ok(eq_json_string(ctx, &part, "guide_steps", &text));
    assert_string_equal(text, "2..2");
    assert_ok(eq_json_int(ctx, &part, "coupled", 0, 1000, &whole));
    assert_int_equal(whole, 100);
    assert_ok(eq_json_object(ctx, &json, "strengths", &part));
    assert_ok(eq_json_float(ctx, &part, "gender", 0, 1, &number));
    assert_near(number, 0.01, 1e-9);
    assert_ok(eq_json_float(ctx, &json, "unet_passes", 0, 1e9, &number));
    assert_near(number, 202, 0);
    eq_json_close(&json);
    eq_session_result_free(&result);
    free(out);
    free(manifest_path);
    free(image_path);
}

static void settings_of_sd(void **state)
{
    eq_generate_options options = {.count = 2, .steps = 4, .preset = "sd"};
    eq_run_settings settings;
    assert_ok(eq_run_settings_resolve(pipeline, &options, &balanced, &settings));
    json_t *json = eq_run_settings_json(&settings);
    assert_string_equal(json_string_value(json_object_get(json, "loss")), "kl");
    assert_string_equal(json_string_value(json_object_get(json, "spacing")), "leading");
    assert_near(json_number_value(json_object_get(json, "eta")), 0, 0);
    json_decref(json);
    eq_run_settings_free(&settings);
}

/* --- stopping and continuing --- */

static void stopped_runs_continue(void **state)
{
    static const char *const methods[] = {"none", "distribution", "sample", "assign"};
    for (int m = 0; m < 4; m++) {
        char name[64];
        snprintf(name, sizeof name, "whole-%s", methods[m]);
        char *whole = path_in(folder, name);
        eq_session session = session_in(whole);
        session.options.method = methods[m];
        run_whole(&session);
        /* Before the first step, in it, at the end of the first group of 4, in the second, and in the last, of 2. */
        static const int64_t ends[] = {1, 2, 6, 9, 17};
        for (int e = 0; e < 5; e++) {
            snprintf(name, sizeof name, "cut-%s-%d", methods[m], e);
            char *out = path_in(folder, name);
            eq_session_result result;
            stop cut = {.at = ends[e]};
            session.out = out;
            session.options.progress_user = &cut;
            assert_fails(eq_session_run(&session, &result), EQ_CANCELLED, "--resume");
            eq_session_result_free(&result);
            eq_cancel_clear(ctx);
            assert_true(is_there(out, "checkpoint.safetensors"));
            assert_int_equal(is_there(out, "images/000040.png"), ends[e] >= 6);
            assert_false(is_there(out, "run.json"));
            session.resume = true;
            run_whole(&session);
            session.resume = false;
            assert_same_run(whole, out);
            free(out);
        }
        free(whole);
    }
}

static void killed_runs_continue(void **state)
{
    char *whole = path_in(folder, "whole-kept");
    eq_session session = session_in(whole);
    session.options.method = "assign";
    session.options.sampler = "ddpm";
    run_whole(&session);
    session.checkpoint_seconds = 1e-9; /* at every step */
    for (int64_t at = 2; at <= 16; at += 7) {
        char name[64];
        snprintf(name, sizeof name, "killed-%d", (int)at);
        char *out = path_in(folder, name);
        session.out = out;
        session.resume = false;
        pid_t child = fork();
        if (child == 0) {
            eq_session_result result;
            stop end = {.at = at, .kill = true};
            session.options.progress_user = &end;
            eq_session_run(&session, &result);
            _exit(1);
        }
        int code;
        assert_int_equal(waitpid(child, &code, 0), child);
        assert_true(WIFEXITED(code) && WEXITSTATUS(code) == 9);
        session.resume = true;
        run_whole(&session);
        assert_same_run(whole, out);
        free(out);
    }
    free(whole);
}

static void other_settings_are_refused(void **state)
{
    char *out = path_in(folder, "begun"), *other = path_in(folder, "not-a-run"), *file = path_in(other, "letter.txt");
    eq_session session = session_in(out);
    eq_session_result result;
    stop cut = {.at = 8}, never = {0};
    session.options.progress_user = &cut;
    assert_fails(eq_session_run(&session, &result), EQ_CANCELLED, "4 of 10");
    eq_session_result_free(&result);
    eq_cancel_clear(ctx);
    session.options.progress_user = &never;
    assert_fails(eq_session_run(&session, &result), EQ_BAD_USAGE, "continue it with --resume");
    eq_session_result_free(&result);
    session.resume = true;
    session.options.steps = 6;
    assert_fails(eq_session_run(&session, &result), EQ_BAD_USAGE, "begun with steps 5, not 6");
    eq_session_result_free(&result);
    session.options.steps = STEPS;
    session.options.method = "sample";
    assert_fails(eq_session_run(&session, &result), EQ_BAD_USAGE, "begun with method distribution, not sample");
    eq_session_result_free(&result);
    session.options.method = NULL;
    session.verifier = verifier;
    assert_fails(eq_session_run(&session, &result), EQ_BAD_USAGE, "begun with verification nothing");
    eq_session_result_free(&result);
    session.verifier = NULL;
    session.options.micro_batch = 3; /* decides nothing */
    run_whole(&session);

    assert_ok(eq_session_run(&session, &result));
    assert_true(result.was_finished);
    eq_session_result_free(&result);
    session.options.seed = 8;
    assert_fails(eq_session_run(&session, &result), EQ_BAD_USAGE, "begun with seed 7, not 8");
    eq_session_result_free(&result);
    session.resume = false;
    assert_fails(eq_session_run(&session, &result), EQ_BAD_USAGE, "it is finished");
    eq_session_result_free(&result);

    assert_ok(eq_make_folders(ctx, other));
    assert_ok(eq_file_write(ctx, file, "dear", 4));
    session.out = other;
    session.resume = true;
    assert_fails(eq_session_run(&session, &result), EQ_BAD_USAGE, "that is no run");
    eq_session_result_free(&result);
    free(out);
    free(other);
    free(file);
}

static void damaged_checkpoints_are_refused(void **state)
{
    char *out = path_in(folder, "damaged"), *path = path_in(out, "checkpoint.safetensors");
    char *image = path_in(out, "images/000041.png");
    eq_session session = session_in(out);
    eq_session_result result;
    stop cut = {.at = 8}, never = {0};
    session.options.progress_user = &cut;
    assert_int_equal(eq_session_run(&session, &result), EQ_CANCELLED);
    eq_session_result_free(&result);
    eq_cancel_clear(ctx);
    session.options.progress_user = &never;
    session.resume = true;
    uint8_t *bytes;
    size_t size;
    assert_ok(eq_file_read(ctx, path, 1 << 24, &bytes, &size));
    assert_ok(eq_file_write(ctx, path, bytes, size - 100));
    assert_fails(eq_session_run(&session, &result), EQ_BAD_INPUT, "checkpoint.safetensors");
    eq_session_result_free(&result);
    assert_ok(eq_file_write(ctx, path, bytes, size));
    free(bytes);
    assert_int_equal(unlink(image), 0);
    assert_fails(eq_session_run(&session, &result), EQ_BAD_INPUT, "000041.png");
    eq_session_result_free(&result);
    free(out);
    free(path);
    free(image);
}

/* --- verification --- */

/* Women among the images of the folder, as the verifier sees them. */
static int women_in(const char *out, int *replaced)
{
    char *path = path_in(out, "manifest.jsonl");
    eq_manifest manifest;
    assert_ok(eq_manifest_read(ctx, path, &manifest));
    assert_int_equal(manifest.count, COUNT);
    int women = 0;
    *replaced = 0;
    for (int i = 0; i < COUNT; i++) {
        float p[2], *rows[] = {p};
        char *image_path = path_in(out, manifest.entries[i].file);
        eq_image image;
        assert_ok(eq_image_read(ctx, image_path, &image));
        assert_ok(eq_classifier_run(verifier, image.pixels, 1, TINY_SIDE, TINY_SIDE, rows, NULL, NULL, NULL));
        women += p[0] > p[1];
        if (manifest.entries[i].replacement) {
            int64_t gone = manifest.entries[i].replaces;
            assert_true(manifest.entries[i].index >= FIRST + COUNT && gone >= FIRST && gone < FIRST + COUNT);
            char name[64];
            snprintf(name, sizeof name, "images/%06d.png", (int)gone);
            assert_false(is_there(out, name));
            ++*replaced;
        }
        eq_image_free(&image);
        free(image_path);
    }
    eq_manifest_free(&manifest);
    free(path);
    return women;
}

static void quotas_are_met(void **state)
{
    char *whole = path_in(folder, "verified"), *out = path_in(folder, "verified-cut");
    eq_session session = session_in(whole);
    eq_session_result result;
    stop never = {0};
    int replaced;
    session.options.coupled = 0;
    session.options.progress_user = &never;
    session.verifier = verifier;
    assert_ok(eq_session_run(&session, &result));
    assert_true(result.verification.done && result.verification.exact);
    assert_int_equal(women_in(whole, &replaced), COUNT / 2);
    assert_true(replaced > 0 && replaced == result.verification.replaced);
    assert_true(result.verification.drawn >= replaced);
    assert_near(result.verification.unet_passes, (double)(result.verification.drawn * STEPS), 0);
    assert_near(result.generation.unet_passes, (double)((COUNT + result.verification.drawn) * STEPS), 0);
    int64_t calls = never.calls;
    eq_session_result_free(&result);
    session.out = out;
    session.resume = true;
    for (int64_t at = 4; at < calls; at += 4) { /* stopped again and again */
        stop cut = {.at = 4};
        session.options.progress_user = &cut;
        eq_status status = eq_session_run(&session, &result);
        eq_session_result_free(&result);
        eq_cancel_clear(ctx);
        if (status == EQ_OK)
            break;
        assert_int_equal(status, EQ_CANCELLED);
    }
    run_whole(&session);
    assert_same_run(whole, out);
    free(whole);
    free(out);
}

static void quotas_that_cannot_be_met(void **state)
{
    char *out = path_in(folder, "unmet");
    eq_session session = session_in(out);
    eq_session_result result;
    eq_targets ages = {0};
    eq_attribute age = tiny_age();
    stop never = {0};
    session.options.progress_user = &never;
    session.options.method = "none";
    session.options.coupled = 1; /* so that 8 are drawn at a time */
    session.verifier = verifier;
    session.verify_limit = 0.1; /* a single image */
    assert_ok(eq_session_run(&session, &result));
    assert_true(result.verification.done && result.verification.drawn == 1);
    assert_true(is_there(out, "run.json"));
    eq_session_result_free(&result);

    assert_ok(eq_targets_add(ctx, &ages, "age=young:0.5,middle:0.5,old:0", &age, 1));
    session.targets = &ages;
    session.replace = true;
    assert_fails(eq_session_run(&session, &result), EQ_BAD_USAGE, "--verify cannot tell");
    eq_session_result_free(&result);
    eq_targets_free(&ages);
    free(out);
}

/* Rejection: images are those of a run without guidance, the quota is exact, the first that fit are kept in their
 * places, and what was thrown away is counted. */
static void rejection(void **state)
{
    char *out = path_in(folder, "rejection"), *plain = path_in(folder, "plain"), *path = path_in(folder, "classifier");
    char *again = path_in(folder, "rejection-again");
    eq_session session = session_in(out);
    eq_session_result result;
    stop never = {0};
    session.options.progress_user = &never;
    session.options.guide_classifier = path;
    session.options.method = "none";
    session.out = plain;
    run_whole(&session);
    session.options.method = "rejection";
    session.out = out;
    assert_ok(eq_session_run(&session, &result));
    const eq_verification *v = &result.verification;
    assert_true(v->done && v->rejection && v->exact && v->drawn >= v->replaced && v->replaced > 0);
    assert_string_equal(v->classifier, path);
    assert_near(v->unet_passes, (double)(v->drawn * STEPS), 0);
    assert_near(result.generation.unet_passes, (double)((COUNT + v->drawn) * STEPS), 0);
    int kept = 0, replaced;
    for (int i = 0; i < COUNT; i++) {
        char name[64];
        snprintf(name, sizeof name, "images/%06d.png", FIRST + i);
        if (is_there(out, name)) {
            assert_same_file(out, plain, name);
            kept++;
        }
        assert_false(result.generation.moved[i]);
    }
    assert_int_equal(kept + v->replaced, COUNT);
    assert_int_equal(women_in(out, &replaced), COUNT / 2);
    assert_int_equal(replaced, v->replaced);
    int64_t calls = never.calls;
    eq_session_result_free(&result);

    session.out = again;
    session.resume = true;
    for (int64_t at = 0; at < calls; at += 5) {
        stop cut = {.at = 5};
        session.options.progress_user = &cut;
        eq_status status = eq_session_run(&session, &result);
        eq_session_result_free(&result);
        eq_cancel_clear(ctx);
        if (status == EQ_OK)
            break;
        assert_int_equal(status, EQ_CANCELLED);
    }
    session.options.progress_user = &never;
    run_whole(&session);
    assert_same_run(out, again);

    char *graded = path_in(folder, "graded");
    session.out = graded;
    session.evaluator = verifier;
    session.evaluator_name = "evaluator";
    assert_fails(eq_session_run(&session, &result), EQ_BAD_USAGE, "--allow-self-grading");
    eq_session_result_free(&result);
    session.allow_self_grading = true;
    assert_ok(eq_session_run(&session, &result));
    eq_session_result_free(&result);
    session.out = plain;
    session.verifier = verifier;
    session.replace = true;
    assert_fails(eq_session_run(&session, &result), EQ_BAD_USAGE, "leave out --verify");
    eq_session_result_free(&result);
    free(out);
    free(plain);
    free(path);
    free(again);
    free(graded);
}

/* Universal guidance, stopped at every few calls, gives what it gives in one go; the classifier is part of the run. */
static void universal_continues(void **state)
{
    char *whole = path_in(folder, "universal"), *out = path_in(folder, "universal-cut");
    char *path = path_in(folder, "classifier");
    eq_session session = session_in(whole);
    eq_session_result result;
    stop never = {0};
    session.options.progress_user = &never;
    session.options.guide_classifier = path;
    session.options.method = "universal";
    run_whole(&session);
    session.out = out;
    session.resume = true;
    for (int k = 0;; k++) {
        stop cut = {.at = 4};
        session.options.progress_user = &cut;
        eq_status status = eq_session_run(&session, &result);
        eq_session_result_free(&result);
        eq_cancel_clear(ctx);
        if (status == EQ_OK)
            break;
        assert_int_equal(status, EQ_CANCELLED);
        assert_true(k < 100);
    }
    assert_same_run(whole, out);
    session.options.progress_user = &never;
    session.options.jacobian = 1;
    assert_fails(eq_session_run(&session, &result), EQ_BAD_USAGE, "jacobian");
    eq_session_result_free(&result);
    free(whole);
    free(out);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_run_leaves),
        cmocka_unit_test(settings_of_sd),
        cmocka_unit_test(stopped_runs_continue),
        cmocka_unit_test(killed_runs_continue),
        cmocka_unit_test(other_settings_are_refused),
        cmocka_unit_test(damaged_checkpoints_are_refused),
        cmocka_unit_test(quotas_are_met),
        cmocka_unit_test(quotas_that_cannot_be_met),
        cmocka_unit_test(rejection),
        cmocka_unit_test(universal_continues),
    };
    ctx = eq_context_new();
    omp_set_num_threads(1);
    int failed = cmocka_run_group_tests(tests, setup, teardown);
    eq_context_free(ctx);
    return failed;
}
