/* The prompts of a command line: one, or a file of them with counts of their own. */
#ifndef EQ_TOOL_PROMPTS_H
#define EQ_TOOL_PROMPTS_H

#include "equipoise/generate.h"
#include "text/prompt_file.h"

typedef struct eq_prompt_choice {
    eq_prompt_list list;
    const char *one;
    const char **texts; /* [list.count] views of the list, owned */
    int64_t *images;    /* [list.count], owned */
} eq_prompt_choice;

/* Puts prompts, and with a file also the count of images, into the options, which view `out` until it is freed. Either
 * of prompt and file may be NULL. EQ_BAD_USAGE: both; a count beside a file; no count at all. */
eq_status eq_prompt_choice_read(eq_context *ctx, const char *prompt, const char *file, eq_prompt_choice *out,
                                eq_generate_options *options);
void eq_prompt_choice_free(eq_prompt_choice *choice);

#endif
