/* What sets of images are worth to a classifier that learns from them: it is trained on a biased set alone and with
 * each of several other sets added, and graded by groups on a test set that was not learnt from. */
#ifndef EQ_RUN_DOWNSTREAM_H
#define EQ_RUN_DOWNSTREAM_H

#include <jansson.h>

#include "eval/fairness.h"
#include "train/classifier_run.h"

/* A set to add: a run's folder, or any with images and labels.csv. */
typedef struct eq_downstream_source {
    const char *name; /* of letters, digits, '.', '_' and '-', other than "train" */
    const char *folder;
} eq_downstream_source;

typedef struct eq_downstream_progress {
    const char *set;
    int seed;            /* from 1 */
    int64_t step, steps; /* updates of all trainings, done before or now */
    double loss;
} eq_downstream_progress;

typedef struct eq_downstream_options {
    const char *train, *test; /* folders with labels.csv and images, these in images/ or beside it */
    const char *out;          /* folder */
    const eq_downstream_source *added;
    int added_count;
    const char *attribute;        /* what the classifier learns */
    const char *groups;           /* "gender" or "gender*skin": whom it is to serve evenly */
    const char *labeller;         /* classifier for added folders without labels.csv; NULL: there are none */
    const char *control;          /* name of the added set that gains are also reported over; NULL: none */
    int seeds;                    /* trainings on each set */
    uint64_t seed;                /* of the first; the next ones follow */
    eq_classifier_config network; /* as in eq_classifier_training */
    eq_optimiser_options optimiser;
    int batch;
    bool balance;
    bool resume; /* what `out` has of the same trainings is not done again; without it such an `out` is an error */
    void (*progress)(void *user, const eq_downstream_progress *progress);
    void *progress_user;
} eq_downstream_options;

typedef struct eq_downstream_set {
    char *name;
    int64_t images; /* with those of the train set */
    int *cells;     /* [cells] how many show each; NULL: not all labels are there to tell */
    eq_fairness fairness;
    eq_estimate over_train[EQ_FAIRNESS_MEASURES];   /* differences to the train set alone, not for that itself */
    eq_estimate over_control[EQ_FAIRNESS_MEASURES]; /* to the control, not for that itself */
} eq_downstream_set;

/* Freed by eq_downstream_free. */
typedef struct eq_downstream {
    char *attribute, *groups;
    int seeds;
    int64_t steps;     /* updates of a training */
    int test_images;   /* graded on */
    int cell_count;    /* groups x classes */
    char **cell_names; /* [cell_count] "female/old" */
    int *test_cells;   /* [cell_count] test images */
    int control;       /* of sets, -1: none */
    int set_count;
    eq_downstream_set *sets; /* [set_count], the first is the train set alone */
} eq_downstream;

/* Trains a classifier for every (set, seed), all with the same number of updates; keeps each with its answers in
 * out/SET/seed-N, and labels that the labeller gave in out/labels. Writes out/downstream.json and out/downstream.html.
 * EQ_BAD_USAGE: unknown attributes, names that do not do. EQ_BAD_INPUT: folders without images or labels, classes that
 * the train set does not have, a group without test images of some class. Cancelled, it leaves what there is to
 * resume from. */
eq_status eq_downstream_run(eq_context *ctx, const eq_downstream_options *options, eq_downstream *out);
void eq_downstream_free(eq_downstream *downstream);

/* A table for people; malloc'ed, the caller frees it. */
eq_status eq_downstream_format(eq_context *ctx, const eq_downstream *downstream, char **text);
/* One object, the caller's to json_decref; see doc/formats.md. */
eq_status eq_downstream_json(eq_context *ctx, const eq_downstream *downstream, json_t **json);
/* A self-contained page. */
eq_status eq_downstream_html(eq_context *ctx, const eq_downstream *downstream, const char *path);

#endif
