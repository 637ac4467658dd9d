/* Labelling: pixels and folders, what is skipped, tables that are read back. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/path.h"
#include "base/rng.h"
#include "eval/label_folder.h"
#include "io/labels.h"
#include "models/classifier_file.h"
#include "temporary.h"

enum { SIDE = 16, IMAGES = 70 }; /* more than a batch, and no multiple of one */

static const char *const colours[] = {"red", "blue, or so", "\"green\""}, *const yes_no[] = {"no", "yes"};

typedef struct desk {
    eq_context *ctx;
    char *folder, *images;
    eq_classifier *classifier;
} desk;

/* A classifier with random weights that answers differently from image to image. */
static void make_classifier(const desk *d)
{
    double confusion[4] = {3, 1, 0, 0};
    const eq_classifier_config config = {.trunk = eq_trunk_find("resnet"),
                                         .size = SIDE,
                                         .stages = 2,
                                         .channels = {4, 8},
                                         .blocks = 1,
                                         .attribute_count = 2,
                                         .attributes = {{"colour, main", 3, colours}, {"glasses", 2, yes_no}}};
    const eq_classifier_score scores[2] = {{.accuracy = NAN}, {.accuracy = 0.75, .confusion = confusion}};
    eq_params *params = eq_params_new(d->ctx);
    assert_int_equal(eq_classifier_declare(params, &config), EQ_OK);
    assert_int_equal(eq_params_allocate(params), EQ_OK);
    eq_params_initialise(params, 2);
    for (int64_t i = 0; i < params->total; i++)
        params->storage[i] *= 3;
    assert_int_equal(eq_classifier_file_save(d->ctx, d->folder, &config, scores, params, EQ_F32), EQ_OK);
    eq_params_free(params);
}

static void fill(eq_image *image, int i)
{
    eq_rng rng = eq_rng_make(4, (uint64_t)i, 0);
    uint8_t base[3];
    for (int c = 0; c < 3; c++)
        base[c] = (uint8_t)eq_rng_below(&rng, 200);
    for (int k = 0; k < image->width * image->height * 3; k++)
        image->pixels[k] = (uint8_t)(base[k % 3] + eq_rng_below(&rng, 56));
}

static int make_desk(void **state)
{
    desk *d = calloc(1, sizeof *d);
    if (!d || temporary_setup((void **)&d->folder) != 0)
        return -1;
    *state = d;
    d->ctx = eq_context_new();
    d->images = eq_path_join(d->folder, "images");
    make_classifier(d);
    assert_int_equal(eq_make_folders(d->ctx, d->images), EQ_OK);
    for (int i = 0; i < IMAGES; i++) {
        eq_image image;
        assert_int_equal(eq_image_new(d->ctx, SIDE, SIDE, &image), EQ_OK);
        fill(&image, i);
        char *path = eq_format("%s/%03d, \"x\".png", d->images, i);
        assert_int_equal(eq_image_write_png(d->ctx, path, &image), EQ_OK);
        free(path);
        eq_image_free(&image);
    }
    return eq_classifier_open(d->ctx, d->folder, &d->classifier) == EQ_OK ? 0 : -1;
}

static int drop_desk(void **state)
{
    desk *d = *state;
    eq_classifier_close(d->classifier);
    int result = temporary_teardown((void **)&d->folder);
    eq_context_free(d->ctx);
    free(d->images);
    free(d);
    return result;
}

static void answers_do_not_depend_on_the_batch(void **state)
{
    const desk *d = *state;
    int count;
    const eq_attribute *attributes = eq_classifier_attributes(d->classifier, &count);
    assert_int_equal(count, 2);
    int features = eq_classifier_feature_count(d->classifier);
    eq_folder_labels labels;
    const eq_label_folder_options options = {.folder = d->images, .features = true};
    assert_int_equal(eq_label_folder(d->ctx, d->classifier, &options, &labels), EQ_OK);
    assert_int_equal(labels.files.count, IMAGES);
    float one[3], two[2], *const p[2] = {one, two}, *f = calloc((size_t)features, sizeof *f);
    int seen[3] = {0};
    for (int i = 0; i < IMAGES; i++) {
        eq_image image;
        assert_int_equal(eq_image_new(d->ctx, SIDE, SIDE, &image), EQ_OK);
        fill(&image, i);
        assert_int_equal(eq_classifier_run(d->classifier, image.pixels, 1, SIDE, SIDE, p, f, NULL, NULL), EQ_OK);
        eq_image_free(&image);
        for (int a = 0; a < 2; a++) {
            float sum = 0;
            for (int k = 0; k < attributes[a].classes; k++) {
                assert_true(fabsf(labels.probabilities[a][i * attributes[a].classes + k] - p[a][k]) < 1e-5f);
                sum += p[a][k];
            }
            assert_true(fabsf(sum - 1) < 1e-5f);
        }
        for (int k = 0; k < features; k++)
            assert_true(fabsf(labels.features[i * features + k] - f[k]) < 1e-4f);
        seen[eq_most_probable(one, 3)]++;
    }
    assert_true(seen[0] < IMAGES && seen[1] < IMAGES && seen[2] < IMAGES);
    free(f);
    eq_folder_labels_free(&labels);
}

