#include "inspect.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/path.h"
#include "diffusion/model.h"
#include "guidance/adp_file.h"
#include "io/image.h"
#include "io/json.h"
#include "io/labels.h"
#include "io/manifest.h"
#include "io/safetensors.h"
#include "models/classifier_file.h"
#include "train/h_store.h"

/* What is being looked at. */
typedef struct subject {
    eq_context *ctx;
    const char *path;
    eq_tensor_file tensors; /* opened if it is a file of tensors, else zeroed */
} subject;

static void put(json_t *json, const char *key, json_t *value)
{
    json_object_set_new(json, key, value);
}

static void put_integer(json_t *json, const char *key, int64_t value)
{
    put(json, key, json_integer(value));
}

static void put_text(json_t *json, const char *key, const char *value)
{
    put(json, key, json_string(value));
}

static json_t *integers(const int64_t *values, int count)
{
    json_t *array = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(array, json_integer(values[i]));
    return array;
}

static json_t *classes_json(const eq_attribute *attribute)
{
    json_t *classes = json_array();
    for (int i = 0; i < attribute->classes; i++)
        json_array_append_new(classes, json_string(attribute->class_names[i]));
    return classes;
}

/* The SHA-256 that records of runs identify the file by. */
static eq_status put_hash(const subject *s, json_t *json)
{
    char hash[EQ_SHA256_HEX];
    EQ_TRY(eq_sha256_file(s->ctx, s->path, hash));
    put_text(json, "hash", hash);
    return EQ_OK;
}

static const char *metadata(const subject *s, const char *key)
{
    const char *value = s->tensors.path ? eq_tensor_file_metadata(&s->tensors, key) : NULL;
    return value ? value : "";
}

static bool has_file(const subject *s, const char *name)
{
    char *path = eq_path_join(s->path, name);
    bool there = path && eq_path_exists(path);
    free(path);
    return there;
}

/* --- training --- */

static bool has_checkpoint(const eq_tensor_file *file)
{
    return eq_tensor_file_metadata(file, "step") && eq_tensor_file_metadata(file, "settings") &&
           eq_tensor_file_find(file, "parameters") && eq_tensor_file_find(file, "first_moment");
}

static void put_checkpoint(json_t *json, const eq_tensor_file *file)
{
    put_integer(json, "step", strtoll(eq_tensor_file_metadata(file, "step"), NULL, 10));
    put_integer(json, "parameters", eq_shape_count(&eq_tensor_file_find(file, "parameters")->shape));
    put_text(json, "settings", eq_tensor_file_metadata(file, "settings"));
}

static bool is_checkpoint(const subject *s)
{
    return s->tensors.path && has_checkpoint(&s->tensors);
}

static eq_status describe_checkpoint(const subject *s, json_t *json)
{
    put_checkpoint(json, &s->tensors);
    return EQ_OK;
}

static bool is_training(const subject *s)
{
    return eq_path_is_folder(s->path) && has_file(s, "checkpoint.safetensors");
}

static eq_status describe_training(const subject *s, json_t *json)
{
    eq_tensor_file file = {0};
    char *path = eq_path_join(s->path, "checkpoint.safetensors");
    eq_status status = path ? eq_tensor_file_open(s->ctx, path, &file) : eq_fail_memory(s->ctx, "a path");
    if (status == EQ_OK && !has_checkpoint(&file))
        status = eq_fail(s->ctx, EQ_BAD_INPUT, "%s: not a training checkpoint", path);
    if (status == EQ_OK)
        put_checkpoint(json, &file);
    if (file.path)
        eq_tensor_file_close(&file);
    free(path);
    return status;
}

/* --- models --- */

static bool is_model(const subject *s)
{
    return eq_path_is_folder(s->path) && (has_file(s, "model_index.json") || has_file(s, "unet/config.json"));
}

/* The levels with attention, counted from 1 for the finest. */
static json_t *attention_levels(const eq_unet_config *unet)
{
    json_t *array = json_array();
    for (int i = 0; i < unet->levels; i++)
        if (unet->down_attention[i])
            json_array_append_new(array, json_integer(i + 1));
    return array;
}

