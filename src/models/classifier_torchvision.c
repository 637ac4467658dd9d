/* Classifiers that are torchvision's residual networks: a state dictionary, and a classifier.json that says what the
 * outputs mean. Those of FairFace (Karkkainen and Joo, WACV 2021) are known without one. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/attribute.h"
#include "base/file_hash.h"
#include "base/path.h"
#include "models/classifier_source.h"
#include "models/torch_resnet.h"

/* outputs: those of the first attribute, then those of the second, and so on; `first` where they do not follow. */
typedef struct network {
    eq_torch_resnet_config config;
    eq_params *params;
    int first[EQ_CLASSIFIER_MAX_ATTRIBUTES];
} network;

/* --- published classifiers --- */

typedef struct preset {
    const char *name;
    int outputs;
    const char *part; /* of the file's name, where the shapes leave a choice; NULL: any */
    int attribute_count;
    eq_attribute attributes[3];
} preset;

#define NAMES(...)                                                                                                     \
    (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)), (const char *const[])                               \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }
#define FAIRFACE_GENDER                                                                                                \
    {                                                                                                                  \
        "gender", NAMES("male", "female")                                                                              \
    }
#define FAIRFACE_AGE                                                                                                   \
    {                                                                                                                  \
        "age", NAMES("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "70+")                        \
    }
#define FAIRFACE_4_RACES                                                                                               \
    {                                                                                                                  \
        "race", NAMES("white", "black", "asian", "indian")                                                             \
    }

/* The published network of 4 races has 18 outputs as that of 7 has, of which only the first 4 are used. */
static const preset presets[] = {
    {"fairface-4", 18, "4race", 1, {FAIRFACE_4_RACES}},
    {"fairface-4", 18, "multi_4", 1, {FAIRFACE_4_RACES}},
    {"fairface-7",
     18,
     NULL,
     3,
     {{"race", NAMES("white", "black", "latino_hispanic", "east_asian", "southeast_asian", "indian", "middle_eastern")},
      FAIRFACE_GENDER,
      FAIRFACE_AGE}},
    {"fairface-4", 15, NULL, 3, {FAIRFACE_4_RACES, FAIRFACE_GENDER, FAIRFACE_AGE}},
};

enum { PRESETS = sizeof presets / sizeof presets[0] };

static int outputs_of(const eq_torch_resnet_config *config)
{
    return config->widths[config->linears - 1];
}

/* ResNet-34 with one linear layer. */
static bool is_like_fairface(const eq_torch_resnet_config *config)
{
    static const int blocks[EQ_TORCH_RESNET_STAGES] = {3, 4, 6, 3};
    return !config->bottleneck && config->linears == 1 && memcmp(config->blocks, blocks, sizeof blocks) == 0;
}

/* By name, or where that is NULL by the network and the file's name. NULL where there is none. */
static const preset *find_preset(const char *name, const char *path, const eq_torch_resnet_config *config)
{
    if (!name && !is_like_fairface(config))
        return NULL;
    for (int i = 0; i < PRESETS; i++) {
        const preset *p = &presets[i];
        bool chosen = name ? strcmp(p->name, name) == 0 : !p->part || strstr(eq_path_name(path), p->part);
        if (chosen && p->outputs == outputs_of(config))
            return p;
    }
    return NULL;
}

static eq_status use_preset(eq_context *ctx, const preset *p, const char *path, eq_classifier_source *out)
{
    network *n = out->network;
    int next = 0;
    out->preparation = eq_preparation_fairface();
    for (int i = 0; i < p->attribute_count; i++) {
        n->first[i] = next;
        next += p->attributes[i].classes;
        EQ_TRY(eq_classifier_source_add(ctx, out, &p->attributes[i], path));
    }
    return EQ_OK;
}

/* --- classifier.json --- */

static eq_status check_keys(eq_context *ctx, const eq_json *json)
{
    static const char *const keys[] = {"weights", "preset", "attributes", "size", "resize",
                                       "mode",    "filter", "mean",       "std"};
    const char *key;
    json_t *value;
    json_object_foreach(json->object, key, value)
    {
        bool known = false;
        for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
            known = known || strcmp(keys[i], key) == 0;
        if (!known)
            return eq_fail(ctx, EQ_BAD_INPUT,
                           "%s: unknown key \"%.60s\"; there are weights, preset, attributes, size, resize, mode, "
                           "filter, mean and std",
                           json->where, key);
    }
    return EQ_OK;
}

static eq_status add_attribute(eq_context *ctx, json_t *item, const char *where, eq_classifier_source *out)
{
    eq_attribute attribute = {0};
    eq_classifier_score score = {.accuracy = NAN};
    int index = out->attribute_count;
    eq_status status = eq_classifier_attribute_read(ctx, item, where, &attribute, &score);
    if (status == EQ_OK)
        status = eq_classifier_source_add(ctx, out, &attribute, where);
    if (status == EQ_OK)
        out->scores[index] = score;
    else
        free(score.confusion);
    eq_attribute_clear(&attribute);
    return status;
}

/* "first" is the first of an attribute's outputs, for networks that have others which nobody asks for. */
static eq_status read_attributes(eq_context *ctx, const eq_json *json, eq_classifier_source *out)
{
    network *n = out->network;
    json_t *list = json_object_get(json->object, "attributes"), *item;
    int64_t next = 0, first, outputs = outputs_of(&n->config);
    bool some_left_out = false;
    size_t i;
    if (!json_is_array(list))
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: attributes: an array of objects expected", json->where);
    json_array_foreach(list, i, item)
    {
        EQ_TRY(add_attribute(ctx, item, json->where, out));
        eq_json view = {.object = item};
        snprintf(view.where, sizeof view.where, "%.180s: %.60s", json->where, out->attributes[i].name);
        EQ_TRY(eq_json_int_or(ctx, &view, "first", next, 0, outputs, &first));
        some_left_out = some_left_out || eq_json_has(&view, "first");
        next = first + out->attributes[i].classes;
        if (next > outputs)
            return eq_fail(ctx, EQ_BAD_INPUT, "%s: its %d classes from output %lld on, but there are %lld outputs",
                           view.where, out->attributes[i].classes, (long long)first, (long long)outputs);
        n->first[i] = (int)first;
    }
    return next == outputs || some_left_out
               ? EQ_OK
               : eq_fail(ctx, EQ_BAD_INPUT, "%s: the attributes have %lld classes, the network has %lld outputs",
                         json->where, (long long)next, (long long)outputs);
}

static eq_status apply_settings(eq_context *ctx, const eq_json *json, const char *path, eq_classifier_source *out)
{
    const network *n = out->network;
    const char *name;
    EQ_TRY(check_keys(ctx, json));
    EQ_TRY(eq_json_string_or(ctx, json, "preset", NULL, &name));
    const preset *p = find_preset(name, path, &n->config);
    if (name && !p)
        return eq_fail(ctx, EQ_BAD_INPUT,
                       "%s: preset \"%.60s\" is not known for %d outputs; there are fairface-7 "
                       "(18 outputs) and fairface-4 (18 or 15)",
                       json->where, name, outputs_of(&n->config));
    if (name && eq_json_has(json, "attributes"))
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: attributes are the preset's; give one of the two", json->where);
    if (eq_json_has(json, "attributes"))
        EQ_TRY(read_attributes(ctx, json, out));
    else if (p)
        EQ_TRY(use_preset(ctx, p, path, out));
    return eq_preparation_read(ctx, json, &out->preparation);
}

static eq_status unknown_outputs(eq_context *ctx, const char *path, const eq_classifier_source *source)
{
    const network *n = source->network;
    return eq_fail(ctx, EQ_BAD_INPUT,
                   "%s: %s with %d outputs, whose meaning it does not tell; say it in a classifier.json beside it: "
                   "{\"attributes\": [{\"name\": \"gender\", \"classes\": [\"female\", \"male\"]}]}",
                   path, source->architecture, outputs_of(&n->config));
}

/* --- opening --- */

/* What is opened. json: the settings, or without an object where there are none. */
typedef struct files {
    char *weights;
    eq_json json;
} files;

static void files_close(files *f)
{
    free(f->weights);
    if (f->json.object)
        eq_json_close(&f->json);
    *f = (files){0};
}

/* The classifier.json of a folder, where there is one. */
static eq_status read_settings(eq_context *ctx, const char *folder, eq_json *out)
{
    char *path = folder ? eq_path_join(folder, "classifier.json") : NULL;
    eq_status status = path ? EQ_OK : eq_fail_memory(ctx, "a path");
    if (path && eq_path_exists(path))
        status = eq_json_read(ctx, path, out);
    free(path);
    return status;
}

/* Settings beside a file count unless they name another one. */
static eq_status find_beside(eq_context *ctx, const char *path, files *out)
{
    const char *weights;
    char *folder = eq_path_folder(path);
    eq_status status = read_settings(ctx, folder, &out->json);
    free(folder);
    EQ_TRY(status);
    out->weights = strdup(path);
    if (!out->weights)
        return eq_fail_memory(ctx, "a path");
    if (!out->json.object)
        return EQ_OK;
    EQ_TRY(eq_json_string_or(ctx, &out->json, "weights", eq_path_name(path), &weights));
    if (strcmp(eq_path_name(weights), eq_path_name(path)) != 0) {
        eq_json_close(&out->json);
        out->json = (eq_json){0};
    }
    return EQ_OK;
}

static eq_status find_files(eq_context *ctx, const char *path, files *out)
{
    const char *weights;
    if (!eq_path_is_folder(path))
        return find_beside(ctx, path, out);
    EQ_TRY(read_settings(ctx, path, &out->json));
    EQ_TRY(eq_json_string(ctx, &out->json, "weights", &weights));
    out->weights = eq_path_join(path, weights);
    return out->weights ? EQ_OK : eq_fail_memory(ctx, "a path");
}

static eq_status load(eq_context *ctx, const char *path, eq_classifier_source *out)
{
    network *n = out->network;
    eq_tensor_file file;
    EQ_TRY(eq_tensor_file_open(ctx, path, &file));
    eq_status status = eq_torch_resnet_recognise(ctx, &file, &n->config);
    n->params = eq_params_new(ctx);
    if (status == EQ_OK && !n->params)
        status = eq_fail_memory(ctx, "a classifier");
    if (status == EQ_OK)
        status = eq_torch_resnet_load(ctx, &file, &n->config, n->params);
    eq_tensor_file_close(&file);
    EQ_TRY(status);
    eq_torch_resnet_describe(&n->config, out->architecture, sizeof out->architecture);
    out->parameters = n->params->total;
    return eq_file_hash(ctx, path, out->hash);
}

static eq_status open_with(eq_context *ctx, const files *f, eq_classifier_source *out)
{
    network *n = out->network;
    EQ_TRY(load(ctx, f->weights, out));
    out->preparation = eq_preparation_imagenet();
    const preset *p = find_preset(NULL, f->weights, &n->config);
    if (f->json.object)
        EQ_TRY(apply_settings(ctx, &f->json, f->weights, out));
    else if (p)
        EQ_TRY(use_preset(ctx, p, f->weights, out));
    return out->attribute_count ? EQ_OK : unknown_outputs(ctx, f->weights, out);
}

static eq_status open_torchvision(eq_context *ctx, const char *path, eq_classifier_source *out)
{
    files f = {0};
    out->network = calloc(1, sizeof(network));
    eq_status status = out->network ? find_files(ctx, path, &f) : eq_fail_memory(ctx, "a classifier");
    if (status == EQ_OK)
        status = open_with(ctx, &f, out);
    files_close(&f);
    return status;
}

/* A file; or a folder whose classifier.json names one, which our own does not. */
static bool is_torchvision(eq_context *ctx, const char *path)
{
    eq_json json = {0};
    if (!eq_path_is_folder(path))
        return true;
    bool is = read_settings(ctx, path, &json) == EQ_OK && json.object && eq_json_has(&json, "weights");
    if (json.object)
        eq_json_close(&json);
    return is;
}

static eq_status build_torchvision(const eq_classifier_source *source, eq_graph *g, int64_t n,
                                   eq_classifier_values *out)
{
    const network *net = source->network;
    int64_t size = source->preparation.size;
    eq_value logits;
    out->images = eq_graph_input(g, "images", EQ_F32, eq_shape_of(n, size, size, 3));
    eq_torch_resnet_build(&(eq_builder){g, net->params}, &net->config, eq_cast(g, out->images, g->dtype),
                          &out->features, &logits);
    for (int i = 0; i < source->attribute_count; i++) {
        eq_value part = eq_slice(g, logits, 1, net->first[i], source->attributes[i].classes);
        out->logits[i] = eq_cast(g, part, EQ_F32);
        eq_graph_output(g, out->logits[i], NULL);
    }
    out->features = eq_cast(g, out->features, EQ_F32);
    eq_graph_output(g, out->features, "features");
    return eq_graph_status(g);
}

static void close_torchvision(eq_classifier_source *source)
{
    network *n = source->network;
    if (n)
        eq_params_free(n->params);
    free(n);
}

const eq_classifier_kind eq_classifier_torchvision = {.name = "torchvision",
                                                      .summary = "a residual network of torchvision's",
                                                      .batch = 8,
                                                      .is = is_torchvision,
                                                      .open = open_torchvision,
                                                      .build = build_torchvision,
                                                      .close = close_torchvision};
