/* What inspect says of files that only the library writes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/path.h"
#include "equipoise/inspect.h"
#include "guidance/adp_file.h"
#include "io/manifest.h"
#include "models/classifier_file.h"
#include "temporary.h"
#include "torch_bytes.h"
#include "train/h_store.h"

static const char model_hash[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/* The description of folder/name, without its path and, where `hashed`, without the 64 digits of its hash; one line,
 * to be freed. */
static char *describe(eq_context *ctx, const char *folder, const char *name, bool hashed)
{
    char *path = eq_path_join(folder, name);
    json_t *json = NULL;
    assert_int_equal(eq_inspect(ctx, path, &json), EQ_OK);
    assert_string_equal(json_string_value(json_object_get(json, "path")), path);
    json_object_del(json, "path");
    if (hashed) {
        assert_int_equal(json_string_length(json_object_get(json, "hash")), 64);
        json_object_del(json, "hash");
    }
    char *text = json_dumps(json, JSON_REAL_PRECISION(4));
    json_decref(json);
    free(path);
    return text;
}

static void describes(eq_context *ctx, const char *folder, const char *name, bool hashed, const char *expected)
{
    char *text = describe(ctx, folder, name, hashed);
    assert_string_equal(text, expected);
    free(text);
}

static void test_predictor(void **state)
{
    eq_context *ctx = eq_context_new();
    char *path = eq_path_join(*state, "gender.safetensors");
    const eq_attribute gender = {"gender", 2, (const char *const[]){"female", "male"}};
    eq_adp adp;
    assert_int_equal(eq_adp_new(ctx, &gender, 3, eq_shape_of(2, 2, 4), 0, &adp), EQ_OK);
    for (int i = 0; i < 3; i++)
        adp.timesteps[i] = 100 * (i + 1);
    adp.temperature = 8;
    snprintf(adp.labeller, sizeof adp.labeller, "fedcba98");
    snprintf(adp.model_hash, sizeof adp.model_hash, "%s", model_hash);
    assert_int_equal(eq_adp_write(ctx, path, &adp), EQ_OK);
    describes(ctx, *state, "gender.safetensors", true,
              "{\"kind\": \"attribute predictor\", \"attribute\": \"gender\", \"classes\": [\"female\", \"male\"], "
              "\"head\": \"linear\", \"heads\": 3, \"timesteps\": [100, 200, 300], \"h_shape\": [2, 2, 4], "
              "\"temperature\": 8.0, \"labeller\": \"fedcba98\", \"model\": "
              "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"}");
    eq_adp_free(&adp);
    free(path);
    eq_context_free(ctx);
}

static void test_h_store(void **state)
{
    eq_context *ctx = eq_context_new();
    char *path = eq_path_join(*state, "h.safetensors");
    const float h[2 * 12] = {0};
    eq_h_writer writer;
    assert_int_equal(eq_h_writer_open(ctx, path, (const int64_t[]){900, 500}, (const int[]){0, 1}, 2, 2,
                                      eq_shape_of(2, 2, 3), model_hash, &writer),
                     EQ_OK);
    assert_int_equal(eq_h_writer_add(&writer, h), EQ_OK);
    assert_int_equal(eq_h_writer_add(&writer, h), EQ_OK);
    assert_int_equal(eq_h_writer_commit(&writer), EQ_OK);
    describes(ctx, *state, "h.safetensors", false,
              "{\"kind\": \"h-vectors\", \"images\": 2, \"timesteps\": [900, 500], \"h_shape\": [2, 2, 3], \"model\": "
              "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"}");
    free(path);
    eq_context_free(ctx);
}

