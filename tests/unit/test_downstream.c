/* The downstream comparison on a world of squares whose size is to be told: learnt where size goes with colour, a
 * classifier looks at colours; images in which it does not mend that. */
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
#include "desk.h"
#include "io/image.h"
#include "io/json.h"
#include "run/downstream.h"

enum { SIDE = 16, STEPS = 60 };

static void draw(eq_context *ctx, const char *folder, int i, int seed, bool red, bool large)
{
    eq_image image;
    assert_int_equal(eq_image_new(ctx, SIDE, SIDE, &image), EQ_OK);
    eq_rng rng = eq_rng_make((uint64_t)seed, (uint64_t)i, 0);
    memset(image.pixels, (int)(100 + eq_rng_below(&rng, 40)), SIDE * SIDE * 3);
    int side = large ? 9 : 4;
    int left = 1 + (int)eq_rng_below(&rng, 6), top = 1 + (int)eq_rng_below(&rng, 6);
    for (int y = top; y < top + side; y++)
        for (int x = left; x < left + side; x++)
            for (int c = 0; c < 3; c++)
                image.pixels[(y * SIDE + x) * 3 + c] = c == (red ? 0 : 2) ? 250 : 10;
    char *path = eq_format("%s/images/%03d.png", folder, i);
    assert_int_equal(eq_image_write_png(ctx, path, &image), EQ_OK);
    eq_image_free(&image);
    free(path);
}

/* A set in folder/name, evenly of large and small. biased: large ones are red, small ones blue. labels: whether there
 * is a table. */
static char *make_set(const desk *d, const char *name, int count, int seed, bool biased, bool labels)
{
    char *folder = eq_path_join(d->folder, name), *images = eq_path_join(folder, "images");
    assert_int_equal(eq_make_folders(d->ctx, images), EQ_OK);
    char *path = eq_path_join(folder, "labels.csv");
    FILE *csv = labels ? fopen(path, "w") : NULL;
    if (csv)
        fprintf(csv, "file_name,colour,size\n");
    for (int i = 0; i < count; i++) {
        bool large = i % 2, red = biased ? large : i / 2 % 2;
        draw(d->ctx, folder, i, seed, red, large);
        if (csv)
            fprintf(csv, "%03d.png,%s,%s\n", i, red ? "red" : "blue", large ? "large" : "small");
    }
    if (csv)
        assert_int_equal(fclose(csv), 0);
    free(images);
    free(path);
    return folder;
}

typedef struct folders {
    char *train, *test, *more, *same, *out;
    eq_downstream_source added[2];
} folders;

static folders make_folders(const desk *d)
{
    folders f = {.train = make_set(d, "train-set", 64, 1, true, true),
                 .test = make_set(d, "test-set", 80, 2, false, true),
                 .more = make_set(d, "more-set", 64, 3, false, true),
                 .same = make_set(d, "same-set", 64, 4, true, true),
                 .out = eq_path_join(d->folder, "out")};
    f.added[0] = (eq_downstream_source){"same", f.same};
    f.added[1] = (eq_downstream_source){"even", f.more};
    return f;
}

static void free_folders(folders *f)
{
    free(f->train);
    free(f->test);
    free(f->more);
    free(f->same);
    free(f->out);
}

static eq_downstream_options make_options(const folders *f)
{
    eq_optimiser_options optimiser = eq_optimiser_defaults();
    optimiser.learning_rate = 5e-3;
    optimiser.warmup_steps = 5;
    optimiser.total_steps = STEPS;
    optimiser.ema_decay = 0.9;
    return (eq_downstream_options){
        .train = f->train,
        .test = f->test,
        .out = f->out,
        .added = f->added,
        .added_count = 2,
        .attribute = "size",
        .groups = "colour",
        .control = "same",
        .seeds = 2,
        .seed = 7,
        .network = {.trunk = eq_trunk_find("resnet"), .size = SIDE, .stages = 2, .channels = {8, 16}, .blocks = 1},
        .optimiser = optimiser,
        .batch = 8};
}

static char *results_text(const desk *d, const eq_downstream *result)
{
    json_t *json;
    assert_int_equal(eq_downstream_json(d->ctx, result, &json), EQ_OK);
    char *text = json_dumps(json, JSON_SORT_KEYS);
    json_decref(json);
    return text;
}

static int64_t steps_seen;
static void count_steps(void *user, const eq_downstream_progress *progress)
{
    steps_seen++;
    assert_true(progress->step <= progress->steps);
    assert_int_equal(progress->steps, STEPS * 2 * 3);
}

