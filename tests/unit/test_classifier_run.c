/* Training of classifiers on a world of coloured squares: it learns, repeats itself, and goes on where it stopped. */
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
#include "io/image.h"
#include "temporary.h"
#include "train/augment.h"
#include "train/classifier_run.h"
#include "train/labelled_images.h"

enum { SIDE = 16, IMAGES = 96 };

/* What image number i shows: half red, half blue; one in eight with a large square. */
static bool is_red(int i)
{
    return i % 2 == 0;
}
static bool is_large(int i)
{
    return i / 2 % 8 == 0;
}
/* Every fifth image says nothing of its colour. */
static bool is_told(int i)
{
    return i % 5 != 4;
}

static void draw(eq_context *ctx, const char *folder, int i)
{
    eq_image image;
    assert_int_equal(eq_image_new(ctx, SIDE, SIDE, &image), EQ_OK);
    eq_rng rng = eq_rng_make(11, (uint64_t)i, 0);
    memset(image.pixels, (int)(100 + eq_rng_below(&rng, 40)), SIDE * SIDE * 3);
    int side = is_large(i) ? 9 : 4;
    int left = 1 + (int)eq_rng_below(&rng, 6), top = 1 + (int)eq_rng_below(&rng, 6);
    for (int y = top; y < top + side; y++)
        for (int x = left; x < left + side; x++)
            for (int c = 0; c < 3; c++)
                image.pixels[(y * SIDE + x) * 3 + c] = c == (is_red(i) ? 0 : 2) ? 250 : 10;
    char *path = eq_format("%s/images/%03d.png", folder, i);
    assert_int_equal(eq_image_write_png(ctx, path, &image), EQ_OK);
    eq_image_free(&image);
    free(path);
}

typedef struct world {
    eq_context *ctx;
    char *folder, *images, *labels;
} world;

static int make_world(void **state)
{
    world *w = calloc(1, sizeof *w);
    if (!w || temporary_setup((void **)&w->folder) != 0)
        return -1;
    w->ctx = eq_context_new();
    w->images = eq_path_join(w->folder, "images");
    w->labels = eq_path_join(w->folder, "labels.csv");
    *state = w;
    if (eq_make_folders(w->ctx, w->images) != EQ_OK)
        return -1;
    FILE *csv = fopen(w->labels, "w");
    fprintf(csv, "file_name,colour,size\n");
    for (int i = 0; i < IMAGES; i++) {
        draw(w->ctx, w->folder, i);
        fprintf(csv, "%03d.png,%s,%s\n", i, is_told(i) ? (is_red(i) ? "red" : "blue") : "",
                is_large(i) ? "large" : "small");
    }
    return fclose(csv);
}

static int drop_world(void **state)
{
    world *w = *state;
    int result = temporary_teardown((void **)&w->folder);
    eq_context_free(w->ctx);
    free(w->images);
    free(w->labels);
    free(w);
    return result;
}

/* A run into folder/name; `out` is to be freed. */
static eq_classifier_training make_run(const world *w, const char *name, int64_t steps, char **out)
{
    eq_optimiser_options optimiser = eq_optimiser_defaults();
    optimiser.learning_rate = 5e-3;
    optimiser.warmup_steps = 5;
    optimiser.total_steps = steps;
    optimiser.ema_decay = 0.9;
    *out = eq_path_join(w->folder, name);
    return (eq_classifier_training){
        .images = w->images,
        .labels = w->labels,
        .out = *out,
        .network = {.trunk = eq_trunk_find("resnet"), .size = SIDE, .stages = 2, .channels = {8, 16}, .blocks = 1},
        .optimiser = optimiser,
        .batch = 8,
        .held_out = 0.25,
        .balance = true,
        .seed = 3,
        .save_dtype = EQ_F32};
}

typedef struct outcome {
    eq_classifier_config config;
    eq_classifier_score scores[EQ_CLASSIFIER_MAX_ATTRIBUTES];
} outcome;

static void free_outcome(outcome *o)
{
    eq_classifier_config_free(&o->config);
    for (int a = 0; a < EQ_CLASSIFIER_MAX_ATTRIBUTES; a++)
        free(o->scores[a].confusion);
}

static eq_status train(eq_context *ctx, const eq_classifier_training *run, outcome *o)
{
    return eq_classifier_train(ctx, run, &o->config, o->scores);
}

