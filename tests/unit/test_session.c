/* Generations into folders with a tiny random model: what is in the folder, runs that are stopped or killed and
 * continued, and refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/wait.h>

#include "base/file.h"
#include "io/image.h"
#include "unit/session_bed.h"

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
        cmocka_unit_test(what_a_run_leaves),          cmocka_unit_test(settings_of_sd),
        cmocka_unit_test(stopped_runs_continue),      cmocka_unit_test(killed_runs_continue),
        cmocka_unit_test(other_settings_are_refused), cmocka_unit_test(damaged_checkpoints_are_refused),
        cmocka_unit_test(universal_continues),
    };
    ctx = eq_context_new();
    omp_set_num_threads(1);
    int failed = cmocka_run_group_tests(tests, bed_setup, bed_teardown);
    eq_context_free(ctx);
    return failed;
}
