/* Methods side by side: every method of a suite for every target and seed on one model, tuned alike, graded by one
 * evaluator, and written up.
 *
 * The folder (see doc/formats.md, "Comparison") has a run's folder for every cell; one that is there is not run again.
 * So an interrupted comparison goes on where it was. */
#ifndef EQ_RUN_COMPARISON_H
#define EQ_RUN_COMPARISON_H

#include "run/suite.h"

typedef struct eq_comparison_options {
    const eq_suite *suite;
    const char *suite_path; /* for messages */
    const char *model;      /* folder or file */
    const char *evaluator;  /* a classifier: folder or file */
    /* What labelled for the predictors, and guides where a method wants a classifier, in place of one that its run
     * would take by default; NULL: none. */
    const char *classifier;
    const char *out;
    /* Draws a suite's images that are not a folder's into `folder`, with a labels.csv that comes last. */
    eq_status (*draw)(void *user, const eq_suite_images *images, const char *folder);
    void *draw_user;
    bool allow_self_grading; /* an evaluator that is the classifier is no error */
    /* U-Net passes done of all, as far as foreseen; `doing` says what. May be NULL. */
    void (*progress)(void *user, const char *doing, double done, double total);
    void *progress_user;
} eq_comparison_options;

/* Runs what is missing, grades everything, writes comparison.json, comparison.csv and comparison.html.
 *
 * EQ_BAD_USAGE: a method, target or class that there is not; an evaluator that is the classifier; an `out` that holds
 * something else, or cells that were run with other settings than the suite now has. EQ_CANCELLED: what is finished
 * stays. */
eq_status eq_comparison_run(eq_context *ctx, const eq_comparison_options *options);

#endif
