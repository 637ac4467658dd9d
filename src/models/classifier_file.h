/* Classifier folders: classifier.json (network, attributes, how it did on held-out images) and classifier.safetensors.
 */
#ifndef EQ_MODELS_CLASSIFIER_FILE_H
#define EQ_MODELS_CLASSIFIER_FILE_H

#include "io/json.h"
#include "io/tensor_file.h"
#include "models/classifier.h"

/* How a classifier did on held-out images, an attribute. */
typedef struct eq_classifier_score {
    double accuracy;   /* NaN where not known */
    double *confusion; /* [classes, classes] counts, true class x predicted; NULL where not known. Owned. */
} eq_classifier_score;

typedef struct eq_classifier_file {
    eq_classifier_config config; /* attributes owned */
    eq_classifier_score scores[EQ_CLASSIFIER_MAX_ATTRIBUTES];
    eq_params *params; /* views of `weights` */
    eq_tensor_file weights;
    char hash[65]; /* SHA-256 of the weights file */
} eq_classifier_file;

/* Freed with eq_classifier_file_close. EQ_BAD_INPUT names the file and the fault. */
eq_status eq_classifier_file_open(eq_context *ctx, const char *folder, eq_classifier_file *out);
void eq_classifier_file_close(eq_classifier_file *file);

/* An attribute of a classifier.json: {"name": ..., "classes": [...], "accuracy": ..., "confusion": ...}, the last two
 * optional. `where` is named in messages. The attribute and the confusion are the caller's, also on failure. */
eq_status eq_classifier_attribute_read(eq_context *ctx, json_t *item, const char *where, eq_attribute *attribute,
                                       eq_classifier_score *score);

/* scores: [attribute_count]; dtype of the weights in the file. */
eq_status eq_classifier_file_save(eq_context *ctx, const char *folder, const eq_classifier_config *config,
                                  const eq_classifier_score *scores, const eq_params *params, eq_dtype dtype);

#endif
