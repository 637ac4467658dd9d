/* Classifier networks and their folders: what is written is read, what is wrong is refused. */
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
#include "io/safetensors.h"
#include "kernels/program.h"
#include "models/classifier_file.h"
#include "temporary.h"

static eq_context *ctx;

static int make_context(void **state)
{
    ctx = eq_context_new();
    return ctx ? 0 : -1;
}

static int drop_context(void **state)
{
    eq_context_free(ctx);
    return 0;
}

static const char *const genders[] = {"female", "male"}, *const skins[] = {"light", "medium, or so", "dark"};

static eq_classifier_config small_config(const char *trunk)
{
    return (eq_classifier_config){.trunk = eq_trunk_find(trunk),
                                  .size = 16,
                                  .stages = 2,
                                  .channels = {4, 8},
                                  .blocks = 2,
                                  .attribute_count = 2,
                                  .attributes = {{"gender", 2, genders}, {"skin", 3, skins}}};
}

static eq_params *fresh_params(const eq_classifier_config *config)
{
    eq_params *params = eq_params_new(ctx);
    assert_int_equal(eq_classifier_declare(params, config), EQ_OK);
    assert_int_equal(eq_params_allocate(params), EQ_OK);
    eq_params_initialise(params, 7);
    return params;
}

static void save(const char *folder, const eq_classifier_config *config, const eq_params *params, eq_dtype dtype)
{
    double confusion[4] = {5, 1, 2, 7};
    const eq_classifier_score scores[2] = {{.accuracy = 0.8, .confusion = confusion}, {.accuracy = NAN}};
    assert_int_equal(eq_classifier_file_save(ctx, folder, config, scores, params, dtype), EQ_OK);
}

static void round_trip(const char *folder, const char *trunk, eq_dtype dtype, float tolerance)
{
    eq_classifier_config config = small_config(trunk);
    eq_params *params = fresh_params(&config);
    save(folder, &config, params, dtype);

    eq_classifier_file file;
    if (eq_classifier_file_open(ctx, folder, &file) != EQ_OK)
        fail_msg("%s", eq_last_error(ctx));
    assert_ptr_equal(file.config.trunk, config.trunk);
    assert_int_equal(file.config.size, 16);
    assert_int_equal(file.config.stages, 2);
    assert_int_equal(file.config.channels[0], 4);
    assert_int_equal(file.config.channels[1], 8);
    assert_int_equal(file.config.blocks, 2);
    assert_int_equal(file.config.attribute_count, 2);
    assert_string_equal(file.config.attributes[1].name, "skin");
    assert_int_equal(file.config.attributes[1].classes, 3);
    assert_string_equal(file.config.attributes[1].class_names[1], "medium, or so");
    assert_true(fabs(file.scores[0].accuracy - 0.8) < 1e-9);
    assert_true(file.scores[0].confusion[2] == 2 && file.scores[0].confusion[3] == 7);
    assert_true(isnan(file.scores[1].accuracy));
    assert_null(file.scores[1].confusion);
    assert_int_equal(strlen(file.hash), 64);

    assert_int_equal(file.params->count, params->count);
    for (int i = 0; i < params->count; i++) {
        const eq_tensor *ours = &params->items[i].tensor, *theirs = &file.params->items[i].tensor;
        assert_int_equal(theirs->dtype, dtype);
        int64_t count = eq_shape_count(&ours->shape);
        float *numbers = malloc((size_t)count * sizeof *numbers);
        eq_tensor_to_f32(theirs, numbers);
        for (int64_t k = 0; k < count; k++) {
            const float smallest = dtype == EQ_F16 ? 6e-8f : 0; /* steps of subnormal numbers */
            float wanted = ((const float *)ours->data)[k];
            if (!(fabsf(numbers[k] - wanted) <= tolerance * fabsf(wanted) + smallest))
                fail_msg("%s[%lld]: %g, expected %g", params->items[i].name, (long long)k, (double)numbers[k],
                         (double)wanted);
        }
        free(numbers);
    }
    eq_classifier_file_close(&file);
    eq_params_free(params);
}

static void what_is_saved_is_opened(void **state)
{
    for (int i = 0; eq_trunk_at(i); i++) {
        round_trip(*state, eq_trunk_at(i)->name, EQ_F32, 0);
        round_trip(*state, eq_trunk_at(i)->name, EQ_F16, 1.0f / 1024);
        round_trip(*state, eq_trunk_at(i)->name, EQ_BF16, 1.0f / 128);
    }
}

/* Features and logits of two images that differ, and of the same image twice. */
static void networks_tell_images_apart(void **state)
{
    for (int t = 0; eq_trunk_at(t); t++) {
        eq_classifier_config config = small_config(eq_trunk_at(t)->name);
        eq_params *params = fresh_params(&config);
        eq_graph *graph = eq_graph_new(ctx, EQ_F32);
        eq_classifier_values values;
        assert_int_equal(eq_classifier_build(&(eq_builder){graph, params}, &config, 3, &values), EQ_OK);
        assert_int_equal(eq_shape_at(graph, values.features)->dim[0], 3);
        assert_int_equal(eq_shape_at(graph, values.logits[0])->dim[1], 2);
        assert_int_equal(eq_shape_at(graph, values.logits[1])->dim[1], 3);
        eq_program *program;
        assert_int_equal(eq_program_compile(graph, &(eq_program_options){.frozen_params = true}, &program), EQ_OK);
        float *x = eq_program_data(program, values.images);
        eq_rng rng = eq_rng_make(1, 2, 3);
        enum { IMAGE = 16 * 16 * 3 };
        eq_rng_normals(&rng, x, 2 * IMAGE);
        memcpy(x + 2 * IMAGE, x, IMAGE * sizeof *x);
        assert_int_equal(eq_program_run(program), EQ_OK);
        const float *skin = eq_program_data(program, values.logits[1]);
        for (int k = 0; k < 3; k++) {
            assert_true(isfinite(skin[k]));
            assert_true(fabsf(skin[k] - skin[3 + k]) > 1e-4f);
            assert_true(fabsf(skin[k] - skin[6 + k]) < 1e-5f);
        }
        eq_program_free(program);
        eq_params_free(params);
    }
}

