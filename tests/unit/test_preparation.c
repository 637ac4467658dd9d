/* Preparing images for classifiers: equal to Pillow and torchvision, byte for byte (tests/data/classifiers, made by
 * scripts/make-classifier-references.py). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "io/tensor_file.h"
#include "models/preparation.h"

static const char data[] = EQUIPOISE_TEST_DATA "/classifiers/images.expected";

typedef struct desk {
    eq_context *ctx;
    eq_tensor_file file;
} desk;

static int make_desk(void **state)
{
    desk *d = calloc(1, sizeof *d);
    *state = d;
    d->ctx = eq_context_new();
    if (eq_tensor_file_open(d->ctx, data, &d->file) != EQ_OK)
        fail_msg("%s", eq_last_error(d->ctx));
    return 0;
}

static int drop_desk(void **state)
{
    desk *d = *state;
    eq_tensor_file_close(&d->file);
    eq_context_free(d->ctx);
    free(d);
    return 0;
}

/* A view of the tensor [h, w, 3] of bytes. */
static eq_image image_of(const desk *d, const char *name)
{
    const eq_tensor *tensor = eq_tensor_file_find(&d->file, name);
    if (!tensor)
        fail_msg("no %s", name);
    return (eq_image){(int)tensor->shape.dim[1], (int)tensor->shape.dim[0], tensor->data};
}

static const char *const images[] = {"wide", "tall", "small"};
static const char *const modes[] = {[EQ_PREPARE_CROP] = "crop", [EQ_PREPARE_SQUASH] = "squash"};
static const char *const filters[] = {"bilinear", "bicubic"};

static void check_against_pillow(const desk *d, const char *name, eq_prepare_mode mode, eq_image_filter filter)
{
    char expected_name[64];
    snprintf(expected_name, sizeof expected_name, "%s.%s.%s", name, modes[mode], filters[filter]);
    eq_image image = image_of(d, name), expected = image_of(d, expected_name), found;
    const eq_preparation preparation = {.size = expected.width, .resize = 23, .mode = mode, .filter = filter};
    assert_int_equal(eq_prepare_pixels(d->ctx, &preparation, &image, &found), EQ_OK);
    assert_int_equal(found.width, expected.width);
    assert_int_equal(found.height, expected.height);
    size_t bytes = (size_t)found.width * (size_t)found.height * 3, differ = 0;
    for (size_t i = 0; i < bytes; i++)
        differ += found.pixels[i] != expected.pixels[i];
    if (differ)
        fail_msg("%s: %zu of %zu bytes differ", expected_name, differ, bytes);
    eq_image_free(&found);
}

static void pixels_are_pillows(void **state)
{
    for (size_t i = 0; i < sizeof images / sizeof images[0]; i++)
        for (eq_prepare_mode mode = EQ_PREPARE_CROP; mode <= EQ_PREPARE_SQUASH; mode++)
            for (eq_image_filter filter = EQ_FILTER_BILINEAR; filter <= EQ_FILTER_BICUBIC; filter++)
                check_against_pillow(*state, images[i], mode, filter);
}

static void numbers_are_torchvisions(void **state)
{
    const desk *d = *state;
    eq_image image = image_of(d, "wide"), found;
    eq_preparation preparation = eq_preparation_imagenet();
    preparation.resize = 23;
    preparation.size = 20;
    const float *expected = eq_tensor_file_find(&d->file, "wide.normalised")->data;
    float *x = calloc(20 * 20 * 3, sizeof *x);
    assert_int_equal(eq_prepare_pixels(d->ctx, &preparation, &image, &found), EQ_OK);
    eq_prepare_normalise(&preparation, found.pixels, x);
    for (int i = 0; i < 20 * 20 * 3; i++)
        assert_true(fabsf(x[i] - expected[i]) < 2e-6f);
    free(x);
    eq_image_free(&found);
}

