/* Inception-v3 in pytorch-fid's form: against PyTorch (tests/data/inception, see scripts/make-inception-reference.py),
 * refused where it is another network. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/features.h"
#include "io/image.h"
#include "io/safetensors.h"
#include "models/inception.h"
#include "reference/compare.h"
#include "unit/desk.h"

#define DATA EQUIPOISE_TEST_DATA "/inception/"

static eq_tensor_file open_expected(const desk *d)
{
    eq_tensor_file file;
    if (eq_tensor_file_open(d->ctx, DATA "expected.safetensors", &file) != EQ_OK)
        fail_msg("%s", eq_last_error(d->ctx));
    return file;
}

/* A view of the file's [height, width, 3] bytes. */
static eq_image image_of(const eq_tensor_file *file, const char *name)
{
    const eq_tensor *tensor = eq_tensor_file_find(file, name);
    assert_non_null(tensor);
    return (eq_image){(int)tensor->shape.dim[1], (int)tensor->shape.dim[0], tensor->data};
}

static void images_are_stretched_as_pytorch_does(void **state)
{
    enum { EVERY = 13, PLACES = (EQ_INCEPTION_SIZE + EVERY - 1) / EVERY };
    const desk *d = *state;
    eq_tensor_file expected = open_expected(d);
    const char *const names[] = {"wide", "tall"};
    float *x = malloc(sizeof(float) * EQ_INCEPTION_SIZE * EQ_INCEPTION_SIZE * 3);
    for (int i = 0; i < 2; i++) {
        eq_image image = image_of(&expected, names[i]);
        char key[32];
        snprintf(key, sizeof key, "%s.prepared", names[i]);
        const eq_tensor *tensor = eq_tensor_file_find(&expected, key);
        assert_non_null(tensor);
        assert_int_equal(tensor->shape.dim[0], PLACES);
        const float *theirs = tensor->data;
        eq_inception_prepare(&image, x);
        for (int row = 0; row < PLACES; row++)
            for (int column = 0; column < PLACES; column++)
                for (int c = 0; c < 3; c++) {
                    float ours = x[((row * EVERY) * EQ_INCEPTION_SIZE + column * EVERY) * 3 + c];
                    if (!(fabsf(ours - *theirs++) < 2e-5f))
                        fail_msg("%s: row %d, column %d, channel %d: %g, expected %g", key, row, column, c,
                                 (double)ours, (double)theirs[-1]);
                }
    }
    free(x);
    eq_tensor_file_close(&expected);
}

static void an_image_of_the_size_stays_as_it_is(void **state)
{
    enum { COUNT = EQ_INCEPTION_SIZE * EQ_INCEPTION_SIZE * 3 };
    uint8_t *pixels = malloc(COUNT);
    float *x = malloc(COUNT * sizeof *x);
    for (int i = 0; i < COUNT; i++)
        pixels[i] = (uint8_t)(i * 31 % 256);
    eq_inception_prepare(&(eq_image){EQ_INCEPTION_SIZE, EQ_INCEPTION_SIZE, pixels}, x);
    for (int i = 0; i < COUNT; i++)
        assert_true(fabsf(x[i] - ((float)pixels[i] / 127.5f - 1)) < 2e-5f);
    free(pixels);
    free(x);
}

static void features_are_pytorchs(void **state)
{
    const desk *d = *state;
    eq_tensor_file expected = open_expected(d);
    char *names[] = {"tall.png", "wide.png"};
    const char *const keys[] = {"tall", "wide"};
    for (int i = 0; i < 2; i++) {
        eq_image image = image_of(&expected, keys[i]);
        char *path = eq_path_join(d->folder, names[i]);
        assert_int_equal(eq_image_write_png(d->ctx, path, &image), EQ_OK);
        free(path);
    }
    eq_inception *inception;
    if (eq_inception_open(d->ctx, DATA "narrow.safetensors", &inception) != EQ_OK)
        fail_msg("%s", eq_last_error(d->ctx));
    int count = eq_inception_feature_count(inception);
    assert_int_equal(count, 2048 / 16);
    float *features = calloc((size_t)count * 2, sizeof *features);
    if (eq_inception_run(inception, d->folder, &(eq_names){names, 2}, NULL, NULL, features) != EQ_OK)
        fail_msg("%s", eq_last_error(d->ctx));
    for (int i = 0; i < 2; i++) {
        char key[32];
        snprintf(key, sizeof key, "%s.features", keys[i]);
        const eq_tensor *theirs = eq_tensor_file_find(&expected, key);
        assert_non_null(theirs);
        assert_int_equal(theirs->shape.dim[0], count);
        double error = relative_error(features + i * count, theirs->data, count);
        if (!(error < 1e-5))
            fail_msg("%s: relative error %g", key, error);
    }
    free(features);
    eq_inception_close(inception);
    eq_tensor_file_close(&expected);
}

/* Writes the file's tensors but for one that is left out or takes another name. */
static char *rewrite(const desk *d, const char *name, const char *other)
{
    eq_tensor_file file;
    assert_int_equal(eq_tensor_file_open(d->ctx, DATA "narrow.safetensors", &file), EQ_OK);
    eq_named_tensor *tensors = calloc(file.count, sizeof *tensors);
    size_t count = 0;
    for (size_t i = 0; i < file.count; i++) {
        bool same = strcmp(file.entries[i].name, name) == 0;
        if (!same || other)
            tensors[count++] = (eq_named_tensor){same ? other : file.entries[i].name, file.entries[i].tensor};
    }
    char *path = eq_path_join(d->folder, "other.safetensors");
    assert_int_equal(eq_safetensors_write(d->ctx, path, tensors, count, NULL, 0), EQ_OK);
    free(tensors);
    eq_tensor_file_close(&file);
    return path;
}

static void refuse(const desk *d, char *path, const char *part)
{
    eq_inception *inception;
    assert_int_equal(eq_inception_open(d->ctx, path, &inception), EQ_BAD_INPUT);
    if (!strstr(eq_last_error(d->ctx), part))
        fail_msg("%s, expected: %s", eq_last_error(d->ctx), part);
    assert_null(inception);
    free(path);
}

static void other_networks_are_refused(void **state)
{
    const desk *d = *state;
    refuse(d, strdup(EQUIPOISE_TEST_DATA "/classifiers/basic.safetensors"), "no convolution Conv2d_1a_3x3.conv.weight");
    refuse(d, rewrite(d, "Mixed_7c.branch1x1.conv.weight", NULL), "no convolution Mixed_7c.branch1x1.conv.weight");
    refuse(d, rewrite(d, "Mixed_6b.branch_pool.bn.running_var", NULL), "Mixed_6b.branch_pool.bn.running_var");
    refuse(d, rewrite(d, "fc.weight", "Mixed_8a.branch1x1.conv.weight"), "Mixed_8a.branch1x1.conv.weight");
    refuse(d, rewrite(d, "fc.weight", "extra"), "extra");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(images_are_stretched_as_pytorch_does, make_desk, drop_desk),
        cmocka_unit_test(an_image_of_the_size_stays_as_it_is),
        cmocka_unit_test_setup_teardown(features_are_pytorchs, make_desk, drop_desk),
        cmocka_unit_test_setup_teardown(other_networks_are_refused, make_desk, drop_desk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
