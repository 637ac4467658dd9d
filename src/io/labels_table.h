/* A table of labels as it is read: columns and rows grow, classes are numbered as they appear. */
#ifndef EQ_IO_LABELS_TABLE_H
#define EQ_IO_LABELS_TABLE_H

#include "io/labels.h"

typedef struct eq_label_column {
    char *name;
    char **classes; /* [class_count] in order of appearance */
    int class_count;
    int *index;         /* [table capacity] class of each row, -1: none */
    float *p;           /* [table capacity] its probability, NaN: not said; NULL: no column says it */
    int probability_of; /* the column whose p this one fills, -1: an attribute */
} eq_label_column;

/* Made with `ctx` and `name` (the file's, for messages) alone; what it owns is freed by eq_label_table_free. */
typedef struct eq_label_table {
    eq_context *ctx;
    const char *name;
    eq_label_column *columns; /* [column_count] */
    int column_count;
    char **files;  /* [count] */
    size_t *lines; /* [count] where each row stands */
    size_t count, capacity;
} eq_label_table;

void eq_label_table_free(eq_label_table *table);

/* The column of that name, or -1. */
int eq_label_table_column(const eq_label_table *table, const char *name);
/* Adds a column in which the rows so far are unlabelled; "X_p" where there is a column "X" takes its probabilities. */
eq_status eq_label_table_add_column(eq_label_table *table, const char *name, size_t line);
/* Adds a row without labels. */
eq_status eq_label_table_add_row(eq_label_table *table, const char *file, size_t line);
/* Labels the last row; an empty class is no label. */
eq_status eq_label_table_set(eq_label_table *table, int column, const char *class_name, size_t line);

/* Sorts the classes, checks the files, and moves everything into `out`. The table is to be freed all the same. */
eq_status eq_label_table_pack(eq_label_table *table, eq_labels *out);

#endif
