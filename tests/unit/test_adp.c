/* Attribute predictors: their probabilities against a plain softmax in double, the change of h against finite
 * differences, and their files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "guidance/adp_file.h"
#include "io/safetensors.h"
#include "temporary.h"
#include "unit/tiny.h"

static eq_context *ctx;

enum { IMAGES = 5, SIDE = 3, CHANNELS = 4, COUNT = SIDE * SIDE * CHANNELS };

static eq_adp make(const eq_attribute *attribute, int hidden)
{
    eq_adp adp;
    assert_ok(tiny_adp(ctx, attribute, 3, 10, hidden, eq_shape_of(SIDE, SIDE, CHANNELS), 12, 5, &adp));
    return adp;
}

/* The formula in the header, in double. */
static void plain_prediction(const eq_adp *adp, int head, double tau, const double *h, double *p)
{
    int classes = adp->attribute.classes, outputs = adp->hidden ? adp->hidden : classes;
    double first[64], z[8], sum = 0;
    for (int o = 0; o < outputs; o++) {
        first[o] = adp->bias[head * outputs + o];
        for (int j = 0; j < COUNT; j++)
            first[o] += (double)adp->weight[(head * outputs + o) * COUNT + j] * h[j];
    }
    for (int k = 0; k < classes; k++) {
        z[k] = adp->hidden ? adp->bias2[head * classes + k] : first[k];
        for (int o = 0; o < adp->hidden; o++)
            z[k] += (double)adp->weight2[(head * classes + k) * outputs + o] * (first[o] > 0 ? first[o] : 0);
        sum += exp(z[k] / tau);
    }
    for (int k = 0; k < classes; k++)
        p[k] = exp(z[k] / tau) / sum;
}

static void check_predictions(int hidden)
{
    eq_attribute age = tiny_age();
    eq_adp adp = make(&age, hidden);
    float *h = tiny_normals(1, IMAGES * COUNT), p[IMAGES * 3];
    float *work = malloc(eq_adp_work(&adp, IMAGES) * sizeof *work);
    const double temperatures[] = {0, 1, 3};
    for (int head = 0; head < 3; head++)
        for (int t = 0; t < 3; t++) {
            eq_adp_predict(&adp, head, temperatures[t], h, IMAGES, p, work);
            for (int i = 0; i < IMAGES; i++) {
                double x[COUNT], expected[3];
                for (int j = 0; j < COUNT; j++)
                    x[j] = h[i * COUNT + j];
                plain_prediction(&adp, head, t == 0 ? 8.0 : temperatures[t], x, expected);
                for (int k = 0; k < 3; k++)
                    assert_near(p[i * 3 + k], expected[k], 2e-6);
            }
        }
    free(h);
    free(work);
    eq_adp_free(&adp);
}

static void linear_predictions(void **state)
{
    check_predictions(0);
}

static void mlp_predictions(void **state)
{
    check_predictions(11);
}

static void predictions_do_not_overflow(void **state)
{
    eq_attribute gender = tiny_gender();
    eq_adp adp = make(&gender, 0);
    float h[COUNT], p[2], work[8];
    for (int j = 0; j < COUNT; j++)
        h[j] = 1e6f;
    eq_adp_predict(&adp, 0, 1e-3, h, 1, p, work);
    assert_near(p[0] + p[1], 1, 1e-6);
    eq_adp_free(&adp);
}

/* L(h) = sum_k c_k log p_k, whose gradient at the tempered logits is c_k - p_k sum c. */
static const double coefficients[3] = {0.7, -0.4, 0.9};

static double loss_of(const eq_adp *adp, double tau, const double *h)
{
    double p[3], loss = 0;
    plain_prediction(adp, 1, tau, h, p);
    for (int k = 0; k < 3; k++)
        loss += coefficients[k] * log(p[k]);
    return loss;
}

