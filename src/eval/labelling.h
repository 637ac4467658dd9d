/* Labelling images with a classifier, ours or another's: pseudo-labels for predictors, grades for sets. */
#ifndef EQ_EVAL_LABELLING_H
#define EQ_EVAL_LABELLING_H

#include <stdio.h>

#include "equipoise/target.h"
#include "eval/confusion.h"
#include "io/image.h"

/* A classifier of any kind (models/classifier_source.h), opened and compiled. */
typedef struct eq_classifier eq_classifier;

/* path: a folder or a file. */
eq_status eq_classifier_open(eq_context *ctx, const char *path, eq_classifier **out);
void eq_classifier_close(eq_classifier *classifier);

/* Its attributes, its held-out confusion counts (zeroed where not known or without an image of some class) and
 * accuracies (NaN where not known): arrays of *count, owned by the classifier. */
const eq_attribute *eq_classifier_attributes(const eq_classifier *classifier, int *count);
const eq_confusion *eq_classifier_confusions(const eq_classifier *classifier);
const double *eq_classifier_accuracies(const eq_classifier *classifier);
/* SHA-256 of its weights, and of prompts where it has them: tells whether two classifiers are the same. */
const char *eq_classifier_hash(const eq_classifier *classifier);
/* Pixels a side of what it looks at. */
int eq_classifier_size(const eq_classifier *classifier);
/* Numbers in a feature vector. */
int eq_classifier_feature_count(const eq_classifier *classifier);

typedef void (*eq_label_progress)(void *user, int64_t done, int64_t total);

/* pixels: [count, height, width, 3] RGB, which are cropped and scaled as the classifier wants them. probabilities: an
 * array of [count, classes] for every attribute, or NULL; features: [count, feature count], or NULL. */
eq_status eq_classifier_run(eq_classifier *classifier, const uint8_t *pixels, int64_t count, int width, int height,
                            float *const *probabilities, float *features, eq_label_progress progress, void *user);

/* Classes to learn from: of each image the most probable one, -1 where it is less so than `confidence`. pixels as
 * above. classes: image i's of attribute a goes to [a * stride + i]. */
eq_status eq_classifier_pseudo_label(eq_classifier *classifier, const uint8_t *pixels, int64_t count, int width,
                                     int height, double confidence, int64_t stride, int *classes);

/* The same in two steps, for images of different sizes: crops and scales one into a new [size, size, 3], and answers
 * for several of them. pixels: [count, size, size, 3] */
eq_status eq_classifier_fit(eq_classifier *classifier, const eq_image *image, eq_image *out);
eq_status eq_classifier_run_fitted(eq_classifier *classifier, const uint8_t *pixels, int64_t count,
                                   float *const *probabilities, float *features);

/* Allocates the arrays of `probabilities` for `count` images; freed with eq_probabilities_free. */
eq_status eq_probabilities_new(eq_context *ctx, const eq_attribute *attributes, int attribute_count, int64_t count,
                               float ***out);
void eq_probabilities_free(float **probabilities, int attribute_count);

/* The class of the largest of p [classes]; of equals the first. */
int eq_most_probable(const float *p, int classes);

/* Writes CSV, `file_name,<attribute>,<attribute>_p,...`: the most probable class and its probability. files: [count].
 */
eq_status eq_write_labels(eq_context *ctx, const char *path, const char *const *files, int64_t count,
                          const eq_attribute *attributes, int attribute_count, float *const *probabilities);
/* The same into a stream, which the caller checks for faults. */
eq_status eq_print_labels(eq_context *ctx, FILE *out, const char *const *files, int64_t count,
                          const eq_attribute *attributes, int attribute_count, float *const *probabilities);

#endif
