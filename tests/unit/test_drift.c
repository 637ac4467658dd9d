/* Drift between twins: statistics with closed forms, pairing by manifests, faults of folders. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/drift.h"
#include "io/image.h"
#include "temporary.h"

static eq_context *ctx;
static char last_warning[512];

static void keep_warning(void *user, eq_log_level level, const char *line)
{
    if (level == EQ_LOG_WARNING)
        strncpy(last_warning, line, sizeof(last_warning) - 1);
}

static int setup(void **state)
{
    ctx = eq_context_new();
    if (ctx == NULL)
        return 1;
    eq_set_log(ctx, keep_warning, NULL);
    return 0;
}

static int teardown(void **state)
{
    eq_context_free(ctx);
    return 0;
}

static void assert_near(double a, double b, double tolerance)
{
    if (!(fabs(a - b) <= tolerance))
        fail_msg("%.15g is not %.15g within %g", a, b, tolerance);
}

static void pixels(void **state)
{
    /* A quarter is untouched, the rest has mean squared errors of 100 and 200. */
    double errors[400];
    for (int i = 0; i < 400; i++)
        errors[i] = i % 4 == 0 ? 0 : i % 4 == 1 ? 200 : 100;
    eq_drift drift = {0};
    assert_int_equal(eq_drift_pixels(ctx, errors, 400, &drift), EQ_OK);
    assert_int_equal(drift.pairs, 400);
    assert_true(drift.identical.value == 0.25);
    assert_near(drift.psnr.value, 10 * log10(65025.0 / 100), 1e-12);
    /* Central limit: the mean has the standard error sqrt(5000/400), a decibel is 100 ln(10)/10. */
    double error = 1.96 * sqrt(5000.0 / 400) / (100 * log(10) / 10);
    assert_near(drift.psnr.low, drift.psnr.value - error, 0.15 * error);
    assert_near(drift.psnr.high, drift.psnr.value + error, 0.15 * error);
    for (int i = 0; i < 400; i++)
        errors[i] = 0;
    assert_int_equal(eq_drift_pixels(ctx, errors, 400, &drift), EQ_OK);
    assert_true(isinf(drift.psnr.value) && isinf(drift.psnr.low) && drift.identical.value == 1);
}

static void feature_distances(void **state)
{
    /* Vectors on a line, 10 apart, moved by 3 and 4: 5 from their twins. */
    const float ours[6] = {0, 0, 10, 0, 20, 0}, twins[6] = {3, 4, 13, 4, 23, 4};
    eq_drift drift = {0};
    assert_int_equal(eq_drift_features(ctx, ours, twins, 3, 2, &drift), EQ_OK);
    assert_near(drift.feature_distance.value, 5, 1e-12);
    assert_near(drift.feature_distance.low, 5, 1e-12);
    assert_near(drift.feature_distance.high, 5, 1e-12);
    /* From 0 to 13, from 10 to 23, from 20 to 3. */
    assert_near(drift.unrelated, (2 * hypot(13, 4) + hypot(17, 4)) / 3, 1e-12);
    assert_int_equal(eq_drift_features(ctx, ours, twins, 1, 2, &drift), EQ_OK);
    assert_true(isnan(drift.unrelated));
}

/* -- folders -- */

