#include "models/classifier_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/attribute.h"
#include "base/file.h"
#include "base/file_hash.h"
#include "base/path.h"
#include "io/json.h"
#include "models/weights.h"

static const char format_name[] = "equipoise classifier 1";

/* --- reading --- */

static eq_status read_confusion(eq_context *ctx, const eq_json *json, int classes, double **out)
{
    json_t *rows = json_object_get(json->object, "confusion");
    if (!rows)
        return EQ_OK;
    *out = calloc((size_t)(classes * classes), sizeof **out);
    if (!*out)
        return eq_fail_memory(ctx, "a confusion matrix");
    bool good = json_is_array(rows) && (int)json_array_size(rows) == classes;
    for (int i = 0; good && i < classes; i++) {
        json_t *row = json_array_get(rows, (size_t)i);
        good = json_is_array(row) && (int)json_array_size(row) == classes;
        for (int j = 0; good && j < classes; j++) {
            json_t *count = json_array_get(row, (size_t)j);
            good = json_is_number(count) && json_number_value(count) >= 0;
            (*out)[i * classes + j] = json_number_value(count);
        }
    }
    return good ? EQ_OK
                : eq_fail(ctx, EQ_BAD_INPUT, "%s: confusion: a matrix of %d x %d counts expected", json->where, classes,
                          classes);
}

eq_status eq_classifier_attribute_read(eq_context *ctx, json_t *item, const char *where, eq_attribute *attribute,
                                       eq_classifier_score *score)
{
    if (!json_is_object(item))
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: attributes: objects expected", where);
    eq_json json = {.object = item};
    snprintf(json.where, sizeof json.where, "%.200s: attributes", where);
    const char *classes[256];
    eq_attribute view = {0};
    EQ_TRY(eq_json_string(ctx, &json, "name", &view.name));
    EQ_TRY(eq_json_strings(ctx, &json, "classes", 256, classes, &view.classes));
    if (view.classes < 2)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: %s: 2 classes or more expected", json.where, view.name);
    view.class_names = classes;
    EQ_TRY(eq_attribute_copy(ctx, &view, attribute));
    EQ_TRY(eq_json_float_or(ctx, &json, "accuracy", NAN, 0, 1, &score->accuracy));
    return read_confusion(ctx, &json, attribute->classes, &score->confusion);
}

static eq_status read_config(eq_context *ctx, const eq_json *json, eq_classifier_file *out)
{
    eq_classifier_config *config = &out->config;
    const char *format, *trunk;
    int64_t channels[EQ_CLASSIFIER_MAX_STAGES], size, blocks;
    EQ_TRY(eq_json_string(ctx, json, "format", &format));
    if (strcmp(format, format_name) != 0)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: format is \"%s\", expected \"%s\"", json->where, format, format_name);
    EQ_TRY(eq_json_string(ctx, json, "architecture", &trunk));
    config->trunk = eq_trunk_find(trunk);
    if (!config->trunk)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: architecture \"%s\" is not known; there are resnet and convnet",
                       json->where, trunk);
    EQ_TRY(eq_json_int(ctx, json, "size", 8, 1024, &size));
    EQ_TRY(eq_json_int(ctx, json, "blocks", 1, 8, &blocks));
    EQ_TRY(eq_json_ints(ctx, json, "channels", 4, 4096, EQ_CLASSIFIER_MAX_STAGES, channels, &config->stages));
    config->size = (int)size;
    config->blocks = (int)blocks;
    for (int i = 0; i < config->stages; i++)
        config->channels[i] = (int)channels[i];
    json_t *attributes = json_object_get(json->object, "attributes");
    if (!json_is_array(attributes) || json_array_size(attributes) > EQ_CLASSIFIER_MAX_ATTRIBUTES)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: attributes: an array of 1 to %d expected", json->where,
                       EQ_CLASSIFIER_MAX_ATTRIBUTES);
    for (size_t i = 0; i < json_array_size(attributes); i++)
        EQ_TRY(eq_classifier_attribute_read(ctx, json_array_get(attributes, i), json->where,
                                            &config->attributes[config->attribute_count++], &out->scores[i]));
    return eq_classifier_check(ctx, config, json->where);
}

