#include "models/clip_model.h"

#include <math.h>
#include <stdlib.h>

#include "base/path.h"
#include "io/json.h"

/* --- transformers' config.json --- */

static eq_status read_int(eq_context *ctx, const eq_json *json, const char *key, int fallback, int *out)
{
    int64_t value;
    EQ_TRY(eq_json_int_or(ctx, json, key, fallback, 0, INT32_MAX, &value));
    *out = (int)value;
    return EQ_OK;
}

static eq_status read_common(eq_context *ctx, const eq_json *json, eq_activation *act, float *epsilon)
{
    const char *name;
    double eps;
    EQ_TRY(eq_json_string_or(ctx, json, "hidden_act", "quick_gelu", &name));
    if (strcmp(name, "quick_gelu") != 0 && strcmp(name, "gelu") != 0)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: hidden_act is \"%.60s\", expected \"quick_gelu\" or \"gelu\"",
                       json->where, name);
    EQ_TRY(eq_json_float_or(ctx, json, "layer_norm_eps", 1e-5, 0, 1, &eps));
    *act = name[0] == 'q' ? EQ_ACT_QUICK_GELU : EQ_ACT_GELU;
    *epsilon = (float)eps;
    return EQ_OK;
}

/* The defaults are those of transformers, which leaves out of the file what does not differ from them. */
static eq_status read_text(eq_context *ctx, const eq_json *json, eq_clip_text_config *out)
{
    EQ_TRY(read_int(ctx, json, "vocab_size", 49408, &out->vocab_size));
    EQ_TRY(read_int(ctx, json, "hidden_size", 512, &out->hidden_size));
    EQ_TRY(read_int(ctx, json, "intermediate_size", 2048, &out->intermediate_size));
    EQ_TRY(read_int(ctx, json, "num_hidden_layers", 12, &out->num_hidden_layers));
    EQ_TRY(read_int(ctx, json, "num_attention_heads", 8, &out->num_attention_heads));
    EQ_TRY(read_int(ctx, json, "max_position_embeddings", 77, &out->max_position_embeddings));
    EQ_TRY(read_common(ctx, json, &out->hidden_act, &out->layer_norm_eps));
    return eq_clip_text_check(ctx, out, json->where);
}

static eq_status read_vision(eq_context *ctx, const eq_json *json, eq_clip_vision_config *out)
{
    EQ_TRY(read_int(ctx, json, "hidden_size", 768, &out->hidden_size));
    EQ_TRY(read_int(ctx, json, "intermediate_size", 3072, &out->intermediate_size));
    EQ_TRY(read_int(ctx, json, "num_hidden_layers", 12, &out->num_hidden_layers));
    EQ_TRY(read_int(ctx, json, "num_attention_heads", 12, &out->num_attention_heads));
    EQ_TRY(read_int(ctx, json, "image_size", 224, &out->image_size));
    EQ_TRY(read_int(ctx, json, "patch_size", 32, &out->patch_size));
    EQ_TRY(read_common(ctx, json, &out->hidden_act, &out->layer_norm_eps));
    return eq_clip_vision_check(ctx, out, json->where);
}

/* A part of the configuration; an empty one where the file leaves it out. `empty` is to be released. */
static eq_status find_part(eq_context *ctx, const eq_json *json, const char *key, json_t *empty, eq_json *out)
{
    if (eq_json_has(json, key))
        return eq_json_object(ctx, json, key, out);
    out->object = empty;
    snprintf(out->where, sizeof out->where, "%.200s: %s", json->where, key);
    return empty ? EQ_OK : eq_fail_memory(ctx, "a configuration");
}

static eq_status read_parts(eq_context *ctx, const eq_json *json, json_t *empty, eq_clip_model *out)
{
    const char *type;
    eq_json part;
    EQ_TRY(eq_json_string_or(ctx, json, "model_type", "clip", &type));
    if (strcmp(type, "clip") != 0)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: model_type is \"%.60s\", expected \"clip\"", json->where, type);
    EQ_TRY(read_int(ctx, json, "projection_dim", 512, &out->vision.projection_dim));
    out->text.projection_dim = out->vision.projection_dim;
    EQ_TRY(find_part(ctx, json, "text_config", empty, &part));
    EQ_TRY(read_text(ctx, &part, &out->text));
    EQ_TRY(find_part(ctx, json, "vision_config", empty, &part));
    return read_vision(ctx, &part, &out->vision);
}

