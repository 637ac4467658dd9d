#include "text/bpe_trainer.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "text/tokenizer.h"

static const char bos[] = "<|startoftext|>", eos[] = "<|endoftext|>", learned[] = "learned vocabulary";

enum { BYTE_TOKENS = 512, MAX_TOKEN_BYTES = 256 };

/* --- growing arrays --- */

/* Makes room for one more element in *array (of pointers, structs or numbers); the old array stays on failure. */
static bool reserve(void *array, size_t count, size_t *capacity, size_t extra, size_t element)
{
    if (count + extra <= *capacity)
        return true;
    size_t grown = *capacity ? 2 * *capacity : 256;
    while (grown < count + extra)
        grown *= 2;
    void *old, *moved;
    memcpy(&old, array, sizeof old);
    if (!(moved = reallocarray(old, grown, element)))
        return false;
    memcpy(array, &moved, sizeof moved);
    *capacity = grown;
    return true;
}

/* Hash tables map keys to indices of items that are stored elsewhere, -1 where free; at most half full. */
typedef struct slots {
    int32_t *at;
    size_t count; /* a power of two, or 0 */
} slots;

/* --- words and pairs --- */

/* A different word, as the ids that it is made of so far: pool[first : first + count]. */
typedef struct word {
    size_t first, count;
    int64_t times;
} word;

/* Two neighbours, and how often they occur in all words. */
typedef struct pair {
    int32_t left, right;
    int64_t times;
} pair;

struct eq_bpe_trainer {
    eq_tokenizer *bytes; /* cuts into words, and those into bytes */
    int32_t *pool;
    size_t pool_count, pool_capacity;
    word *words;
    size_t word_count, word_capacity;
    slots word_slots;
    pair *pairs; /* in order of appearance; those that are gone have times 0 */
    size_t pair_count, pair_capacity;
    slots pair_slots;
};

static uint64_t hash_ids(const int32_t *ids, size_t count)
{
    const uint64_t hash = eq_hash_bytes((const char *)ids, count * sizeof *ids);
    return hash ^ hash >> 32;
}

/* The slot of the word with these ids, or the free one where it belongs. */
static int32_t *word_slot(const eq_bpe_trainer *t, const int32_t *ids, size_t count)
{
    const size_t mask = t->word_slots.count - 1;
    for (size_t at = hash_ids(ids, count) & mask;; at = (at + 1) & mask) {
        const int32_t index = t->word_slots.at[at];
        if (index < 0 ||
            (t->words[index].count == count && memcmp(t->pool + t->words[index].first, ids, count * sizeof *ids) == 0))
            return &t->word_slots.at[at];
    }
}

static int32_t *pair_slot(const eq_bpe_trainer *t, int32_t left, int32_t right)
{
    const size_t mask = t->pair_slots.count - 1;
    for (size_t at = hash_ids((const int32_t[]){left, right}, 2) & mask;; at = (at + 1) & mask) {
        const int32_t index = t->pair_slots.at[at];
        if (index < 0 || (t->pairs[index].left == left && t->pairs[index].right == right))
            return &t->pair_slots.at[at];
    }
}

/* Whether there is room for another item; where the table grows, all of its items have to be put in again. */
static bool grow_slots(slots *s, size_t items, bool *grown)
{
    *grown = 2 * (items + 1) > s->count;
    if (!*grown)
        return true;
    const size_t count = s->count ? 2 * s->count : 1024;
    int32_t *at = malloc(count * sizeof *at);
    if (!at)
        return false;
    memset(at, 0xff, count * sizeof *at);
    free(s->at);
    *s = (slots){at, count};
    return true;
}

static eq_status count_word(eq_context *ctx, eq_bpe_trainer *t, const int32_t *ids, size_t count)
{
    bool grown;
    if (!grow_slots(&t->word_slots, t->word_count, &grown) ||
        !reserve(&t->words, t->word_count, &t->word_capacity, 1, sizeof *t->words) ||
        !reserve(&t->pool, t->pool_count, &t->pool_capacity, count, sizeof *t->pool))
        return eq_fail_memory(ctx, "the words of a vocabulary");
    for (size_t i = 0; grown && i < t->word_count; i++)
        *word_slot(t, t->pool + t->words[i].first, t->words[i].count) = (int32_t)i;
    int32_t *slot = word_slot(t, ids, count);
    if (*slot < 0) {
        if (t->word_count == INT32_MAX)
            return eq_fail(ctx, EQ_BAD_INPUT, "there are more than %d different words", INT32_MAX);
        *slot = (int32_t)t->word_count;
        memcpy(t->pool + t->pool_count, ids, count * sizeof *ids);
        t->words[t->word_count++] = (word){t->pool_count, count, 0};
        t->pool_count += count;
    }
    t->words[*slot].times++;
    return EQ_OK;
}