static json_t *unet_json(const eq_model *model)
{
    const eq_unet_config *unet = &model->unet;
    json_t *json = json_object(), *channels = json_array();
    for (int i = 0; i < unet->levels; i++)
        json_array_append_new(channels, json_integer(unet->block_out_channels[i]));
    put_integer(json, "parameters", model->params->total);
    put_text(json, "dtype", model->weights.count ? eq_dtype_name(model->weights.entries[0].tensor.dtype) : "f32");
    put_integer(json, "sample_size", unet->sample_size);
    put_integer(json, "in_channels", unet->in_channels);
    put_integer(json, "out_channels", unet->out_channels);
    put(json, "channels", channels);
    put(json, "attention_levels", attention_levels(unet));
    put_integer(json, "layers_per_block", unet->layers_per_block);
    put_integer(json, "norm_groups", unet->norm_num_groups);
    return json;
}

static json_t *schedule_json(const eq_schedule *schedule)
{
    static const char *const betas[] = {"linear", "scaled_linear", "squaredcos_cap_v2", "trained"};
    static const char *const predictions[] = {"epsilon", "v_prediction", "sample"};
    json_t *json = json_object();
    put_integer(json, "train_timesteps", schedule->config.num_train_timesteps);
    put_text(json, "betas", betas[schedule->config.beta_kind]);
    put(json, "beta_start", json_real(schedule->betas[0]));
    put(json, "beta_end", json_real(schedule->betas[schedule->config.num_train_timesteps - 1]));
    put_text(json, "prediction", predictions[schedule->config.prediction]);
    return json;
}

static eq_status describe_model(const subject *s, json_t *json)
{
    eq_model model;
    EQ_TRY(eq_model_open(s->ctx, s->path, &model));
    put(json, "h_shape", integers(model.h_shape.dim, model.h_shape.rank));
    put_text(json, "hash", model.hash);
    put(json, "unet", unet_json(&model));
    put(json, "schedule", schedule_json(&model.schedule));
    eq_model_close(&model);
    if (!is_training(s))
        return EQ_OK;
    json_t *training = json_object();
    put(json, "training", training);
    return describe_training(s, training);
}

/* --- attribute predictors --- */

static bool is_predictor(const subject *s)
{
    static const char format[] = "equipoise attribute predictor";
    return strncmp(metadata(s, "format"), format, strlen(format)) == 0;
}

static eq_status describe_predictor(const subject *s, json_t *json)
{
    eq_adp adp;
    EQ_TRY(eq_adp_read(s->ctx, s->path, &adp));
    put_text(json, "attribute", adp.attribute.name);
    put(json, "classes", classes_json(&adp.attribute));
    put_text(json, "head", adp.hidden ? "mlp" : "linear");
    if (adp.hidden)
        put_integer(json, "hidden", adp.hidden);
    put_integer(json, "heads", adp.heads);
    put(json, "timesteps", integers(adp.timesteps, adp.heads));
    put(json, "h_shape", integers(adp.h_shape.dim, adp.h_shape.rank));
    put(json, "temperature", json_real(adp.temperature));
    if (adp.strength > 0)
        put(json, "strength", json_real(adp.strength));
    if (adp.accuracy) {
        json_t *accuracy = json_array();
        for (int i = 0; i < adp.heads; i++)
            json_array_append_new(accuracy, json_real(adp.accuracy[i]));
        put(json, "accuracy", accuracy);
    }
    put(json, "model", adp.model_hash[0] ? json_string(adp.model_hash) : json_null());
    eq_adp_free(&adp);
    return put_hash(s, json);
}

/* --- classifiers --- */

static bool is_classifier(const subject *s)
{
    return eq_path_is_folder(s->path) && has_file(s, "classifier.json");
}

static eq_status describe_classifier(const subject *s, json_t *json)
{
    eq_classifier_file file;
    EQ_TRY(eq_classifier_file_open(s->ctx, s->path, &file));
    json_t *channels = json_array(), *attributes = json_object();
    for (int i = 0; i < file.config.stages; i++)
        json_array_append_new(channels, json_integer(file.config.channels[i]));
    for (int i = 0; i < file.config.attribute_count; i++) {
        json_t *attribute = json_object();
        put(attribute, "classes", classes_json(&file.config.attributes[i]));
        put(attribute, "accuracy", isnan(file.scores[i].accuracy) ? json_null() : json_real(file.scores[i].accuracy));
        put(attributes, file.config.attributes[i].name, attribute);
    }
    put_text(json, "trunk", file.config.trunk->name);
    put_integer(json, "parameters", file.params->total);
    put_integer(json, "size", file.config.size);
    put(json, "channels", channels);
    put_integer(json, "blocks", file.config.blocks);
    put_text(json, "hash", file.hash);
    put(json, "attributes", attributes);
    eq_classifier_file_close(&file);
    return EQ_OK;
}