static void train_well(eq_context *ctx, const eq_classifier_training *run)
{
    outcome o;
    if (train(ctx, run, &o) != EQ_OK)
        fail_msg("%s", eq_last_error(ctx));
    free_outcome(&o);
}

/* The images that the scores of an attribute are about. */
static int graded_images(const outcome *o, int attribute)
{
    double sum = 0;
    for (int k = 0; k < 4; k++)
        sum += o->scores[attribute].confusion[k];
    return (int)sum;
}

static void it_learns(void **state)
{
    const world *w = *state;
    const char *const trunks[] = {"resnet", "convnet"};
    for (int t = 0; t < 2; t++) {
        char *out;
        eq_classifier_training run = make_run(w, trunks[t], 160, &out);
        run.network.trunk = eq_trunk_find(trunks[t]);
        outcome o;
        if (train(w->ctx, &run, &o) != EQ_OK)
            fail_msg("%s", eq_last_error(w->ctx));
        assert_int_equal(o.config.attribute_count, 2);
        assert_string_equal(o.config.attributes[0].class_names[0], "blue");
        if (!(o.scores[0].accuracy > 0.95 && o.scores[1].accuracy > 0.95))
            fail_msg("%s: %g of the colours and %g of the sizes are right", trunks[t], o.scores[0].accuracy,
                     o.scores[1].accuracy);
        int sizes = graded_images(&o, 1), colours = graded_images(&o, 0);
        assert_true(sizes > IMAGES / 8 && sizes < IMAGES / 2 && colours < sizes);
        free_outcome(&o);

        /* The folder, asked about all images, also those whose colour nobody told. */
        eq_classifier *classifier;
        eq_folder_labels labels;
        assert_int_equal(eq_classifier_open(w->ctx, out, &classifier), EQ_OK);
        assert_true(eq_classifier_accuracies(classifier)[0] > 0.95);
        assert_int_equal(eq_label_folder(w->ctx, classifier, &(eq_label_folder_options){.folder = w->images}, &labels),
                         EQ_OK);
        assert_int_equal(labels.files.count, IMAGES);
        int right = 0;
        for (int i = 0; i < IMAGES; i++) {
            right += eq_most_probable(labels.probabilities[0] + 2 * i, 2) == (is_red(i) ? 1 : 0);
            right += eq_most_probable(labels.probabilities[1] + 2 * i, 2) == (is_large(i) ? 0 : 1);
        }
        assert_true(right > 0.95 * 2 * IMAGES);
        eq_folder_labels_free(&labels);
        eq_classifier_close(classifier);
        free(out);
    }
}

