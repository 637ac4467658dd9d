/* torchvision's residual networks: against PyTorch (tests/data/classifiers), recognised, named, refused. */
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
#include "kernels/program.h"
#include "models/classifier_source.h"
#include "models/torch_resnet.h"
#include "reference/compare.h"
#include "unit/desk.h"

#define DATA EQUIPOISE_TEST_DATA "/classifiers/"

/* --- the network's numbers --- */

static void load(const desk *d, const char *path, eq_torch_resnet_config *config, eq_params **params)
{
    eq_tensor_file file;
    if (eq_tensor_file_open(d->ctx, path, &file) != EQ_OK)
        fail_msg("%s", eq_last_error(d->ctx));
    assert_true(eq_torch_resnet_is(&file));
    *params = eq_params_new(d->ctx);
    if (eq_torch_resnet_recognise(d->ctx, &file, config) != EQ_OK ||
        eq_torch_resnet_load(d->ctx, &file, config, *params) != EQ_OK)
        fail_msg("%s", eq_last_error(d->ctx));
    eq_tensor_file_close(&file);
}

static void check_logits(const desk *d, const char *name, const char *path)
{
    eq_tensor_file expected;
    eq_torch_resnet_config config;
    eq_params *params;
    assert_int_equal(eq_tensor_file_open(d->ctx, DATA "resnets.expected", &expected), EQ_OK);
    load(d, path, &config, &params);
    eq_shape shape = eq_tensor_file_find(&expected, "x")->shape; /* [n, 3, h, w] */
    float *x = channels_last(&expected, "x"), *logits = channels_last(&expected, name);
    assert_non_null(logits);

    eq_graph *graph = eq_graph_new(d->ctx, EQ_F32);
    eq_value images = eq_graph_input(graph, "images", EQ_F32, eq_shape_of(shape.dim[0], shape.dim[2], shape.dim[3], 3));
    eq_value features, out;
    eq_torch_resnet_build(&(eq_builder){graph, params}, &config, images, &features, &out);
    eq_graph_output(graph, out, "logits");
    eq_program *program;
    if (eq_program_compile(graph, &(eq_program_options){.frozen_params = true}, &program) != EQ_OK)
        fail_msg("%s", eq_last_error(d->ctx));
    memcpy(eq_program_data(program, images), x, (size_t)eq_shape_count(&shape) * sizeof *x);
    assert_int_equal(eq_program_run(program), EQ_OK);
    const eq_shape *found = eq_shape_at(eq_program_graph(program), out);
    assert_true(eq_shape_equal(found, &eq_tensor_file_find(&expected, name)->shape));
    double error = relative_error(eq_program_data(program, out), logits, eq_shape_count(found));
    if (!(error < 1e-5))
        fail_msg("%s: relative error %g", name, error);
    eq_program_free(program);
    eq_params_free(params);
    eq_tensor_file_close(&expected);
    free(x);
    free(logits);
}

static void logits_are_pytorchs(void **state)
{
    const desk *d = *state;
    check_logits(d, "basic", DATA "basic.safetensors");
    check_logits(d, "bottleneck", DATA "bottleneck.safetensors");
    check_logits(d, "nested", DATA "nested.pth");
    check_logits(d, "fairface", DATA "fairface.safetensors");
    check_logits(d, "fairface15", DATA "fairface15.safetensors");
}

static void architectures_are_recognised(void **state)
{
    const desk *d = *state;
    eq_torch_resnet_config config;
    eq_params *params;
    char text[96];
    load(d, DATA "bottleneck.safetensors", &config, &params);
    assert_true(config.bottleneck);
    assert_int_equal(config.linears, 2);
    eq_torch_resnet_describe(&config, text, sizeof text);
    assert_string_equal(text, "ResNet of 1+2+1+1 blocks, head 16-6-2");
    eq_params_free(params);

    load(d, DATA "nested.pth", &config, &params);
    assert_string_equal(config.prefix, "module.resnet.");
    assert_string_equal(config.linear[0].text, "module.resnet.fc");
    assert_string_equal(config.linear[1].text, "module.fc");
    eq_params_free(params);

    config = (eq_torch_resnet_config){.bottleneck = true, .blocks = {3, 4, 6, 3}, .channels = {0, 0, 0, 2048}};
    config.linears = 2;
    config.widths[0] = 512;
    config.widths[1] = 2;
    eq_torch_resnet_describe(&config, text, sizeof text);
    assert_string_equal(text, "ResNet-50, head 2048-512-2");
    config.bottleneck = false;
    config.linears = 1;
    eq_torch_resnet_describe(&config, text, sizeof text);
    assert_string_equal(text, "ResNet-34");
    config.blocks[0] = config.blocks[1] = config.blocks[2] = config.blocks[3] = 2;
    eq_torch_resnet_describe(&config, text, sizeof text);
    assert_string_equal(text, "ResNet-18");
}

