#include "text/vocabulary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "base/hash.h"

/* --- hash tables --- */

static uint64_t hash_text(const char *text, size_t size)
{
    uint64_t hash = eq_hash_bytes(text, size);
    return hash ^ hash >> 32;
}

static uint64_t hash_pair(int32_t left, int32_t right)
{
    uint64_t hash = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 32;
}

/* At most half full. */
static int32_t *new_slots(size_t items, size_t *count)
{
    *count = 16;
    while (*count < 2 * items)
        *count *= 2;
    int32_t *slots = malloc(*count * sizeof *slots);
    for (size_t i = 0; slots && i < *count; i++)
        slots[i] = -1;
    return slots;
}

/* The slot that holds the token, or the free one where it belongs. */
static int32_t *token_slot(const eq_vocabulary *v, const char *text, size_t size)
{
    size_t mask = v->token_slot_count - 1;
    for (size_t at = hash_text(text, size) & mask;; at = (at + 1) & mask) {
        int32_t index = v->token_slots[at];
        if (index < 0 || (v->tokens[index].size == size && memcmp(v->tokens[index].text, text, size) == 0))
            return &v->token_slots[at];
    }
}

static int32_t *merge_slot(const eq_vocabulary *v, int32_t left, int32_t right)
{
    size_t mask = v->merge_slot_count - 1;
    for (size_t at = hash_pair(left, right) & mask;; at = (at + 1) & mask) {
        int32_t index = v->merge_slots[at];
        if (index < 0 || (v->merges[index].left == left && v->merges[index].right == right))
            return &v->merge_slots[at];
    }
}

int32_t eq_vocabulary_find(const eq_vocabulary *vocabulary, const char *text, size_t size)
{
    int32_t index = *token_slot(vocabulary, text, size);
    return index < 0 ? EQ_NO_TOKEN : vocabulary->tokens[index].id;
}

int32_t eq_vocabulary_rank(const eq_vocabulary *vocabulary, int32_t left, int32_t right)
{
    int32_t index = *merge_slot(vocabulary, left, right);
    return index < 0 ? EQ_NO_MERGE : index;
}

/* --- building --- */

eq_status eq_vocabulary_reserve(eq_context *ctx, eq_vocabulary *vocabulary, size_t tokens, size_t merges)
{
    vocabulary->max_id = -1;
    vocabulary->tokens = calloc(tokens + 1, sizeof *vocabulary->tokens);
    vocabulary->merges = calloc(merges + 1, sizeof *vocabulary->merges);
    vocabulary->token_slots = new_slots(tokens, &vocabulary->token_slot_count);
    vocabulary->merge_slots = new_slots(merges, &vocabulary->merge_slot_count);
    bool good = vocabulary->tokens && vocabulary->merges && vocabulary->token_slots && vocabulary->merge_slots;
    return good ? EQ_OK : eq_fail_memory(ctx, "a vocabulary");
}

eq_status eq_vocabulary_add_token(eq_context *ctx, eq_vocabulary *vocabulary, const char *text, int64_t id,
                                  const char *where)
{
    if (id < 0 || id > EQ_MAX_TOKEN_ID)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: token \"%.60s\" has id %lld, expected 0 to %d", where, text,
                       (long long)id, EQ_MAX_TOKEN_ID);
    size_t size = strlen(text);
    int32_t *slot = token_slot(vocabulary, text, size);
    if (*slot >= 0 && vocabulary->tokens[*slot].id == id)
        return EQ_OK;
    if (*slot >= 0)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: token \"%.60s\" has two ids, %d and %lld", where, text,
                       (int)vocabulary->tokens[*slot].id, (long long)id);
    char *copy = strdup(text);
    if (!copy)
        return eq_fail_memory(ctx, "a vocabulary");
    *slot = (int32_t)vocabulary->token_count;
    vocabulary->tokens[vocabulary->token_count++] = (eq_token){copy, size, (int32_t)id};
    if (id > vocabulary->max_id)
        vocabulary->max_id = (int32_t)id;
    return EQ_OK;
}

/* Bytes that are printable in Latin-1 stand for themselves, the others for 256, 257, ... in order. */
static bool is_printable(int byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

void eq_vocabulary_letters(eq_letter letters[256])
{
    int printable = 0, others = 0;
    for (int byte = 0; byte < 256; byte++)
        printable += is_printable(byte);
    for (int byte = 0, seen = 0; byte < 256; byte++) {
        const bool itself = is_printable(byte);
        eq_letter *letter = &letters[byte];
        *letter = (eq_letter){.rank = itself ? seen++ : printable + others};
        utf8proc_encode_char(itself ? byte : 256 + others++, (utf8proc_uint8_t *)letter->text);
    }
}

void eq_vocabulary_end_tokens(eq_vocabulary *vocabulary)
{
    eq_letter letters[256];
    eq_vocabulary_letters(letters);
    for (int byte = 0; byte < 256; byte++) {
        char text[16];
        size_t size = strlen(letters[byte].text);
        vocabulary->bytes[0][byte] = eq_vocabulary_find(vocabulary, letters[byte].text, size);
        memcpy(text, letters[byte].text, size);
        memcpy(text + size, "</w>", 4);
        vocabulary->bytes[1][byte] = eq_vocabulary_find(vocabulary, text, size + 4);
    }
}

eq_status eq_vocabulary_add_merge(eq_context *ctx, eq_vocabulary *vocabulary, const char *left, size_t left_size,
                                  const char *right, size_t right_size, const char *where)
{
    char joined[1024];
    if (left_size + right_size > sizeof joined)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: merge %zu is longer than %zu bytes", where, vocabulary->merge_count + 1,
                       sizeof joined);
    memcpy(joined, left, left_size);
    memcpy(joined + left_size, right, right_size);
    eq_merge merge = {eq_vocabulary_find(vocabulary, left, left_size),
                      eq_vocabulary_find(vocabulary, right, right_size),
                      eq_vocabulary_find(vocabulary, joined, left_size + right_size)};
    if (merge.left < 0 || merge.right < 0 || merge.result < 0)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: merge %zu, \"%.*s %.*s\": %s is not in the vocabulary", where,
                       vocabulary->merge_count + 1, (int)left_size, left, (int)right_size, right,
                       merge.left < 0    ? "the first part"
                       : merge.right < 0 ? "the second part"
                                         : "what they merge into");
    int32_t *slot = merge_slot(vocabulary, merge.left, merge.right);
    if (*slot >= 0)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: merge %zu, \"%.*s %.*s\", is merge %d already", where,
                       vocabulary->merge_count + 1, (int)left_size, left, (int)right_size, right, (int)*slot + 1);
    *slot = (int32_t)vocabulary->merge_count;
    vocabulary->merges[vocabulary->merge_count++] = merge;
    return EQ_OK;
}

void eq_vocabulary_free(eq_vocabulary *vocabulary)
{
    for (size_t i = 0; i < vocabulary->token_count; i++)
        free(vocabulary->tokens[i].text);
    free(vocabulary->tokens);
    free(vocabulary->merges);
    free(vocabulary->token_slots);
    free(vocabulary->merge_slots);
    *vocabulary = (eq_vocabulary){0};
}