static void assert_same_file(const world *w, const char *one, const char *other, const char *name)
{
    char *paths[2] = {eq_format("%s/%s/%s", w->folder, one, name), eq_format("%s/%s/%s", w->folder, other, name)};
    uint8_t *bytes[2];
    size_t sizes[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(eq_file_read(w->ctx, paths[i], 1 << 26, &bytes[i], &sizes[i]), EQ_OK);
    assert_int_equal(sizes[0], sizes[1]);
    assert_memory_equal(bytes[0], bytes[1], sizes[0]);
    for (int i = 0; i < 2; i++) {
        free(bytes[i]);
        free(paths[i]);
    }
}

typedef struct stopper {
    eq_context *ctx;
    int64_t at, last;
} stopper;

static void stop(void *user, const eq_training_progress *progress)
{
    stopper *s = user;
    assert_true(progress->step == s->last + 1 && progress->step <= progress->total_steps);
    s->last = progress->step;
    if (progress->step == s->at)
        eq_cancel(s->ctx);
}

/* Runs until `at` steps in all; in a context of its own, which stays cancelled. */
static void run_until(eq_classifier_training run, int64_t from, int64_t at)
{
    eq_context *ctx = eq_context_new();
    stopper s = {.ctx = ctx, .at = at, .last = from};
    run.progress = stop;
    run.progress_user = &s;
    run.resume = true;
    outcome o;
    assert_int_equal(train(ctx, &run, &o), EQ_CANCELLED);
    assert_int_equal(s.last, at);
    free_outcome(&o);
    eq_context_free(ctx);
}

static void stopped_and_resumed_it_is_the_same(void **state)
{
    const world *w = *state;
    char *out[3];
    eq_classifier_training whole = make_run(w, "whole", 12, &out[0]), again = make_run(w, "again", 12, &out[1]),
                           parts = make_run(w, "parts", 12, &out[2]);
    train_well(w->ctx, &whole);
    train_well(w->ctx, &again);
    assert_same_file(w, "whole", "again", "classifier.safetensors");
    assert_same_file(w, "whole", "again", "classifier.json");

    run_until(parts, 0, 5);
    run_until(parts, 5, 6);
    parts.resume = true;
    train_well(w->ctx, &parts);
    assert_same_file(w, "whole", "parts", "classifier.safetensors");
    assert_same_file(w, "whole", "parts", "classifier.json");
    for (int i = 0; i < 3; i++)
        free(out[i]);
}

static void folds_grade_every_image_and_resume(void **state)
{
    const world *w = *state;
    char *out[2];
    eq_classifier_training whole = make_run(w, "whole", 8, &out[0]), parts = make_run(w, "parts", 8, &out[1]);
    whole.folds = parts.folds = 3;
    outcome o;
    assert_int_equal(train(w->ctx, &whole, &o), EQ_OK);
    assert_int_equal(graded_images(&o, 1), IMAGES);
    int told = 0;
    for (int i = 0; i < IMAGES; i++)
        told += is_told(i);
    assert_int_equal(graded_images(&o, 0), told);
    free_outcome(&o);

    run_until(parts, 0, 11);  /* in the second fold */
    run_until(parts, 11, 26); /* in the final fit */
    parts.resume = true;
    train_well(w->ctx, &parts);
    assert_same_file(w, "whole", "parts", "classifier.safetensors");
    assert_same_file(w, "whole", "parts", "classifier.json");
    for (int i = 0; i < 2; i++)
        free(out[i]);
}

static void refused(const world *w, const eq_classifier_training *run, eq_status wanted, const char *fault)
{
    outcome o;
    eq_status status = train(w->ctx, run, &o);
    if (status != wanted || !strstr(eq_last_error(w->ctx), fault))
        fail_msg("%s: expected \"%s\" in: %s", eq_status_name(status), fault, eq_last_error(w->ctx));
    free_outcome(&o);
}

static void what_is_there_is_not_lost(void **state)
{
    const world *w = *state;
    char *out;
    eq_classifier_training run = make_run(w, "run", 3, &out);
    train_well(w->ctx, &run);
    refused(w, &run, EQ_BAD_USAGE, "there is a run here already");
    run.resume = true;
    train_well(w->ctx, &run);
    eq_classifier_training other = run;
    other.seed = 4;
    refused(w, &other, EQ_BAD_INPUT, "other settings");
    other = run;
    other.attributes = (const char *const[]){"size"};
    other.attribute_count = 1;
    refused(w, &other, EQ_BAD_INPUT, "other settings");
    free(out);
}

static void write_text(const world *w, const char *path, const char *text)
{
    assert_int_equal(eq_file_write(w->ctx, path, text, strlen(text)), EQ_OK);
}

static void bad_wishes_are_refused(void **state)
{
    const world *w = *state;
    char *out;
    eq_classifier_training good = make_run(w, "run", 3, &out), run = good;
    run.attribute_count = 1;
    run.attributes = (const char *const[]){"shape"};
    refused(w, &run, EQ_BAD_USAGE, "no attribute \"shape\"");
    run.attribute_count = 2;
    run.attributes = (const char *const[]){"size", "size"};
    refused(w, &run, EQ_BAD_USAGE, "given twice");
    run = good;
    run.network.size = 18;
    run.network.stages = 3;
    run.network.channels[2] = 8;
    refused(w, &run, EQ_BAD_INPUT, "a multiple of 2^(stages - 1)");
    run = good;
    run.network.channels[0] = 6;
    refused(w, &run, EQ_BAD_INPUT, "multiples of 4");
    run = good;
    run.batch = 0;
    refused(w, &run, EQ_BAD_USAGE, "--batch");
    run = good;
    char *labels = eq_path_join(w->folder, "other.csv");
    run.labels = labels;
    refused(w, &run, EQ_BAD_INPUT, "other.csv");
    write_text(w, labels, "file_name,size\nx.png,large\ny.png,small\n");
    refused(w, &run, EQ_BAD_INPUT, "names none of the images");
    write_text(w, labels, "file_name,size\n000.png,large\n001.png,large\n");
    refused(w, &run, EQ_BAD_INPUT, "only one class");
    write_text(w, labels, "file_name,size\n000.png,large\nx.png,small\n");
    refused(w, &run, EQ_BAD_INPUT, "more are needed");
    run.images = w->folder;
    char *nothing = eq_path_join(w->folder, "nothing");
    assert_int_equal(eq_make_folders(w->ctx, nothing), EQ_OK);
    run.images = nothing;
    refused(w, &run, EQ_BAD_INPUT, "no readable PNG");
    free(nothing);
    free(labels);
    free(out);
}

/* A class that no held-out image shows leaves the confusion matrix of the classifier unknown, not wrong. */
static void without_grades_nothing_is_claimed(void **state)
{
    const world *w = *state;
    char *out;
    eq_classifier_training run = make_run(w, "run", 2, &out);
    run.held_out = 0;
    train_well(w->ctx, &run);
    eq_classifier *classifier;
    assert_int_equal(eq_classifier_open(w->ctx, out, &classifier), EQ_OK);
    for (int a = 0; a < 2; a++) {
        assert_true(isnan(eq_classifier_accuracies(classifier)[a]));
        assert_int_equal(eq_classifier_confusions(classifier)[a].classes, 0);
    }
    eq_classifier_close(classifier);
    free(out);
}

static void rare_classes_weigh_more(void **state)
{
    const world *w = *state;
    eq_labelled_images images;
    eq_labelled_source source = {.images = w->images, .labels = w->labels, .size = SIDE, .balance = true};
    assert_int_equal(eq_labelled_images_open(w->ctx, &source, &images), EQ_OK);
    assert_int_equal(images.attribute_count, 2);
    for (int i = 0; i < IMAGES; i++) {
        assert_int_equal(eq_labelled_class(&images, i, 0), is_told(i) ? is_red(i) : -1);
        assert_int_equal(eq_labelled_class(&images, i, 1), !is_large(i));
        /* 12 of 96 are large: 96 / (2 x 12); colours are even, but for who is left out. */
        assert_true(is_large(i) ? fabsf(images.weight[i] - 4) < 1e-6f
                                : images.weight[i] >= 1 && images.weight[i] < 1.1f);
        double place = eq_labelled_place(&images, 3, i);
        assert_true(place >= 0 && place < 1 && place == eq_labelled_place(&images, 3, i));
    }
    eq_labelled_images_close(&images);
    source.balance = false;
    assert_int_equal(eq_labelled_images_open(w->ctx, &source, &images), EQ_OK);
    for (int i = 0; i < IMAGES; i++)
        assert_true(images.weight[i] == 1);
    eq_labelled_images_close(&images);
}

static void augmentation_is_keyed_and_mild(void **state)
{
    enum { SIZE = 24, COUNT = SIZE * SIZE * 3 };
    static float original[COUNT], one[COUNT], other[COUNT], work[COUNT];
    for (int i = 0; i < COUNT; i++)
        original[i] = 0.5f * sinf(0.02f * (float)i);
    double moved = 0;
    for (uint64_t visit = 0; visit < 50; visit++) {
        for (int k = 0; k < 2; k++) {
            eq_rng rng = eq_rng_make(5, visit, 0);
            float *image = k ? other : one;
            memcpy(image, original, sizeof original);
            eq_augment(&rng, image, SIZE, work);
        }
        assert_memory_equal(one, other, sizeof one);
        double mean = 0;
        for (int i = 0; i < COUNT; i++) {
            assert_true(one[i] >= -1 && one[i] <= 1);
            mean += (double)(one[i] - original[i]) / COUNT;
            moved += fabs((double)(one[i] - original[i]));
        }
        assert_true(fabs(mean) < 0.3);
    }
    assert_true(moved > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_learns, make_world, drop_world),
        cmocka_unit_test_setup_teardown(stopped_and_resumed_it_is_the_same, make_world, drop_world),
        cmocka_unit_test_setup_teardown(folds_grade_every_image_and_resume, make_world, drop_world),
        cmocka_unit_test_setup_teardown(what_is_there_is_not_lost, make_world, drop_world),
        cmocka_unit_test_setup_teardown(bad_wishes_are_refused, make_world, drop_world),
        cmocka_unit_test_setup_teardown(without_grades_nothing_is_claimed, make_world, drop_world),
        cmocka_unit_test_setup_teardown(rare_classes_weigh_more, make_world, drop_world),
        cmocka_unit_test(augmentation_is_keyed_and_mild),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