/* --- as classifiers --- */

static void copy_file(const desk *d, const char *from, const char *name)
{
    eq_mapping mapping;
    assert_int_equal(eq_mapping_open(d->ctx, from, &mapping), EQ_OK);
    char *path = eq_path_join(d->folder, name);
    assert_int_equal(eq_file_write(d->ctx, path, mapping.bytes, mapping.size), EQ_OK);
    free(path);
    eq_mapping_close(&mapping);
}

static void write_settings(const desk *d, const char *text)
{
    char *path = eq_path_join(d->folder, "classifier.json");
    assert_int_equal(eq_file_write(d->ctx, path, text, strlen(text)), EQ_OK);
    free(path);
}

static eq_status open_named(const desk *d, const char *name, eq_classifier_source *out)
{
    char *path = name ? eq_path_join(d->folder, name) : strdup(d->folder);
    eq_status status = eq_classifier_source_open(d->ctx, path, out);
    free(path);
    return status;
}

static void settings_name_the_outputs(void **state)
{
    const desk *d = *state;
    eq_classifier_source source;
    copy_file(d, DATA "basic.safetensors", "net.safetensors");
    assert_int_equal(open_named(d, "net.safetensors", &source), EQ_BAD_INPUT);
    assert_non_null(strstr(eq_last_error(d->ctx), "classifier.json"));

    write_settings(d, "{\"attributes\": [{\"name\": \"hair\", \"classes\": [\"dark\", \"red\", \"fair\"], \"accuracy\":"
                      " 0.75}], \"size\": 64}");
    assert_int_equal(open_named(d, "net.safetensors", &source), EQ_OK);
    assert_ptr_equal(source.kind, &eq_classifier_torchvision);
    assert_int_equal(source.attribute_count, 1);
    assert_string_equal(source.attributes[0].class_names[1], "red");
    assert_true(source.scores[0].accuracy == 0.75);
    assert_int_equal(source.preparation.size, 64);
    assert_string_equal(source.architecture, "ResNet of 2+1+1+1 blocks");
    eq_classifier_source_close(&source);

    /* Some of the outputs only; settings for another file do not count; a folder that names its file. */
    write_settings(d, "{\"weights\": \"net.safetensors\", \"attributes\": [{\"name\": \"a\", \"classes\": [\"x\","
                      " \"y\"], \"first\": 1}]}");
    assert_int_equal(open_named(d, NULL, &source), EQ_OK);
    assert_int_equal(source.attributes[0].classes, 2);
    eq_classifier_source_close(&source);
    copy_file(d, DATA "basic.safetensors", "other.safetensors");
    assert_int_equal(open_named(d, "other.safetensors", &source), EQ_BAD_INPUT);
}