static void check_push(int hidden, double tau)
{
    const double step = 0.37;
    eq_attribute age = tiny_age();
    eq_adp adp = make(&age, hidden);
    float *h = tiny_normals(2, IMAGES * COUNT), *moved = malloc(IMAGES * COUNT * sizeof *moved);
    float p[IMAGES * 3], dlogits[IMAGES * 3] = {0};
    float *work = malloc(eq_adp_work(&adp, IMAGES) * sizeof *work);
    memcpy(moved, h, IMAGES * COUNT * sizeof *h);
    eq_adp_predict(&adp, 1, tau, h, IMAGES, p, work);
    for (int i = 0; i < IMAGES; i++)
        for (int k = 0; k < 3 && i != 2; k++) /* image 2 is to stay */
            dlogits[i * 3 + k] = (float)(coefficients[k] - p[i * 3 + k] * 1.2);
    eq_adp_push(&adp, 1, tau, step, dlogits, IMAGES, moved, work);
    assert_memory_equal(moved + 2 * COUNT, h + 2 * COUNT, COUNT * sizeof *h);
    for (int i = 0; i < IMAGES; i++)
        for (int j = 0; j < COUNT && i != 2; j++) {
            double x[COUNT], epsilon = 1e-5;
            for (int l = 0; l < COUNT; l++)
                x[l] = h[i * COUNT + l];
            double at = x[j];
            x[j] = at + epsilon;
            double above = loss_of(&adp, tau, x);
            x[j] = at - epsilon;
            double below = loss_of(&adp, tau, x);
            double expected = -step * (above - below) / (2 * epsilon);
            assert_near((double)moved[i * COUNT + j] - h[i * COUNT + j], expected, 1e-5 + 1e-4 * fabs(expected));
        }
    free(h);
    free(moved);
    free(work);
    eq_adp_free(&adp);
}

static void linear_push(void **state)
{
    check_push(0, 2.0);
}

static void mlp_push(void **state)
{
    check_push(9, 2.0);
}

/* A step of -s / gain along the gradient of two classes' log-odds moves them by about s: exactly, as the map is linear.
 */
static void gain_of_two_classes(void **state)
{
    eq_attribute gender = tiny_gender();
    eq_adp adp = make(&gender, 0);
    double tau = 5, expected = 0;
    for (int j = 0; j < COUNT; j++) {
        double d = ((double)adp.weight[2 * COUNT + j] - adp.weight[3 * COUNT + j]) / 2;
        expected += 2 * d * d;
    }
    double gain = eq_adp_gain(&adp, 1, tau);
    assert_near(gain, expected / (tau * tau), 1e-6 * gain);
    float h[COUNT] = {0}, p[2], after[2], work[8];
    eq_adp_predict(&adp, 1, tau, h, 1, p, work);
    float dlogits[2] = {0.5f, -0.5f};
    eq_adp_push(&adp, 1, tau, 1 / gain, dlogits, 1, h, work);
    eq_adp_predict(&adp, 1, tau, h, 1, after, work);
    double change = log((double)after[0] / after[1]) - log((double)p[0] / p[1]);
    assert_near(change, -1, 1e-4); /* the difference of the logits' gradients */
    eq_adp_free(&adp);
}

/* With dlogits (1, -1, 0), a step of 1 goes from where class 0 lies to where class 1 lies. */
static void shift_between_classes(void **state)
{
    eq_attribute age = tiny_age();
    eq_adp adp = make(&age, 5);
    adp.direction = tiny_normals(9, 3 * 3 * COUNT);
    float *h = tiny_normals(2, 2 * COUNT), before[2 * COUNT];
    memcpy(before, h, sizeof before);
    const float dlogits[6] = {0, 0, 0, 1, -1, 0}, *from = adp.direction + 2 * 3 * COUNT, *to = from + COUNT;
    eq_adp_shift(&adp, 2, 0.5, dlogits, 2, h);
    assert_memory_equal(h, before, COUNT * sizeof *h);
    for (int j = 0; j < COUNT; j++)
        assert_near(h[COUNT + j] - before[COUNT + j], 0.5 * ((double)to[j] - from[j]), 1e-5);
    free(h);
    eq_adp_free(&adp);
}

static void gain_of_an_mlp(void **state)
{
    eq_attribute age = tiny_age();
    eq_adp adp = make(&age, 7);
    double expected = 0;
    for (int j = 0; j < COUNT; j++) {
        double row[3] = {0}, mean = 0;
        for (int k = 0; k < 3; k++) {
            for (int o = 0; o < 7; o++)
                row[k] += (double)adp.weight2[(2 * 3 + k) * 7 + o] * adp.weight[(2 * 7 + o) * COUNT + j];
            mean += row[k] / 3;
        }
        for (int k = 0; k < 3; k++)
            expected += (row[k] - mean) * (row[k] - mean);
    }
    assert_near(eq_adp_gain(&adp, 2, 0), expected / 2 / 64, 1e-9 + 1e-6 * expected);
    eq_adp_free(&adp);
}

static void head_of_the_nearest_timestep(void **state)
{
    eq_attribute gender = tiny_gender();
    eq_adp adp = make(&gender, 0); /* 10, 110, 210 */
    assert_int_equal(eq_adp_head(&adp, 0), 0);
    assert_int_equal(eq_adp_head(&adp, 59), 0);
    assert_int_equal(eq_adp_head(&adp, 61), 1);
    assert_int_equal(eq_adp_head(&adp, 999), 2);
    eq_adp_free(&adp);
}

