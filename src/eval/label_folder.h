/* Labelling the images of a folder, which are read a batch at a time. */
#ifndef EQ_EVAL_LABEL_FOLDER_H
#define EQ_EVAL_LABEL_FOLDER_H

#include "base/path.h"
#include "eval/labelling.h"

typedef struct eq_label_folder_options {
    const char *folder; /* PNG, JPEG and WebP images at any depth */
    bool strict;        /* an unreadable image is an error; else it is skipped with a warning */
    bool features;      /* wanted, too */
    eq_label_progress progress;
    void *progress_user;
} eq_label_folder_options;

/* All of it is owned; freed by eq_folder_labels_free. */
typedef struct eq_folder_labels {
    eq_names files;        /* those that could be read, relative to the folder, sorted */
    int attribute_count;   /* the classifier's */
    float **probabilities; /* [attribute_count] arrays of [files.count, classes] */
    float *features;       /* [files.count, the classifier's feature count], or NULL */
    size_t skipped;        /* unreadable images */
} eq_folder_labels;

/* Images of other sizes than the classifier's are cropped and scaled. A folder without a readable image is
 * EQ_BAD_INPUT. */
eq_status eq_label_folder(eq_context *ctx, eq_classifier *classifier, const eq_label_folder_options *options,
                          eq_folder_labels *out);
void eq_folder_labels_free(eq_folder_labels *labels);

#endif