/* An enlarged image is scaled back to what it was. */
static void other_sizes_are_fitted(void **state)
{
    const desk *d = *state;
    eq_image image, large;
    assert_int_equal(eq_image_new(d->ctx, SIDE, SIDE, &image), EQ_OK);
    assert_int_equal(eq_image_new(d->ctx, 4 * SIDE, 3 * SIDE, &large), EQ_OK);
    fill(&image, 1);
    for (int y = 0; y < 3 * SIDE; y++)
        for (int x = 0; x < 4 * SIDE; x++) {
            /* The 3 SIDE columns in the middle show the image. */
            int from_x = x < SIDE / 2 ? 0 : (x - SIDE / 2) / 3;
            from_x = from_x < SIDE ? from_x : SIDE - 1;
            memcpy(large.pixels + (y * 4 * SIDE + x) * 3, image.pixels + (y / 3 * SIDE + from_x) * 3, 3);
        }
    float a[5], b[5];
    assert_int_equal(
        eq_classifier_run(d->classifier, image.pixels, 1, SIDE, SIDE, (float *const[]){a, a + 3}, NULL, NULL, NULL),
        EQ_OK);
    assert_int_equal(eq_classifier_run(d->classifier, large.pixels, 1, 4 * SIDE, 3 * SIDE, (float *const[]){b, b + 3},
                                       NULL, NULL, NULL),
                     EQ_OK);
    for (int k = 0; k < 5; k++)
        assert_true(fabsf(a[k] - b[k]) < 0.02f);
    eq_image_free(&image);
    eq_image_free(&large);
}

static void unreadable_images_are_skipped(void **state)
{
    const desk *d = *state;
    char *broken = eq_path_join(d->images, "000.jpg");
    assert_int_equal(eq_file_write(d->ctx, broken, "no image", 8), EQ_OK);
    eq_folder_labels labels;
    eq_label_folder_options options = {.folder = d->images};
    assert_int_equal(eq_label_folder(d->ctx, d->classifier, &options, &labels), EQ_OK);
    assert_int_equal(labels.files.count, IMAGES);
    assert_int_equal(labels.skipped, 1);
    assert_null(labels.features);
    eq_folder_labels_free(&labels);

    options.strict = true;
    assert_int_equal(eq_label_folder(d->ctx, d->classifier, &options, &labels), EQ_BAD_INPUT);
    assert_non_null(strstr(eq_last_error(d->ctx), "000.jpg"));
    char *empty = eq_path_join(d->folder, "empty");
    assert_int_equal(eq_make_folders(d->ctx, empty), EQ_OK);
    options.folder = empty;
    assert_int_equal(eq_label_folder(d->ctx, d->classifier, &options, &labels), EQ_BAD_INPUT);
    free(empty);
    free(broken);
}

static void tables_are_read_back(void **state)
{
    const desk *d = *state;
    int count;
    const eq_attribute *attributes = eq_classifier_attributes(d->classifier, &count);
    eq_folder_labels labels;
    assert_int_equal(eq_label_folder(d->ctx, d->classifier, &(eq_label_folder_options){.folder = d->images}, &labels),
                     EQ_OK);
    char *path = eq_path_join(d->folder, "labels.csv");
    assert_int_equal(eq_write_labels(d->ctx, path, (const char *const *)labels.files.name, IMAGES, attributes, count,
                                     labels.probabilities),
                     EQ_OK);
    eq_labels read;
    if (eq_labels_read(d->ctx, path, &read) != EQ_OK)
        fail_msg("%s", eq_last_error(d->ctx));
    assert_int_equal(read.count, IMAGES);
    assert_int_equal(read.attribute_count, 2);
    assert_string_equal(read.attributes[0].name, "colour, main");
    for (int i = 0; i < IMAGES; i++) {
        assert_string_equal(read.files[i], labels.files.name[i]);
        for (int a = 0; a < 2; a++) {
            const float *p = labels.probabilities[a] + i * attributes[a].classes;
            int best = eq_most_probable(p, attributes[a].classes);
            assert_string_equal(read.attributes[a].class_names[read.classes[2 * i + a]],
                                attributes[a].class_names[best]);
            assert_true(fabsf(read.probabilities[2 * i + a] - p[best]) < 6e-5f);
        }
    }
    eq_labels_free(&read);
    eq_folder_labels_free(&labels);
    free(path);
}

/* The matrix of "glasses" has no image of "yes". */
static void incomplete_confusions_are_left_out(void **state)
{
    const desk *d = *state;
    assert_int_equal(eq_classifier_confusions(d->classifier)[0].classes, 0);
    assert_int_equal(eq_classifier_confusions(d->classifier)[1].classes, 0);
    assert_true(isnan(eq_classifier_accuracies(d->classifier)[0]));
    assert_true(fabs(eq_classifier_accuracies(d->classifier)[1] - 0.75) < 1e-9);
    assert_int_equal(eq_classifier_size(d->classifier), SIDE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers_do_not_depend_on_the_batch, make_desk, drop_desk),
        cmocka_unit_test_setup_teardown(other_sizes_are_fitted, make_desk, drop_desk),
        cmocka_unit_test_setup_teardown(unreadable_images_are_skipped, make_desk, drop_desk),
        cmocka_unit_test_setup_teardown(tables_are_read_back, make_desk, drop_desk),
        cmocka_unit_test_setup_teardown(incomplete_confusions_are_left_out, make_desk, drop_desk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
