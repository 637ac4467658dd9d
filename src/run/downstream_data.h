/* The folders of a downstream comparison: where their images and labels are, and how many show what. */
#ifndef EQ_RUN_DOWNSTREAM_DATA_H
#define EQ_RUN_DOWNSTREAM_DATA_H

#include "base/hash.h"
#include "io/labels.h"
#include "run/downstream.h"

/* Owned but for the name. */
typedef struct eq_downstream_folder {
    const char *name;
    char *images, *labels; /* a folder, a table */
    eq_labels table;
    eq_names files;           /* the images */
    int64_t *rows;            /* [files.count] of the table, -1: none */
    char hash[EQ_SHA256_HEX]; /* of images and labels */
} eq_downstream_folder;

/* Freed by eq_downstream_data_free. */
typedef struct eq_downstream_data {
    eq_downstream_folder train, test;
    eq_downstream_folder *added; /* [added_count] */
    int added_count;
    /* What is learnt, its classes those of the train set; then what makes the groups, classes of the test set. */
    int attribute_count;
    eq_attribute attributes[1 + EQ_TARGET_ATTRIBUTES];
    int classes, groups; /* a group is a combination of classes, the last attribute's running fastest */
    /* The test images that have all these labels. */
    int n;
    int *group, *truth; /* [n] */
    int *file;          /* [n] of test.files */
} eq_downstream_data;

eq_status eq_downstream_data_open(eq_context *ctx, const eq_downstream_options *options, eq_downstream_data *out);
void eq_downstream_data_free(eq_downstream_data *data);

/* cells: [groups x classes], adds the folder's images to them; *complete becomes false where labels are missing. */
void eq_downstream_count(const eq_downstream_data *data, const eq_downstream_folder *folder, int *cells,
                         bool *complete);

/* "female/dark/old", group before class; malloc'ed, NULL when memory is out. */
char *eq_downstream_cell_name(const eq_downstream_data *data, int cell);

#endif