static void refused(const char *folder, eq_status wanted, const char *fault)
{
    eq_classifier_file file;
    eq_status status = eq_classifier_file_open(ctx, folder, &file);
    if (status != wanted || !strstr(eq_last_error(ctx), fault))
        fail_msg("%s: expected \"%s\" in: %s", eq_status_name(status), fault, eq_last_error(ctx));
    assert_null(file.params);
}

/* classifier.json with the first `from` replaced by `to`. */
static void write_changed(const char *path, const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    assert_non_null(at);
    char *changed = eq_format("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    assert_int_equal(eq_file_write(ctx, path, changed, strlen(changed)), EQ_OK);
    free(changed);
}

static void bad_settings_are_refused(void **state)
{
    static const struct {
        const char *from, *to, *fault;
    } cases[] = {
        {"equipoise classifier 1", "equipoise classifier 2", "format is"},
        {"\"resnet\"", "\"vit\"", "architecture \"vit\" is not known"},
        {"\"resnet\"", "5", "architecture"},
        {"\"size\": 16", "\"size\": 17", "size: 8 to 1024 and a multiple"},
        {"\"size\": 16", "\"size\": 4", "size"},
        {"\"size\": 16", "\"size\": 1e300", "size"},
        {"\"blocks\": 2", "\"blocks\": 0", "blocks"},
        {"\"channels\": [", "\"channels\": [6, ", "multiples of 4"},
        {"\"channels\": [", "\"channels\": [4,4,4,4,4,4,4,4,", "channels"},
        {"\"channels\": [", "\"channels\": [4, ",
         "the configuration wants"}, /* another network than the weights are for */
        {"\"attributes\": [", "\"attributes\": 3, \"x\": [", "attributes: an array"},
        {"\"attributes\": [", "\"attributes\": [7, ", "attributes: objects expected"},
        {"\"name\": \"skin\"", "\"name\": \"gender\"", "names must differ"},
        {"\"name\": \"skin\"", "\"nom\": \"skin\"", "name"},
        {"\"male\"", "\"female\"", "names must differ"},
        {"\"male\"", "7", "classes"},
        {"\"female\",", "", "2 classes or more"},
        {"\"accuracy\": 0.8", "\"accuracy\": 1.5", "accuracy"},
        {"5.0", "-5.0", "confusion: a matrix of 2 x 2 counts"},
        {"5.0", "\"a\"", "confusion: a matrix of 2 x 2 counts"},
        {"5.0,", "", "confusion: a matrix of 2 x 2 counts"},
    };
    eq_classifier_config config = small_config("resnet");
    eq_params *params = fresh_params(&config);
    save(*state, &config, params, EQ_F32);
    char *path = eq_path_join(*state, "classifier.json");
    uint8_t *text;
    size_t size;
    assert_int_equal(eq_file_read(ctx, path, 1 << 20, &text, &size), EQ_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_changed(path, (const char *)text, cases[i].from, cases[i].to);
        refused(*state, EQ_BAD_INPUT, cases[i].fault);
    }
    assert_int_equal(eq_file_write(ctx, path, text, size / 2), EQ_OK);
    refused(*state, EQ_BAD_INPUT, "classifier.json");
    unlink(path);
    refused(*state, EQ_BAD_INPUT, "classifier.json");
    free(text);
    free(path);
    eq_params_free(params);
}

static void bad_weights_are_refused(void **state)
{
    eq_classifier_config config = small_config("convnet");
    eq_params *params = fresh_params(&config);
    save(*state, &config, params, EQ_F16);
    char *path = eq_path_join(*state, "classifier.safetensors");
    uint8_t *bytes;
    size_t size;
    assert_int_equal(eq_file_read(ctx, path, 1 << 24, &bytes, &size), EQ_OK);
    for (size_t keep = 0; keep < size; keep += size / 7) {
        assert_int_equal(eq_file_write(ctx, path, bytes, keep), EQ_OK);
        refused(*state, EQ_BAD_INPUT, "classifier.safetensors");
    }
    float number = 1;
    const eq_named_tensor other = {"other", {EQ_F32, eq_shape_of(1), &number}};
    assert_int_equal(eq_safetensors_write(ctx, path, &other, 1, NULL, 0), EQ_OK);
    refused(*state, EQ_BAD_INPUT, "no tensor");
    unlink(path);
    refused(*state, EQ_BAD_INPUT, "classifier.safetensors");
    free(bytes);
    free(path);
    eq_params_free(params);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_saved_is_opened, temporary_setup, temporary_teardown),
        cmocka_unit_test(networks_tell_images_apart),
        cmocka_unit_test_setup_teardown(bad_settings_are_refused, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(bad_weights_are_refused, temporary_setup, temporary_teardown),
    };
    return cmocka_run_group_tests(tests, make_context, drop_context);
}
