/* How evenly a classifier serves groups of people: accuracy of the worst group, equalised odds, demographic parity,
 * over several trainings of it, with bootstrap intervals. */
#ifndef EQ_EVAL_FAIRNESS_H
#define EQ_EVAL_FAIRNESS_H

#include "base/error.h"
#include "equipoise/evaluate.h"

typedef enum eq_fairness_measure {
    EQ_FAIRNESS_ACCURACY, /* share of the images that are told right */
    /* The lowest accuracy of a group among the images of one class: "older women" (Sagawa et al., "Distributionally
     * robust neural networks for group shifts", ICLR 2020). */
    EQ_FAIRNESS_WORST_GROUP,
    EQ_FAIRNESS_ACCURACY_GAP, /* the best served group's accuracy minus the worst served one's */
    /* Over classes k and j the largest difference between two groups of P(called k | is j, group) (Hardt et al.,
     * "Equality of opportunity in supervised learning", NeurIPS 2016). */
    EQ_FAIRNESS_ODDS_GAP,
    /* Over classes k the largest difference between two groups of P(called k | group) (Dwork et al., "Fairness through
     * awareness", ITCS 2012). Where groups differ in what they are, it is not 0 for a perfect classifier. */
    EQ_FAIRNESS_PARITY_GAP,
    EQ_FAIRNESS_MEASURES
} eq_fairness_measure;

/* For keys and for tables: "worst_group_accuracy", "worst group". */
extern const char *const eq_fairness_keys[EQ_FAIRNESS_MEASURES];
extern const char *const eq_fairness_names[EQ_FAIRNESS_MEASURES];

/* table: [groups, classes, classes] images by group, class and what they are called; every group has images of every
 * class. */
void eq_fairness_measure_table(const double *table, int groups, int classes, double out[EQ_FAIRNESS_MEASURES]);

/* What is graded on. A cell is a class within a group, cell = group * classes + class. */
typedef struct eq_fairness_test {
    int n, groups, classes;
    const int *group; /* [n] */
    const int *truth; /* [n] classes */
} eq_fairness_test;

enum { EQ_FAIRNESS_RESAMPLES = 2000 };

/* What was measured of one kind of training. Freed by eq_fairness_free. */
typedef struct eq_fairness {
    int seeds, cells;
    double *seed_values;                        /* [seeds, EQ_FAIRNESS_MEASURES] */
    eq_estimate measures[EQ_FAIRNESS_MEASURES]; /* means over the seeds */
    eq_estimate *cell_accuracy;                 /* [cells] means over the seeds */
    double *draws;                              /* [EQ_FAIRNESS_RESAMPLES, EQ_FAIRNESS_MEASURES] */
} eq_fairness;

/* called: [seeds] arrays of [n], what each training's classifier calls the images; seeds >= 1. The intervals are
 * percentiles over resamples of both what varies: the images, within their cells (how many there are of each was
 * chosen, not drawn), and the trainings. Resamples are keyed by their number: those of two calls with the same test and
 * number of seeds draw the same images and seeds, and may be compared one by one. EQ_BAD_USAGE where a cell is empty.
 */
eq_status eq_fairness_grade(eq_context *ctx, const eq_fairness_test *test, const int *const *called, int seeds,
                            eq_fairness *out);
void eq_fairness_free(eq_fairness *fairness);

/* By how much a measure is larger than another kind of training's, of the same test and number of seeds: a paired
 * interval. */
eq_status eq_fairness_difference(eq_context *ctx, const eq_fairness *a, const eq_fairness *b,
                                 eq_fairness_measure measure, eq_estimate *out);

#endif