static eq_status count_pair(eq_context *ctx, eq_bpe_trainer *t, int32_t left, int32_t right, int64_t times)
{
    bool grown;
    if (!grow_slots(&t->pair_slots, t->pair_count, &grown) ||
        !reserve(&t->pairs, t->pair_count, &t->pair_capacity, 1, sizeof *t->pairs))
        return eq_fail_memory(ctx, "the pairs of a vocabulary");
    for (size_t i = 0; grown && i < t->pair_count; i++)
        *pair_slot(t, t->pairs[i].left, t->pairs[i].right) = (int32_t)i;
    int32_t *slot = pair_slot(t, left, right);
    if (*slot < 0) {
        *slot = (int32_t)t->pair_count;
        t->pairs[t->pair_count++] = (pair){left, right, 0};
    }
    t->pairs[*slot].times += times;
    return EQ_OK;
}

/* Adds the word's pairs, `sign` times as often as the word occurs. */
static eq_status count_pairs_of(eq_context *ctx, eq_bpe_trainer *t, const word *w, int sign)
{
    const int32_t *ids = t->pool + w->first;
    for (size_t i = 0; i + 1 < w->count; i++)
        EQ_TRY(count_pair(ctx, t, ids[i], ids[i + 1], sign * w->times));
    return EQ_OK;
}

/* --- the vocabulary --- */

/* The tokens of single bytes, those that end words behind the others, as CLIP numbers them. */
static eq_status add_bytes(eq_context *ctx, eq_vocabulary *v)
{
    eq_letter letters[256];
    const char *ordered[256];
    eq_vocabulary_letters(letters);
    for (int byte = 0; byte < 256; byte++)
        ordered[letters[byte].rank] = letters[byte].text;
    for (int id = 0; id < BYTE_TOKENS; id++) {
        char text[16];
        strcpy(stpcpy(text, ordered[id % 256]), id < 256 ? "" : "</w>");
        EQ_TRY(eq_vocabulary_add_token(ctx, v, text, id, learned));
    }
    return EQ_OK;
}

static eq_status end_vocabulary(eq_context *ctx, eq_vocabulary *v)
{
    EQ_TRY(eq_vocabulary_add_token(ctx, v, bos, (int64_t)v->token_count, learned));
    EQ_TRY(eq_vocabulary_add_token(ctx, v, eos, (int64_t)v->token_count, learned));
    eq_vocabulary_end_tokens(v);
    return EQ_OK;
}

/* A tokenizer without merges. */
static eq_status open_bytes(eq_context *ctx, eq_tokenizer **out)
{
    eq_vocabulary v = {0};
    eq_status status = eq_vocabulary_reserve(ctx, &v, EQ_BPE_MIN_TOKENS, 0);
    if (status == EQ_OK)
        status = add_bytes(ctx, &v);
    if (status == EQ_OK)
        status = end_vocabulary(ctx, &v);
    if (status == EQ_OK)
        return eq_tokenizer_new(ctx, &v, &(eq_special_tokens){0}, learned, out);
    eq_vocabulary_free(&v);
    return status;
}

/* --- counting --- */

eq_status eq_bpe_trainer_new(eq_context *ctx, eq_bpe_trainer **out)
{
    *out = NULL;
    eq_bpe_trainer *t = calloc(1, sizeof *t);
    if (!t)
        return eq_fail_memory(ctx, "a trainer of vocabularies");
    eq_status status = open_bytes(ctx, &t->bytes);
    if (status == EQ_OK)
        *out = t;
    else
        eq_bpe_trainer_free(t);
    return status;
}

void eq_bpe_trainer_free(eq_bpe_trainer *t)
{
    if (!t)
        return;
    eq_tokenizer_free(t->bytes);
    free(t->pool);
    free(t->words);
    free(t->word_slots.at);
    free(t->pairs);
    free(t->pair_slots.at);
    free(t);
}

eq_status eq_bpe_trainer_add(eq_context *ctx, eq_bpe_trainer *t, const char *text)
{
    eq_tokens tokens;
    EQ_TRY(eq_tokenize(ctx, t->bytes, text, &tokens));
    eq_status status = EQ_OK;
    for (size_t i = 0, end; i < tokens.count && status == EQ_OK; i = end) {
        for (end = i + 1; end < tokens.count && tokens.places[end] == tokens.places[i];)
            end++;
        if (tokens.ids[i] < BYTE_TOKENS) /* not the start or end token, written out */
            status = count_word(ctx, t, tokens.ids + i, end - i);
    }
    eq_tokens_free(&tokens);
    return status;
}

