/* Generations into folders whose images a classifier looks at: exact quotas by verification and by rejection, and
 * evaluators that had a part in what they grade. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/image.h"
#include "unit/session_bed.h"

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

/* Continues the run so many times, or until it is done, each time stopped at call number `at` of its progress. */
static void stop_again_and_again(const eq_session *session, int64_t times, int64_t at)
{
    eq_session s = *session;
    eq_session_result result;
    for (int64_t i = 0; i < times; i++) {
        stop cut = {.at = at};
        s.options.progress_user = &cut;
        eq_status status = eq_session_run(&s, &result);
        eq_session_result_free(&result);
        eq_cancel_clear(ctx);
        if (status == EQ_OK)
            break;
        assert_int_equal(status, EQ_CANCELLED);
    }
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
    stop_again_and_again(&session, (calls - 1) / 4, 4);
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
            assert_same_files(ctx, out, plain, name);
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
    stop_again_and_again(&session, (calls + 4) / 5, 5);
    run_whole(&session);
    assert_same_run(out, again);

    session.out = plain;
    session.verifier = verifier;
    session.replace = true;
    assert_fails(eq_session_run(&session, &result), EQ_BAD_USAGE, "leave out --verify");
    eq_session_result_free(&result);
    free(out);
    free(plain);
    free(path);
    free(again);
}

/* Another run takes from the pool what the first one drew, and reports the same cost. */
static void rejection_from_a_pool(void **state)
{
    char *out = path_in(folder, "pooled"), *again = path_in(folder, "pooled-again"),
         *path = path_in(folder, "classifier");
    eq_session session = session_in(out);
    eq_session_result first, second;
    eq_image_pool pool = {0};
    stop counted = {0};
    session.options.progress_user = &counted;
    session.options.guide_classifier = path;
    session.options.method = "rejection";
    session.pool = &pool;
    assert_ok(eq_session_run(&session, &first));
    int64_t calls = counted.calls, drawn = first.verification.drawn;
    assert_int_equal(pool.first, FIRST + COUNT);
    assert_int_equal(pool.count, drawn);
    assert_near(pool.passes, (double)(drawn * STEPS), 0);
    counted.calls = 0;
    session.out = again;
    assert_ok(eq_session_run(&session, &second));
    assert_int_equal(pool.count, drawn);
    assert_true(counted.calls < calls);
    assert_near(second.generation.unet_passes, first.generation.unet_passes, 1e-9);
    assert_same_run(out, again);
    eq_session_result_free(&first);
    eq_session_result_free(&second);
    eq_image_pool_free(&pool);
    free(out);
    free(again);
    free(path);
}

/* What the pool has not, is sampled, and what follows on is kept; earlier rows begin it anew. */
static void a_pool_keeps_what_follows_on(void **state)
{
    eq_pipeline bare = {.ctx = ctx};
    eq_image_pool pool = {0};
    uint8_t pixels[6 * 3];
    int64_t indices[6];
    double seconds;
    for (int i = 0; i < 18; i++)
        pixels[i] = (uint8_t)i;
    for (int i = 0; i < 6; i++)
        indices[i] = 10 + i;
    eq_generation all = {.count = 6, .width = 1, .height = 1, .pixels = pixels, .indices = indices};
    assert_ok(eq_image_pool_keep(&pool, &bare, &all, 2, 40, 8)); /* 12 to 15 */
    assert_int_equal(pool.count, 4);
    uint8_t taken[6 * 3] = {0};
    int64_t wanted[6] = {14, 15, 16, 17, 18, 19};
    eq_generation out = {.count = 6, .width = 1, .height = 1, .pixels = taken, .indices = wanted};
    assert_int_equal(eq_image_pool_take(&pool, &bare, &out, &seconds), 2);
    assert_memory_equal(taken, pixels + 12, 6);
    assert_near(seconds, 4, 1e-12);
    assert_near(out.unet_passes, 20, 1e-12);
    assert_ok(eq_image_pool_keep(&pool, &bare, &out, 4, 20, 4)); /* 18 does not follow 15 */
    assert_int_equal(pool.count, 4);
    assert_ok(eq_image_pool_keep(&pool, &bare, &out, 2, 40, 8));
    assert_int_equal(pool.count, 8);
    assert_int_equal(eq_image_pool_take(&pool, &bare, &all, &seconds), 0); /* 10 is before all */
    assert_ok(eq_image_pool_keep(&pool, &bare, &all, 0, 60, 12));
    assert_int_equal(pool.first, 10);
    assert_int_equal(pool.count, 6);
    eq_image_pool_free(&pool);
}

/* --- the evaluator's part in what it grades --- */

/* What run.json says of it after the run, replaced by the next one: "", "chose", "labelled,chose". */
static void assert_self_grading(eq_session session, const char *expected)
{
    eq_session_result result;
    eq_json run;
    stop never = {0};
    char found[64] = "";
    session.options.progress_user = &never;
    session.replace = true;
    assert_ok(eq_session_run(&session, &result));
    eq_session_result_free(&result);
    read_run(session.out, &run);
    const json_t *parts = json_object_get(run.object, "self_grading"), *part;
    size_t i;
    json_array_foreach(parts, i, part)
        snprintf(found + strlen(found), sizeof found - strlen(found), "%s%s", i ? "," : "", json_string_value(part));
    eq_json_close(&run);
    assert_string_equal(found, expected);
}

/* The classifier of a method may not grade unless that is asked for; what it did is written down. */
static void self_grading_of_methods(void **state)
{
    static const char *const methods[] = {"rejection", "universal"}, *const did[] = {"chose", "guided"};
    char *out = path_in(folder, "graded"), *path = path_in(folder, "classifier");
    for (int m = 0; m < 2; m++) {
        eq_session session = session_in(out);
        eq_session_result result;
        session.options.method = methods[m];
        session.options.guide_classifier = path;
        session.evaluator = verifier;
        session.evaluator_name = "evaluator";
        session.replace = true;
        assert_fails(eq_session_run(&session, &result), EQ_BAD_USAGE, "--allow-self-grading");
        eq_session_result_free(&result);
        session.allow_self_grading = true;
        assert_self_grading(session, did[m]);
    }
    free(out);
    free(path);
}

/* A predictor whose file says whose answers it learnt, where it guides; and a classifier that verifies. */
static void self_grading_by_labels(void **state)
{
    char *out = path_in(folder, "labelled");
    eq_session session = session_in(out);
    session.evaluator = verifier;
    session.evaluator_name = "evaluator";
    assert_self_grading(session, "");
    eq_adp *adp = &pipeline->adps[0];
    snprintf(adp->labeller, sizeof adp->labeller, "%s", eq_classifier_hash(verifier));
    assert_self_grading(session, "labelled");
    session.verifier = verifier;
    assert_self_grading(session, "labelled,chose");
    session.options.method = "none";
    assert_self_grading(session, "chose");
    adp->labeller[0] ^= 1;
    session.options.method = "assign";
    session.verifier = NULL;
    assert_self_grading(session, "");
    adp->labeller[0] = 0;
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quotas_are_met),
        cmocka_unit_test(quotas_that_cannot_be_met),
        cmocka_unit_test(rejection),
        cmocka_unit_test(rejection_from_a_pool),
        cmocka_unit_test(a_pool_keeps_what_follows_on),
        cmocka_unit_test(self_grading_of_methods),
        cmocka_unit_test(self_grading_by_labels),
    };
    ctx = eq_context_new();
    omp_set_num_threads(1);
    int failed = cmocka_run_group_tests(tests, bed_setup, bed_teardown);
    eq_context_free(ctx);
    return failed;
}
