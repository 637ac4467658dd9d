/* Text as CLIP's vocabularies know it. */
#ifndef EQ_TEXT_NORMALISE_H
#define EQ_TEXT_NORMALISE_H

#include <stddef.h>

#include "base/error.h"

/* A prompt is a few hundred bytes; what is larger than this is a mistake. */
enum { EQ_TEXT_MAX_BYTES = 64 * 1024 };

/* Composes (NFC), turns runs of white space into one space and drops it at the ends, and lowers the case, in that
 * order, as OpenAI's CLIP does after ftfy; nothing else of ftfy is done, and HTML entities stay as they are. *out is
 * malloc'ed UTF-8, the caller frees it. EQ_BAD_USAGE when `text` is not valid UTF-8 or is too long. */
eq_status eq_text_normalise(eq_context *ctx, const char *text, char **out);

/* How many bytes of text [size] are valid UTF-8, from the start. */
size_t eq_text_valid_length(const char *text, size_t size);

#endif
