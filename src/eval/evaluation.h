/* The grading of a set of images: everything that `evaluate --json` reports. */
#ifndef EQ_EVAL_EVALUATION_H
#define EQ_EVAL_EVALUATION_H

#include <jansson.h>

#include "equipoise/evaluate.h"
#include "eval/confusion.h"
#include "eval/intervals.h"

/* A set to compare the images with, in some network's features. */
typedef struct eq_reference_set {
    const char *features; /* whose features, e.g. "evaluator" */
    const char *name;
    int n, dimension;
    const float *theirs; /* [n, dimension] */
    const float *ours;   /* [images, dimension], the images' */
    const float *const
        *probabilities; /* [attribute_count] arrays of [n, classes], to compare class by class; or NULL */
    bool quiet;         /* no warning where images are too few for the Frechet distance: the caller has given it */
} eq_reference_set;

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
    const eq_reference_set *reference; /* NULL: none */
    const eq_drift *drift;             /* measured already; NULL: none */
    const eq_clip_evaluation *clip;    /* the same */
} eq_evaluation_input;

/* EQ_BAD_USAGE: no images, a target that the evaluator's attributes do not cover, two targets for one attribute.
 * EQ_BAD_INPUT: probabilities that are none, a malformed confusion matrix. Where a confusion matrix is too blurred to
 * correct by, a warning is logged and the correction left out. */
eq_status eq_evaluate(eq_context *ctx, const eq_evaluation_input *input, eq_evaluation *out);

/* One object, the caller's to json_decref:
 *     n, evaluator, attributes {NAME: {counts, frequency, ambiguity, ambiguity_interval, and with a target: target, fd,
 *     fd_soft, kl, tv, chi2, deviation_ratio, each with its ..._interval, noise_floor, noise_floor_95, chi2_p; with a
 *     confusion matrix: evaluator_accuracy, confusion {TRUE CLASS: {PREDICTED CLASS: count}}, corrected {frequency, fd,
 *     fd_interval}; with a reference: similarity {CLASS: {n, reference_n, frechet, kid, kid_std}}}},
 *     joint [{attributes, cells, frequency, target, l2, l2_interval, noise_floor, noise_floor_95}],
 *     frechet {features, dimension, reference, reference_n, value}, kid {features, reference, value, std, subsets,
 *     subset_size}, precision_recall {features, reference, neighbours, precision, recall} where there is a reference;
 *     drift {twin, pairs, identical, psnr, features, feature_distance, unrelated_distance} where there is a twin.
 *     clip_score {clip, n, value} where there are prompts and CLIP.
 * Frequencies and the last four's estimates are [value, low, high], intervals [low, high], at 95%. What is infinite
 * or could not be measured is null. */
eq_status eq_evaluation_json(eq_context *ctx, const eq_evaluation *evaluation, json_t **json);

#endif
