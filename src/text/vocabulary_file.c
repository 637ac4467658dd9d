/* Readers of vocabularies: vocab.json with merges.txt, and tokenizer.json. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/path.h"
#include "text/vocabulary.h"

enum { MAX_MERGES_BYTES = 1 << 26 };

static eq_status add_tokens(eq_context *ctx, const eq_json *json, eq_vocabulary *vocabulary)
{
    const char *text;
    json_t *id;
    json_object_foreach(json->object, text, id)
    {
        if (!json_is_integer(id))
            return eq_fail(ctx, EQ_BAD_INPUT, "%s: token \"%.60s\": expected an id, a whole number", json->where, text);
        EQ_TRY(eq_vocabulary_add_token(ctx, vocabulary, text, json_integer_value(id), json->where));
    }
    return EQ_OK;
}

/* line: "left right" */
static eq_status add_merge_line(eq_context *ctx, eq_vocabulary *vocabulary, const char *line, size_t size,
                                const char *where)
{
    const char *space = memchr(line, ' ', size), *end = line + size;
    if (!space || space == line || space + 1 == end || memchr(space + 1, ' ', (size_t)(end - space - 1)))
        return eq_fail(ctx, EQ_BAD_INPUT,
                       "%s: merge %zu: expected two tokens with a space between them, found \"%.*s\"", where,
                       vocabulary->merge_count + 1, (int)(size < 60 ? size : 60), line);
    return eq_vocabulary_add_merge(ctx, vocabulary, line, (size_t)(space - line), space + 1, (size_t)(end - space - 1),
                                   where);
}

static size_t count_lines(const char *text, size_t size)
{
    size_t count = 1;
    for (size_t i = 0; i < size; i++)
        count += text[i] == '\n';
    return count;
}

static eq_status add_merge_lines(eq_context *ctx, eq_vocabulary *vocabulary, const char *text, size_t size,
                                 const char *where)
{
    static const char version[] = "#version";
    const char *end = text + size;
    for (const char *line = text, *next; line < end; line = next) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        next = newline ? newline + 1 : end;
        size_t length = (size_t)((newline ? newline : end) - line);
        if (length && line[length - 1] == '\r')
            length--;
        bool is_version =
            line == text && length >= sizeof version - 1 && memcmp(line, version, sizeof version - 1) == 0;
        if (length && !is_version)
            EQ_TRY(add_merge_line(ctx, vocabulary, line, length, where));
    }
    return EQ_OK;
}

eq_status eq_vocabulary_read(eq_context *ctx, const eq_json *tokens, const char *merges, size_t size, const char *name,
                             eq_vocabulary *out)
{
    *out = (eq_vocabulary){0};
    eq_status status;
    EQ_TRY_GOTO(status, eq_vocabulary_reserve(ctx, out, json_object_size(tokens->object), count_lines(merges, size)),
                failed);
    EQ_TRY_GOTO(status, add_tokens(ctx, tokens, out), failed);
    eq_vocabulary_end_tokens(out);
    EQ_TRY_GOTO(status, add_merge_lines(ctx, out, merges, size, name), failed);
    return EQ_OK;
failed:
    eq_vocabulary_free(out);
    return status;
}

/* An item of tokenizer.json's "merges": "left right", or of newer files ["left", "right"]. */
static eq_status add_merge_item(eq_context *ctx, eq_vocabulary *vocabulary, const json_t *item, const char *where)
{
    if (json_is_string(item))
        return add_merge_line(ctx, vocabulary, json_string_value(item), json_string_length(item), where);
    const char *left = json_string_value(json_array_get(item, 0)), *right = json_string_value(json_array_get(item, 1));
    if (json_array_size(item) != 2 || !left || !right)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: merge %zu: expected two tokens", where, vocabulary->merge_count + 1);
    return eq_vocabulary_add_merge(ctx, vocabulary, left, strlen(left), right, strlen(right), where);
}

