/* What the tests of generations into folders share: a tiny random model with a predictor and a classifier, runs that
 * are stopped at a call of their progress, and what must be the same of two runs. */
#ifndef EQ_TESTS_UNIT_SESSION_BED_H
#define EQ_TESTS_UNIT_SESSION_BED_H

#include <omp.h>
#include <unistd.h>

#include "guidance/adp_file.h"
#include "io/json.h"
#include "io/manifest.h"
#include "run/session.h"
#include "temporary.h"
#include "unit/same_files.h"
#include "unit/tiny_classifier.h"

enum { FIRST = 40, COUNT = 10, STEPS = 5 };

static eq_context *ctx;
static void *folder;
static eq_pipeline *pipeline;
static eq_targets balanced;
static eq_classifier *verifier;

/* A classifier with random weights; NULL unless it sees at least 3 of each gender in the images. */
static inline eq_classifier *make_classifier(const char *path, uint64_t seed, const eq_generation *images)
{
    tiny_classifier(ctx, path, 1, seed);
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

static inline int bed_setup(void **state)
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

static inline int bed_teardown(void **state)
{
    eq_targets_free(&balanced);
    eq_classifier_close(verifier);
    eq_pipeline_close(pipeline);
    return temporary_teardown(&folder);
}

/* --- runs --- */

/* Where a run is to be stopped. */
typedef struct stop {
    int64_t at, calls;
    bool kill;
} stop;

static inline void count_down(void *user, int64_t done, int64_t total)
{
    stop *s = user;
    if (++s->calls != s->at)
        return;
    if (s->kill)
        _exit(9);
    eq_cancel(ctx);
}

static inline eq_session session_in(const char *out)
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

static inline char *path_in(const char *out, const char *name)
{
    char *path = eq_path_join(out, name);
    assert_non_null(path);
    return path;
}

static inline bool is_there(const char *out, const char *name)
{
    char *path = path_in(out, name);
    bool there = eq_path_exists(path);
    free(path);
    return there;
}

static inline void read_run(const char *out, eq_json *run)
{
    char *path = path_in(out, "run.json");
    assert_ok(eq_json_read(ctx, path, run));
    free(path);
}

/* Manifest, images and what run.json says of them. */
static inline void assert_same_run(const char *a, const char *b)
{
    static const char *const keys[] = {"settings", "targets", "strengths", "p_per_step", "heads"};
    assert_same_files(ctx, a, b, "manifest.jsonl");
    char *path = path_in(a, "manifest.jsonl");
    eq_manifest manifest;
    assert_ok(eq_manifest_read(ctx, path, &manifest));
    assert_int_equal(manifest.count, COUNT);
    for (size_t i = 0; i < manifest.count; i++)
        assert_same_files(ctx, a, b, manifest.entries[i].file);
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

static inline void run_whole(const eq_session *session)
{
    eq_session_result result;
    stop never = {0};
    eq_session s = *session;
    s.options.progress_user = &never;
    assert_ok(eq_session_run(&s, &result));
    eq_session_result_free(&result);
}

#endif