static void balanced_images_help(void **state)
{
    const desk *d = *state;
    folders f = make_folders(d);
    eq_downstream_options options = make_options(&f);
    options.progress = count_steps;
    steps_seen = 0;
    eq_downstream result;
    if (eq_downstream_run(d->ctx, &options, &result) != EQ_OK)
        fail_msg("%s", eq_last_error(d->ctx));
    assert_int_equal(steps_seen, STEPS * 2 * 3);
    assert_int_equal(result.set_count, 3);
    assert_int_equal(result.control, 1);
    assert_int_equal(result.test_images, 80);
    const char *const cells[] = {"blue/large", "blue/small", "red/large", "red/small"};
    const int seen[3][4] = {{0, 32, 32, 0}, {0, 64, 64, 0}, {16, 48, 48, 16}};
    for (int c = 0; c < 4; c++) {
        assert_string_equal(result.cell_names[c], cells[c]);
        assert_int_equal(result.test_cells[c], 20);
        for (int s = 0; s < 3; s++)
            assert_int_equal(result.sets[s].cells[c], seen[s][c]);
    }
    /* Taught by colours alone, half of the test set is wrong; taught otherwise, no group is. */
    const eq_downstream_set *train = &result.sets[0], *same = &result.sets[1], *even = &result.sets[2];
    assert_true(train->fairness.measures[EQ_FAIRNESS_WORST_GROUP].value < 0.3);
    assert_true(same->fairness.measures[EQ_FAIRNESS_WORST_GROUP].value < 0.3);
    assert_true(even->fairness.measures[EQ_FAIRNESS_WORST_GROUP].value > 0.7);
    assert_true(even->over_train[EQ_FAIRNESS_WORST_GROUP].low > 0.2);
    assert_true(even->over_control[EQ_FAIRNESS_WORST_GROUP].low > 0.2);
    assert_true(even->over_train[EQ_FAIRNESS_ODDS_GAP].high < 0);
    assert_int_equal(same->images, 128);

    char *text;
    assert_int_equal(eq_downstream_format(d->ctx, &result, &text), EQ_OK);
    assert_non_null(strstr(text, "size by colour: 2 trainings of 60 updates on each set, graded on 80 images"));
    assert_non_null(strstr(text, "+ even"));
    free(text);
    char *page = eq_path_join(f.out, "downstream.html");
    uint8_t *html;
    size_t size;
    assert_int_equal(eq_file_read(d->ctx, page, 1 << 20, &html, &size), EQ_OK);
    assert_non_null(strstr((char *)html, "equalised odds"));
    free(html);
    free(page);
    eq_downstream_free(&result);
    free_folders(&f);
}

static void what_is_there_is_not_done_again(void **state)
{
    const desk *d = *state;
    folders f = make_folders(d);
    eq_downstream_options options = make_options(&f);
    eq_downstream result;
    if (eq_downstream_run(d->ctx, &options, &result) != EQ_OK)
        fail_msg("%s", eq_last_error(d->ctx));
    char *first = results_text(d, &result);
    eq_downstream_free(&result);

    assert_int_equal(eq_downstream_run(d->ctx, &options, &result), EQ_BAD_USAGE);
    assert_non_null(strstr(eq_last_error(d->ctx), "--resume"));
    /* One training is done again, from nothing. */
    char *seed = eq_path_join(f.out, "even/seed-2");
    const char *const files[] = {"answers.json", "checkpoint.safetensors", "classifier.json", "classifier.safetensors"};
    for (int i = 0; i < 4; i++) {
        char *path = eq_path_join(seed, files[i]);
        assert_int_equal(remove(path), 0);
        free(path);
    }
    free(seed);
    options.resume = true;
    options.progress = count_steps;
    steps_seen = 0;
    assert_int_equal(eq_downstream_run(d->ctx, &options, &result), EQ_OK);
    assert_int_equal(steps_seen, STEPS);
    char *second = results_text(d, &result);
    assert_string_equal(first, second);
    eq_downstream_free(&result);
    free(first);
    free(second);

    options.batch = 4;
    assert_int_equal(eq_downstream_run(d->ctx, &options, &result), EQ_BAD_INPUT);
    assert_non_null(strstr(eq_last_error(d->ctx), "other settings or images"));
    free_folders(&f);
}

