/* The grading of a set of images: everything that `evaluate --json` reports. */
#ifndef EQ_EVAL_EVALUATION_H
#define EQ_EVAL_EVALUATION_H

#include <jansson.h>

#include "equipoise/target.h"
#include "eval/confusion.h"
#include "eval/intervals.h"

/* A Frechet distance that was measured beside the attributes. */
typedef struct eq_frechet_result {
    const char *features;  /* whose features, e.g. "evaluator" */
    const char *reference; /* the set compared with */
    double value;
} eq_frechet_result;

/* All of it the caller's, and not needed after eq_evaluate. */
typedef struct eq_evaluation_input {
    int n;                 /* images, at least 1 */
    const char *evaluator; /* the name of what labelled them */
    int attribute_count;
    const eq_attribute *attributes;    /* [attribute_count] */
    const float *const *probabilities; /* [attribute_count] arrays of [n, classes]; rows sum to 1 (labels: one-hot) */
    const eq_confusion *confusions;    /* [attribute_count], a zeroed one where there is none; NULL: none at all */
    const eq_target *targets;          /* [target_count], matched by name */
    int target_count;
    const eq_frechet_result *frechet; /* NULL: none */
} eq_evaluation_input;

typedef struct eq_attribute_evaluation {
    eq_attribute attribute; /* owned copy */
    int *counts;            /* [classes] images whose most probable class it is */
    eq_estimate *frequency; /* [classes] counts / n, Wilson intervals */
    double *soft;           /* [classes] mean probabilities */
    double ambiguity;       /* share of images whose top probability is below 0.9 */
    /* With a target of its own, or as part of a joint one (then its marginal); else target is NULL. */
    double *target;         /* [classes] */
    eq_distances distances; /* FD, KL, TV of frequency to target */
    double fd_soft;         /* FD of soft */
    eq_noise_floor noise;   /* FD that n draws from the target would have */
    double chi2_p;
    /* With a confusion matrix; else NULL. */
    double *confusion; /* [classes, classes] owned copy */
    /* With a confusion matrix that allows it; else corrected is NULL. */
    eq_estimate *corrected;   /* [classes] */
    eq_estimate corrected_fd; /* with a target */
} eq_attribute_evaluation;

typedef struct eq_joint_evaluation {
    eq_target target;       /* owned copy, in the evaluator's classes */
    int *counts;            /* [target.cells] */
    eq_estimate *frequency; /* [target.cells] */
    eq_estimate l2;         /* FD over the cells */
    eq_noise_floor noise;
} eq_joint_evaluation;

/* Made by eq_evaluate, freed by eq_evaluation_free. */
typedef struct eq_evaluation {
    int n;
    char *evaluator;
    int attribute_count;
    eq_attribute_evaluation *attributes;
    int joint_count;
    eq_joint_evaluation *joint;
    bool has_frechet;
    char *frechet_features, *frechet_reference;
    double frechet;
} eq_evaluation;

/* EQ_BAD_USAGE: no images, a target that the evaluator's attributes do not cover, two targets for one attribute.
 * EQ_BAD_INPUT: probabilities that are none, a malformed confusion matrix. Where a confusion matrix is too blurred to
 * correct by, a warning is logged and the correction left out. */
eq_status eq_evaluate(eq_context *ctx, const eq_evaluation_input *input, eq_evaluation *out);
void eq_evaluation_free(eq_evaluation *evaluation);

/* One object, the caller's to json_decref:
 *     n, evaluator, attributes {NAME: {counts, frequency, ambiguity, and with a target: target, fd, fd_interval,
 *     fd_soft, noise_floor, noise_floor_95, kl, kl_interval, tv, tv_interval, chi2_p; with a confusion matrix:
 *     evaluator_accuracy, confusion {TRUE CLASS: {PREDICTED CLASS: count}}, corrected {frequency, fd, fd_interval}}},
 *     joint [{attributes, cells, frequency, target, l2, l2_interval,
 *     noise_floor, noise_floor_95}], frechet {features, reference, value} where measured.
 * Frequencies are [value, low, high], intervals [low, high], at 95%. An infinite KL is null. */
eq_status eq_evaluation_json(eq_context *ctx, const eq_evaluation *evaluation, json_t **json);

/* A compact table for people; malloc'ed, the caller frees it. */
eq_status eq_evaluation_format(eq_context *ctx, const eq_evaluation *evaluation, char **text);

#endif
