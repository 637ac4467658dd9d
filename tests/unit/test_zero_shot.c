/* CLIP as a zero-shot classifier, in both layouts: against PyTorch (tests/data/classifiers), and what is refused. */
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
#include "eval/labelling.h"
#include "io/safetensors.h"
#include "models/classifier_source.h"
#include "models/clip_model.h"
#include "reference/compare.h"
#include "unit/desk.h"

#define DATA EQUIPOISE_TEST_DATA "/classifiers/"

static const char *const layouts[] = {"clip-openai", "clip-transformers"};

static const eq_tensor *find(const eq_tensor_file *file, const char *format, const char *name)
{
    char text[64];
    snprintf(text, sizeof text, format, name);
    const eq_tensor *tensor = eq_tensor_file_find(file, text);
    if (!tensor)
        fail_msg("no %s", text);
    return tensor;
}

static void check_layout(const desk *d, const eq_tensor_file *expected, const char *layout)
{
    char *folder = eq_path_join(DATA, layout);
    eq_classifier *classifier;
    if (eq_classifier_open(d->ctx, folder, &classifier) != EQ_OK)
        fail_msg("%s", eq_last_error(d->ctx));
    free(folder);
    int count, features = eq_classifier_feature_count(classifier);
    const eq_attribute *attributes = eq_classifier_attributes(classifier, &count);
    assert_int_equal(count, 2);
    assert_string_equal(attributes[0].name, "gender");
    assert_string_equal(attributes[1].class_names[1], "yes");
    float f[64], gender[2], glasses[2];
    assert_true(features <= 64);
    for (int i = 0; i < 2; i++) {
        const eq_tensor *image = eq_tensor_file_find(expected, i ? "image1" : "image0");
        int height = (int)image->shape.dim[0], width = (int)image->shape.dim[1];
        assert_int_equal(eq_classifier_run(classifier, image->data, 1, width, height, (float *const[]){gender, glasses},
                                           f, NULL, NULL),
                         EQ_OK);
        double error = relative_error(f, (float *)find(expected, "%s.features", layout)->data + i * features, features);
        double of_gender = relative_error(gender, (float *)find(expected, "%s.gender", layout)->data + i * 2, 2);
        double of_glasses = relative_error(glasses, (float *)find(expected, "%s.glasses", layout)->data + i * 2, 2);
        if (!(error < 1e-5 && of_gender < 1e-5 && of_glasses < 1e-5))
            fail_msg("%s: relative errors %g, %g, %g", layout, error, of_gender, of_glasses);
    }
    eq_classifier_close(classifier);
}

static void probabilities_are_pytorchs(void **state)
{
    const desk *d = *state;
    eq_tensor_file expected;
    assert_int_equal(eq_tensor_file_open(d->ctx, DATA "clip.expected", &expected), EQ_OK);
    for (size_t i = 0; i < 2; i++)
        check_layout(d, &expected, layouts[i]);
    eq_tensor_file_close(&expected);
}

static void both_layouts_are_recognised(void **state)
{
    const desk *d = *state;
    eq_clip_model model;
    assert_int_equal(eq_clip_model_open(d->ctx, DATA "clip-openai", &model), EQ_OK);
    assert_false(model.transformers);
    assert_int_equal(model.vision.image_size, 32);
    assert_int_equal(model.vision.patch_size, 8);
    assert_int_equal(model.text.max_position_embeddings, 8);
    assert_true(fabsf(model.logit_scale - expf(2)) < 1e-4f);
    eq_clip_model_close(&model);
    assert_int_equal(eq_clip_model_open(d->ctx, DATA "clip-transformers", &model), EQ_OK);
    assert_true(model.transformers);
    assert_int_equal(model.vision.num_attention_heads, 2);
    eq_clip_model_close(&model);
}

/* --- folders of our own --- */

static void write_text(const desk *d, const char *name, const char *text)
{
    char *path = eq_path_join(d->folder, name);
    assert_int_equal(eq_file_write(d->ctx, path, text, strlen(text)), EQ_OK);
    free(path);
}

static void copy_layout(const desk *d, const char *layout)
{
    static const char *const names[] = {"vocab.json",  "merges.txt", "zero_shot.json",          "model.safetensors",
                                        "config.json", "model.pt",   "preprocessor_config.json"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *from = eq_format(DATA "%s/%s", layout, names[i]), *to = eq_path_join(d->folder, names[i]);
        eq_mapping mapping;
        if (eq_path_exists(from)) {
            assert_int_equal(eq_mapping_open(d->ctx, from, &mapping), EQ_OK);
            assert_int_equal(eq_file_write(d->ctx, to, mapping.bytes, mapping.size), EQ_OK);
            eq_mapping_close(&mapping);
        }
        free(from);
        free(to);
    }
}