static eq_status read_config(eq_context *ctx, const char *folder, eq_clip_model *out)
{
    eq_json json = {0};
    char *path = eq_path_join(folder, "config.json");
    json_t *empty = json_object();
    eq_status status = path ? eq_json_read(ctx, path, &json) : eq_fail_memory(ctx, "a path");
    if (status == EQ_OK) {
        status = read_parts(ctx, &json, empty, out);
        eq_json_close(&json);
    }
    json_decref(empty);
    free(path);
    return status;
}

/* --- the shapes of OpenAI's --- */

/* A dimension of a tensor that may be missing or of another rank: 0 where it does not fit. */
static int dimension(const eq_tensor_file *file, const char *name, int rank, int index)
{
    const eq_tensor *tensor = eq_tensor_file_find(file, name);
    bool fits = tensor && tensor->shape.rank == rank && tensor->shape.dim[index] <= INT32_MAX;
    return fits ? (int)tensor->shape.dim[index] : 0;
}

static int count_blocks(const eq_tensor_file *file, const char *prefix)
{
    int blocks = 0;
    while (blocks < 512 && eq_tensor_file_find(file, eq_prefix_format("%s%d.mlp.c_fc.weight", prefix, blocks).text))
        blocks++;
    return blocks;
}

/* All of OpenAI's transformers have heads of 64 channels; shapes do not tell. */
static eq_status config_from_shapes(eq_context *ctx, eq_clip_model *out)
{
    const eq_tensor_file *file = &out->weights;
    int side = (int)lround(sqrt(fmax(dimension(file, "visual.positional_embedding", 2, 0) - 1, 0)));
    int width = dimension(file, "visual.conv1.weight", 4, 0), patch = dimension(file, "visual.conv1.weight", 4, 3);
    out->text =
        (eq_clip_text_config){.vocab_size = dimension(file, "token_embedding.weight", 2, 0),
                              .hidden_size = dimension(file, "token_embedding.weight", 2, 1),
                              .intermediate_size = dimension(file, "transformer.resblocks.0.mlp.c_fc.weight", 2, 0),
                              .num_hidden_layers = count_blocks(file, "transformer.resblocks."),
                              .num_attention_heads = dimension(file, "token_embedding.weight", 2, 1) / 64,
                              .max_position_embeddings = dimension(file, "positional_embedding", 2, 0),
                              .hidden_act = EQ_ACT_QUICK_GELU,
                              .layer_norm_eps = 1e-5f,
                              .projection_dim = dimension(file, "text_projection", 2, 1)};
    out->vision = (eq_clip_vision_config){.hidden_size = width,
                                          .intermediate_size =
                                              dimension(file, "visual.transformer.resblocks.0.mlp.c_fc.weight", 2, 0),
                                          .num_hidden_layers = count_blocks(file, "visual.transformer.resblocks."),
                                          .num_attention_heads = width / 64,
                                          .image_size = patch <= 1024 && side <= 1024 ? side * patch : 0,
                                          .patch_size = patch,
                                          .hidden_act = EQ_ACT_QUICK_GELU,
                                          .layer_norm_eps = 1e-5f,
                                          .projection_dim = dimension(file, "visual.proj", 2, 1)};
    EQ_TRY(eq_clip_text_check(ctx, &out->text, file->path));
    EQ_TRY(eq_clip_vision_check(ctx, &out->vision, file->path));
    return out->text.projection_dim == out->vision.projection_dim
               ? EQ_OK
               : eq_fail(ctx, EQ_BAD_INPUT, "%s: texts are projected to %d numbers, images to %d", file->path,
                         out->text.projection_dim, out->vision.projection_dim);
}

/* --- weights --- */

