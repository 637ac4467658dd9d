/* CLIP's tokenizer: text is normalised (text/normalise.h), cut into words by CLIP's pattern, and each word's bytes are
 * merged by rank into tokens (text/vocabulary.h). Radford et al., "Learning Transferable Visual Models From Natural
 * Language Supervision", section 2.4. */
#ifndef EQ_TEXT_TOKENIZER_H
#define EQ_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text/vocabulary.h"

typedef struct eq_tokenizer eq_tokenizer;

/* The names of the special tokens; zeroed ones are CLIP's. Names are lower case, as texts are when they are looked for
 * in them. */
typedef struct eq_special_tokens {
    char bos[64], eos[64], pad[64], unknown[64];
} eq_special_tokens;

/* Opens a tokenizer's folder: the vocabulary, and where they are there tokenizer_config.json and, which has the last
 * word, special_tokens_map.json (Stable Diffusion 2 pads with "!", where 1.x pads with the end token). Freed with
 * eq_tokenizer_free. EQ_BAD_INPUT names the file and the fault. */
eq_status eq_tokenizer_open(eq_context *ctx, const char *folder, eq_tokenizer **out);

/* Writes what eq_tokenizer_open and transformers' CLIPTokenizer read: vocab.json, merges.txt, tokenizer_config.json and
 * special_tokens_map.json with CLIP's special tokens, which are in the vocabulary; texts are cut to `length` tokens.
 * The folder is created where missing. */
eq_status eq_tokenizer_write(eq_context *ctx, const char *folder, const eq_vocabulary *vocabulary, int length);

/* Makes one of a vocabulary, which it takes over, also on failure. `where` is named in messages. */
eq_status eq_tokenizer_new(eq_context *ctx, eq_vocabulary *vocabulary, const eq_special_tokens *special,
                           const char *where, eq_tokenizer **out);
void eq_tokenizer_free(eq_tokenizer *tokenizer);

/* Reads "bos_token", "eos_token", "pad_token" and "unk_token", each a string or an object with its "content", into
 * `special`; what is missing stays as it is. */
eq_status eq_special_tokens_read(eq_context *ctx, const eq_json *json, eq_special_tokens *special);

/* Tokens of a text, start and end among them, that the tokenizer's folder says its model takes: "model_max_length" of
 * tokenizer_config.json, or CLIP's 77. */
eq_status eq_tokenizer_length(eq_context *ctx, const char *folder, int *length);

int32_t eq_tokenizer_bos(const eq_tokenizer *tokenizer);
int32_t eq_tokenizer_eos(const eq_tokenizer *tokenizer);
int32_t eq_tokenizer_pad(const eq_tokenizer *tokenizer);
/* Pads with that id instead, 0 to max_id. */
void eq_tokenizer_pad_with(eq_tokenizer *tokenizer, int32_t id);
/* The largest id: a text model needs at least one more row in its table. */
int32_t eq_tokenizer_max_id(const eq_tokenizer *tokenizer);

/* A text's tokens, without start, end and padding. A zeroed structure is empty. */
typedef struct eq_tokens {
    char *text;     /* owned: what was cut into words, normalised */
    int32_t *ids;   /* [count], owned */
    size_t *places; /* [count], owned: where in `text` the token's word starts, in bytes */
    size_t count, capacity;
} eq_tokens;

/* EQ_BAD_USAGE when the text is not valid UTF-8 or absurdly long. */
eq_status eq_tokenize(eq_context *ctx, const eq_tokenizer *tokenizer, const char *text, eq_tokens *out);
void eq_tokens_free(eq_tokens *tokens);

/* ids: [length], length 2 or more: start, the text's tokens, end, padding. What does not fit is cut off, with a
 * warning in the log that shows it; *truncated (may be NULL) tells. */
eq_status eq_tokenizer_encode(eq_context *ctx, const eq_tokenizer *tokenizer, const char *text, int length,
                              int32_t *ids, bool *truncated);

#endif
