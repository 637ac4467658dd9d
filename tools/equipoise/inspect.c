#include "inspect.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/path.h"
#include "diffusion/model.h"
#include "inspect_parts.h"
#include "io/image.h"
#include "io/json.h"
#include "io/labels.h"
#include "io/manifest.h"

static bool has_file(const inspect_subject *s, const char *name)
{
    char *path = eq_path_join(s->path, name);
    bool there = path && eq_path_exists(path);
    free(path);
    return there;
}

/* --- training --- */

static bool is_training(const inspect_subject *s)
{
    return has_file(s, "checkpoint.safetensors");
}

static eq_status describe_training(const inspect_subject *s, json_t *json)
{
    eq_tensor_file file = {0};
    char *path = eq_path_join(s->path, "checkpoint.safetensors");
    eq_status status = path ? eq_tensor_file_open(s->ctx, path, &file) : eq_fail_memory(s->ctx, "a path");
    if (status == EQ_OK && !inspect_has_checkpoint(&file))
        status = eq_fail(s->ctx, EQ_BAD_INPUT, "%s: not a training checkpoint", path);
    if (status == EQ_OK)
        inspect_put_checkpoint(json, &file);
    if (file.path)
        eq_tensor_file_close(&file);
    free(path);
    return status;
}

/* --- models --- */

static bool is_model(const inspect_subject *s)
{
    return (has_file(s, "model_index.json") || has_file(s, "unet/config.json"));
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
    inspect_put_integer(json, "parameters", model->params->total);
    inspect_put_text(json, "dtype",
                     model->weights.count ? eq_dtype_name(model->weights.entries[0].tensor.dtype) : "f32");
    inspect_put_integer(json, "sample_size", unet->sample_size);
    inspect_put_integer(json, "in_channels", unet->in_channels);
    inspect_put_integer(json, "out_channels", unet->out_channels);
    inspect_put(json, "channels", channels);
    inspect_put(json, "attention_levels", attention_levels(unet));
    inspect_put_integer(json, "layers_per_block", unet->layers_per_block);
    inspect_put_integer(json, "norm_groups", unet->norm_num_groups);
    return json;
}

static json_t *schedule_json(const eq_schedule *schedule)
{
    static const char *const betas[] = {"linear", "scaled_linear", "squaredcos_cap_v2", "trained"};
    static const char *const predictions[] = {"epsilon", "v_prediction", "sample"};
    json_t *json = json_object();
    inspect_put_integer(json, "train_timesteps", schedule->config.num_train_timesteps);
    inspect_put_text(json, "betas", betas[schedule->config.beta_kind]);
    inspect_put(json, "beta_start", json_real(schedule->betas[0]));
    inspect_put(json, "beta_end", json_real(schedule->betas[schedule->config.num_train_timesteps - 1]));
    inspect_put_text(json, "prediction", predictions[schedule->config.prediction]);
    inspect_put_text(json, "scheduler", schedule->config.scheduler);
    inspect_put_text(json, "sampler", schedule->config.sampler);
    return json;
}

eq_status inspect_put_model(const inspect_subject *s, json_t *json)
{
    eq_model model;
    EQ_TRY(eq_model_open(s->ctx, s->path, &model));
    inspect_put(json, "h_shape", inspect_integers(model.h_shape.dim, model.h_shape.rank));
    const char *hash;
    eq_status status = eq_model_hash(s->ctx, &model, &hash);
    if (status == EQ_OK)
        inspect_put_text(json, "hash", hash);
    inspect_put(json, "unet", unet_json(&model));
    inspect_put(json, "schedule", schedule_json(&model.schedule));
    eq_model_close(&model);
    return status;
}

static eq_status describe_model(const inspect_subject *s, json_t *json)
{
    EQ_TRY(inspect_put_model(s, json));
    if (!is_training(s))
        return EQ_OK;
    json_t *training = json_object();
    inspect_put(json, "training", training);
    return describe_training(s, training);
}

/* --- runs --- */

static bool is_run(const inspect_subject *s)
{
    return (has_file(s, "run.json") || has_file(s, "manifest.jsonl"));
}