static eq_status open_parts(eq_context *ctx, const char *json_path, const char *weights_path, eq_classifier_file *out)
{
    eq_json json;
    EQ_TRY(eq_json_read(ctx, json_path, &json));
    eq_status status = read_config(ctx, &json, out);
    eq_json_close(&json);
    EQ_TRY(status);
    out->params = eq_params_new(ctx);
    if (!out->params)
        return eq_fail_memory(ctx, "a classifier");
    EQ_TRY(eq_classifier_declare(out->params, &out->config));
    EQ_TRY(eq_tensor_file_open(ctx, weights_path, &out->weights));
    EQ_TRY(eq_weights_load(ctx, out->params, &out->weights, NULL));
    return eq_file_hash(ctx, weights_path, out->hash);
}

eq_status eq_classifier_file_open(eq_context *ctx, const char *folder, eq_classifier_file *out)
{
    *out = (eq_classifier_file){0};
    char *json = eq_path_join(folder, "classifier.json"), *weights = eq_path_join(folder, "classifier.safetensors");
    eq_status status = json && weights ? open_parts(ctx, json, weights, out) : eq_fail_memory(ctx, "a path");
    free(json);
    free(weights);
    if (status != EQ_OK)
        eq_classifier_file_close(out);
    return status;
}

void eq_classifier_file_close(eq_classifier_file *file)
{
    for (int i = 0; i < EQ_CLASSIFIER_MAX_ATTRIBUTES; i++)
        free(file->scores[i].confusion);
    eq_classifier_config_free(&file->config);
    eq_params_free(file->params);
    eq_tensor_file_close(&file->weights);
    *file = (eq_classifier_file){0};
}

/* --- writing --- */

static json_t *attribute_json(const eq_attribute *attribute, const eq_classifier_score *score)
{
    json_t *classes = json_array();
    for (int k = 0; k < attribute->classes; k++)
        json_array_append_new(classes, json_string(attribute->class_names[k]));
    json_t *item = json_pack("{s:s, s:o}", "name", attribute->name, "classes", classes);
    if (isfinite(score->accuracy))
        json_object_set_new(item, "accuracy", json_real(score->accuracy));
    if (score->confusion) {
        json_t *rows = json_array();
        for (int i = 0; i < attribute->classes; i++) {
            json_t *row = json_array();
            for (int j = 0; j < attribute->classes; j++)
                json_array_append_new(row, json_real(score->confusion[i * attribute->classes + j]));
            json_array_append_new(rows, row);
        }
        json_object_set_new(item, "confusion", rows);
    }
    return item;
}

static char *config_text(const eq_classifier_config *config, const eq_classifier_score *scores)
{
    json_t *channels = json_array(), *attributes = json_array();
    for (int i = 0; i < config->stages; i++)
        json_array_append_new(channels, json_integer(config->channels[i]));
    for (int i = 0; i < config->attribute_count; i++)
        json_array_append_new(attributes, attribute_json(&config->attributes[i], &scores[i]));
    json_t *root =
        json_pack("{s:s, s:s, s:i, s:o, s:i, s:o}", "format", format_name, "architecture", config->trunk->name, "size",
                  config->size, "channels", channels, "blocks", config->blocks, "attributes", attributes);
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(7));
    json_decref(root);
    return text;
}

eq_status eq_classifier_file_save(eq_context *ctx, const char *folder, const eq_classifier_config *config,
                                  const eq_classifier_score *scores, const eq_params *params, eq_dtype dtype)
{
    char *json = eq_path_join(folder, "classifier.json"), *weights = eq_path_join(folder, "classifier.safetensors");
    char *text = config_text(config, scores);
    eq_status status = json && weights && text ? eq_make_folders(ctx, folder) : eq_fail_memory(ctx, "a classifier");
    if (status == EQ_OK)
        status = eq_weights_save(ctx, params, weights, dtype, NULL, 0);
    if (status == EQ_OK)
        status = eq_file_write(ctx, json, text, strlen(text));
    free(json);
    free(weights);
    free(text);
    return status;
}
