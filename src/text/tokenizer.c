#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/tokenizer.h"

#include <ctype.h>
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/normalise.h"

struct eq_tokenizer {
    eq_vocabulary vocabulary;
    int32_t bos, eos, pad, unknown;
    pcre2_code *words;
};

/* --- making one --- */

/* The name with everything but letters and digits escaped, so that it stands for itself in a pattern. */
static char *put_literal(char *to, const char *name)
{
    for (; *name; name++) {
        if ((unsigned char)*name < 0x80 && !isalnum((unsigned char)*name))
            *to++ = '\\';
        *to++ = *name;
    }
    *to = '\0';
    return to;
}

/* CLIP's pattern. The first group is the start token, the second the end token. White space is a single space by now;
 * that PCRE's \s is not quite Python's does not matter. */
static eq_status compile_words(eq_context *ctx, const eq_special_tokens *special, const char *where, pcre2_code **out)
{
    char bos[2 * sizeof special->bos], eos[2 * sizeof special->eos], pattern[512];
    put_literal(bos, special->bos);
    put_literal(eos, special->eos);
    snprintf(pattern, sizeof pattern, "(%s)|(%s)|'s|'t|'re|'ve|'m|'ll|'d|\\p{L}+|\\p{N}|[^ \\p{L}\\p{N}]+", bos, eos);
    int error;
    PCRE2_SIZE at;
    *out = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP | PCRE2_CASELESS, &error,
                         &at, NULL);
    if (*out)
        return EQ_OK;
    char message[128];
    pcre2_get_error_message(error, (PCRE2_UCHAR *)message, sizeof message);
    return eq_fail(ctx, EQ_BAD_INPUT, "%s: special tokens \"%s\" and \"%s\": %s", where, special->bos, special->eos,
                   message);
}

static void use_default(char name[64], const char *clip)
{
    if (!name[0])
        snprintf(name, 64, "%s", clip);
}

static eq_status find_special(eq_context *ctx, const eq_vocabulary *vocabulary, const char *name, const char *role,
                              const char *where, int32_t *id)
{
    *id = eq_vocabulary_find(vocabulary, name, strlen(name));
    return *id != EQ_NO_TOKEN
               ? EQ_OK
               : eq_fail(ctx, EQ_BAD_INPUT, "%s: the %s token \"%s\" is not in the vocabulary", where, role, name);
}

static eq_status set_up(eq_context *ctx, eq_tokenizer *tokenizer, eq_special_tokens special, const char *where)
{
    const eq_vocabulary *vocabulary = &tokenizer->vocabulary;
    use_default(special.bos, "<|startoftext|>");
    use_default(special.eos, "<|endoftext|>");
    use_default(special.pad, special.eos);
    use_default(special.unknown, special.eos);
    EQ_TRY(find_special(ctx, vocabulary, special.bos, "start", where, &tokenizer->bos));
    EQ_TRY(find_special(ctx, vocabulary, special.eos, "end", where, &tokenizer->eos));
    EQ_TRY(find_special(ctx, vocabulary, special.pad, "padding", where, &tokenizer->pad));
    EQ_TRY(find_special(ctx, vocabulary, special.unknown, "unknown", where, &tokenizer->unknown));
    return compile_words(ctx, &special, where, &tokenizer->words);
}

eq_status eq_tokenizer_new(eq_context *ctx, eq_vocabulary *vocabulary, const eq_special_tokens *special,
                           const char *where, eq_tokenizer **out)
{
    *out = NULL;
    eq_tokenizer *tokenizer = calloc(1, sizeof *tokenizer);
    if (!tokenizer) {
        eq_vocabulary_free(vocabulary);
        return eq_fail_memory(ctx, "a tokenizer");
    }
    tokenizer->vocabulary = *vocabulary;
    *vocabulary = (eq_vocabulary){0};
    eq_status status = set_up(ctx, tokenizer, *special, where);
    if (status == EQ_OK)
        *out = tokenizer;
    else
        eq_tokenizer_free(tokenizer);
    return status;
}

void eq_tokenizer_free(eq_tokenizer *tokenizer)
{
    if (!tokenizer)
        return;
    pcre2_code_free(tokenizer->words);
    eq_vocabulary_free(&tokenizer->vocabulary);
    free(tokenizer);
}

int32_t eq_tokenizer_bos(const eq_tokenizer *tokenizer)
{
    return tokenizer->bos;
}

int32_t eq_tokenizer_eos(const eq_tokenizer *tokenizer)
{
    return tokenizer->eos;
}

int32_t eq_tokenizer_pad(const eq_tokenizer *tokenizer)
{
    return tokenizer->pad;
}

void eq_tokenizer_pad_with(eq_tokenizer *tokenizer, int32_t id)
{
    tokenizer->pad = id;
}

int32_t eq_tokenizer_max_id(const eq_tokenizer *tokenizer)
{
    return tokenizer->vocabulary.max_id;
}

/* --- text to tokens --- */

/* Replaces every occurrence of the pair of rank `best`, from left to right. ids: [count], ranks: [count], of the pair
 * that starts at each place. Returns the new count. */
static size_t merge_pairs(const eq_vocabulary *vocabulary, int32_t *ids, int32_t *ranks, size_t count, int32_t best)
{
    size_t put = 0;
    bool merged = false;
    for (size_t i = 0; i < count; put++) {
        bool merged_before = merged;
        merged = ranks[i] == best;
        ids[put] = merged ? vocabulary->merges[best].result : ids[i];
        ranks[put] = merged ? EQ_NO_MERGE : ranks[i];
        if (put > 0 && (merged || merged_before))
            ranks[put - 1] = eq_vocabulary_rank(vocabulary, ids[put - 1], ids[put]);
        i += merged ? 2 : 1;
    }
    return put;
}

