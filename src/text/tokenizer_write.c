/* Writing a tokenizer's folder. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/path.h"
#include "text/tokenizer.h"

static const char bos[] = "<|startoftext|>", eos[] = "<|endoftext|>";

/* Takes the document over. */
static eq_status write_json(eq_context *ctx, const char *folder, const char *name, json_t *json)
{
    char *path = eq_path_join(folder, name), *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
    eq_status status = path && text ? eq_file_write(ctx, path, text, strlen(text)) : eq_fail_memory(ctx, "a tokenizer");
    free(text);
    free(path);
    json_decref(json);
    return status;
}

/* Objects keep the order in which keys are added: that of the ids. */
static json_t *vocab_json(const eq_vocabulary *v)
{
    json_t *tokens = json_object();
    for (size_t i = 0; tokens && i < v->token_count; i++)
        if (json_object_set_new(tokens, v->tokens[i].text, json_integer(v->tokens[i].id)) != 0) {
            json_decref(tokens);
            return NULL;
        }
    return tokens;
}

/* tokens: [max_id + 1] by id */
static eq_status write_merge_lines(eq_context *ctx, eq_file_writer *file, const eq_vocabulary *v,
                                   const char *const *tokens)
{
    EQ_TRY(eq_file_writer_printf(ctx, file, "#version: 0.2\n"));
    for (size_t i = 0; i < v->merge_count; i++)
        EQ_TRY(eq_file_writer_printf(ctx, file, "%s %s\n", tokens[v->merges[i].left], tokens[v->merges[i].right]));
    return EQ_OK;
}

static eq_status write_merges(eq_context *ctx, const char *folder, const eq_vocabulary *v)
{
    char *path = eq_path_join(folder, "merges.txt");
    const char **tokens = calloc((size_t)v->max_id + 1, sizeof *tokens);
    eq_file_writer file = {0};
    eq_status status = path && tokens ? eq_file_writer_open(ctx, path, &file) : eq_fail_memory(ctx, "a tokenizer");
    for (size_t i = 0; tokens && i < v->token_count; i++)
        tokens[v->tokens[i].id] = v->tokens[i].text;
    if (status == EQ_OK)
        status = write_merge_lines(ctx, &file, v, tokens);
    if (status == EQ_OK)
        status = eq_file_writer_commit(ctx, &file);
    else
        eq_file_writer_abort(&file);
    free(tokens);
    free(path);
    return status;
}

eq_status eq_tokenizer_write(eq_context *ctx, const char *folder, const eq_vocabulary *vocabulary, int length)
{
    EQ_TRY(eq_make_folders(ctx, folder));
    EQ_TRY(write_json(ctx, folder, "vocab.json", vocab_json(vocabulary)));
    EQ_TRY(write_merges(ctx, folder, vocabulary));
    EQ_TRY(write_json(
        ctx, folder, "special_tokens_map.json",
        json_pack("{ss, ss, ss, ss}", "bos_token", bos, "eos_token", eos, "pad_token", eos, "unk_token", eos)));
    return write_json(ctx, folder, "tokenizer_config.json",
                      json_pack("{ss, si, ss, ss, ss, ss, sb}", "tokenizer_class", "CLIPTokenizer", "model_max_length",
                                length, "bos_token", bos, "eos_token", eos, "pad_token", eos, "unk_token", eos,
                                "do_lower_case", 1));
}
