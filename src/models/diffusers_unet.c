#include "models/diffusers_unet.h"

#include <stdlib.h>

#include "base/file.h"
#include "io/json.h"

/* What diffusers calls the two networks, and blocks without and with attention. */
static const struct family {
    const char *class_name, *down_types[2], *up_types[2];
} families[] = {
    {"UNet2DModel", {"DownBlock2D", "AttnDownBlock2D"}, {"UpBlock2D", "AttnUpBlock2D"}},
    {"UNet2DConditionModel", {"DownBlock2D", "CrossAttnDownBlock2D"}, {"UpBlock2D", "CrossAttnUpBlock2D"}},
};
enum { UNCONDITIONAL, CONDITIONAL };
enum { CLIP_TEXT_LENGTH = 77 };

static eq_status read_blocks(eq_context *ctx, const eq_json *json, const char *key, const char *const types[2],
                             int levels, bool *attention)
{
    const char *names[EQ_UNET_MAX_LEVELS];
    int count;
    EQ_TRY(eq_json_strings(ctx, json, key, EQ_UNET_MAX_LEVELS, names, &count));
    if (count != levels)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: %s names %d blocks, block_out_channels %d", json->where, key, count,
                       levels);
    for (int i = 0; i < count; i++) {
        if (strcmp(names[i], types[0]) != 0 && strcmp(names[i], types[1]) != 0)
            return eq_fail(ctx, EQ_BAD_INPUT, "%s: %s has a \"%s\"; known are %s and %s", json->where, key, names[i],
                           types[0], types[1]);
        attention[i] = strcmp(names[i], types[1]) == 0;
    }
    return EQ_OK;
}

static eq_status read_family(eq_context *ctx, const eq_json *json, int *out)
{
    const char *class_name;
    EQ_TRY(eq_json_string_or(ctx, json, "_class_name", families[UNCONDITIONAL].class_name, &class_name));
    for (*out = UNCONDITIONAL; *out <= CONDITIONAL; (*out)++)
        if (strcmp(class_name, families[*out].class_name) == 0)
            return EQ_OK;
    return eq_fail(ctx, EQ_BAD_INPUT, "%s: _class_name is \"%s\"; known are %s and %s", json->where, class_name,
                   families[UNCONDITIONAL].class_name, families[CONDITIONAL].class_name);
}

