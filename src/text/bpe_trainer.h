/* Learns a byte-pair vocabulary in CLIP's form from texts: 256 bytes within a word and 256 at its end, a token for each
 * merge, start and end (Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units", ACL 2016,
 * algorithm 1, on the words that CLIP's tokenizer cuts the texts into). */
#ifndef EQ_TEXT_BPE_TRAINER_H
#define EQ_TEXT_BPE_TRAINER_H

#include "text/vocabulary.h"

/* The bytes, start and end; and how many tokens a vocabulary may have at most. */
enum { EQ_BPE_MIN_TOKENS = 514, EQ_BPE_MAX_TOKENS = 1 << 20 };

typedef struct eq_bpe_trainer eq_bpe_trainer;

eq_status eq_bpe_trainer_new(eq_context *ctx, eq_bpe_trainer **out);
void eq_bpe_trainer_free(eq_bpe_trainer *trainer);

/* Counts a text's words. EQ_BAD_USAGE when it is not valid UTF-8 or absurdly long. */
eq_status eq_bpe_trainer_add(eq_context *ctx, eq_bpe_trainer *trainer, const char *text);
/* How many different words there are. */
size_t eq_bpe_trainer_words(const eq_bpe_trainer *trainer);

/* Merges the most frequent pair, of equally frequent ones that with the lowest ids, until there are `tokens` tokens, or
 * no pair occurs twice. Once only: the trainer's words end up merged. Freed with eq_vocabulary_free. */
eq_status eq_bpe_trainer_learn(eq_context *ctx, eq_bpe_trainer *trainer, int tokens, eq_vocabulary *out);

#endif
