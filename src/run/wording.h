/* Prompts as text methods word them: with the words of an image's classes put in, and edit prompts of these words. */
#ifndef EQ_RUN_WORDING_H
#define EQ_RUN_WORDING_H

#include "guidance/guidance.h"
#include "run/class_words.h"

enum { EQ_WORDINGS = 256 }; /* of one prompt, at most */

/* Puts words into a prompt: in the place of its "{}", or, where there is none, behind its last "a" or "an", which then
 * goes by the words' first letter ("a doctor", "old" -> "an old doctor"). Without words, "{}" goes, and one blank
 * beside it. *out is malloc'ed. EQ_BAD_USAGE: words, but no place for them. */
eq_status eq_word_prompt(eq_context *ctx, const char *prompt, const char *words, char **out);

/* The texts of a run. */
typedef struct eq_wording {
    int prompts, variants, edits;
    char **texts; /* [prompts * variants + edits] owned: each prompt's variants, then the edit prompts */
} eq_wording;

/* Without a text method each prompt has one variant; with `prompt-quota` one for each combination of the targets'
 * cells; with `fair-diffusion` there is an edit prompt for each class of each target. EQ_BAD_USAGE: more than
 * EQ_WORDINGS of them, class words without a use, and as above. Freed with eq_wording_free. */
eq_status eq_wording_make(eq_context *ctx, const char *const *prompts, int count, eq_text_rule rule,
                          const eq_class_words *words, const eq_targets *targets, eq_wording *out);
void eq_wording_free(eq_wording *wording);

/* cells: the image's cell of target t at [t * stride]. */

/* The variant for an image of these cells; 0 where there is only one. */
int eq_wording_variant(const eq_wording *wording, const eq_targets *targets, const int *cells, int64_t stride);

/* The edit prompts of one image, counted from the first edit prompt: for each attribute that of its class, and where
 * there are but two, that of the other. edits, signs (1: towards, -1: away): [EQ_SEMANTIC_PROMPTS], either may be NULL.
 * Returns their number, which depends on the targets alone. */
int eq_wording_edits(const eq_targets *targets, const int *cells, int64_t stride, int *edits, float *signs);

#endif
