/* Heads in the published form. The container does not matter (see test_torch_containers.c); here it is safetensors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/path.h"
#include "guidance/adp_file.h"
#include "guidance/adp_import.h"
#include "io/safetensors.h"
#include "temporary.h"

enum { HEADS = 3, CLASSES = 2, HEIGHT = 2, WIDTH = 3, CHANNELS = 4, H = HEIGHT * WIDTH * CHANNELS };

static eq_context *ctx;
static const eq_attribute gender = {"gender", CLASSES, (const char *const[]){"female", "male"}};
static const int64_t timesteps[HEADS + 1] = {1, 300, 600, 999};

/* What the file says of head, class and place [c, h, w]. */
static float weight_at(int head, int class, int c, int y, int x)
{
    return (float)(1000 * head + 100 * class + (c * HEIGHT + y) * WIDTH + x);
}

/* Writes `heads` heads of `classes` classes, and an odd tensor unless its name is NULL. */
static char *write_heads(const char *folder, int heads, int classes, const char *odd)
{
    static float weights[8][4 * H], biases[8][4];
    static char names[16][32];
    eq_named_tensor tensors[17];
    size_t count = 0;
    for (int i = 0; i < heads; i++) {
        for (int k = 0; k < classes; k++) {
            biases[i][k] = (float)(10 * i + k);
            for (int c = 0; c < CHANNELS; c++)
                for (int y = 0; y < HEIGHT; y++)
                    for (int x = 0; x < WIDTH; x++)
                        weights[i][k * H + (c * HEIGHT + y) * WIDTH + x] = weight_at(i, k, c, y, x);
        }
        snprintf(names[2 * i], sizeof names[0], "linears.%d.weight", i);
        snprintf(names[2 * i + 1], sizeof names[0], "linears.%d.bias", i);
        tensors[count++] = (eq_named_tensor){names[2 * i], {EQ_F32, eq_shape_of(classes, H), weights[i]}};
        tensors[count++] = (eq_named_tensor){names[2 * i + 1], {EQ_F32, eq_shape_of(classes), biases[i]}};
    }
    if (odd)
        tensors[count++] = (eq_named_tensor){odd, {EQ_F32, eq_shape_of(classes), biases[0]}};
    char *path = eq_path_join(folder, "heads");
    assert_int_equal(eq_safetensors_write(ctx, path, tensors, count, NULL, 0), EQ_OK);
    return path;
}

static void heads_belong_to_the_smallest_timesteps(void **state)
{
    char *path = write_heads(*state, HEADS, CLASSES, NULL);
    for (int count = HEADS; count <= HEADS + 1; count++) {
        eq_adp adp;
        assert_int_equal(
            eq_adp_import(ctx, path, &gender, eq_shape_of(HEIGHT, WIDTH, CHANNELS), timesteps, count, &adp), EQ_OK);
        assert_int_equal(adp.heads, HEADS);
        assert_memory_equal(adp.timesteps, timesteps, HEADS * sizeof *timesteps);
        assert_string_equal(adp.attribute.class_names[1], "male");
        assert_true(adp.temperature == 8);
        assert_string_equal(adp.model_hash, "");
        for (int i = 0; i < HEADS; i++)
            for (int k = 0; k < CLASSES; k++) {
                assert_true(adp.bias[i * CLASSES + k] == (float)(10 * i + k));
                for (int y = 0; y < HEIGHT; y++)
                    for (int x = 0; x < WIDTH; x++)
                        for (int c = 0; c < CHANNELS; c++)
                            assert_true(adp.weight[(i * CLASSES + k) * H + (y * WIDTH + x) * CHANNELS + c] ==
                                        weight_at(i, k, c, y, x));
            }
        eq_adp_free(&adp);
    }
    free(path);
}

static void assert_refused(const char *path, const eq_attribute *attribute, eq_shape h_shape, int count,
                           const char *expected)
{
    eq_adp adp;
    assert_int_equal(eq_adp_import(ctx, path, attribute, h_shape, timesteps, count, &adp), EQ_BAD_INPUT);
    assert_non_null(strstr(eq_last_error(ctx), path));
    if (!strstr(eq_last_error(ctx), expected))
        fail_msg("expected \"%s\" in: %s", expected, eq_last_error(ctx));
    assert_null(adp.weight);
}

static void other_heads_are_refused(void **state)
{
    const eq_shape shape = eq_shape_of(HEIGHT, WIDTH, CHANNELS);
    const eq_attribute skin = {"skin", 3, (const char *const[]){"light", "medium", "dark"}};
    char *path = write_heads(*state, HEADS, CLASSES, NULL);
    assert_refused(path, &skin, shape, HEADS, "the heads tell 2 classes apart, but \"skin\" was given 3 names");
    assert_refused(path, &gender, eq_shape_of(8, 8, 512), HEADS, "read h of 24 numbers, this model's has 32768");
    assert_refused(path, &gender, shape, HEADS - 1, "its 3 heads are for a run of 3 or 4 timesteps, not of 2");
    free(path);
    path = write_heads(*state, HEADS, CLASSES, "linears.4.weight");
    assert_refused(path, &gender, shape, HEADS, "\"linears.4.weight\" does not belong to any of the heads");
    free(path);
    path = write_heads(*state, HEADS, CLASSES, "linears.0.weights");
    assert_refused(path, &gender, shape, HEADS, "\"linears.0.weights\" does not belong to any");
    free(path);
    path = write_heads(*state, 0, CLASSES, "conv_in.bias");
    assert_refused(path, &gender, shape, HEADS, "expected; found 1 tensors, the first \"conv_in.bias\"");
    free(path);
}

/* Read as a file of ours, they are recognised, and the message says what is wanted. */
static void names_are_asked_for(void **state)
{
    char *path = write_heads(*state, HEADS, CLASSES, NULL);
    eq_adp adp;
    assert_int_equal(eq_adp_read(ctx, path, &adp), EQ_BAD_INPUT);
    assert_non_null(strstr(eq_last_error(ctx), "3 heads in the published form"));
    assert_non_null(strstr(eq_last_error(ctx), "gender=female,male:"));
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(heads_belong_to_the_smallest_timesteps, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(other_heads_are_refused, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(names_are_asked_for, temporary_setup, temporary_teardown),
    };
    ctx = eq_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failed;
}