static eq_status add_added_tokens(eq_context *ctx, const eq_json *json, const json_t *added, eq_vocabulary *vocabulary)
{
    for (size_t i = 0; i < json_array_size(added); i++) {
        const json_t *content = json_object_get(json_array_get(added, i), "content");
        const json_t *id = json_object_get(json_array_get(added, i), "id");
        if (!json_is_string(content) || !json_is_integer(id))
            return eq_fail(ctx, EQ_BAD_INPUT, "%s: added_tokens: expected objects with \"id\" and \"content\"",
                           json->where);
        EQ_TRY(
            eq_vocabulary_add_token(ctx, vocabulary, json_string_value(content), json_integer_value(id), json->where));
    }
    return EQ_OK;
}

static eq_status read_parts(eq_context *ctx, const eq_json *json, eq_vocabulary *out)
{
    eq_json model, tokens;
    const char *type, *suffix;
    EQ_TRY(eq_json_object(ctx, json, "model", &model));
    EQ_TRY(eq_json_string_or(ctx, &model, "type", "BPE", &type));
    EQ_TRY(eq_json_string_or(ctx, &model, "end_of_word_suffix", "", &suffix));
    if (strcmp(type, "BPE") != 0 || strcmp(suffix, "</w>") != 0)
        return eq_fail(
            ctx, EQ_BAD_INPUT,
            "%s: expected CLIP's form, type \"BPE\" with end_of_word_suffix \"</w>\", found \"%s\" with \"%s\"",
            model.where, type, suffix);
    EQ_TRY(eq_json_object(ctx, &model, "vocab", &tokens));
    const json_t *merges = json_object_get(model.object, "merges"),
                 *added = json_object_get(json->object, "added_tokens");
    if (!json_is_array(merges))
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: \"merges\": expected an array", model.where);
    EQ_TRY(eq_vocabulary_reserve(ctx, out, json_object_size(tokens.object) + json_array_size(added),
                                 json_array_size(merges)));
    EQ_TRY(add_tokens(ctx, &tokens, out));
    EQ_TRY(add_added_tokens(ctx, json, added, out));
    eq_vocabulary_end_tokens(out);
    for (size_t i = 0; i < json_array_size(merges); i++)
        EQ_TRY(add_merge_item(ctx, out, json_array_get(merges, i), model.where));
    return EQ_OK;
}

eq_status eq_vocabulary_read_tokenizer(eq_context *ctx, const eq_json *json, eq_vocabulary *out)
{
    *out = (eq_vocabulary){0};
    eq_status status = read_parts(ctx, json, out);
    if (status != EQ_OK)
        eq_vocabulary_free(out);
    return status;
}

static eq_status open_pair(eq_context *ctx, const char *vocab_path, const char *merges_path, eq_vocabulary *out)
{
    eq_json tokens;
    uint8_t *merges;
    size_t size;
    EQ_TRY(eq_file_read(ctx, merges_path, MAX_MERGES_BYTES, &merges, &size));
    eq_status status = eq_json_read(ctx, vocab_path, &tokens);
    if (status == EQ_OK) {
        status = eq_vocabulary_read(ctx, &tokens, (const char *)merges, size, merges_path, out);
        eq_json_close(&tokens);
    }
    free(merges);
    return status;
}

static eq_status open_single(eq_context *ctx, const char *path, eq_vocabulary *out)
{
    eq_json json;
    EQ_TRY(eq_json_read(ctx, path, &json));
    eq_status status = eq_vocabulary_read_tokenizer(ctx, &json, out);
    eq_json_close(&json);
    return status;
}

eq_status eq_vocabulary_open(eq_context *ctx, const char *folder, eq_vocabulary *out)
{
    *out = (eq_vocabulary){0};
    char *vocab = eq_path_join(folder, "vocab.json"), *merges = eq_path_join(folder, "merges.txt");
    char *single = eq_path_join(folder, "tokenizer.json");
    eq_status status;
    if (!vocab || !merges || !single)
        status = eq_fail_memory(ctx, "a path");
    else if (eq_path_exists(vocab))
        status = open_pair(ctx, vocab, merges, out);
    else if (eq_path_exists(single))
        status = open_single(ctx, single, out);
    else
        status = eq_fail(ctx, EQ_BAD_INPUT,
                         "%s: no tokenizer there; expected vocab.json with merges.txt, or tokenizer.json", folder);
    free(vocab);
    free(merges);
    free(single);
    return status;
}