/* Of a margin of 3, torchvision cuts 2 off before (halves round to even) and transformers 1. */
static void odd_margins_round_as_the_source_does(void **state)
{
    const desk *d = *state;
    eq_image image, found;
    assert_int_equal(eq_image_new(d->ctx, 23, 23, &image), EQ_OK);
    for (int i = 0; i < 23 * 23 * 3; i++)
        image.pixels[i] = (uint8_t)(i / 3 % 23);
    eq_preparation preparation = {.size = 20, .resize = 23, .mode = EQ_PREPARE_CROP};
    assert_int_equal(eq_prepare_pixels(d->ctx, &preparation, &image, &found), EQ_OK);
    assert_int_equal(found.pixels[0], 2);
    eq_image_free(&found);
    preparation.crop_rounds_down = true;
    assert_int_equal(eq_prepare_pixels(d->ctx, &preparation, &image, &found), EQ_OK);
    assert_int_equal(found.pixels[0], 1);
    eq_image_free(&found);
    eq_image_free(&image);
}

static eq_status read(const desk *d, const char *text, bool transformers, eq_preparation *out)
{
    eq_json json;
    assert_int_equal(eq_json_parse(d->ctx, text, strlen(text), "settings", &json), EQ_OK);
    eq_status status =
        transformers ? eq_preparation_read_transformers(d->ctx, &json, out) : eq_preparation_read(d->ctx, &json, out);
    eq_json_close(&json);
    return status;
}

static void settings_override(void **state)
{
    const desk *d = *state;
    eq_preparation p = eq_preparation_imagenet();
    assert_int_equal(read(d, "{\"size\": 448, \"filter\": \"bicubic\", \"mean\": [0.5, 0.25, 0]}", false, &p), EQ_OK);
    assert_int_equal(p.size, 448);
    assert_int_equal(p.resize, 512);
    assert_int_equal(p.filter, EQ_FILTER_BICUBIC);
    assert_int_equal(p.mode, EQ_PREPARE_CROP);
    assert_true(p.mean[1] == 0.25f && p.std[0] == 0.229f);
    assert_int_equal(read(d, "{\"mode\": \"squash\"}", false, &p), EQ_OK);
    assert_int_equal(p.mode, EQ_PREPARE_SQUASH);

    p = eq_preparation_clip(32);
    const char *clip = "{\"size\": 40, \"crop_size\": {\"height\": 32, \"width\": 32}, \"resample\": 2}";
    assert_int_equal(read(d, clip, true, &p), EQ_OK);
    assert_int_equal(p.resize, 40);
    assert_int_equal(p.filter, EQ_FILTER_BILINEAR);
}

static void bad_settings_are_refused(void **state)
{
    const desk *d = *state;
    static const char *const bad[] = {
        "{\"size\": 10}",     "{\"size\": 100, \"resize\": 90}", "{\"mode\": \"stretch\"}", "{\"filter\": 3}",
        "{\"mean\": [1, 2]}", "{\"mean\": [1, 2, \"3\"]}",       "{\"std\": [1, 0, 1]}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        eq_preparation p = eq_preparation_imagenet();
        assert_int_equal(read(d, bad[i], false, &p), EQ_BAD_INPUT);
        assert_non_null(strstr(eq_last_error(d->ctx), "settings"));
    }
    eq_preparation p = eq_preparation_clip(32);
    assert_int_equal(read(d, "{\"crop_size\": 33}", true, &p), EQ_BAD_INPUT);
    assert_int_equal(read(d, "{\"size\": {\"shortest_edge\": 31}}", true, &p), EQ_BAD_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pixels_are_pillows, make_desk, drop_desk),
        cmocka_unit_test_setup_teardown(numbers_are_torchvisions, make_desk, drop_desk),
        cmocka_unit_test_setup_teardown(odd_margins_round_as_the_source_does, make_desk, drop_desk),
        cmocka_unit_test_setup_teardown(settings_override, make_desk, drop_desk),
        cmocka_unit_test_setup_teardown(bad_settings_are_refused, make_desk, drop_desk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
