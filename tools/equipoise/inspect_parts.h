/* What the parts of inspect share: the subject, and members of its description. */
#ifndef EQUIPOISE_INSPECT_PARTS_H
#define EQUIPOISE_INSPECT_PARTS_H

#include <jansson.h>

#include "equipoise/target.h"
#include "io/tensor_file.h"

/* What is being looked at. */
typedef struct inspect_subject {
    eq_context *ctx;
    const char *path;
    eq_tensor_file tensors; /* opened if it is a file of tensors, else zeroed */
} inspect_subject;

/* A kind of file or folder: whether the subject is one, and what there is to say of it. */
typedef struct inspect_kind {
    const char *name;
    bool (*is)(const inspect_subject *s);
    eq_status (*describe)(const inspect_subject *s, json_t *json);
} inspect_kind;

/* Files of tensors, the more special kinds first; ends with a zeroed one. */
extern const inspect_kind inspect_tensor_kinds[];

/* Opens the subject's tensors where it is a file of them, by its content or its name. */
eq_status inspect_open_tensors(inspect_subject *s);

/* Classifiers of any kind: folders, and files of other people's. */
bool inspect_is_classifier(const inspect_subject *s);
eq_status inspect_classifier(const inspect_subject *s, json_t *json);

/* A training checkpoint's step and settings. */
bool inspect_has_checkpoint(const eq_tensor_file *file);
void inspect_put_checkpoint(json_t *json, const eq_tensor_file *file);

/* These take over `value`. */
void inspect_put(json_t *json, const char *key, json_t *value);
void inspect_put_integer(json_t *json, const char *key, int64_t value);
void inspect_put_text(json_t *json, const char *key, const char *value);
json_t *inspect_integers(const int64_t *values, int count);
json_t *inspect_classes(const eq_attribute *attribute);
/* "hash": the SHA-256 that records of runs identify the file by. */
eq_status inspect_put_hash(const inspect_subject *s, json_t *json);

/* inspect.c: what a model's folder or single file holds. */
eq_status inspect_put_model(const inspect_subject *subject, json_t *json);

#endif