static void class_counts_are_limited(void **state)
{
    const char *names[300];
    for (int k = 0; k < 300; k++)
        names[k] = "k";
    eq_adp adp;
    eq_attribute many = {"many", 300, names}, one = {"one", 1, names};
    assert_fails(eq_adp_new(ctx, &many, 1, eq_shape_of(1, 1, 1), 0, &adp), EQ_BAD_USAGE, "2 to 256 classes, not 300");
    assert_fails(eq_adp_new(ctx, &one, 1, eq_shape_of(1, 1, 1), 0, &adp), EQ_BAD_USAGE, "not 1");
}

/* --- files --- */

static void check_round_trip(const char *folder, int hidden)
{
    eq_attribute age = tiny_age();
    eq_adp adp = make(&age, hidden), read;
    int outputs = hidden ? hidden : 3;
    adp.temperature = 6.5;
    adp.strength = 2.25;
    assert_ok(eq_adp_set_factor(ctx, &adp, "assign", 0.5));
    assert_ok(eq_adp_set_factor(ctx, &adp, "sample", 4));
    adp.accuracy = calloc(3, sizeof(float));
    adp.direction = calloc(9 * COUNT, sizeof(float));
    adp.accuracy[0] = 0.75f;
    adp.accuracy[1] = NAN; /* no image was held out */
    adp.outcome_accuracy = calloc(3, sizeof(float));
    assert_non_null(adp.outcome_accuracy);
    adp.outcome_accuracy[1] = 0.625f;
    for (int i = 0; i < 9 * COUNT; i++)
        adp.direction[i] = 0.5f - (float)i; /* exact in f16 */
    memset(adp.model_hash, 'a', EQ_ADP_HASH - 1);
    memset(adp.labeller, 'b', EQ_ADP_HASH - 1);
    char *path = eq_path_join(folder, "age.safetensors");
    assert_ok(eq_adp_write(ctx, path, &adp));
    assert_ok(eq_adp_read(ctx, path, &read));
    assert_string_equal(read.attribute.name, "age");
    assert_int_equal(read.attribute.classes, 3);
    assert_string_equal(read.attribute.class_names[2], "old");
    assert_int_equal(read.heads, 3);
    assert_int_equal(read.hidden, hidden);
    assert_true(eq_shape_equal(&read.h_shape, &adp.h_shape));
    assert_memory_equal(read.timesteps, adp.timesteps, 3 * sizeof(int64_t));
    assert_memory_equal(read.bias, adp.bias, (size_t)(3 * outputs) * sizeof(float));
    for (int i = 0; i < 3 * outputs * COUNT; i++)
        assert_true(read.weight[i] == eq_f16_to_f32(eq_f32_to_f16(adp.weight[i])));
    for (int i = 0; i < 9 * hidden; i++)
        assert_true(read.weight2[i] == eq_f16_to_f32(eq_f32_to_f16(adp.weight2[i])));
    if (hidden)
        assert_memory_equal(read.bias2, adp.bias2, 9 * sizeof(float));
    assert_near(read.temperature, 6.5, 0);
    assert_near(read.strength, 2.25, 0);
    assert_near(eq_adp_factor_of(&read, "assign"), 0.5, 0);
    assert_near(eq_adp_factor_of(&read, "sample"), 4, 0);
    assert_near(eq_adp_factor_of(&read, "distribution"), 2.25, 0); /* the one of files without names */
    assert_true(read.accuracy[0] == 0.75f && isnan(read.accuracy[1]) && read.accuracy[2] == 0);
    assert_true(read.outcome_accuracy[0] == 0 && read.outcome_accuracy[1] == 0.625f);
    assert_memory_equal(read.direction, adp.direction, 9 * COUNT * sizeof(float));
    assert_string_equal(read.model_hash, adp.model_hash);
    assert_string_equal(read.labeller, adp.labeller);
    eq_adp_free(&adp);
    eq_adp_free(&read);
    free(path);
}

static void round_trip(void **state)
{
    check_round_trip(*state, 0);
    check_round_trip(*state, 6);
}

