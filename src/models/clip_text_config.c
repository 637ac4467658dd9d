/* The text transformer's config.json, as transformers reads and writes it. */
#include <stdlib.h>

#include "base/file.h"
#include "models/clip_text.h"

static eq_status read_int(eq_context *ctx, const eq_json *json, const char *key, int *out)
{
    int64_t value;
    EQ_TRY(eq_json_int(ctx, json, key, 0, INT32_MAX, &value));
    *out = (int)value;
    return EQ_OK;
}

static eq_status read_activation(eq_context *ctx, const eq_json *json, eq_activation *out)
{
    const char *name;
    EQ_TRY(eq_json_string_or(ctx, json, "hidden_act", "quick_gelu", &name));
    if (strcmp(name, "quick_gelu") != 0 && strcmp(name, "gelu") != 0)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: hidden_act is \"%.60s\", expected \"quick_gelu\" or \"gelu\"",
                       json->where, name);
    *out = name[0] == 'q' ? EQ_ACT_QUICK_GELU : EQ_ACT_GELU;
    return EQ_OK;
}

/* Models without a projection have a projection_dim all the same; the class tells. */
static eq_status read_projection(eq_context *ctx, const eq_json *json, int *out)
{
    const char *name = "CLIPTextModel";
    int count = 1;
    if (eq_json_has(json, "architectures"))
        EQ_TRY(eq_json_strings(ctx, json, "architectures", 1, &name, &count));
    bool with = count == 1 && strcmp(name, "CLIPTextModelWithProjection") == 0;
    if (count != 1 || (!with && strcmp(name, "CLIPTextModel") != 0))
        return eq_fail(ctx, EQ_BAD_INPUT,
                       "%s: architectures: expected CLIPTextModel or CLIPTextModelWithProjection, found %.60s",
                       json->where, count == 1 ? name : "none");
    *out = 0;
    if (!with)
        return EQ_OK;
    EQ_TRY(read_int(ctx, json, "projection_dim", out));
    return *out ? EQ_OK : eq_fail(ctx, EQ_BAD_INPUT, "%s: projection_dim: expected 1 or more", json->where);
}

static eq_status read_config(eq_context *ctx, const eq_json *json, eq_clip_text_config *out)
{
    double epsilon;
    *out = (eq_clip_text_config){0};
    EQ_TRY(read_projection(ctx, json, &out->projection_dim));
    EQ_TRY(read_int(ctx, json, "vocab_size", &out->vocab_size));
    EQ_TRY(read_int(ctx, json, "hidden_size", &out->hidden_size));
    EQ_TRY(read_int(ctx, json, "intermediate_size", &out->intermediate_size));
    EQ_TRY(read_int(ctx, json, "num_hidden_layers", &out->num_hidden_layers));
    EQ_TRY(read_int(ctx, json, "num_attention_heads", &out->num_attention_heads));
    EQ_TRY(read_int(ctx, json, "max_position_embeddings", &out->max_position_embeddings));
    EQ_TRY(read_activation(ctx, json, &out->hidden_act));
    EQ_TRY(eq_json_float_or(ctx, json, "layer_norm_eps", 1e-5, 0, 1, &epsilon));
    out->layer_norm_eps = (float)epsilon;
    return eq_clip_text_check(ctx, out, json->where);
}

eq_status eq_clip_text_config_read(eq_context *ctx, const char *path, eq_clip_text_config *out)
{
    eq_json json;
    EQ_TRY(eq_json_read(ctx, path, &json));
    eq_status status = read_config(ctx, &json, out);
    eq_json_close(&json);
    return status;
}

eq_status eq_clip_text_config_parse(eq_context *ctx, const char *text, size_t size, const char *name,
                                    eq_clip_text_config *out)
{
    eq_json json;
    EQ_TRY(eq_json_parse(ctx, text, size, name, &json));
    eq_status status = read_config(ctx, &json, out);
    eq_json_close(&json);
    return status;
}

eq_status eq_clip_text_config_write(eq_context *ctx, const char *path, const eq_clip_text_config *config, int bos,
                                    int eos, int pad)
{
    json_t *json = json_pack(
        "{s:[s], s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:f, s:i, s:i, s:i, s:i, s:s}", "architectures",
        config->projection_dim ? "CLIPTextModelWithProjection" : "CLIPTextModel", "model_type", "clip_text_model",
        "vocab_size", config->vocab_size, "hidden_size", config->hidden_size, "intermediate_size",
        config->intermediate_size, "num_hidden_layers", config->num_hidden_layers, "num_attention_heads",
        config->num_attention_heads, "max_position_embeddings", config->max_position_embeddings, "hidden_act",
        config->hidden_act == EQ_ACT_GELU ? "gelu" : "quick_gelu", "layer_norm_eps", (double)config->layer_norm_eps,
        "projection_dim", config->projection_dim ? config->projection_dim : config->hidden_size, "bos_token_id", bos,
        "eos_token_id", eos, "pad_token_id", pad, "torch_dtype", "float32");
    char *text = json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(7));
    json_decref(json);
    eq_status status = text ? eq_file_write(ctx, path, text, strlen(text)) : eq_fail_memory(ctx, "a configuration");
    free(text);
    return status;
}
