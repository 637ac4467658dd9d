/* A byte-pair vocabulary in CLIP's form: tokens with their ids, and pairs of tokens that merge, ranked. Tokens are
 * written in the alphabet of GPT-2's tokenizer, a printable character for each byte; those that end a word end in
 * "</w>" (Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units", ACL 2016). */
#ifndef EQ_TEXT_VOCABULARY_H
#define EQ_TEXT_VOCABULARY_H

#include <stddef.h>
#include <stdint.h>

#include "io/json.h"

enum { EQ_NO_MERGE = INT32_MAX, EQ_NO_TOKEN = -1, EQ_MAX_TOKEN_ID = (1 << 24) - 1 };

typedef struct eq_token {
    char *text; /* owned */
    size_t size;
    int32_t id;
} eq_token;

typedef struct eq_merge {
    int32_t left, right, result; /* ids */
} eq_merge;

/* slots: open-addressing hash tables [slot_count, a power of two] of indices, -1 where free. */
typedef struct eq_vocabulary {
    eq_token *tokens;
    size_t token_count, token_slot_count;
    int32_t *token_slots;
    eq_merge *merges; /* [merge_count], by rank */
    size_t merge_count, merge_slot_count;
    int32_t *merge_slots;
    int32_t max_id;
    int32_t bytes[2][256]; /* ids of single bytes within a word [0] and at its end [1], or EQ_NO_TOKEN */
} eq_vocabulary;

/* Reads "vocab.json" and "merges.txt" of a folder, or its "tokenizer.json" where the first is missing. Freed with
 * eq_vocabulary_free. EQ_BAD_INPUT names the file and the fault. */
eq_status eq_vocabulary_open(eq_context *ctx, const char *folder, eq_vocabulary *out);

/* From a document {token: id, ...} and the text of a merges file: a pair a line, a first line "#version..." and empty
 * lines apart; `name` stands for that file in messages. */
eq_status eq_vocabulary_read(eq_context *ctx, const eq_json *tokens, const char *merges, size_t size, const char *name,
                             eq_vocabulary *out);
/* From a tokenizer.json. */
eq_status eq_vocabulary_read_tokenizer(eq_context *ctx, const eq_json *json, eq_vocabulary *out);
void eq_vocabulary_free(eq_vocabulary *vocabulary);

/* The token's id, or EQ_NO_TOKEN. */
int32_t eq_vocabulary_find(const eq_vocabulary *vocabulary, const char *text, size_t size);
/* The pair's rank, an index into merges, or EQ_NO_MERGE. */
int32_t eq_vocabulary_rank(const eq_vocabulary *vocabulary, int32_t left, int32_t right);

/* What stands for a byte in GPT-2's alphabet, and its place there: printable bytes come first. */
typedef struct eq_letter {
    char text[8];
    int rank;
} eq_letter;

void eq_vocabulary_letters(eq_letter letters[256]);

/* For readers and trainers. Reserve makes room for all tokens and merges; tokens come before merges, which join tokens.
 * Faults are named after `where`. */
eq_status eq_vocabulary_reserve(eq_context *ctx, eq_vocabulary *vocabulary, size_t tokens, size_t merges);
eq_status eq_vocabulary_add_token(eq_context *ctx, eq_vocabulary *vocabulary, const char *text, int64_t id,
                                  const char *where);
/* Ends the tokens: looks up those of the single bytes. */
void eq_vocabulary_end_tokens(eq_vocabulary *vocabulary);
eq_status eq_vocabulary_add_merge(eq_context *ctx, eq_vocabulary *vocabulary, const char *left, size_t left_size,
                                  const char *right, size_t right_size, const char *where);

#endif