/* --- other files of tensors --- */

static bool is_h_store(const subject *s)
{
    return strcmp(metadata(s, "format"), "equipoise h-vectors") == 0;
}

static eq_status describe_h_store(const subject *s, json_t *json)
{
    eq_h_store store;
    EQ_TRY(eq_h_store_open(s->ctx, s->path, &store));
    put_integer(json, "images", store.images);
    put(json, "timesteps", integers(store.timestep, store.timesteps));
    put(json, "h_shape", integers(store.h_shape.dim, store.h_shape.rank));
    put_text(json, "model", store.model_hash);
    eq_h_store_close(&store);
    return EQ_OK;
}

static bool is_tensors(const subject *s)
{
    return s->tensors.path != NULL;
}

static eq_status describe_tensors(const subject *s, json_t *json)
{
    int64_t parameters = 0, bytes = 0;
    json_t *tensors = json_array(), *notes = json_object();
    for (size_t i = 0; i < s->tensors.count; i++) {
        const eq_named_tensor *entry = &s->tensors.entries[i];
        json_t *row = json_object();
        put_text(row, "name", entry->name);
        put_text(row, "dtype", eq_dtype_name(entry->tensor.dtype));
        put(row, "shape", integers(entry->tensor.shape.dim, entry->tensor.shape.rank));
        json_array_append_new(tensors, row);
        parameters += eq_shape_count(&entry->tensor.shape);
        bytes += (int64_t)eq_tensor_bytes(&entry->tensor);
    }
    for (size_t i = 0; i < s->tensors.metadata_count; i++)
        put_text(notes, s->tensors.metadata[i].key, s->tensors.metadata[i].value);
    put_integer(json, "parameters", parameters);
    put_integer(json, "bytes", bytes);
    put(json, "metadata", notes);
    eq_status status = put_hash(s, json);
    put(json, "tensors", tensors);
    return status;
}

/* --- runs --- */

static bool is_run(const subject *s)
{
    return eq_path_is_folder(s->path) && (has_file(s, "run.json") || has_file(s, "manifest.jsonl"));
}

/* Adds one to json[target][cell]. */
static void count_target(json_t *json, const eq_manifest_target *target)
{
    json_t *cells = json_object_get(json, target->target);
    if (!cells) {
        cells = json_object();
        put(json, target->target, cells);
    }
    if (target->cell)
        put(cells, target->cell, json_integer(json_integer_value(json_object_get(cells, target->cell)) + 1));
}

static eq_status describe_manifest(const subject *s, json_t *json)
{
    char *path = eq_path_join(s->path, "manifest.jsonl");
    eq_manifest manifest = {0};
    eq_status status = path ? eq_manifest_read(s->ctx, path, &manifest) : eq_fail_memory(s->ctx, "a path");
    free(path);
    EQ_TRY(status);
    int64_t guided = 0;
    json_t *targets = json_object();
    for (size_t i = 0; i < manifest.count; i++) {
        guided += manifest.entries[i].guided;
        for (int k = 0; k < manifest.entries[i].target_count; k++)
            count_target(targets, &manifest.entries[i].targets[k]);
    }
    put_integer(json, "images", (int64_t)manifest.count);
    put_integer(json, "guided", guided);
    put(json, "targets", targets);
    eq_manifest_free(&manifest);
    return EQ_OK;
}

static eq_status describe_run(const subject *s, json_t *json)
{
    static const char *const keys[] = {"settings", "model", "heads", "seconds", "unet_passes", "evaluation"};
    put(json, "finished", json_boolean(has_file(s, "run.json")));
    if (has_file(s, "manifest.jsonl"))
        EQ_TRY(describe_manifest(s, json));
    if (!has_file(s, "run.json"))
        return EQ_OK;
    char *path = eq_path_join(s->path, "run.json");
    eq_json run = {0};
    eq_status status = path ? eq_json_read(s->ctx, path, &run) : eq_fail_memory(s->ctx, "a path");
    free(path);
    EQ_TRY(status);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (eq_json_has(&run, keys[i]))
            json_object_set(json, keys[i], json_object_get(run.object, keys[i]));
    eq_json_close(&run);
    return EQ_OK;
}

/* --- images and labels --- */

