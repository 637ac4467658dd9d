/* Captions: what is written about each image of a set. */
#ifndef EQ_IO_CAPTIONS_H
#define EQ_IO_CAPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/path.h"

typedef struct eq_caption {
    const char *file; /* without a leading "./"; both belong to the list */
    const char *text; /* UTF-8, not empty */
} eq_caption;

/* In bytewise order of their files, those of one file in the table's order. Freed by eq_captions_free. */
typedef struct eq_captions {
    eq_caption *items; /* [count] */
    size_t count;
    char *text; /* what they point into */
} eq_captions;

/* Reads a table of at most 1 GiB: CSV (RFC 4180) with a header, or JSON lines, told by content; columns (keys)
 * "file_name" and "caption", others are ignored. Rows without a caption are left out. EQ_BAD_INPUT names file and line:
 * a column is missing or there twice, another number of fields than columns, no captions, text that is not UTF-8. */
eq_status eq_captions_read(eq_context *ctx, const char *path, eq_captions *out);
/* The same from memory; `name` stands for the file in messages. */
eq_status eq_captions_parse(eq_context *ctx, const char *text, size_t size, const char *name, eq_captions *out);
void eq_captions_free(eq_captions *captions);

/* The captions of a file: *first is the first one's index; returns how many there are, 0 for none. */
size_t eq_captions_find(const eq_captions *captions, const char *file, size_t *first);

#endif
