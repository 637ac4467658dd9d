/* What the frequencies would be without the evaluator's mistakes. */
#ifndef EQ_EVAL_CONFUSION_H
#define EQ_EVAL_CONFUSION_H

#include "base/error.h"
#include "eval/intervals.h"

enum { EQ_CONFUSION_CLASSES = 64 };

/* How an evaluator did on validation images of known class. The numbers of images matter: they say how well the
 * matrix itself is known. Where only rates are, multiply them by the images of that class. */
typedef struct eq_confusion {
    int classes;          /* 0: no matrix, else 1 to EQ_CONFUSION_CLASSES */
    const double *counts; /* [classes, classes] true class x predicted class; the caller's */
} eq_confusion;

/* EQ_BAD_INPUT unless the counts are non-negative and finite and each class has validation images. EQ_FAILED if the
 * evaluator can hardly tell the classes apart, so that its counts say next to nothing about the true frequencies: the
 * least singular value of the matrix of rates is below 0.05. */
eq_status eq_confusion_check(eq_context *ctx, const eq_confusion *confusion);

/* The true frequencies f behind observed counts: with C_ij = P(predicted j | true i) the observed frequencies are
 * o = C^T f. f is the most likely point of the simplex, found by expectation maximisation
 *     f_i <- sum_j o_j f_i C_ij / (C^T f)_j
 * (Dempster, Laird and Rubin 1977; as "Bayesian unfolding" D'Agostino 1995); it is the plain solution of the linear
 * system where that lies in the simplex. For two classes that is
 * CLEAM's point estimate (o - b) / (a - b), a = C_00, b = C_10 (Teo et al., "On measuring fairness in generative
 * models", NeurIPS 2023), held within 0 and 1.
 *
 * The intervals are percentiles of the corrections of 1,000 draws of both the observed frequencies and the matrix's
 * rows from their posteriors under Jeffreys' prior, Dirichlet(counts + 1/2). Where the matrix is known exactly they
 * become CLEAM's; a class that was not seen at all still has an interval of some width.
 *
 * observed: [classes], at least one image. frequency: [classes], output. target: [classes] or NULL; with it, fd is the
 * corrected frequencies' FD to it. Fails as eq_confusion_check. */
eq_status eq_confusion_correct(eq_context *ctx, const eq_confusion *confusion, const int *observed,
                               const double *target, eq_estimate *frequency, eq_estimate *fd);

#endif