static void prompts_are_part_of_the_hash(void **state)
{
    const desk *d = *state;
    eq_classifier_source a, b;
    copy_layout(d, "clip-transformers");
    assert_int_equal(eq_classifier_source_open(d->ctx, d->folder, &a), EQ_OK);
    assert_ptr_equal(a.kind, &eq_classifier_zero_shot);
    write_text(d, "zero_shot.json", "{\"gender\": {\"female\": \"abc\", \"male\": \"ab\"}}");
    assert_int_equal(eq_classifier_source_open(d->ctx, d->folder, &b), EQ_OK);
    assert_string_not_equal(a.hash, b.hash);
    assert_int_equal(b.attribute_count, 1);
    eq_classifier_source_close(&a);
    eq_classifier_source_close(&b);
}

static void expect_refused(const desk *d, const char *why)
{
    eq_classifier_source source;
    if (eq_classifier_source_open(d->ctx, d->folder, &source) != EQ_BAD_INPUT)
        fail_msg("accepted: %s", why);
}

static void bad_prompts_are_refused(void **state)
{
    static const char *const bad[] = {
        "{}",
        "{\"gender\": []}",
        "{\"gender\": {\"female\": \"abc\"}}",
        "{\"gender\": {\"female\": \"abc\", \"male\": []}}",
        "{\"gender\": {\"female\": \"abc\", \"male\": 3}}",
        "{\"gender\": {\"female\": \"abc\", \"male\": [\"ab\", null]}}",
        "[\"gender\"]",
        "{\"gender\"",
    };
    const desk *d = *state;
    copy_layout(d, "clip-openai");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        write_text(d, "zero_shot.json", bad[i]);
        expect_refused(d, bad[i]);
    }
}

static void bad_configurations_are_refused(void **state)
{
    static const char *const bad[] = {
        "{}", /* transformers' defaults, of a larger network */
        "{\"model_type\": \"siglip\"}",
        "{\"projection_dim\": 12, \"vision_config\": {\"image_size\": 33}}",
        "{\"projection_dim\": 0}",
        "{\"projection_dim\": 12, \"text_config\": {\"hidden_act\": \"relu\"}}",
        "{\"text_config\": 3}",
    };
    const desk *d = *state;
    copy_layout(d, "clip-transformers");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        write_text(d, "config.json", bad[i]);
        expect_refused(d, bad[i]);
    }
}

/* OpenAI's file with one tensor left out. */
static void write_without(const desk *d, const char *name)
{
    eq_tensor_file file;
    assert_int_equal(eq_tensor_file_open(d->ctx, DATA "clip-openai/model.pt", &file), EQ_OK);
    eq_named_tensor *tensors = calloc(file.count, sizeof *tensors);
    size_t count = 0;
    for (size_t i = 0; i < file.count; i++)
        if (strcmp(file.entries[i].name, name) != 0)
            tensors[count++] = file.entries[i];
    assert_int_equal(count, file.count - 1);
    char *path = eq_path_join(d->folder, "model.safetensors");
    assert_int_equal(eq_safetensors_write(d->ctx, path, tensors, count, NULL, 0), EQ_OK);
    free(path);
    free(tensors);
    eq_tensor_file_close(&file);
}

static void incomplete_weights_are_refused(void **state)
{
    static const char *const needed[] = {"logit_scale",
                                         "visual.proj",
                                         "text_projection",
                                         "visual.conv1.weight",
                                         "token_embedding.weight",
                                         "visual.positional_embedding",
                                         "visual.transformer.resblocks.0.attn.in_proj_bias",
                                         "transformer.resblocks.0.mlp.c_fc.weight"};
    const desk *d = *state;
    copy_layout(d, "clip-openai");
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) {
        write_without(d, needed[i]);
        expect_refused(d, needed[i]);
    }
    write_text(d, "model.safetensors", "not weights");
    expect_refused(d, "text as weights");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(probabilities_are_pytorchs, make_desk, drop_desk),
        cmocka_unit_test_setup_teardown(both_layouts_are_recognised, make_desk, drop_desk),
        cmocka_unit_test_setup_teardown(prompts_are_part_of_the_hash, make_desk, drop_desk),
        cmocka_unit_test_setup_teardown(bad_prompts_are_refused, make_desk, drop_desk),
        cmocka_unit_test_setup_teardown(bad_configurations_are_refused, make_desk, drop_desk),
        cmocka_unit_test_setup_teardown(incomplete_weights_are_refused, make_desk, drop_desk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