/* Adds one to json[target][cell]. */
static void count_target(json_t *json, const eq_manifest_target *target)
{
    json_t *cells = json_object_get(json, target->target);
    if (!cells) {
        cells = json_object();
        inspect_put(json, target->target, cells);
    }
    if (target->cell)
        inspect_put(cells, target->cell, json_integer(json_integer_value(json_object_get(cells, target->cell)) + 1));
}

static eq_status describe_manifest(const inspect_subject *s, json_t *json)
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
    inspect_put_integer(json, "images", (int64_t)manifest.count);
    inspect_put_integer(json, "guided", guided);
    inspect_put(json, "targets", targets);
    eq_manifest_free(&manifest);
    return EQ_OK;
}

static eq_status describe_run(const inspect_subject *s, json_t *json)
{
    static const char *const keys[] = {"settings", "model", "heads", "seconds", "unet_passes", "evaluation"};
    inspect_put(json, "finished", json_boolean(has_file(s, "run.json")));
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

static bool is_image(const inspect_subject *s)
{
    return eq_path_has_extension(s->path, ".png") || eq_path_has_extension(s->path, ".jpg") ||
           eq_path_has_extension(s->path, ".jpeg") || eq_path_has_extension(s->path, ".webp");
}

static eq_status describe_image(const inspect_subject *s, json_t *json)
{
    eq_image image = {0};
    EQ_TRY(eq_image_read(s->ctx, s->path, &image));
    inspect_put_integer(json, "width", image.width);
    inspect_put_integer(json, "height", image.height);
    eq_image_free(&image);
    return EQ_OK;
}

static bool is_labels(const inspect_subject *s)
{
    return eq_path_has_extension(s->path, ".csv") || eq_path_has_extension(s->path, ".jsonl");
}

static eq_status describe_labels(const inspect_subject *s, json_t *json)
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
            inspect_put_integer(classes, attribute->class_names[k], counts[k]);
        inspect_put(attributes, attribute->name, classes);
        free(counts);
    }
    inspect_put_integer(json, "images", (int64_t)labels.count);
    inspect_put(json, "attributes", attributes);
    eq_labels_free(&labels);
    return EQ_OK;
}

static bool is_folder(const inspect_subject *s)
{
    return true; /* whatever else it is not */
}

static eq_status describe_folder(const inspect_subject *s, json_t *json)
{
    eq_names images = {0};
    EQ_TRY(eq_list_images(s->ctx, s->path, true, &images));
    size_t count = images.count;
    eq_names_free(&images);
    if (count == 0)
        return eq_fail(s->ctx, EQ_BAD_INPUT, "%s: neither a model, a classifier, a run, nor a folder of images",
                       s->path);
    inspect_put_integer(json, "images", (int64_t)count);
    return EQ_OK;
}

static const inspect_kind folder_kinds[] = {
    {"run", is_run, describe_run},
    {"diffusion model", is_model, describe_model},
    {"classifier", inspect_is_classifier, inspect_classifier},
    {"training run", is_training, describe_training},
    {"folder of images", is_folder, describe_folder},
    {0},
};
static const inspect_kind file_kinds[] = {
    {"image", is_image, describe_image},
    {"labels", is_labels, describe_labels},
    {0},
};

static eq_status open_subject(inspect_subject *s)
{
    if (!eq_path_exists(s->path))
        return eq_fail(s->ctx, EQ_BAD_INPUT, "%s: no such file or folder", s->path);
    return eq_path_is_folder(s->path) ? EQ_OK : inspect_open_tensors(s);
}

/* The first kind that matches describes the subject. */
static eq_status describe(const inspect_subject *s, json_t *json)
{
    const inspect_kind *kind = eq_path_is_folder(s->path) ? folder_kinds
                               : s->tensors.path          ? inspect_tensor_kinds
                                                          : file_kinds;
    for (; kind->name; kind++)
        if (kind->is(s)) {
            inspect_put_text(json, "path", s->path);
            inspect_put_text(json, "kind", kind->name);
            return kind->describe(s, json);
        }
    return eq_fail(
        s->ctx, EQ_BAD_INPUT,
        "%s: no kind of file that is known: .safetensors, .index.json, .pt, .pth, .ckpt, .bin, .csv, .jsonl, "
        ".png, .jpg, .webp",
        s->path);
}

eq_status eq_inspect(eq_context *ctx, const char *path, json_t **out)
{
    inspect_subject s = {.ctx = ctx, .path = path};
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
