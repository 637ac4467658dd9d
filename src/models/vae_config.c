/* vae/config.json */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "io/json.h"
#include "models/vae.h"

/* All blocks must be of the one type the network has. */
static eq_status check_blocks(eq_context *ctx, const eq_json *json, const char *key, const char *type, int levels)
{
    const char *names[EQ_VAE_MAX_LEVELS];
    int count;
    if (!eq_json_has(json, key))
        return EQ_OK;
    EQ_TRY(eq_json_strings(ctx, json, key, EQ_VAE_MAX_LEVELS, names, &count));
    if (count != levels)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: %s names %d blocks, block_out_channels %d", json->where, key, count,
                       levels);
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], type) != 0)
            return eq_fail(ctx, EQ_BAD_INPUT, "%s: %s has a \"%s\"; only %s is supported", json->where, key, names[i],
                           type);
    return EQ_OK;
}

/* Keys that change the network in ways that it does not know must hold these values, or be absent. */
static eq_status check_fixed(eq_context *ctx, const eq_json *json)
{
    static const struct {
        const char *key, *value;
    } strings[] = {{"_class_name", "AutoencoderKL"}, {"act_fn", "silu"}};
    static const char *const always[] = {"use_quant_conv", "use_post_quant_conv", "mid_block_add_attention"};
    static const char *const never[] = {"latents_mean", "latents_std", "shift_factor"};
    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++) {
        const char *found;
        EQ_TRY(eq_json_string_or(ctx, json, strings[i].key, strings[i].value, &found));
        if (strcmp(found, strings[i].value) != 0)
            return eq_fail(ctx, EQ_BAD_INPUT, "%s: %s is \"%s\"; only \"%s\" is supported", json->where, strings[i].key,
                           found, strings[i].value);
    }
    for (size_t i = 0; i < sizeof always / sizeof always[0]; i++) {
        bool found;
        EQ_TRY(eq_json_bool_or(ctx, json, always[i], true, &found));
        if (!found)
            return eq_fail(ctx, EQ_BAD_INPUT, "%s: %s is false; only true is supported", json->where, always[i]);
    }
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++)
        if (eq_json_has(json, never[i]))
            return eq_fail(ctx, EQ_BAD_INPUT, "%s: %s is not supported", json->where, never[i]);
    return EQ_OK;
}

/* Defaults are those of diffusers' AutoencoderKL. */
static eq_status read_config(eq_context *ctx, const eq_json *json, eq_vae_config *out)
{
    int64_t channels[EQ_VAE_MAX_LEVELS];
    struct {
        const char *key;
        int64_t fallback, low, high;
        int *to;
    } integers[] = {
        {"in_channels", 3, 1, 64, &out->in_channels},
        {"out_channels", 3, 1, 64, &out->out_channels},
        {"latent_channels", 4, 1, 64, &out->latent_channels},
        {"layers_per_block", 1, 1, 8, &out->layers_per_block},
        {"norm_num_groups", 32, 1, 8192, &out->norm_num_groups},
    };
    EQ_TRY(check_fixed(ctx, json));
    EQ_TRY(eq_json_ints(ctx, json, "block_out_channels", 1, 8192, EQ_VAE_MAX_LEVELS, channels, &out->levels));
    for (int i = 0; i < out->levels; i++)
        out->block_out_channels[i] = (int)channels[i];
    EQ_TRY(check_blocks(ctx, json, "down_block_types", "DownEncoderBlock2D", out->levels));
    EQ_TRY(check_blocks(ctx, json, "up_block_types", "UpDecoderBlock2D", out->levels));
    for (size_t i = 0; i < sizeof integers / sizeof integers[0]; i++) {
        int64_t value;
        EQ_TRY(eq_json_int_or(ctx, json, integers[i].key, integers[i].fallback, integers[i].low, integers[i].high,
                              &value));
        *integers[i].to = (int)value;
    }
    double factor;
    EQ_TRY(eq_json_float_or(ctx, json, "scaling_factor", 0.18215, 1e-6, 1e6, &factor));
    out->scaling_factor = (float)factor;
    return eq_vae_check(ctx, out, json->where);
}

/* Closes the document. */
static eq_status read_and_close(eq_context *ctx, eq_json *json, eq_vae_config *out)
{
    eq_status status = read_config(ctx, json, out);
    eq_json_close(json);
    return status;
}

eq_status eq_vae_config_read(eq_context *ctx, const char *path, eq_vae_config *out)
{
    *out = (eq_vae_config){0};
    eq_json json;
    EQ_TRY(eq_json_read(ctx, path, &json));
    return read_and_close(ctx, &json, out);
}

eq_status eq_vae_config_parse(eq_context *ctx, const char *text, size_t size, const char *name, eq_vae_config *out)
{
    *out = (eq_vae_config){0};
    eq_json json;
    EQ_TRY(eq_json_parse(ctx, text, size, name, &json));
    return read_and_close(ctx, &json, out);
}

/* --- writing --- */

static json_t *repeated(const char *text, int count)
{
    json_t *array = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(array, json_string(text));
    return array;
}

static json_t *numbers(const int *values, int count)
{
    json_t *array = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(array, json_integer(values[i]));
    return array;
}

eq_status eq_vae_config_write(eq_context *ctx, const char *path, const eq_vae_config *config, int sample_size)
{
    int levels = config->levels;
    json_t *root =
        json_pack("{s:s, s:s, s:i, s:i, s:o, s:o, s:o, s:i, s:s, s:i, s:i, s:i, s:f}", "_class_name", "AutoencoderKL",
                  "_diffusers_version", "0.14.0", "in_channels", config->in_channels, "out_channels",
                  config->out_channels, "down_block_types", repeated("DownEncoderBlock2D", levels), "up_block_types",
                  repeated("UpDecoderBlock2D", levels), "block_out_channels",
                  numbers(config->block_out_channels, levels), "layers_per_block", config->layers_per_block, "act_fn",
                  "silu", "latent_channels", config->latent_channels, "norm_num_groups", config->norm_num_groups,
                  "sample_size", sample_size, "scaling_factor", (double)config->scaling_factor);
    char *text = root ? json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(7)) : NULL;
    json_decref(root);
    eq_status status = text ? eq_file_write(ctx, path, text, strlen(text)) : eq_fail_memory(ctx, "a configuration");
    free(text);
    return status;
}
