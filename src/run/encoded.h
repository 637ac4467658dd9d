/* Texts as the network takes them, encoded once for all runs of the same texts: those of a calibration, of the run, of
 * its unguided twins. */
#ifndef EQ_RUN_ENCODED_H
#define EQ_RUN_ENCODED_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

typedef struct eq_encoded {
    int holders;
    char *key;      /* of all that the numbers depend on, besides the model */
    float *context; /* [texts, length, width] */
    float *text;    /* [texts, pooled] or NULL: pooled states (Stable Diffusion XL) */
} eq_encoded;

/* The key of these texts, malloc'ed; a text may be NULL, which is another than "". NULL: memory is out. */
char *eq_encoded_key(const char *const *texts, int count, const char *tokenizer, bool bf16);

/* Takes over the key, freed also on failure; its caller is the first holder. */
eq_status eq_encoded_new(eq_context *ctx, char *key, size_t context_count, size_t text_count, eq_encoded **out);
eq_encoded *eq_encoded_hold(eq_encoded *encoded);
/* Freed with its last holder. NULL is allowed. */
void eq_encoded_release(eq_encoded *encoded);

#endif
