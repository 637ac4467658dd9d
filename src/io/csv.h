/* Fields of CSV text (RFC 4180): they may be quoted, blanks around unquoted ones are dropped, lines end in any way. */
#ifndef EQ_IO_CSV_H
#define EQ_IO_CSV_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* Text that is read field by field. `field` takes the next one, terminated; the caller points it at as much room as the
 * text is long and one byte, and may move it on behind a field that it keeps. */
typedef struct eq_csv {
    eq_context *ctx;
    const char *name; /* the file's, for messages */
    const char *at, *end;
    size_t line;
    char *field;
    bool quoted; /* whether the last field was */
    bool last;   /* whether it ended its record */
} eq_csv;

/* Reads one field and the comma behind it; EQ_BAD_INPUT names file and line. */
eq_status eq_csv_read_field(eq_csv *csv);
/* Goes on to the next record once the last field of one was read. */
void eq_csv_end_record(eq_csv *csv);

/* Refuses text that is not UTF-8 or holds zero bytes: JSON's and CSV's readers see it first. */
eq_status eq_check_text(eq_context *ctx, const char *text, size_t size, const char *name);

#endif