/* Keys that change the network in ways that it does not know must hold these values, or be absent. */
static eq_status check_fixed(eq_context *ctx, const eq_json *json)
{
    static const struct {
        const char *key, *value;
    } fixed[] = {
        {"time_embedding_type", "positional"}, {"act_fn", "silu"},
        {"downsample_type", "conv"},           {"upsample_type", "conv"},
        {"attention_type", "default"},         {"mid_block_type", "UNetMidBlock2DCrossAttn"},
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

/* The same for UNet2DConditionModel, where more is possible. */
static eq_status check_fixed_conditional(eq_context *ctx, const eq_json *json)
{
    static const char *const off[] = {
        "only_cross_attention", "dual_cross_attention", "mid_block_only_cross_attention",
        "cross_attention_norm", "encoder_hid_dim",      "encoder_hid_dim_type",
        "time_cond_proj_dim",   "time_embedding_dim",   "time_embedding_act_fn",
        "timestep_post_act",    "resnet_skip_time_act", "reverse_transformer_layers_per_block"};
    for (size_t i = 0; i < sizeof off / sizeof off[0]; i++) {
        const json_t *value = json_object_get(json->object, off[i]);
        if (value && !json_is_null(value) && !json_is_false(value))
            return eq_fail(ctx, EQ_BAD_INPUT, "%s: %s must be null or false; other values are not supported",
                           json->where, off[i]);
    }
    int64_t kernel;
    double factor;
    EQ_TRY(eq_json_int_or(ctx, json, "conv_in_kernel", 3, 3, 3, &kernel));
    EQ_TRY(eq_json_int_or(ctx, json, "conv_out_kernel", 3, 3, 3, &kernel));
    return eq_json_float_or(ctx, json, "resnet_out_scale_factor", 1, 1, 1, &factor);
}

static eq_status read_levels(eq_context *ctx, const eq_json *json, const struct family *family, eq_unet_config *out)
{
    int64_t channels[EQ_UNET_MAX_LEVELS];
    EQ_TRY(eq_json_ints(ctx, json, "block_out_channels", 1, 8192, EQ_UNET_MAX_LEVELS, channels, &out->levels));
    if (out->levels < 1)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: block_out_channels: 1 to %d levels", json->where, EQ_UNET_MAX_LEVELS);
    for (int i = 0; i < out->levels; i++)
        out->block_out_channels[i] = (int)channels[i];
    EQ_TRY(read_blocks(ctx, json, "down_block_types", family->down_types, out->levels, out->down_attention));
    return read_blocks(ctx, json, "up_block_types", family->up_types, out->levels, out->up_attention);
}

/* Defaults are those of diffusers' classes. */
static eq_status read_numbers(eq_context *ctx, const eq_json *json, int family, eq_unet_config *out)
{
    int channels = family == CONDITIONAL ? 4 : 3;
    struct {
        const char *key;
        int64_t fallback, low, high;
        int *to;
    } integers[] = {
        {"sample_size", 0, 0, 4096, &out->sample_size},
        {"in_channels", channels, 1, 64, &out->in_channels},
        {"out_channels", channels, 1, 128, &out->out_channels},
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

/* UNet2DModel gives the channels of a head. */
static eq_status read_head_dim(eq_context *ctx, const eq_json *json, eq_unet_config *out)
{
    /* Absent means heads of 8 channels, null one head: old files rely on the difference. */
    int64_t dim = json_object_get(json->object, "attention_head_dim") ? 0 : 8;
    EQ_TRY(eq_json_int_or(ctx, json, "attention_head_dim", dim, 1 - (dim == 0), 8192, &dim));
    for (int i = 0; i < out->levels; i++) {
        int channels = out->block_out_channels[i];
        /* Heads that do not fit are a fault only where the level attends: eq_unet_check knows. */
        out->heads[i] = dim == 0 ? 1 : channels % dim == 0 ? (int)(channels / dim) : 0;
    }
    return EQ_OK;
}

/* A number for all levels, or one for each. */
static eq_status read_per_level(eq_context *ctx, const eq_json *json, const char *key, int64_t fallback, int64_t high,
                                const eq_unet_config *config, int *out)
{
    int64_t values[EQ_UNET_MAX_LEVELS] = {fallback};
    int count = 1;
    if (eq_json_has(json, key))
        EQ_TRY(eq_json_ints(ctx, json, key, 1, high, EQ_UNET_MAX_LEVELS, values, &count));
    if (count != 1 && count != config->levels)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: %s has %d numbers for %d levels", json->where, key, count,
                       config->levels);
    for (int i = 0; i < config->levels; i++)
        out[i] = (int)values[count == 1 ? 0 : i];
    return EQ_OK;
}

static eq_status read_context(eq_context *ctx, const eq_json *json, eq_unet_config *out)
{
    int dims[EQ_UNET_MAX_LEVELS];
    EQ_TRY(read_per_level(ctx, json, "cross_attention_dim", 1280, 16384, out, dims));
    for (int i = 1; i < out->levels; i++)
        if (dims[i] != dims[0])
            return eq_fail(ctx, EQ_BAD_INPUT, "%s: cross_attention_dim must be the same at every level", json->where);
    out->cross_attention_dim = dims[0];
    out->context_length = CLIP_TEXT_LENGTH;
    EQ_TRY(read_per_level(ctx, json, "transformer_layers_per_block", 1, 16, out, out->transformer_layers));
    /* What UNet2DConditionModel calls the dimension of heads is their number; later versions have a key for it. */
    bool named = eq_json_has(json, "num_attention_heads");
    EQ_TRY(read_per_level(ctx, json, named ? "num_attention_heads" : "attention_head_dim", 8, 1024, out, out->heads));
    return eq_json_bool_or(ctx, json, "use_linear_projection", false, &out->linear_projection);
}

static eq_status read_addition(eq_context *ctx, const eq_json *json, eq_unet_config *out)
{
    int64_t time_dim, input_dim;
    const char *type;
    if (!eq_json_has(json, "addition_embed_type"))
        return EQ_OK;
    EQ_TRY(eq_json_string(ctx, json, "addition_embed_type", &type));
    if (strcmp(type, "text_time") != 0)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: addition_embed_type is \"%s\"; only \"text_time\" is supported",
                       json->where, type);
    EQ_TRY(eq_json_int(ctx, json, "addition_time_embed_dim", 2, 4096, &time_dim));
    EQ_TRY(eq_json_int(ctx, json, "projection_class_embeddings_input_dim", 1, 65536, &input_dim));
    out->addition_time_dim = (int)time_dim;
    out->addition_input_dim = (int)input_dim;
    return EQ_OK;
}

static eq_status read_conditions(eq_context *ctx, const eq_json *json, eq_unet_config *out)
{
    EQ_TRY(check_fixed_conditional(ctx, json));
    EQ_TRY(read_context(ctx, json, out));
    return read_addition(ctx, json, out);
}

static eq_status read_config(eq_context *ctx, const eq_json *json, eq_unet_config *out)
{
    int family;
    EQ_TRY(read_family(ctx, json, &family));
    EQ_TRY(check_fixed(ctx, json));
    EQ_TRY(read_levels(ctx, json, &families[family], out));
    EQ_TRY(read_numbers(ctx, json, family, out));
    EQ_TRY(family == CONDITIONAL ? read_conditions(ctx, json, out) : read_head_dim(ctx, json, out));
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

static json_t *block_names(const char *const types[2], const bool *attention, int levels)
{
    json_t *names = json_array();
    for (int i = 0; i < levels; i++)
        json_array_append_new(names, json_string(types[attention[i]]));
    return names;
}

static json_t *per_level(const int *values, int levels)
{
    json_t *array = json_array();
    for (int i = 0; i < levels; i++)
        json_array_append_new(array, json_integer(values[i]));
    return array;
}

/* What both classes have; NULL when memory is out, as below. */
static json_t *common_keys(const eq_unet_config *config, const struct family *family)
{
    int levels = config->levels;
    return json_pack(
        "{s:s, s:s, s:i, s:i, s:i, s:b, s:s, s:f, s:b, s:o, s:o, s:o, s:i, s:f, s:i, s:s, s:i, s:f, s:s, s:n, s:n}",
        "_class_name", family->class_name, "_diffusers_version", "0.14.0", "sample_size", config->sample_size,
        "in_channels", config->in_channels, "out_channels", config->out_channels, "center_input_sample",
        config->center_input_sample, "time_embedding_type", "positional", "freq_shift", (double)config->freq_shift,
        "flip_sin_to_cos", config->flip_sin_to_cos, "down_block_types",
        block_names(family->down_types, config->down_attention, levels), "up_block_types",
        block_names(family->up_types, config->up_attention, levels), "block_out_channels",
        per_level(config->block_out_channels, levels), "layers_per_block", config->layers_per_block,
        "mid_block_scale_factor", (double)config->mid_block_scale_factor, "downsample_padding",
        config->downsample_padding, "act_fn", "silu", "norm_num_groups", config->norm_num_groups, "norm_eps",
        (double)config->norm_eps, "resnet_time_scale_shift", config->scale_shift_norm ? "scale_shift" : "default",
        "class_embed_type", "num_class_embeds");
}

static json_t *unconditional_keys(const eq_unet_config *config)
{
    int dim = eq_unet_head_dim(config);
    return json_pack("{s:o, s:b}", "attention_head_dim", dim > 0 ? json_integer(dim) : json_null(), "add_attention",
                     config->mid_attention);
}

static json_t *conditional_keys(const eq_unet_config *config)
{
    bool added = config->addition_time_dim > 0;
    return json_pack(
        "{s:s, s:i, s:o, s:o, s:b, s:o, s:o, s:o}", "mid_block_type", "UNetMidBlock2DCrossAttn", "cross_attention_dim",
        config->cross_attention_dim, "attention_head_dim", per_level(config->heads, config->levels),
        "transformer_layers_per_block", per_level(config->transformer_layers, config->levels), "use_linear_projection",
        config->linear_projection, "addition_embed_type", added ? json_string("text_time") : json_null(),
        "addition_time_embed_dim", added ? json_integer(config->addition_time_dim) : json_null(),
        "projection_class_embeddings_input_dim", added ? json_integer(config->addition_input_dim) : json_null());
}

/* Not every network that this library can build is one that the classes can describe. */
static eq_status check_writable(eq_context *ctx, const char *path, const eq_unet_config *config)
{
    if (config->cross_attention_dim == 0 && eq_unet_head_dim(config) < 0)
        return eq_fail(ctx, EQ_BAD_USAGE, "%s: a UNet2DModel has heads of the same size at every level", path);
    if (config->cross_attention_dim > 0 && !config->mid_attention)
        return eq_fail(ctx, EQ_BAD_USAGE, "%s: a UNet2DConditionModel attends in the middle block", path);
    int first = config->block_out_channels[0];
    if ((config->conv_in_channels && config->conv_in_channels != first) ||
        (config->time_channels && config->time_channels != first))
        return eq_fail(ctx, EQ_BAD_USAGE, "%s: a %s begins with the channels of its first level", path,
                       config->cross_attention_dim > 0 ? "UNet2DConditionModel" : "UNet2DModel");
    if (config->resample_blocks || config->num_class_embeds)
        return eq_fail(ctx, EQ_BAD_USAGE,
                       "%s: residual blocks that change the size, and class labels, are not written as diffusers' "
                       "configurations",
                       path);
    return EQ_OK;
}

eq_status eq_unet_config_write(eq_context *ctx, const char *path, const eq_unet_config *config)
{
    EQ_TRY(check_writable(ctx, path, config));
    bool conditional = config->cross_attention_dim > 0;
    json_t *root = common_keys(config, &families[conditional ? CONDITIONAL : UNCONDITIONAL]);
    json_t *more = conditional ? conditional_keys(config) : unconditional_keys(config);
    char *text = NULL;
    if (root && more && json_object_update(root, more) == 0)
        text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    json_decref(root);
    json_decref(more);
    if (!text)
        return eq_fail_memory(ctx, "a configuration");
    eq_status status = eq_file_write(ctx, path, text, strlen(text));
    free(text);
    return status;
}