static void a_labeller_stands_in_for_labels(void **state)
{
    const desk *d = *state;
    folders f = make_folders(d);
    char *bare = make_set(d, "bare", 40, 5, false, false);
    eq_downstream_options options = make_options(&f);
    const eq_downstream_source source = {"bare", bare};
    options.added = &source;
    options.added_count = 1;
    options.control = NULL;
    options.seeds = 1;
    eq_downstream result;
    assert_int_equal(eq_downstream_run(d->ctx, &options, &result), EQ_BAD_INPUT);
    assert_non_null(strstr(eq_last_error(d->ctx), "--labeller"));

    /* A classifier of size that learnt from even images; it says nothing of colours. */
    char *labels = eq_path_join(f.more, "labels.csv"), *images = eq_path_join(f.more, "images");
    char *labeller = eq_path_join(d->folder, "labeller");
    const eq_classifier_training run = {.images = images,
                                        .labels = labels,
                                        .out = labeller,
                                        .network = options.network,
                                        .attributes = &options.attribute,
                                        .attribute_count = 1,
                                        .optimiser = options.optimiser,
                                        .batch = 8,
                                        .seed = 1,
                                        .save_dtype = EQ_F32};
    eq_classifier_config config;
    eq_classifier_score scores[EQ_CLASSIFIER_MAX_ATTRIBUTES];
    assert_int_equal(eq_classifier_train(d->ctx, &run, &config, scores), EQ_OK);
    eq_classifier_config_free(&config);
    for (int a = 0; a < EQ_CLASSIFIER_MAX_ATTRIBUTES; a++)
        free(scores[a].confusion);

    options.labeller = labeller;
    if (eq_downstream_run(d->ctx, &options, &result) != EQ_OK)
        fail_msg("%s", eq_last_error(d->ctx));
    assert_non_null(result.sets[0].cells);
    assert_null(result.sets[1].cells);
    assert_int_equal(result.sets[1].images, 104);
    char *written = eq_path_join(f.out, "labels/bare.csv");
    assert_true(eq_path_exists(written));
    eq_downstream_free(&result);
    free(written);
    free(labels);
    free(images);
    free(labeller);
    free(bare);
    free_folders(&f);
}

static void replace_file(const char *folder, const char *name, const char *text)
{
    char *path = eq_path_join(folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
    free(path);
}

static void refuse(const desk *d, const eq_downstream_options *options, eq_status status, const char *part)
{
    eq_downstream result;
    eq_status found = eq_downstream_run(d->ctx, options, &result);
    if (found != status || !strstr(eq_last_error(d->ctx), part))
        fail_msg("%s: %s, expected: %s", eq_status_name(found), eq_last_error(d->ctx), part);
}

static void bad_input_is_refused(void **state)
{
    const desk *d = *state;
    folders f = make_folders(d);
    eq_downstream_options good = make_options(&f), o = good;
    o.attribute = "age";
    refuse(d, &o, EQ_BAD_USAGE, "no attribute \"age\"");
    o = good;
    o.groups = "colour*colour";
    refuse(d, &o, EQ_BAD_USAGE, "given twice");
    o = good;
    o.groups = "";
    refuse(d, &o, EQ_BAD_USAGE, "no attribute \"\"");
    o = good;
    o.control = "nobody";
    refuse(d, &o, EQ_BAD_USAGE, "no --add has that name");
    o = good;
    o.test = o.train;
    refuse(d, &o, EQ_BAD_USAGE, "the same images");
    o = good;
    o.train = "/nowhere";
    refuse(d, &o, EQ_BAD_INPUT, "/nowhere: no such folder");
    const char *const names[] = {"train", "labels", "", "a/b", "..", "even"};
    for (int i = 0; i < 6; i++) {
        eq_downstream_source sources[] = {{"even", f.more}, {names[i], f.more}};
        o = good;
        o.added = sources;
        refuse(d, &o, EQ_BAD_USAGE, i < 5 ? "name" : "given twice");
    }
    o = good;
    o.control = NULL;
    o.added_count = 0;
    replace_file(f.test, "labels.csv", "file_name,colour,size\n000.png,red,huge\n001.png,blue,small\n");
    refuse(d, &o, EQ_BAD_INPUT, "size has a class \"huge\"");
    replace_file(f.test, "labels.csv", "file_name,colour,size\n000.png,red,large\n001.png,blue,small\n");
    refuse(d, &o, EQ_BAD_INPUT, "no image of blue/large");
    replace_file(f.test, "labels.csv", "file_name,colour,size\nother.png,red,large\n");
    refuse(d, &o, EQ_BAD_INPUT, "names none of the 80 images");
    replace_file(f.more, "labels.csv", "file_name,colour,size\n000.png,red,huge\n");
    free(make_set(d, "test-set", 80, 2, false, true));
    o.added = &f.added[1];
    o.added_count = 1;
    refuse(d, &o, EQ_BAD_INPUT, "size has a class \"huge\"");
    free_folders(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(balanced_images_help, make_desk, drop_desk),
        cmocka_unit_test_setup_teardown(what_is_there_is_not_done_again, make_desk, drop_desk),
        cmocka_unit_test_setup_teardown(a_labeller_stands_in_for_labels, make_desk, drop_desk),
        cmocka_unit_test_setup_teardown(bad_input_is_refused, make_desk, drop_desk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