/* The first of the usual names that is there; the first of all where none is, for the message. Malloc'ed. */
static char *weights_path(const char *folder)
{
    static const char *const names[] = {"model.safetensors", "model.safetensors.index.json",
                                        "pytorch_model.bin", "model.pt",
                                        "clip.pt",           "ViT-B-32.pt",
                                        "ViT-B-16.pt",       "ViT-L-14.pt",
                                        "ViT-L-14-336px.pt"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *path = eq_path_join(folder, names[i]);
        if (!path || eq_path_exists(path))
            return path;
        free(path);
    }
    return eq_path_join(folder, names[0]);
}

static eq_status read_scale(eq_context *ctx, eq_clip_model *out)
{
    float logarithm = NAN;
    const eq_tensor *tensor = eq_tensor_file_find(&out->weights, "logit_scale");
    bool is_number = tensor && eq_shape_count(&tensor->shape) == 1 &&
                     (tensor->dtype == EQ_F32 || tensor->dtype == EQ_F16 || tensor->dtype == EQ_BF16);
    if (is_number)
        eq_tensor_to_f32(tensor, &logarithm);
    out->logit_scale = expf(logarithm);
    return isfinite(out->logit_scale)
               ? EQ_OK
               : eq_fail(ctx, EQ_BAD_INPUT, "%s: logit_scale: one finite number expected", out->weights.path);
}

static bool same_name(const void *user, const char *ours, char *theirs, size_t size, eq_weight_part *part)
{
    (void)user;
    (void)part;
    snprintf(theirs, size, "%s", ours);
    return true;
}

/* The prefixes leave out what lies beside the blocks, which is there, or missed, and in old files position_ids. */
static const eq_name_map transformers_text = {.name = same_name, .prefix = "text_model.encoder."};
static const eq_name_map transformers_vision = {.name = same_name, .prefix = "vision_model.encoder."};

static eq_status load(eq_context *ctx, eq_clip_model *out)
{
    eq_name_map text = out->transformers ? transformers_text : eq_names_openai_text(out);
    eq_name_map vision = out->transformers ? transformers_vision : eq_names_openai_vision(out);
    out->text_params = eq_params_new(ctx);
    out->vision_params = eq_params_new(ctx);
    if (!out->text_params || !out->vision_params)
        return eq_fail_memory(ctx, "CLIP");
    EQ_TRY(eq_clip_text_declare(out->text_params, &out->text));
    EQ_TRY(eq_weights_load(ctx, out->text_params, &out->weights, &text));
    EQ_TRY(eq_clip_vision_declare(out->vision_params, &out->vision));
    EQ_TRY(eq_weights_load(ctx, out->vision_params, &out->weights, &vision));
    return read_scale(ctx, out);
}

eq_status eq_clip_model_open(eq_context *ctx, const char *folder, eq_clip_model *out)
{
    *out = (eq_clip_model){.path = weights_path(folder)};
    eq_status status = out->path ? eq_tensor_file_open(ctx, out->path, &out->weights) : eq_fail_memory(ctx, "a path");
    if (status == EQ_OK) {
        out->transformers = !eq_tensor_file_find(&out->weights, "visual.conv1.weight");
        status = out->transformers ? read_config(ctx, folder, out) : config_from_shapes(ctx, out);
    }
    if (status == EQ_OK)
        status = load(ctx, out);
    if (status != EQ_OK)
        eq_clip_model_close(out);
    return status;
}

void eq_clip_model_close(eq_clip_model *model)
{
    eq_params_free(model->text_params);
    eq_params_free(model->vision_params);
    eq_tensor_file_close(&model->weights);
    free(model->path);
    *model = (eq_clip_model){0};
}

/* --- images --- */

eq_status eq_clip_model_preparation(eq_context *ctx, const char *folder, const eq_clip_model *model,
                                    eq_preparation *out)
{
    char *path = eq_path_join(folder, "preprocessor_config.json");
    eq_json json = {0};
    eq_status status = path ? EQ_OK : eq_fail_memory(ctx, "a path");
    *out = eq_preparation_clip(model->vision.image_size);
    out->crop_rounds_down = model->transformers;
    if (path && model->transformers && eq_path_exists(path)) {
        status = eq_json_read(ctx, path, &json);
        if (status == EQ_OK)
            status = eq_preparation_read_transformers(ctx, &json, out);
        eq_json_close(&json);
    }
    free(path);
    return status;
}