static char *in_folder(void **state, const char *name)
{
    static char paths[4][600];
    static int used;
    char *path = paths[used++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", (const char *)*state, name);
    return path;
}

static void write_image(void **state, const char *name, int side, int value)
{
    eq_image image;
    assert_int_equal(eq_image_new(ctx, side, side, &image), EQ_OK);
    memset(image.pixels, value, (size_t)side * (size_t)side * 3);
    assert_int_equal(eq_image_write_png(ctx, in_folder(state, name), &image), EQ_OK);
    eq_image_free(&image);
}

/* A run of four images in run/images; its twin in twin/images has the first two and another order of files. */
static void write_runs(void **state)
{
    assert_int_equal(eq_make_folders(ctx, in_folder(state, "run/images")), EQ_OK);
    assert_int_equal(eq_make_folders(ctx, in_folder(state, "twin/images")), EQ_OK);
    FILE *run = fopen(in_folder(state, "run/manifest.jsonl"), "w");
    FILE *twin = fopen(in_folder(state, "twin/manifest.jsonl"), "w");
    assert_true(run != NULL && twin != NULL);
    for (int i = 0; i < 4; i++) {
        char name[64];
        snprintf(name, sizeof(name), "run/images/%d.png", i);
        write_image(state, name, 8, 100 + i);
        fprintf(run,
                "{\"file\": \"images/%d.png\", \"seed\": 7, \"index\": %d, \"batch\": 0, \"target_class\": {}, "
                "\"adp\": {}, \"guided\": true}\n",
                i, i);
        /* Index 2 has another seed, index 3 is not there. */
        snprintf(name, sizeof(name), "twin/images/%c.png", "zyx"[i % 3]);
        if (i == 3)
            continue;
        write_image(state, name, 8, i == 0 ? 100 : 121);
        fprintf(twin,
                "{\"file\": \"images/%c.png\", \"seed\": %d, \"index\": %d, \"batch\": 0, \"target_class\": {}, "
                "\"adp\": {}, \"guided\": false}\n",
                "zyx"[i], i == 2 ? 8 : 7, i);
    }
    fclose(run);
    fclose(twin);
}

static eq_status measure(void **state, const char *run, const char *twin, eq_drift *drift)
{
    char *run_folder = in_folder(state, run), *twin_folder = in_folder(state, twin);
    eq_names run_files, twin_files;
    assert_int_equal(eq_list_images(ctx, run_folder, true, &run_files), EQ_OK);
    assert_int_equal(eq_list_images(ctx, twin_folder, true, &twin_files), EQ_OK);
    /* Features that tell the files apart: 0, 1, 2, 3, and for x, y, z 20, 10, 0. */
    const float ours[4] = {0, 1, 2, 3}, theirs[3] = {20, 10, 0};
    const eq_drift_side our_side = {run_folder, &run_files, ours}, twin_side = {twin_folder, &twin_files, theirs};
    eq_status status = eq_drift_measure(ctx, &our_side, &twin_side, "evaluator", 1, drift);
    eq_names_free(&run_files);
    eq_names_free(&twin_files);
    return status;
}

static void check_drift(eq_drift *drift)
{
    /* Images 0 and 1: equal, and 20 apart in every sample; features 0 and 9 apart. */
    assert_int_equal(drift->pairs, 2);
    assert_true(drift->identical.value == 0.5);
    assert_near(drift->psnr.value, 10 * log10(65025.0 / 200), 1e-12);
    assert_near(drift->psnr.low, 10 * log10(65025.0 / 400), 1e-12);
    assert_true(isinf(drift->psnr.high));
    assert_string_equal(drift->features, "evaluator");
    assert_near(drift->feature_distance.value, 4.5, 1e-12);
    assert_near(drift->unrelated, 5.5, 1e-12); /* 0 from 10, 1 from 0 */
    eq_drift_clear(drift);
}

static void pairs_by_manifest(void **state)
{
    write_runs(state);
    eq_drift drift;
    last_warning[0] = 0;
    assert_int_equal(measure(state, "run", "twin", &drift), EQ_OK);
    assert_non_null(strstr(last_warning, "2 of 4 images have no twin"));
    assert_non_null(strstr(drift.twin, "twin"));
    check_drift(&drift);
    /* The folders of the images, with and without a slash, do as well. */
    assert_int_equal(measure(state, "run/images", "twin/images/", &drift), EQ_OK);
    check_drift(&drift);
    assert_int_equal(measure(state, "run", "twin/images", &drift), EQ_OK);
    check_drift(&drift);
    char here[4096];
    assert_non_null(getcwd(here, sizeof(here)));
    assert_int_equal(chdir(in_folder(state, "run/images")), 0);
    eq_names files, twins;
    char *twin_folder = in_folder(state, "twin");
    assert_int_equal(eq_list_images(ctx, ".", true, &files), EQ_OK);
    assert_int_equal(eq_list_images(ctx, twin_folder, true, &twins), EQ_OK);
    const eq_drift_side ours = {".", &files, NULL}, theirs = {twin_folder, &twins, NULL};
    assert_int_equal(eq_drift_measure(ctx, &ours, &theirs, NULL, 0, &drift), EQ_OK);
    assert_int_equal(chdir(here), 0);
    assert_int_equal(drift.pairs, 2);
    assert_null(drift.features);
    eq_drift_clear(&drift);
    eq_names_free(&files);
    eq_names_free(&twins);
}

static void faults_of_folders(void **state)
{
    write_runs(state);
    eq_drift drift;
    write_image(state, "twin/images/y.png", 16, 0);
    assert_int_equal(measure(state, "run", "twin", &drift), EQ_BAD_INPUT);
    assert_non_null(strstr(eq_last_error(ctx), "1.png has 8x8 pixels"));
    assert_null(drift.twin);
    FILE *broken = fopen(in_folder(state, "twin/images/y.png"), "w");
    assert_non_null(broken);
    fclose(broken);
    assert_int_equal(measure(state, "run", "twin", &drift), EQ_BAD_INPUT);
    assert_non_null(strstr(eq_last_error(ctx), "y.png"));
    assert_int_equal(remove(in_folder(state, "twin/manifest.jsonl")), 0);
    assert_int_equal(measure(state, "run", "twin", &drift), EQ_BAD_INPUT);
    assert_non_null(strstr(eq_last_error(ctx), "no manifest.jsonl"));
    FILE *empty = fopen(in_folder(state, "twin/manifest.jsonl"), "w");
    assert_non_null(empty);
    fclose(empty);
    assert_int_equal(measure(state, "run", "twin", &drift), EQ_BAD_INPUT);
    assert_non_null(strstr(eq_last_error(ctx), "no images of the same seed and index"));
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, temporary_setup, temporary_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pixels),
        cmocka_unit_test(feature_distances),
        IN_FOLDER(pairs_by_manifest),
        IN_FOLDER(faults_of_folders),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
