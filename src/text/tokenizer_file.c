/* Opening a tokenizer's folder. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "text/tokenizer.h"

static eq_status read_special(eq_context *ctx, const eq_json *json, const char *key, char name[64])
{
    const json_t *value = json_object_get(json->object, key);
    if (!value || json_is_null(value))
        return EQ_OK;
    const char *text = json_string_value(json_is_object(value) ? json_object_get(value, "content") : value);
    if (!text || !text[0] || strlen(text) >= sizeof((eq_special_tokens *)0)->bos)
        return eq_fail(ctx, EQ_BAD_INPUT,
                       "%s: \"%s\": expected a token of 1 to 63 bytes, or an object with such a \"content\"",
                       json->where, key);
    snprintf(name, 64, "%s", text);
    return EQ_OK;
}

eq_status eq_special_tokens_read(eq_context *ctx, const eq_json *json, eq_special_tokens *special)
{
    EQ_TRY(read_special(ctx, json, "bos_token", special->bos));
    EQ_TRY(read_special(ctx, json, "eos_token", special->eos));
    EQ_TRY(read_special(ctx, json, "pad_token", special->pad));
    return read_special(ctx, json, "unk_token", special->unknown);
}

static eq_status read_special_file(eq_context *ctx, const char *folder, const char *name, eq_special_tokens *special)
{
    char *path = eq_path_join(folder, name);
    if (!path)
        return eq_fail_memory(ctx, "a path");
    eq_json json = {0};
    eq_status status = eq_path_exists(path) ? eq_json_read(ctx, path, &json) : EQ_OK;
    if (status == EQ_OK && json.object)
        status = eq_special_tokens_read(ctx, &json, special);
    eq_json_close(&json);
    free(path);
    return status;
}

eq_status eq_tokenizer_open(eq_context *ctx, const char *folder, eq_tokenizer **out)
{
    *out = NULL;
    eq_special_tokens special = {0};
    eq_vocabulary vocabulary;
    EQ_TRY(read_special_file(ctx, folder, "tokenizer_config.json", &special));
    EQ_TRY(read_special_file(ctx, folder, "special_tokens_map.json", &special));
    EQ_TRY(eq_vocabulary_open(ctx, folder, &vocabulary));
    return eq_tokenizer_new(ctx, &vocabulary, &special, folder, out);
}

eq_status eq_tokenizer_length(eq_context *ctx, const char *folder, int *length)
{
    int64_t found = 77;
    char *path = eq_path_join(folder, "tokenizer_config.json");
    if (!path)
        return eq_fail_memory(ctx, "a path");
    eq_json json = {0};
    eq_status status = eq_path_exists(path) ? eq_json_read(ctx, path, &json) : EQ_OK;
    if (status == EQ_OK && json.object)
        status = eq_json_int_or(ctx, &json, "model_max_length", found, 2, 4096, &found);
    *length = (int)found;
    eq_json_close(&json);
    free(path);
    return status;
}