/* {"w": a tensor, "linears.0.weight": another}; a file of PyTorch's, whatever its name. */
static void test_torch(void **state)
{
    eq_context *ctx = eq_context_new();
    const float values[6] = {0};
    const tensor_bytes tensors[] = {{"FloatStorage", "0", 6, 0, 2, {2, 3}, {3, 1}},
                                    {"HalfStorage", "1", 4, 0, 1, {4}, {1}}};
    char *path = eq_path_join(*state, "model");
    bytes pickle = {0};
    zip_bytes zip = {0};
    PUT(&pickle, "\x80\2}(");
    put_text(&pickle, "w");
    put_tensor(&pickle, &tensors[0], 0);
    put_text(&pickle, "b");
    put_tensor(&pickle, &tensors[1], 0);
    PUT(&pickle, "u.");
    zip_add(&zip, "m/data.pkl", pickle.at, pickle.size, 0);
    zip_add(&zip, "m/data/0", values, 24, 0);
    zip_add(&zip, "m/data/1", values, 8, 0);
    zip_finish(&zip);
    assert_int_equal(eq_file_write(ctx, path, zip.file.at, zip.file.size), EQ_OK);
    describes(ctx, *state, "model", true,
              "{\"kind\": \"tensors\", \"container\": \"PyTorch zip\", \"parameters\": 10, \"bytes\": 32, "
              "\"dtypes\": {\"f32\": {\"tensors\": 1, \"parameters\": 6}, \"f16\": {\"tensors\": 1, "
              "\"parameters\": 4}}, \"metadata\": {}, \"tensors\": [{\"name\": \"b\", \"dtype\": \"f16\", "
              "\"shape\": [4]}, {\"name\": \"w\", \"dtype\": \"f32\", \"shape\": [2, 3]}]}");
    drop(&pickle);
    drop(&zip.file);

    pickle.size = 0;
    zip = (zip_bytes){0};
    PUT(&pickle, "\x80\2}");
    put_text(&pickle, "linears.0.weight");
    put_tensor(&pickle, &tensors[0], 0);
    PUT(&pickle, "s.");
    zip_add(&zip, "m/data.pkl", pickle.at, pickle.size, 0);
    zip_add(&zip, "m/data/0", values, 24, 0);
    zip_finish(&zip);
    assert_int_equal(eq_file_write(ctx, path, zip.file.at, zip.file.size), EQ_OK);
    describes(ctx, *state, "model", true,
              "{\"kind\": \"published attribute heads\", \"container\": \"PyTorch zip\", \"head\": \"linear\", "
              "\"heads\": 1, \"classes\": 2, \"h_numbers\": 3, \"dtype\": \"f32\"}");
    drop(&pickle);
    drop(&zip.file);
    free(path);
    eq_context_free(ctx);
}

static void test_classifier(void **state)
{
    eq_context *ctx = eq_context_new();
    const eq_classifier_config config = {.trunk = eq_trunk_find("resnet"),
                                         .size = 16,
                                         .stages = 2,
                                         .channels = {4, 8},
                                         .blocks = 1,
                                         .attribute_count = 2,
                                         .attributes = {{"gender", 2, (const char *const[]){"female", "male"}},
                                                        {"skin", 3, (const char *const[]){"light", "medium", "dark"}}}};
    const eq_classifier_score scores[2] = {{.accuracy = 0.75}, {.accuracy = NAN}};
    eq_params *params = eq_params_new(ctx);
    assert_int_equal(eq_classifier_declare(params, &config), EQ_OK);
    assert_int_equal(eq_params_allocate(params), EQ_OK);
    eq_params_initialise(params, 1);
    assert_int_equal(eq_classifier_file_save(ctx, *state, &config, scores, params, EQ_F16), EQ_OK);
    char expected[512];
    snprintf(expected, sizeof expected,
             "{\"kind\": \"classifier\", \"trunk\": \"resnet\", \"parameters\": %lld, \"size\": 16, \"channels\": [4, "
             "8], \"blocks\": 1, \"attributes\": {\"gender\": {\"classes\": [\"female\", \"male\"], \"accuracy\": "
             "0.75}, \"skin\": {\"classes\": [\"light\", \"medium\", \"dark\"], \"accuracy\": null}}}",
             (long long)params->total);
    describes(ctx, *state, "", true, expected);
    eq_params_free(params);
    eq_context_free(ctx);
}

static void test_run(void **state)
{
    eq_context *ctx = eq_context_new();
    char *path = eq_path_join(*state, "manifest.jsonl");
    eq_manifest_writer writer = {0};
    assert_int_equal(eq_manifest_writer_open(ctx, path, &writer), EQ_OK);
    for (int i = 0; i < 3; i++) {
        const eq_manifest_target target = {"gender", i == 1 ? "male" : "female"};
        const eq_manifest_entry entry = {
            .file = "images/x.png", .index = i, .guided = i > 0, .target_count = 1, .targets = &target};
        assert_int_equal(eq_manifest_append(ctx, &writer, &entry), EQ_OK);
    }
    assert_int_equal(eq_manifest_writer_close(ctx, &writer), EQ_OK);
    describes(ctx, *state, "", false,
              "{\"kind\": \"run\", \"finished\": false, \"images\": 3, \"guided\": 2, \"targets\": {\"gender\": "
              "{\"female\": 2, \"male\": 1}}}");
    free(path);

    path = eq_path_join(*state, "run.json");
    const char run[] = "{\"settings\": {\"count\": 3}, \"p_per_step\": [1], \"seconds\": 2.5}";
    assert_int_equal(eq_file_write(ctx, path, run, sizeof run - 1), EQ_OK);
    describes(ctx, *state, "", false,
              "{\"kind\": \"run\", \"finished\": true, \"images\": 3, \"guided\": 2, \"targets\": {\"gender\": "
              "{\"female\": 2, \"male\": 1}}, \"settings\": {\"count\": 3}, \"seconds\": 2.5}");

    assert_int_equal(eq_file_write(ctx, path, "{", 1), EQ_OK);
    json_t *json = NULL;
    assert_int_equal(eq_inspect(ctx, *state, &json), EQ_BAD_INPUT);
    assert_null(json);
    free(path);
    eq_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_predictor, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(test_h_store, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(test_torch, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(test_classifier, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(test_run, temporary_setup, temporary_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