/* The file's order is [c, h, w], ours [h, w, c]. */
static void file_has_channels_first(void **state)
{
    eq_attribute gender = tiny_gender();
    eq_adp adp = make(&gender, 0);
    char *path = eq_path_join(*state, "gender.safetensors");
    assert_ok(eq_adp_write(ctx, path, &adp));
    eq_tensor_file file;
    assert_ok(eq_tensor_file_open(ctx, path, &file));
    eq_tensor weight;
    assert_ok(eq_tensor_file_get(ctx, &file, "weight", eq_shape_of(3, 2, CHANNELS, SIDE, SIDE), &weight));
    const uint16_t *stored = weight.data;
    for (int c = 0; c < CHANNELS; c++)
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++)
                assert_int_equal(stored[COUNT + (c * SIDE + y) * SIDE + x],
                                 eq_f32_to_f16(adp.weight[COUNT + (y * SIDE + x) * CHANNELS + c]));
    eq_tensor_file_close(&file);
    eq_adp_free(&adp);
    free(path);
}

static void weights_beyond_half_are_refused(void **state)
{
    eq_attribute gender = tiny_gender();
    eq_adp adp = make(&gender, 0);
    char *path = eq_path_join(*state, "gender.safetensors");
    adp.weight[7] = 1e5f;
    assert_fails(eq_adp_write(ctx, path, &adp), EQ_FAILED, "above 65504");
    adp.weight[7] = NAN;
    assert_fails(eq_adp_write(ctx, path, &adp), EQ_FAILED, "\"gender\"");
    adp.weight[7] = 65504;
    adp.direction = calloc(6 * COUNT, sizeof(float));
    adp.direction[6 * COUNT - 1] = 65536;
    assert_fails(eq_adp_write(ctx, path, &adp), EQ_FAILED, "above 65504");
    assert_false(eq_path_exists(path));
    adp.direction[6 * COUNT - 1] = 1;
    assert_ok(eq_adp_write(ctx, path, &adp));
    eq_adp_free(&adp);
    free(path);
}

/* Every prefix of a file is refused, without a crash, and the file is named. */
static void truncated_files(void **state)
{
    eq_attribute gender = tiny_gender();
    eq_adp adp = make(&gender, 2), read;
    char *path = eq_path_join(*state, "gender.safetensors"), *cut = eq_path_join(*state, "cut.safetensors");
    assert_ok(eq_adp_write(ctx, path, &adp));
    uint8_t *bytes;
    size_t size;
    assert_ok(eq_file_read(ctx, path, 1 << 20, &bytes, &size));
    for (size_t keep = 0; keep < size; keep += 97) {
        assert_ok(eq_file_write(ctx, cut, bytes, keep));
        assert_fails(eq_adp_read(ctx, cut, &read), EQ_BAD_INPUT, "cut.safetensors");
        assert_null(read.weight);
    }
    free(bytes);
    free(path);
    free(cut);
    eq_adp_free(&adp);
}

/* Writes a file with these settings and a weight of [1, 2, c, h, w] for h = [1, 1, 2]. */
static void write_settings(const char *path, const char *format, const char *settings)
{
    float weight[4] = {1, 2, 3, 4}, bias[2] = {0, 0};
    eq_named_tensor tensors[] = {{"weight", {EQ_F32, eq_shape_of(1, 2, 2, 1, 1), weight}},
                                 {"bias", {EQ_F32, eq_shape_of(1, 2), bias}}};
    eq_metadata metadata[] = {{"format", format}, {"settings", settings}};
    assert_ok(eq_safetensors_write(ctx, path, tensors, 2, metadata, 2));
}

