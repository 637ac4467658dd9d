/* manifest.jsonl of a run's folder: a line an image, appended as images are finished, so that an interrupted run can
 * be resumed. A line reads
 * {"file": "images/000000.png", "seed": 7, "index": 0, "batch": 0, "target_class": {"gender": "female"},
 *  "adp": {"gender": {"female": 0.93, "male": 0.07}}, "guided": true}
 * and has "prompt": "a portrait" where the model makes images from text, and "replaces": 12 where the image took the
 * place of image 12, which did not fit the quota. */
#ifndef EQ_IO_MANIFEST_H
#define EQ_IO_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "equipoise/target.h"

/* What an image was steered to under one target: target "gender" or "gender*glasses", cell "female" or "female/yes";
 * cell is NULL where the method gives images no class of their own. */
typedef struct eq_manifest_target {
    const char *target, *cell;
} eq_manifest_target;

/* The ADP's last prediction for one attribute. p: [attribute.classes] */
typedef struct eq_manifest_prediction {
    eq_attribute attribute;
    const float *p;
} eq_manifest_prediction;

typedef struct eq_manifest_entry {
    const char *file; /* relative to the run's folder */
    uint64_t seed;    /* at most INT64_MAX */
    int64_t index;    /* of the image in the run */
    int64_t batch;    /* the number of the batch it was generated in */
    bool guided;
    const char *prompt; /* NULL: none */
    bool replacement;   /* whether it took another image's place, of number `replaces` */
    int64_t replaces;
    int target_count;
    const eq_manifest_target *targets; /* [target_count] */
    int prediction_count;
    const eq_manifest_prediction *predictions; /* [prediction_count] */
} eq_manifest_entry;

/* Appends lines. A zeroed writer may be closed. */
typedef struct eq_manifest_writer {
    int fd; /* valid if path is not NULL */
    char *path;
} eq_manifest_writer;

/* Creates the file, or continues it: a last line without its line end, left by an interruption, is cut off. */
eq_status eq_manifest_writer_open(eq_context *ctx, const char *path, eq_manifest_writer *out);
/* Adds a whole line or, if the disk is full, nothing. */
eq_status eq_manifest_append(eq_context *ctx, eq_manifest_writer *writer, const eq_manifest_entry *entry);
/* Brings the lines to the disk and closes. */
eq_status eq_manifest_writer_close(eq_context *ctx, eq_manifest_writer *writer);

/* entries: [count] by index, all of it owned; freed by eq_manifest_free. */
typedef struct eq_manifest {
    size_t count;
    eq_manifest_entry *entries;
    void *documents; /* what the entries' strings point into */
    size_t document_count;
} eq_manifest;

/* Reads the whole lines; of several lines for one index the last counts, as images may be generated again. A last line
 * without its line end is ignored. EQ_BAD_INPUT names file, line and fault. */
eq_status eq_manifest_read(eq_context *ctx, const char *path, eq_manifest *out);
/* The same from memory; `name` stands for the file in messages. */
eq_status eq_manifest_parse(eq_context *ctx, const char *text, size_t size, const char *name, eq_manifest *out);
void eq_manifest_free(eq_manifest *manifest);

/* The entry of that index; NULL if it has none. */
const eq_manifest_entry *eq_manifest_find(const eq_manifest *manifest, int64_t index);

#endif
