/* Tables of labels: which class of each attribute every image of a set shows. */
#ifndef EQ_IO_LABELS_H
#define EQ_IO_LABELS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "base/path.h"
#include "equipoise/target.h"

enum { EQ_LABELS_MAX_CLASSES = 1000, EQ_LABELS_MAX_ATTRIBUTES = 1000 };

/* All of it is owned; freed by eq_labels_free. */
typedef struct eq_labels {
    size_t count;
    char **files; /* [count] names in the order of the table, unique, without a leading "./" */
    int attribute_count;
    eq_attribute *attributes; /* [attribute_count] in the order of the columns, classes in bytewise order */
    int *classes;             /* [count, attribute_count] -1 where unlabelled */
    float *probabilities;     /* [count, attribute_count] of those classes, NaN where not said; NULL: nowhere */
    size_t *order;            /* [count] rows by file name, for eq_labels_find */
} eq_labels;

/* Reads a table of at most 1 GiB in either form, told by content:
 * - CSV (RFC 4180): a header with a column "file_name", every other column an attribute; fields may be quoted, spaces
 *   around unquoted ones are dropped, lines end in any way, empty lines are skipped.
 * - JSON lines: an object a line, with "file_name", every other key an attribute; values are strings, integers,
 *   true/false or null.
 * A CSV column "X_p" behind a column "X" is no attribute but the probability of X's class in that row, 0 to 1; one
 *   before it is refused.
 * An empty field, null or a missing key is no label. Attributes without any label are dropped with a warning.
 * EQ_BAD_INPUT names file and line: no "file_name", a repeated file or column, another number of fields than columns,
 * more than EQ_LABELS_MAX_CLASSES classes, no rows, no attributes, text that is not UTF-8. */
eq_status eq_labels_read(eq_context *ctx, const char *path, eq_labels *out);
/* The same from memory; `name` stands for the file in messages. */
eq_status eq_labels_parse(eq_context *ctx, const char *text, size_t size, const char *name, eq_labels *out);
void eq_labels_free(eq_labels *labels);

/* The row of a file; -1 if it has none. */
int64_t eq_labels_find(const eq_labels *labels, const char *file);

typedef struct eq_labels_match {
    size_t matched;          /* images with a row */
    size_t images_unmatched; /* images without a row */
    size_t labels_unmatched; /* rows without an image */
} eq_labels_match;

/* rows: [images->count] the row of each image, or -1. Where not a single image's name is in the table, the folders are
 * left out of the comparison: a table beside a folder "images" says "images/a.png" for what is "a.png" in that folder;
 * names that this makes ambiguous stay unmatched. */
eq_status eq_labels_match_images(eq_context *ctx, const eq_labels *labels, const eq_names *images, int64_t *rows,
                                 eq_labels_match *out);

/* Writes CSV, file_name first; unlabelled fields are empty. Where there are probabilities, every attribute "X" has a
 * column "X_p" behind it. Uses all but `order`. */
eq_status eq_labels_write_csv(eq_context *ctx, const char *path, const eq_labels *labels);
/* The same into a stream, which the caller checks for faults. */
void eq_labels_print_csv(FILE *out, const eq_labels *labels);

#endif
