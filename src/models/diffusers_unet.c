#include "models/diffusers_unet.h"

#include <stdlib.h>

#include "base/file.h"
#include "io/json.h"

/* Block types of UNet2DModel, and whether they attend. */
static const struct block_type {
    const char *name;
    bool attention;
} down_types[] = {{"DownBlock2D", false}, {"AttnDownBlock2D", true}},
  up_types[] = {{"UpBlock2D", false}, {"AttnUpBlock2D", true}};

static eq_status read_blocks(eq_context *ctx, const eq_json *json, const char *key, const struct block_type *types,
                             int levels, bool *attention)
{
    const char *names[EQ_UNET_MAX_LEVELS];
    int count;
    EQ_TRY(eq_json_strings(ctx, json, key, EQ_UNET_MAX_LEVELS, names, &count));
    if (count != levels)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: %s names %d blocks, block_out_channels %d", json->where, key, count,
                       levels);
    for (int i = 0; i < count; i++) {
        if (strcmp(names[i], types[0].name) != 0 && strcmp(names[i], types[1].name) != 0)
            return eq_fail(ctx, EQ_BAD_INPUT, "%s: %s has a \"%s\"; known are %s and %s", json->where, key, names[i],
                           types[0].name, types[1].name);
        attention[i] = strcmp(names[i], types[1].name) == 0;
    }
    return EQ_OK;
}

/* Keys that change the network in ways that it does not know must hold these values, or be absent. */
static eq_status check_fixed(eq_context *ctx, const eq_json *json)
{
    static const struct {
        const char *key, *value;
    } fixed[] = {
        {"_class_name", "UNet2DModel"},
        {"time_embedding_type", "positional"},
        {"act_fn", "silu"},
        {"downsample_type", "conv"},
        {"upsample_type", "conv"},
    };
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
        const char *found;
        EQ_TRY(eq_json_string_or(ctx, json, fixed[i].key, fixed[i].value, &found));
        if (strcmp(found, fixed[i].value) != 0)
            return eq_fail(ctx, EQ_BAD_INPUT, "%s: %s is \"%s\"; only \"%s\" is supported", json->where, fixed[i].key,
                           found, fixed[i].value);
    }
    if (eq_json_has(json, "class_embed_type") || eq_json_has(json, "num_class_embeds"))
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: class embeddings are not supported in this family", json->where);
    return EQ_OK;
}

static eq_status read_levels(eq_context *ctx, const eq_json *json, eq_unet_config *out)
{
    int64_t channels[EQ_UNET_MAX_LEVELS];
    EQ_TRY(eq_json_ints(ctx, json, "block_out_channels", 1, 8192, EQ_UNET_MAX_LEVELS, channels, &out->levels));
    if (out->levels < 1)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: block_out_channels: 1 to %d levels", json->where, EQ_UNET_MAX_LEVELS);
    for (int i = 0; i < out->levels; i++)
        out->block_out_channels[i] = (int)channels[i];
    EQ_TRY(read_blocks(ctx, json, "down_block_types", down_types, out->levels, out->down_attention));
    return read_blocks(ctx, json, "up_block_types", up_types, out->levels, out->up_attention);
}

/* Defaults are those of diffusers' UNet2DModel. */
static eq_status read_numbers(eq_context *ctx, const eq_json *json, eq_unet_config *out)
{
    struct {
        const char *key;
        int64_t fallback, low, high;
        int *to;
    } integers[] = {
        {"sample_size", 0, 0, 4096, &out->sample_size},
        {"in_channels", 3, 1, 64, &out->in_channels},
        {"out_channels", 3, 1, 128, &out->out_channels},
        {"layers_per_block", 2, 1, 8, &out->layers_per_block},
        {"norm_num_groups", 32, 1, 8192, &out->norm_num_groups},
        {"downsample_padding", 1, 0, 1, &out->downsample_padding},
    };
    for (size_t i = 0; i < sizeof integers / sizeof integers[0]; i++) {
        int64_t value;
        EQ_TRY(eq_json_int_or(ctx, json, integers[i].key, integers[i].fallback, integers[i].low, integers[i].high,
                              &value));
        *integers[i].to = (int)value;
    }
    double eps, shift, factor;
    EQ_TRY(eq_json_float_or(ctx, json, "norm_eps", 1e-5, 1e-12, 1, &eps));
    EQ_TRY(eq_json_float_or(ctx, json, "freq_shift", 0, -10, 10, &shift));
    EQ_TRY(eq_json_float_or(ctx, json, "mid_block_scale_factor", 1, 1e-6, 1e6, &factor));
    out->norm_eps = (float)eps;
    out->freq_shift = (float)shift;
    out->mid_block_scale_factor = (float)factor;
    EQ_TRY(eq_json_bool_or(ctx, json, "flip_sin_to_cos", true, &out->flip_sin_to_cos));
    EQ_TRY(eq_json_bool_or(ctx, json, "add_attention", true, &out->mid_attention));
    return eq_json_bool_or(ctx, json, "center_input_sample", false, &out->center_input_sample);
}

