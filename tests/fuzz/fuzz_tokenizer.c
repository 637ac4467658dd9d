/* Tokenizers and prompt files. The input is a vocab.json (or a tokenizer.json: it has a "model"), which also gives the
 * special tokens, the merges and a text, with lines "====" between them. */
#include <string.h>

#include "fuzz.h"
#include "text/normalise.h"
#include "text/prompt_file.h"
#include "text/tokenizer.h"

typedef struct part {
    const char *text;
    size_t size;
} part;

static part next_part(part *rest)
{
    static const char line[] = "\n====\n";
    const char *end = memmem(rest->text, rest->size, line, sizeof line - 1);
    part out = {rest->text, end ? (size_t)(end - rest->text) : rest->size};
    size_t skip = end ? out.size + sizeof line - 1 : rest->size;
    *rest = (part){rest->text + skip, rest->size - skip};
    return out;
}

static void read_prompts(eq_context *ctx, const char *data, size_t size)
{
    eq_prompt_list list;
    if (!fuzz_accepted(ctx, eq_prompt_file_parse(ctx, data, size, "input", &list), EQ_BAD_INPUT))
        return;
    int64_t images = 0;
    for (size_t i = 0; i < list.count; i++) {
        FUZZ_CHECK(list.items[i].count >= 1 && list.items[i].count <= EQ_PROMPT_MAX_COUNT);
        FUZZ_CHECK(list.items[i].text[0] != '\0' && !strpbrk(list.items[i].text, "\n"));
        images += list.items[i].count;
    }
    FUZZ_CHECK(list.count > 0 && images == list.images);
    eq_prompt_list_free(&list);
}

static void check_tokens(eq_context *ctx, const eq_tokenizer *tokenizer, const char *text)
{
    eq_tokens tokens;
    if (!fuzz_accepted(ctx, eq_tokenize(ctx, tokenizer, text, &tokens), EQ_BAD_USAGE))
        return;
    size_t size = strlen(tokens.text);
    FUZZ_CHECK(eq_text_valid_length(tokens.text, size) == size && !strstr(tokens.text, "  "));
    FUZZ_CHECK(tokens.count <= size && (tokens.count > 0) == (size > 0));
    for (size_t i = 0; i < tokens.count; i++) {
        FUZZ_CHECK(tokens.ids[i] >= 0 && tokens.ids[i] <= eq_tokenizer_max_id(tokenizer));
        FUZZ_CHECK(tokens.places[i] < size && (i == 0 || tokens.places[i] >= tokens.places[i - 1]));
    }
    enum { LENGTH = 9 };
    int32_t ids[LENGTH];
    bool truncated;
    FUZZ_CHECK(eq_tokenizer_encode(ctx, tokenizer, text, LENGTH, ids, &truncated) == EQ_OK);
    FUZZ_CHECK(truncated == (tokens.count > LENGTH - 2) && ids[0] == eq_tokenizer_bos(tokenizer));
    size_t kept = truncated ? LENGTH - 2 : tokens.count;
    FUZZ_CHECK(ids[kept + 1] == eq_tokenizer_eos(tokenizer));
    FUZZ_CHECK(memcmp(ids + 1, tokens.ids, kept * sizeof *ids) == 0);
    eq_tokens_free(&tokens);
}

/* The first document doubles as settings of special tokens, where its values are strings. */
static eq_status make_tokenizer(eq_context *ctx, const eq_json *json, part merges, eq_tokenizer **out)
{
    eq_special_tokens special = {0};
    eq_vocabulary vocabulary;
    if (eq_json_has(json, "model"))
        EQ_TRY(eq_special_tokens_read(ctx, json, &special));
    EQ_TRY(eq_json_has(json, "model") ? eq_vocabulary_read_tokenizer(ctx, json, &vocabulary)
                                      : eq_vocabulary_read(ctx, json, merges.text, merges.size, "merges", &vocabulary));
    return eq_tokenizer_new(ctx, &vocabulary, &special, "input", out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    eq_context *ctx = eq_context_new();
    part rest = {(const char *)data, size};
    part document = next_part(&rest), merges = next_part(&rest);
    eq_json json;
    eq_tokenizer *tokenizer;
    read_prompts(ctx, rest.text, rest.size);
    if (fuzz_accepted(ctx, eq_json_parse(ctx, document.text, document.size, "input", &json), EQ_BAD_INPUT)) {
        char *text = strndup(rest.text, rest.size);
        if (text && fuzz_accepted(ctx, make_tokenizer(ctx, &json, merges, &tokenizer), EQ_BAD_INPUT)) {
            check_tokens(ctx, tokenizer, text);
            eq_tokenizer_free(tokenizer);
        }
        free(text);
        eq_json_close(&json);
    }
    eq_context_free(ctx);
    return 0;
}