static void bad_settings_are_refused(void **state)
{
    static const char twice[] = "{\"attributes\": [{\"name\": \"a\", \"classes\": [\"x\", \"y\"], \"first\": 0},"
                                " {\"name\": \"a\", \"classes\": [\"x\", \"y\"], \"first\": 1}]}";
    static const char *const bad[] = {
        "{\"attributes\": []}",
        "{\"attributes\": [{\"name\": \"a\", \"classes\": [\"x\", \"y\"]}]}",
        "{\"attributes\": [{\"name\": \"a\", \"classes\": [\"x\", \"y\"], \"first\": 2}]}",
        "{\"attributes\": [{\"name\": \"a\", \"classes\": [\"x\", \"x\", \"y\"]}]}",
        "{\"attributes\": [{\"name\": \"a\", \"classes\": [\"x\", \"y\", \"z\"]}, {\"name\": \"a\"}]}",
        twice,
        "{\"attributes\": 3}",
        "{\"attributs\": []}",
        "{\"preset\": \"fairface-7\"}",
        "{\"preset\": \"unheard-of\"}",
        "{\"weights\": 3}",
    };
    const desk *d = *state;
    eq_classifier_source source;
    copy_file(d, DATA "basic.safetensors", "net.safetensors");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        write_settings(d, bad[i]);
        if (open_named(d, "net.safetensors", &source) != EQ_BAD_INPUT)
            fail_msg("%s was accepted", bad[i]);
    }
}

static void fairface_is_known(void **state)
{
    const desk *d = *state;
    eq_classifier_source source;
    copy_file(d, DATA "fairface.safetensors", "net.safetensors");
    assert_int_equal(open_named(d, "net.safetensors", &source), EQ_OK);
    assert_int_equal(source.attribute_count, 3);
    assert_string_equal(source.attributes[0].name, "race");
    assert_int_equal(source.attributes[0].classes, 7);
    assert_string_equal(source.attributes[1].class_names[0], "male");
    assert_int_equal(source.attributes[2].classes, 9);
    assert_int_equal(source.preparation.mode, EQ_PREPARE_SQUASH);
    eq_classifier_source_close(&source);

    copy_file(d, DATA "fairface.safetensors", "fairface_alldata_4race_20191111.safetensors");
    assert_int_equal(open_named(d, "fairface_alldata_4race_20191111.safetensors", &source), EQ_OK);
    assert_int_equal(source.attribute_count, 1);
    assert_int_equal(source.attributes[0].classes, 4);
    eq_classifier_source_close(&source);

    /* Of another depth: nobody's, unless the settings say so. */
    copy_file(d, DATA "fairface15.safetensors", "net.safetensors");
    assert_int_equal(open_named(d, "net.safetensors", &source), EQ_BAD_INPUT);
    write_settings(d, "{\"preset\": \"fairface-4\", \"size\": 96}");
    assert_int_equal(open_named(d, "net.safetensors", &source), EQ_OK);
    assert_int_equal(source.attributes[0].classes, 4);
    assert_int_equal(source.attribute_count, 3);
    assert_int_equal(source.preparation.mode, EQ_PREPARE_SQUASH);
    assert_int_equal(source.preparation.size, 96);
    eq_classifier_source_close(&source);
}

/* The probabilities of an attribute are the softmax of its own outputs. */
static void attributes_have_their_outputs(void **state)
{
    const desk *d = *state;
    copy_file(d, DATA "fairface.safetensors", "net.safetensors");
    write_settings(d, "{\"preset\": \"fairface-7\", \"size\": 40}");
    char *path = eq_path_join(d->folder, "net.safetensors");
    eq_classifier *all, *age;
    assert_int_equal(eq_classifier_open(d->ctx, path, &all), EQ_OK);
    write_settings(d, "{\"attributes\": [{\"name\": \"gender\", \"classes\": [\"m\", \"f\"], \"first\": 7}], \"size\":"
                      " 40, \"mode\": \"squash\"}");
    assert_int_equal(eq_classifier_open(d->ctx, path, &age), EQ_OK);
    uint8_t pixels[50 * 60 * 3];
    for (int i = 0; i < 50 * 60 * 3; i++)
        pixels[i] = (uint8_t)(i * i / 17);
    float race[7], gender[2], ages[9], again[2];
    assert_int_equal(eq_classifier_run(all, pixels, 1, 60, 50, (float *const[]){race, gender, ages}, NULL, NULL, NULL),
                     EQ_OK);
    assert_int_equal(eq_classifier_run(age, pixels, 1, 60, 50, (float *const[]){again}, NULL, NULL, NULL), EQ_OK);
    assert_true(fabsf(gender[0] - again[0]) < 1e-6f && fabsf(gender[0] + gender[1] - 1) < 1e-6f);
    assert_true(fabsf(gender[0] - 0.5f) > 1e-4f);
    eq_classifier_close(all);
    eq_classifier_close(age);
    free(path);
}

