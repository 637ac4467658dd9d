/* The grading of a set of images: everything that `evaluate --json` reports. */
#ifndef EQ_EVAL_EVALUATION_H
#define EQ_EVAL_EVALUATION_H

#include <jansson.h>

#include "equipoise/evaluate.h"
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

/* EQ_BAD_USAGE: no images, a target that the evaluator's attributes do not cover, two targets for one attribute.
 * EQ_BAD_INPUT: probabilities that are none, a malformed confusion matrix. Where a confusion matrix is too blurred to
 * correct by, a warning is logged and the correction left out. */
eq_status eq_evaluate(eq_context *ctx, const eq_evaluation_input *input, eq_evaluation *out);

/* One object, the caller's to json_decref:
 *     n, evaluator, attributes {NAME: {counts, frequency, ambiguity, and with a target: target, fd, fd_interval,
 *     fd_soft, noise_floor, noise_floor_95, kl, kl_interval, tv, tv_interval, chi2_p; with a confusion matrix:
 *     evaluator_accuracy, confusion {TRUE CLASS: {PREDICTED CLASS: count}}, corrected {frequency, fd, fd_interval}}},
 *     joint [{attributes, cells, frequency, target, l2, l2_interval,
 *     noise_floor, noise_floor_95}], frechet {features, reference, value} where measured.
 * Frequencies are [value, low, high], intervals [low, high], at 95%. An infinite KL is null. */
eq_status eq_evaluation_json(eq_context *ctx, const eq_evaluation *evaluation, json_t **json);

#endif