static void foreign_files(void **state)
{
    static const char format[] = "equipoise attribute predictor 1";
    static const struct {
        const char *settings, *message;
    } cases[] = {
        {"{}", "attribute"},
        {"{\"attribute\":\"a\",\"classes\":[\"x\"],\"timesteps\":[1],\"h_shape\":[1,1,2]}", "2 or more, not 1"},
        {"{\"attribute\":\"a\",\"classes\":[\"x\",\"y\"],\"timesteps\":[],\"h_shape\":[1,1,2]}", "timesteps: none"},
        {"{\"attribute\":\"a\",\"classes\":[\"x\",\"y\"],\"timesteps\":[5,5],\"h_shape\":[1,1,2]}", "5 follows 5"},
        {"{\"attribute\":\"a\",\"classes\":[\"x\",\"y\"],\"timesteps\":[-1],\"h_shape\":[1,1,2]}", "timesteps"},
        {"{\"attribute\":\"a\",\"classes\":[\"x\",\"y\"],\"timesteps\":[1],\"h_shape\":[2]}", "h_shape"},
        {"{\"attribute\":\"a\",\"classes\":[\"x\",\"y\"],\"timesteps\":[1],\"h_shape\":[1000000,1000000,1000000]}",
         "h_shape"},
        {"{\"attribute\":\"a\",\"classes\":[\"x\",\"y\"],\"timesteps\":[1],\"h_shape\":[1,1,3]}",
         "[1, 2, 3, 1, 1], found [1, 2, 2, 1, 1]"},
        {"{\"attribute\":\"a\",\"classes\":[\"x\",\"y\"],\"timesteps\":[1,2],\"h_shape\":[1,1,2]}",
         "[2, 2, 2, 1, 1], found [1, 2, 2, 1, 1]"},
        {"{\"attribute\":\"a\",\"classes\":[\"x\",\"y\"],\"timesteps\":[1],\"h_shape\":[1,1,2],\"hidden\":2}",
         "\"weight2\" is missing"},
        {"{\"attribute\":\"a\",\"classes\":[\"x\",\"y\"],\"timesteps\":[1],\"h_shape\":[1,1,2],\"accuracy\":[1,2]}",
         "an array of 1 numbers"},
        {"{\"attribute\":\"a\",\"classes\":[\"x\",\"y\"],\"timesteps\":[1],\"h_shape\":[1,1,2],\"accuracy\":[\"x\"]}",
         "numbers expected"},
        {"{\"attribute\":\"a\",\"classes\":[\"x\",\"y\"],\"timesteps\":[1],\"h_shape\":[1,1,2],\"temperature\":0}",
         "temperature"},
        {"{\"attribute\":\"a\",\"classes\":[\"x\",\"y\"],\"timesteps\":[1],\"h_shape\":[1,1,2],\"strengths\":2}",
         "strengths: an object"},
        {"{\"attribute\":\"a\",\"classes\":[\"x\",\"y\"],\"timesteps\":[1],\"h_shape\":[1,1,2],\"strengths\":{\"m\":0}}",
         "strengths: m: a number above 0"},
    };
    char *path = eq_path_join(*state, "heads.safetensors");
    eq_adp adp;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_settings(path, format, cases[i].settings);
        assert_fails(eq_adp_read(ctx, path, &adp), EQ_BAD_INPUT, cases[i].message);
        assert_non_null(strstr(eq_last_error(ctx), "heads.safetensors"));
    }
    write_settings(path, "pt", "{}");
    assert_fails(eq_adp_read(ctx, path, &adp), EQ_BAD_INPUT, "not an attribute predictor");
    write_settings(path, format,
                   "{\"attribute\":\"a\",\"classes\":[\"x\",\"y\"],\"timesteps\":[1],\"h_shape\":[1,1,2]}");
    assert_ok(eq_adp_read(ctx, path, &adp));
    assert_true(adp.weight[3] == 4 && adp.temperature == 8 && adp.model_hash[0] == 0);
    eq_adp_free(&adp);
    assert_fails(eq_adp_read(ctx, "/nowhere/heads.safetensors", &adp), EQ_BAD_INPUT, "/nowhere/heads.safetensors");
    free(path);
}

static void other_models_are_refused(void **state)
{
    eq_attribute gender = tiny_gender();
    eq_adp adp = make(&gender, 0);
    eq_shape h = adp.h_shape, other = eq_shape_of(4, 4, 8);
    assert_ok(eq_adp_check_model(ctx, &adp, "x", "0123456789abcdef", &h)); /* bound to none */
    snprintf(adp.model_hash, sizeof adp.model_hash, "fedcba9876543210");
    assert_ok(eq_adp_check_model(ctx, &adp, "x", "fedcba9876543210", &h));
    assert_fails(eq_adp_check_model(ctx, &adp, "x", "0123456789abcdef", &h), EQ_BAD_INPUT, "fedcba987654...");
    assert_non_null(strstr(eq_last_error(ctx), "0123456789ab..."));
    assert_fails(eq_adp_check_model(ctx, &adp, "x", "fedcba9876543210", &other), EQ_BAD_INPUT, "[3, 3, 4]");
    assert_non_null(strstr(eq_last_error(ctx), "[4, 4, 8]"));
    eq_adp_free(&adp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_predictions),
        cmocka_unit_test(mlp_predictions),
        cmocka_unit_test(predictions_do_not_overflow),
        cmocka_unit_test(linear_push),
        cmocka_unit_test(mlp_push),
        cmocka_unit_test(gain_of_two_classes),
        cmocka_unit_test(shift_between_classes),
        cmocka_unit_test(gain_of_an_mlp),
        cmocka_unit_test(head_of_the_nearest_timestep),
        cmocka_unit_test(class_counts_are_limited),
        cmocka_unit_test_setup_teardown(round_trip, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(file_has_channels_first, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(weights_beyond_half_are_refused, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(truncated_files, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(foreign_files, temporary_setup, temporary_teardown),
        cmocka_unit_test(other_models_are_refused),
    };
    ctx = eq_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failed;
}
