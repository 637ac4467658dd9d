/* Whatever can be opened as a classifier: a network that is ready to be built, what its outputs mean, and how images
 * are prepared for it. */
#ifndef EQ_MODELS_CLASSIFIER_SOURCE_H
#define EQ_MODELS_CLASSIFIER_SOURCE_H

#include "models/classifier_file.h"
#include "models/preparation.h"

typedef struct eq_classifier_source eq_classifier_source;

/* One file, one row of the table in classifier_source.c. */
typedef struct eq_classifier_kind {
    const char *name;
    const char *summary; /* for messages */
    int batch;           /* images that are worth a pass */
    /* Whether the path is of this kind, as far as a glance tells; faults are for `open`. */
    bool (*is)(eq_context *ctx, const char *path);
    /* Fills the zeroed `out` but for its kind; `close` follows, also on failure. EQ_BAD_INPUT names the fault. */
    eq_status (*open)(eq_context *ctx, const char *path, eq_classifier_source *out);
    /* Describes the network for n prepared images. The logits are [n, classes] of each attribute. */
    eq_status (*build)(const eq_classifier_source *source, eq_graph *graph, int64_t n, eq_classifier_values *out);
    void (*close)(eq_classifier_source *source);
} eq_classifier_kind;

/* A folder that train classifier wrote; torchvision's residual networks; CLIP with prompts for classes. */
extern const eq_classifier_kind eq_classifier_own, eq_classifier_torchvision, eq_classifier_zero_shot;

struct eq_classifier_source {
    const eq_classifier_kind *kind;
    char architecture[96]; /* "ResNet-50, head 2048-512-2" */
    int64_t parameters;
    char hash[65]; /* SHA-256 of what decides its answers */
    eq_preparation preparation;
    int attribute_count;
    eq_attribute attributes[EQ_CLASSIFIER_MAX_ATTRIBUTES];    /* owned */
    eq_classifier_score scores[EQ_CLASSIFIER_MAX_ATTRIBUTES]; /* owned */
    bool cosine;   /* logits are products with the features, yet to be divided by their length */
    void *network; /* the kind's own */
};

/* Opens a folder or a file of any kind. Freed with eq_classifier_source_close. */
eq_status eq_classifier_source_open(eq_context *ctx, const char *path, eq_classifier_source *out);
void eq_classifier_source_close(eq_classifier_source *source);

/* The kind that would open the path; the last one, our own, takes every folder that is no other's. */
const eq_classifier_kind *eq_classifier_kind_of(eq_context *ctx, const char *path);

/* For kinds: adds a copy of the attribute, without a score. Refuses too many, repeated names, and fewer than 2 or more
 * than 256 classes. `where` is named in messages. */
eq_status eq_classifier_source_add(eq_context *ctx, eq_classifier_source *source, const eq_attribute *attribute,
                                   const char *where);

#endif