size_t eq_bpe_trainer_words(const eq_bpe_trainer *t)
{
    return t->word_count;
}

/* --- merging --- */

/* The pair to merge next, or NULL. */
static const pair *best_pair(const eq_bpe_trainer *t, const eq_vocabulary *v)
{
    const pair *best = NULL;
    for (size_t i = 0; i < t->pair_count; i++) {
        const pair *p = &t->pairs[i];
        if (p->times < 2 || v->tokens[p->left].size + v->tokens[p->right].size > MAX_TOKEN_BYTES)
            continue;
        if (!best || p->times > best->times ||
            (p->times == best->times && (p->left < best->left || (p->left == best->left && p->right < best->right))))
            best = p;
    }
    return best;
}

static bool holds(const int32_t *ids, size_t count, int32_t left, int32_t right)
{
    for (size_t i = 0; i + 1 < count; i++)
        if (ids[i] == left && ids[i + 1] == right)
            return true;
    return false;
}

/* In all words, from left to right; the counts follow. */
static eq_status merge_everywhere(eq_context *ctx, eq_bpe_trainer *t, int32_t left, int32_t right, int32_t result)
{
    for (size_t i = 0; i < t->word_count; i++) {
        word *w = &t->words[i];
        int32_t *ids = t->pool + w->first;
        if (!holds(ids, w->count, left, right))
            continue;
        EQ_TRY(count_pairs_of(ctx, t, w, -1));
        size_t put = 0;
        for (size_t k = 0; k < w->count; put++) {
            const bool here = k + 1 < w->count && ids[k] == left && ids[k + 1] == right;
            ids[put] = here ? result : ids[k];
            k += here ? 2 : 1;
        }
        w->count = put;
        EQ_TRY(count_pairs_of(ctx, t, w, 1));
    }
    return EQ_OK;
}

/* Two pairs may give one token: "ab" with "c" after "a" with "bc". Both are merges, the token is one. */
static eq_status add_merge(eq_context *ctx, eq_vocabulary *v, int32_t left, int32_t right, int32_t *result)
{
    char text[MAX_TOKEN_BYTES + 1];
    const eq_token *a = &v->tokens[left], *b = &v->tokens[right];
    strcpy(stpcpy(text, a->text), b->text);
    *result = eq_vocabulary_find(v, text, a->size + b->size);
    if (*result == EQ_NO_TOKEN) {
        *result = (int32_t)v->token_count;
        EQ_TRY(eq_vocabulary_add_token(ctx, v, text, *result, learned));
    }
    return eq_vocabulary_add_merge(ctx, v, a->text, a->size, b->text, b->size, learned);
}

static eq_status learn(eq_context *ctx, eq_bpe_trainer *t, int tokens, eq_vocabulary *v)
{
    const size_t last = (size_t)tokens - 2, most_merges = 2 * (size_t)tokens;
    EQ_TRY(eq_vocabulary_reserve(ctx, v, (size_t)tokens, most_merges));
    EQ_TRY(add_bytes(ctx, v));
    for (size_t i = 0; i < t->word_count; i++)
        EQ_TRY(count_pairs_of(ctx, t, &t->words[i], 1));
    while (v->token_count < last && v->merge_count < most_merges && !eq_cancelled(ctx)) {
        const pair *best = best_pair(t, v);
        if (!best)
            break;
        const int32_t left = best->left, right = best->right;
        int32_t result;
        EQ_TRY(add_merge(ctx, v, left, right, &result));
        EQ_TRY(merge_everywhere(ctx, t, left, right, result));
    }
    if (eq_cancelled(ctx))
        return eq_fail(ctx, EQ_CANCELLED, "stopped after %zu merges", v->merge_count);
    return end_vocabulary(ctx, v);
}

eq_status eq_bpe_trainer_learn(eq_context *ctx, eq_bpe_trainer *t, int tokens, eq_vocabulary *out)
{
    *out = (eq_vocabulary){0};
    if (tokens < EQ_BPE_MIN_TOKENS || tokens > EQ_BPE_MAX_TOKENS)
        return eq_fail(ctx, EQ_BAD_USAGE,
                       "a vocabulary has %d tokens for the bytes, start and end, and at most %d; not %d",
                       EQ_BPE_MIN_TOKENS, EQ_BPE_MAX_TOKENS, tokens);
    eq_status status = learn(ctx, t, tokens, out);
    if (status != EQ_OK)
        eq_vocabulary_free(out);
    return status;
}
