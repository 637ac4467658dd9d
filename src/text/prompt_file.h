/* Prompt files: a prompt a line, with how many images of it where that is not one: "20<TAB>a portrait of a doctor".
 * Lines of white space are left out; what follows a number and a tab is the prompt as it stands. */
#ifndef EQ_TEXT_PROMPT_FILE_H
#define EQ_TEXT_PROMPT_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { EQ_PROMPT_MAX_COUNT = 1000000 };

typedef struct eq_prompt {
    const char *text; /* belongs to the list */
    int count;        /* images, 1 to EQ_PROMPT_MAX_COUNT */
} eq_prompt;

/* In the file's order; the same prompt may be there twice. */
typedef struct eq_prompt_list {
    eq_prompt *items; /* [count], owned */
    size_t count;
    int64_t images; /* of all prompts */
    char *text;     /* owned */
} eq_prompt_list;

/* EQ_BAD_INPUT names the file, the line and the fault; a file without prompts is one. Freed with eq_prompt_list_free.
 */
eq_status eq_prompt_file_read(eq_context *ctx, const char *path, eq_prompt_list *out);
/* The same from memory; `name` stands for the file. */
eq_status eq_prompt_file_parse(eq_context *ctx, const char *text, size_t size, const char *name, eq_prompt_list *out);
void eq_prompt_list_free(eq_prompt_list *list);

#endif