/* --- files that are no such network --- */

/* Writes basic.safetensors with one tensor left out, renamed or of another shape. */
static eq_status open_changed(const desk *d, const char *name, const char *new_name, const eq_shape *shape)
{
    eq_tensor_file file;
    assert_int_equal(eq_tensor_file_open(d->ctx, DATA "basic.safetensors", &file), EQ_OK);
    eq_named_tensor *tensors = calloc(file.count, sizeof *tensors);
    size_t count = 0;
    bool found = false;
    for (size_t i = 0; i < file.count; i++) {
        eq_named_tensor tensor = file.entries[i];
        if (strcmp(tensor.name, name) == 0) {
            found = true;
            if (!new_name)
                continue;
            tensor.name = new_name;
            tensor.tensor.shape = shape ? *shape : tensor.tensor.shape;
        }
        tensors[count++] = tensor;
    }
    assert_true(found);
    char *path = eq_path_join(d->folder, "net.safetensors");
    assert_int_equal(eq_safetensors_write(d->ctx, path, tensors, count, NULL, 0), EQ_OK);
    eq_tensor_file_close(&file);
    free(tensors);
    free(path);
    eq_classifier_source source;
    eq_status status = open_named(d, "net.safetensors", &source);
    if (status == EQ_OK)
        eq_classifier_source_close(&source);
    return status;
}

static void other_networks_are_refused(void **state)
{
    const desk *d = *state;
    write_settings(d, "{\"attributes\": [{\"name\": \"a\", \"classes\": [\"x\", \"y\", \"z\"]}]}");
    assert_int_equal(open_changed(d, "bn1.bias", "bn1.bias", NULL), EQ_OK);
    static const char *const needed[] = {"layer1.0.conv1.weight",
                                         "layer2.0.downsample.1.running_var",
                                         "fc.weight",
                                         "fc.bias",
                                         "bn1.running_mean",
                                         "conv1.weight",
                                         "layer3.0.conv1.weight",
                                         "layer1.1.conv2.weight"};
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        if (open_changed(d, needed[i], NULL, NULL) != EQ_BAD_INPUT)
            fail_msg("accepted without %s", needed[i]);
    assert_int_equal(open_changed(d, "fc.bias", "layer4.0.gate.bias", NULL), EQ_BAD_INPUT);
    assert_int_equal(open_changed(d, "bn1.num_batches_tracked", "layer1.0.se.scale", NULL), EQ_BAD_INPUT);
    assert_non_null(strstr(eq_last_error(d->ctx), "layer1.0.se.scale"));
    eq_shape flat = eq_shape_of(12 * 49);
    assert_int_equal(open_changed(d, "conv1.weight", "conv1.weight", &flat), EQ_BAD_INPUT);
    eq_shape turned = eq_shape_of(3, 4, 7, 7);
    assert_int_equal(open_changed(d, "conv1.weight", "conv1.weight", &turned), EQ_BAD_INPUT);

    char *path = eq_path_join(d->folder, "net.safetensors");
    assert_int_equal(eq_file_write(d->ctx, path, "nothing", 7), EQ_OK);
    free(path);
    eq_classifier_source source;
    assert_int_equal(open_named(d, "net.safetensors", &source), EQ_BAD_INPUT);
    assert_int_equal(open_named(d, "missing.pth", &source), EQ_BAD_INPUT);
    assert_int_equal(open_named(d, "missing", &source), EQ_BAD_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(logits_are_pytorchs, make_desk, drop_desk),
        cmocka_unit_test_setup_teardown(architectures_are_recognised, make_desk, drop_desk),
        cmocka_unit_test_setup_teardown(settings_name_the_outputs, make_desk, drop_desk),
        cmocka_unit_test_setup_teardown(bad_settings_are_refused, make_desk, drop_desk),
        cmocka_unit_test_setup_teardown(fairface_is_known, make_desk, drop_desk),
        cmocka_unit_test_setup_teardown(attributes_have_their_outputs, make_desk, drop_desk),
        cmocka_unit_test_setup_teardown(other_networks_are_refused, make_desk, drop_desk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
