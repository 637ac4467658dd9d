/* CLIP scores of images and prompts against PyTorch's (tests/data/classifiers), and of a run by its manifest. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/path.h"
#include "eval/evaluation.h"
#include "eval/features.h"
#include "io/image.h"
#include "io/tensor_file.h"
#include "unit/desk.h"

#define DATA EQUIPOISE_TEST_DATA "/classifiers/"

enum { IMAGES = 2, PROMPTS = 3 };

static const char *const prompts[PROMPTS] = {"ab", "abc c", "a b"};

static void assert_near(double value, double expected)
{
    if (!(fabs(value - expected) < 1e-3))
        fail_msg("%.9g, expected %.9g", value, expected);
}

/* Writes the reference's images to images/ of the desk and fills its scores. */
static void set_up(const desk *d, const char *layout, char *names[IMAGES], double scores[IMAGES][PROMPTS])
{
    eq_tensor_file file;
    assert_int_equal(eq_tensor_file_open(d->ctx, DATA "clip.expected", &file), EQ_OK);
    char *folder = eq_path_join(d->folder, "images"), key[64];
    assert_int_equal(eq_make_folders(d->ctx, folder), EQ_OK);
    snprintf(key, sizeof key, "%s.scores", layout);
    const eq_tensor *table = eq_tensor_file_find(&file, key);
    assert_non_null(table);
    assert_int_equal(eq_shape_count(&table->shape), IMAGES * PROMPTS);
    for (int i = 0; i < IMAGES; i++) {
        const eq_tensor *pixels = eq_tensor_file_find(&file, i ? "image1" : "image0");
        assert_non_null(pixels);
        eq_image image = {(int)pixels->shape.dim[1], (int)pixels->shape.dim[0], pixels->data};
        char *path = eq_path_join(folder, names[i]);
        assert_int_equal(eq_image_write_png(d->ctx, path, &image), EQ_OK);
        free(path);
        for (int p = 0; p < PROMPTS; p++)
            scores[i][p] = ((const float *)table->data)[i * PROMPTS + p];
    }
    free(folder);
    eq_tensor_file_close(&file);
}

/* Returns the largest mean score. */
static double check_layout(const desk *d, const char *layout)
{
    char *names[IMAGES] = {"0.png", "1.png"}, *folder = eq_path_join(d->folder, "images");
    char *clip = eq_path_join(DATA, layout);
    double scores[IMAGES][PROMPTS], largest = 0;
    set_up(d, layout, names, scores);
    for (int p = 0; p < PROMPTS; p++) {
        eq_estimate both, one;
        /* The second image by another prompt. */
        const char *of_both[IMAGES] = {prompts[p], prompts[(p + 1) % PROMPTS]};
        const eq_names files = {names, IMAGES}, first = {names, 1};
        if (eq_clip_score(d->ctx, clip, folder, &files, of_both, NULL, NULL, &both) != EQ_OK)
            fail_msg("%s", eq_last_error(d->ctx));
        assert_near(both.value, (scores[0][p] + scores[1][(p + 1) % PROMPTS]) / 2);
        assert_true(both.low <= both.value && both.value <= both.high);
        assert_int_equal(eq_clip_score(d->ctx, clip, folder, &first, of_both, NULL, NULL, &one), EQ_OK);
        assert_near(one.value, scores[0][p]);
        largest = fmax(largest, both.value);
    }
    free(folder);
    free(clip);
    return largest;
}

static void scores_are_pytorchs(void **state)
{
    /* To the one network these images are the opposite of all prompts, to the other they are not. */
    assert_true(check_layout(*state, "clip-openai") == 0);
    assert_true(check_layout(*state, "clip-transformers") > 10);
}

static void write_text(const desk *d, const char *name, const char *text)
{
    char *path = eq_path_join(d->folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
    free(path);
}

#define ENTRY(file, index, more)                                                                                       \
    "{\"file\": \"images/" file "\", \"seed\": 7, \"index\": " index ", \"batch\": 0, \"target_class\": {}, "          \
    "\"adp\": {}, \"guided\": false" more "}\n"

static void a_runs_prompts_are_its_manifests(void **state)
{
    const desk *d = *state;
    char *names[IMAGES] = {"000000.png", "000001.png"};
    double scores[IMAGES][PROMPTS];
    set_up(d, "clip-transformers", names, scores);
    write_text(d, "labels.csv", "file_name,gender\n000000.png,female\n000001.png,male\n");
    char *images = eq_path_join(d->folder, "images"), *labels = eq_path_join(d->folder, "labels.csv");
    eq_evaluate_options options = {.images = images, .labels = labels, .clip = DATA "clip-transformers"};
    eq_evaluation evaluation;

    write_text(d, "manifest.jsonl",
               ENTRY("000000.png", "0", ", \"prompt\": \"ab\"") ENTRY("000001.png", "1", ", \"prompt\": \"a b\""));
    if (eq_evaluate_folder(d->ctx, &options, &evaluation) != EQ_OK)
        fail_msg("%s", eq_last_error(d->ctx));
    assert_non_null(evaluation.clip);
    assert_int_equal(evaluation.clip->n, 2);
    assert_near(evaluation.clip->score.value, (scores[0][0] + scores[1][2]) / 2);
    char *text;
    assert_int_equal(eq_evaluation_format(d->ctx, &evaluation, &text), EQ_OK);
    assert_non_null(strstr(text, "CLIP score"));
    free(text);
    assert_int_equal(eq_evaluation_format_json(d->ctx, &evaluation, &text), EQ_OK);
    assert_non_null(strstr(text, "\"clip_score\""));
    free(text);
    eq_evaluation_free(&evaluation);

    write_text(d, "manifest.jsonl", ENTRY("000000.png", "0", "") ENTRY("000001.png", "1", ", \"prompt\": \"abc c\""));
    assert_int_equal(eq_evaluate_folder(d->ctx, &options, &evaluation), EQ_OK);
    assert_int_equal(evaluation.clip->n, 1);
    assert_near(evaluation.clip->score.value, scores[1][1]);
    eq_evaluation_free(&evaluation);

    write_text(d, "manifest.jsonl", ENTRY("000000.png", "0", ""));
    assert_int_equal(eq_evaluate_folder(d->ctx, &options, &evaluation), EQ_BAD_INPUT);
    assert_non_null(strstr(eq_last_error(d->ctx), "no prompts"));
    options.clip = "/nowhere";
    write_text(d, "manifest.jsonl", ENTRY("000000.png", "0", ", \"prompt\": \"ab\""));
    assert_int_equal(eq_evaluate_folder(d->ctx, &options, &evaluation), EQ_BAD_INPUT);
    free(images);
    free(labels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(scores_are_pytorchs, make_desk, drop_desk),
        cmocka_unit_test_setup_teardown(a_runs_prompts_are_its_manifests, make_desk, drop_desk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
