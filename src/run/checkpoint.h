/* checkpoint.safetensors of a run's folder that is not finished: what is known of the finished images, and where the
 * group in progress stands. */
#ifndef EQ_RUN_CHECKPOINT_H
#define EQ_RUN_CHECKPOINT_H

#include "io/json.h"
#include "io/tensor_file.h"
#include "run/group.h"

/* run: what else is to be kept, an object. group: NULL between groups. Replaces `path` when all is written. */
eq_status eq_checkpoint_write(eq_context *ctx, const char *path, const json_t *run, const eq_pipeline *pipeline,
                              const eq_generation *generation, eq_group *group);

typedef struct eq_checkpoint {
    eq_tensor_file file;
    eq_json run;
} eq_checkpoint;

/* Closed with eq_checkpoint_close. */
eq_status eq_checkpoint_open(eq_context *ctx, const char *path, eq_checkpoint *out);
void eq_checkpoint_close(eq_checkpoint *checkpoint);
/* Fills all of the generation but its pixels. EQ_BAD_INPUT where it is of another form. */
eq_status eq_checkpoint_rows(eq_context *ctx, const eq_checkpoint *checkpoint, const eq_pipeline *pipeline,
                             eq_generation *generation);
/* Whether there is a group in progress, and its state. */
bool eq_checkpoint_has_group(const eq_checkpoint *checkpoint);
eq_status eq_checkpoint_group(eq_context *ctx, const eq_checkpoint *checkpoint, eq_group *group);

#endif