/* Byte-pair encoding of one word in place. ids: [count] of its bytes; scratch: [count]. Returns the new count. */
static size_t merge_word(const eq_vocabulary *vocabulary, int32_t *ids, int32_t *scratch, size_t count)
{
    for (size_t i = 0; i < count; i++)
        scratch[i] = i + 1 < count ? eq_vocabulary_rank(vocabulary, ids[i], ids[i + 1]) : EQ_NO_MERGE;
    for (;;) {
        int32_t best = EQ_NO_MERGE;
        for (size_t i = 0; i < count; i++)
            best = scratch[i] < best ? scratch[i] : best;
        if (best == EQ_NO_MERGE)
            return count;
        count = merge_pairs(vocabulary, ids, scratch, count, best);
    }
}

/* Appends the tokens of the word text[start : start + size]. scratch: [size] */
static void add_word(const eq_tokenizer *tokenizer, size_t start, size_t size, int32_t *scratch, eq_tokens *out)
{
    const eq_vocabulary *vocabulary = &tokenizer->vocabulary;
    int32_t *ids = out->ids + out->count;
    for (size_t i = 0; i < size; i++)
        ids[i] = vocabulary->bytes[i + 1 == size][(unsigned char)out->text[start + i]];
    size_t count = merge_word(vocabulary, ids, scratch, size);
    for (size_t i = 0; i < count; i++) {
        ids[i] = ids[i] == EQ_NO_TOKEN ? tokenizer->unknown : ids[i];
        out->places[out->count + i] = start;
    }
    out->count += count;
}

static void add_token(int32_t id, size_t start, eq_tokens *out)
{
    out->ids[out->count] = id;
    out->places[out->count++] = start;
}

static eq_status add_words(eq_context *ctx, const eq_tokenizer *tokenizer, pcre2_match_data *match, size_t size,
                           int32_t *scratch, eq_tokens *out)
{
    const PCRE2_SIZE *place = pcre2_get_ovector_pointer(match);
    for (size_t at = 0; at < size; at = place[1]) {
        int groups = pcre2_match(tokenizer->words, (PCRE2_SPTR)out->text, size, at, PCRE2_NO_UTF_CHECK, match, NULL);
        if (groups == PCRE2_ERROR_NOMATCH)
            return EQ_OK;
        if (groups < 0)
            return eq_fail(ctx, EQ_FAILED, "the text could not be cut into words (PCRE2 error %d)", groups);
        if (groups > 1)
            add_token(groups == 2 ? tokenizer->bos : tokenizer->eos, place[0], out);
        else
            add_word(tokenizer, place[0], place[1] - place[0], scratch, out);
    }
    return EQ_OK;
}

eq_status eq_tokenize(eq_context *ctx, const eq_tokenizer *tokenizer, const char *text, eq_tokens *out)
{
    *out = (eq_tokens){0};
    EQ_TRY(eq_text_normalise(ctx, text, &out->text));
    size_t size = strlen(out->text); /* there are at most as many tokens as bytes */
    out->ids = malloc((size + 1) * sizeof *out->ids);
    out->places = malloc((size + 1) * sizeof *out->places);
    int32_t *scratch = malloc((size + 1) * sizeof *scratch);
    pcre2_match_data *match = pcre2_match_data_create_from_pattern(tokenizer->words, NULL);
    eq_status status = out->ids && out->places && scratch && match
                           ? add_words(ctx, tokenizer, match, size, scratch, out)
                           : eq_fail_memory(ctx, "a text's tokens");
    pcre2_match_data_free(match);
    free(scratch);
    if (status != EQ_OK)
        eq_tokens_free(out);
    return status;
}

void eq_tokens_free(eq_tokens *tokens)
{
    free(tokens->text);
    free(tokens->ids);
    free(tokens->places);
    *tokens = (eq_tokens){0};
}

static void warn_of_rest(eq_context *ctx, const eq_tokens *tokens, size_t kept)
{
    enum { SHOWN = 400 };
    const char *rest = tokens->text + tokens->places[kept];
    size_t shown = strnlen(rest, SHOWN + 1);
    bool more = shown > SHOWN;
    while (more && shown > 0 && ((shown > SHOWN) || ((unsigned char)rest[shown] & 0xc0) == 0x80))
        shown--;
    eq_log(ctx, EQ_LOG_WARNING, "the text has %zu tokens, the model takes %zu; cut off: \"%.*s%s\"", tokens->count,
           kept, (int)shown, rest, more ? "..." : "");
}

eq_status eq_tokenizer_encode(eq_context *ctx, const eq_tokenizer *tokenizer, const char *text, int length,
                              int32_t *ids, bool *truncated)
{
    if (length < 2)
        return eq_fail(ctx, EQ_BAD_USAGE, "a text model of %d tokens has no room for start and end", length);
    eq_tokens tokens;
    EQ_TRY(eq_tokenize(ctx, tokenizer, text, &tokens));
    size_t room = (size_t)length - 2, kept = tokens.count < room ? tokens.count : room, put = 0;
    if (kept < tokens.count)
        warn_of_rest(ctx, &tokens, kept);
    if (truncated)
        *truncated = kept < tokens.count;
    ids[put++] = tokenizer->bos;
    for (size_t i = 0; i < kept; i++)
        ids[put++] = tokens.ids[i];
    ids[put++] = tokenizer->eos;
    while (put < (size_t)length)
        ids[put++] = tokenizer->pad;
    eq_tokens_free(&tokens);
    return EQ_OK;
}
