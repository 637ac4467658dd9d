/* Multi-attribute image classifiers: one trunk, a linear head for each attribute. */
#ifndef EQ_MODELS_CLASSIFIER_H
#define EQ_MODELS_CLASSIFIER_H

#include "equipoise/target.h"
#include "models/layers.h"

enum { EQ_CLASSIFIER_MAX_STAGES = 8, EQ_CLASSIFIER_MAX_ATTRIBUTES = 16 };

typedef struct eq_classifier_trunk eq_classifier_trunk;

typedef struct eq_classifier_config {
    const eq_classifier_trunk *trunk;
    int size;                               /* images are [size, size, 3] in [-1, 1] */
    int stages;                             /* each halves the sides, the last where the trunk says so */
    int channels[EQ_CLASSIFIER_MAX_STAGES]; /* multiples of 4 */
    int blocks;                             /* a stage */
    int attribute_count;
    eq_attribute attributes[EQ_CLASSIFIER_MAX_ATTRIBUTES]; /* owned where eq_classifier_config_free is to be called */
} eq_classifier_config;

/* A trunk: one file, one row of the table in classifier.c. */
struct eq_classifier_trunk {
    const char *name;
    const char *summary; /* for --help */
    bool last_halves;    /* the last stage halves the sides, too */
    /* x: [n, size, size, 3] in the graph's dtype -> features [n, d] */
    eq_value (*build)(const eq_builder *b, const eq_classifier_config *config, eq_value x);
};

extern const eq_classifier_trunk eq_trunk_resnet, eq_trunk_convnet;

/* NULL when there is none. */
const eq_classifier_trunk *eq_trunk_find(const char *name);
const eq_classifier_trunk *eq_trunk_at(int i);

typedef struct eq_classifier_values {
    eq_value images;                               /* [n, size, size, 3] f32 */
    eq_value features;                             /* [n, d] f32 */
    eq_value logits[EQ_CLASSIFIER_MAX_ATTRIBUTES]; /* [n, classes] f32 */
} eq_classifier_values;

/* Checks ranges and names; `file` is named in the message. */
eq_status eq_classifier_check(eq_context *ctx, const eq_classifier_config *config, const char *file);
void eq_classifier_config_free(eq_classifier_config *config);

/* images: [n, size, size, 3] f32, of which it becomes part of the graph. */
eq_status eq_classifier_apply(const eq_builder *b, const eq_classifier_config *config, eq_value images,
                              eq_classifier_values *out);
/* The same of an input. */
eq_status eq_classifier_build(const eq_builder *b, const eq_classifier_config *config, int64_t n,
                              eq_classifier_values *out);
eq_status eq_classifier_declare(eq_params *params, const eq_classifier_config *config);

#endif