static bool is_image(const subject *s)
{
    return !eq_path_is_folder(s->path) &&
           (eq_path_has_extension(s->path, ".png") || eq_path_has_extension(s->path, ".jpg") ||
            eq_path_has_extension(s->path, ".jpeg") || eq_path_has_extension(s->path, ".webp"));
}

static eq_status describe_image(const subject *s, json_t *json)
{
    eq_image image = {0};
    EQ_TRY(eq_image_read(s->ctx, s->path, &image));
    put_integer(json, "width", image.width);
    put_integer(json, "height", image.height);
    eq_image_free(&image);
    return EQ_OK;
}

static bool is_labels(const subject *s)
{
    return !eq_path_is_folder(s->path) &&
           (eq_path_has_extension(s->path, ".csv") || eq_path_has_extension(s->path, ".jsonl"));
}

static eq_status describe_labels(const subject *s, json_t *json)
{
    eq_labels labels = {0};
    EQ_TRY(eq_labels_read(s->ctx, s->path, &labels));
    json_t *attributes = json_object();
    for (int a = 0; a < labels.attribute_count; a++) {
        const eq_attribute *attribute = &labels.attributes[a];
        int64_t *counts = calloc((size_t)attribute->classes, sizeof *counts);
        json_t *classes = json_object();
        for (size_t i = 0; counts && i < labels.count; i++)
            if (labels.classes[i * (size_t)labels.attribute_count + (size_t)a] >= 0)
                counts[labels.classes[i * (size_t)labels.attribute_count + (size_t)a]]++;
        for (int k = 0; counts && k < attribute->classes; k++)
            put_integer(classes, attribute->class_names[k], counts[k]);
        put(attributes, attribute->name, classes);
        free(counts);
    }
    put_integer(json, "images", (int64_t)labels.count);
    put(json, "attributes", attributes);
    eq_labels_free(&labels);
    return EQ_OK;
}

static bool is_folder(const subject *s)
{
    return eq_path_is_folder(s->path);
}

static eq_status describe_folder(const subject *s, json_t *json)
{
    eq_names images = {0};
    EQ_TRY(eq_list_images(s->ctx, s->path, true, &images));
    size_t count = images.count;
    eq_names_free(&images);
    if (count == 0)
        return eq_fail(s->ctx, EQ_BAD_INPUT, "%s: neither a model, a classifier, a run, nor a folder of images",
                       s->path);
    put_integer(json, "images", (int64_t)count);
    return EQ_OK;
}

/* The first kind that matches describes the subject. */
static const struct kind {
    const char *name;
    bool (*is)(const subject *s);
    eq_status (*describe)(const subject *s, json_t *json);
} kinds[] = {
    {"run", is_run, describe_run},
    {"diffusion model", is_model, describe_model},
    {"classifier", is_classifier, describe_classifier},
    {"training run", is_training, describe_training},
    {"folder of images", is_folder, describe_folder},
    {"attribute predictor", is_predictor, describe_predictor},
    {"h-vectors", is_h_store, describe_h_store},
    {"training checkpoint", is_checkpoint, describe_checkpoint},
    {"tensors", is_tensors, describe_tensors},
    {"image", is_image, describe_image},
    {"labels", is_labels, describe_labels},
};

static eq_status open_subject(subject *s)
{
    if (!eq_path_exists(s->path))
        return eq_fail(s->ctx, EQ_BAD_INPUT, "%s: no such file or folder", s->path);
    if (eq_path_has_extension(s->path, ".safetensors") || eq_path_has_extension(s->path, ".index.json"))
        return eq_tensor_file_open(s->ctx, s->path, &s->tensors);
    return EQ_OK;
}

static eq_status describe(const subject *s, json_t *json)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (kinds[i].is(s)) {
            put_text(json, "path", s->path);
            put_text(json, "kind", kinds[i].name);
            return kinds[i].describe(s, json);
        }
    return eq_fail(s->ctx, EQ_BAD_INPUT,
                   "%s: no kind of file that is known: .safetensors, .index.json, .csv, .jsonl, .png, .jpg, .webp",
                   s->path);
}

eq_status eq_inspect(eq_context *ctx, const char *path, json_t **out)
{
    subject s = {.ctx = ctx, .path = path};
    json_t *json = json_object();
    eq_status status = json ? open_subject(&s) : eq_fail_memory(ctx, "a description");
    if (status == EQ_OK)
        status = describe(&s, json);
    if (s.tensors.path)
        eq_tensor_file_close(&s.tensors);
    if (status == EQ_OK)
        *out = json;
    else
        json_decref(json);
    return status;
}