/* 0 where heads of that size do not fit: a fault only where the level attends. */
static int heads_of(int channels, int head_dim)
{
    return channels % head_dim == 0 ? channels / head_dim : 0;
}

static eq_status read_config(eq_context *ctx, const eq_json *json, eq_unet_config *out)
{
    EQ_TRY(check_fixed(ctx, json));
    EQ_TRY(read_levels(ctx, json, out));
    EQ_TRY(read_numbers(ctx, json, out));
    /* Absent means heads of 8 channels, null one head: old files rely on the difference. */
    int64_t head_dim = json_object_get(json->object, "attention_head_dim") ? 0 : 8;
    EQ_TRY(eq_json_int_or(ctx, json, "attention_head_dim", head_dim, 1 - (head_dim == 0), 8192, &head_dim));
    for (int i = 0; i < out->levels; i++)
        out->heads[i] = head_dim > 0 ? heads_of(out->block_out_channels[i], (int)head_dim) : 1;
    const char *shift;
    EQ_TRY(eq_json_string_or(ctx, json, "resnet_time_scale_shift", "default", &shift));
    out->scale_shift_norm = strcmp(shift, "scale_shift") == 0;
    if (!out->scale_shift_norm && strcmp(shift, "default") != 0)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: resnet_time_scale_shift is \"%s\"; known are default and scale_shift",
                       json->where, shift);
    if (out->sample_size == 0)
        out->sample_size = 8 * eq_unet_size_multiple(out);
    return eq_unet_check(ctx, out, json->where);
}

/* Closes the document. */
static eq_status read_and_close(eq_context *ctx, eq_json *json, eq_unet_config *out)
{
    eq_status status = read_config(ctx, json, out);
    eq_json_close(json);
    return status;
}

eq_status eq_unet_config_read(eq_context *ctx, const char *path, eq_unet_config *out)
{
    *out = (eq_unet_config){0};
    eq_json json;
    EQ_TRY(eq_json_read(ctx, path, &json));
    return read_and_close(ctx, &json, out);
}

eq_status eq_unet_config_parse(eq_context *ctx, const char *text, size_t size, const char *name, eq_unet_config *out)
{
    *out = (eq_unet_config){0};
    eq_json json;
    EQ_TRY(eq_json_parse(ctx, text, size, name, &json));
    return read_and_close(ctx, &json, out);
}

static json_t *block_names(const struct block_type *types, const bool *attention, int levels)
{
    json_t *names = json_array();
    for (int i = 0; i < levels; i++)
        json_array_append_new(names, json_string(types[attention[i]].name));
    return names;
}

eq_status eq_unet_config_write(eq_context *ctx, const char *path, const eq_unet_config *config)
{
    int dim = eq_unet_head_dim(config);
    if (dim < 0)
        return eq_fail(ctx, EQ_BAD_USAGE, "%s: heads of the same size at every level are what UNet2DModel can have",
                       path);
    json_t *channels = json_array();
    for (int i = 0; i < config->levels; i++)
        json_array_append_new(channels, json_integer(config->block_out_channels[i]));
    json_t *head_dim = dim > 0 ? json_integer(dim) : json_null();
    json_t *root = json_pack(
        "{s:s, s:s, s:i, s:i, s:i, s:b, s:s, s:f, s:b, s:o, s:o, s:o, s:i, s:f, s:i, s:s, s:o, s:i, s:f, s:s, s:b, "
        "s:n, s:n}",
        "_class_name", "UNet2DModel", "_diffusers_version", "0.14.0", "sample_size", config->sample_size, "in_channels",
        config->in_channels, "out_channels", config->out_channels, "center_input_sample", config->center_input_sample,
        "time_embedding_type", "positional", "freq_shift", (double)config->freq_shift, "flip_sin_to_cos",
        config->flip_sin_to_cos, "down_block_types", block_names(down_types, config->down_attention, config->levels),
        "up_block_types", block_names(up_types, config->up_attention, config->levels), "block_out_channels", channels,
        "layers_per_block", config->layers_per_block, "mid_block_scale_factor", (double)config->mid_block_scale_factor,
        "downsample_padding", config->downsample_padding, "act_fn", "silu", "attention_head_dim", head_dim,
        "norm_num_groups", config->norm_num_groups, "norm_eps", (double)config->norm_eps, "resnet_time_scale_shift",
        config->scale_shift_norm ? "scale_shift" : "default", "add_attention", config->mid_attention,
        "class_embed_type", "num_class_embeds");
    char *text = root ? json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(root);
    if (!text)
        return eq_fail_memory(ctx, "a configuration");
    eq_status status = eq_file_write(ctx, path, text, strlen(text));
    free(text);
    return status;
}
