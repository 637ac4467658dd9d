/* What classes are called in prompts: "gender=female:woman,male:man", one such text an attribute. A class that is not
 * named there goes by its own name. */
#ifndef EQ_RUN_CLASS_WORDS_H
#define EQ_RUN_CLASS_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "equipoise/target.h"

typedef struct eq_class_words {
    const char *const *texts; /* [count] not owned */
    int count;
} eq_class_words;

/* EQ_BAD_USAGE: malformed, or about an attribute or class that no target has, or about one a second time. */
eq_status eq_class_words_check(eq_context *ctx, const eq_class_words *words, const eq_targets *targets);

/* Whether a text that has been checked is about an attribute of the targets. */
bool eq_class_words_concern(const char *text, const eq_targets *targets);

/* The words for a class, *length bytes of them, maybe none. */
const char *eq_class_words_find(const eq_class_words *words, const eq_attribute *attribute, int class, size_t *length);

#endif
