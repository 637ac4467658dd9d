/* A tokenizer's files with a vocabulary of a few letters, in CLIP's file format. */
#ifndef EQ_TESTS_TINY_TOKENIZER_H
#define EQ_TESTS_TINY_TOKENIZER_H

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/path.h"

enum { TINY_BOS = 14, TINY_EOS = 15, TINY_VOCABULARY = 16 };

static const char tiny_vocab[] =
    "{\"!\": 0, \"a\": 1, \"b\": 2, \"c\": 3, \"a</w>\": 4, \"b</w>\": 5, \"c</w>\": 6, \"ab\": 7, \"ab</w>\": 8,"
    " \"abc</w>\": 9, \"!</w>\": 10, \"\u00c3\": 11, \"\u00a9</w>\": 12, \"1</w>\": 13, \"<|startoftext|>\": 14,"
    " \"<|endoftext|>\": 15}";
static const char tiny_merges[] = "#version: 0.2\na b\na b</w>\nab c</w>\n";

static inline eq_status tiny_write(eq_context *ctx, const char *folder, const char *name, const char *text)
{
    char *path = eq_path_join(folder, name);
    eq_status status = eq_make_folders(ctx, folder);
    if (status == EQ_OK)
        status = eq_file_write(ctx, path, text, strlen(text));
    free(path);
    return status;
}

static inline eq_status tiny_tokenizer_write(eq_context *ctx, const char *folder)
{
    EQ_TRY(tiny_write(ctx, folder, "vocab.json", tiny_vocab));
    return tiny_write(ctx, folder, "merges.txt", tiny_merges);
}

#endif
