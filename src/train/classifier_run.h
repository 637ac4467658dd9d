/* A whole training run of a classifier: labelled images to a classifier folder, graded on images held out, with
 * checkpoints and exact resume. */
#ifndef EQ_TRAIN_CLASSIFIER_RUN_H
#define EQ_TRAIN_CLASSIFIER_RUN_H

#include "models/classifier_file.h"
#include "train/labelled_images.h"
#include "train/trainer.h"

typedef struct eq_classifier_training {
    const char *images;              /* folder */
    const char *labels;              /* CSV or JSON lines */
    const eq_labelled_folder *added; /* [added_count] further images to learn from */
    int added_count;
    const char *out;               /* folder: the classifier, checkpoint.safetensors, and folds/ of cross-validation */
    eq_classifier_config network;  /* its attributes are not read: they are the labels' */
    const char *const *attributes; /* [attribute_count] columns to learn; none: all */
    int attribute_count;
    eq_optimiser_options optimiser; /* total_steps: updates */
    int batch;
    double held_out; /* share of the images kept for grading, 0..0.9 */
    int folds;       /* 2 or more: graded by cross-validation, and the final classifier learns from all images */
    bool balance;    /* rare combinations of classes are seen as often as common ones, up to a factor of 10 */
    bool strict;
    uint64_t seed;
    double checkpoint_seconds; /* between checkpoints; 0: only at the end */
    bool resume;               /* continue from the checkpoints in `out` if there are any */
    eq_dtype save_dtype;
    eq_training_progress_fn progress;
    void *progress_user;
} eq_classifier_training;

/* Cancelled, it leaves checkpoints to resume from. Without `resume`, a checkpoint in `out` is an error rather than
 * lost. scores: [EQ_CLASSIFIER_MAX_ATTRIBUTES] on the held-out images; config: with the attributes. Both are freed by
 * the caller (eq_classifier_config_free, free of each confusion). */
eq_status eq_classifier_train(eq_context *ctx, const eq_classifier_training *run, eq_classifier_config *config,
                              eq_classifier_score *scores);

#endif
