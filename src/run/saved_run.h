/* checkpoint.safetensors of a run's folder that is not finished: what is known of the finished images, and where the
 * group in progress stands. */
#ifndef EQ_RUN_SAVED_RUN_H
#define EQ_RUN_SAVED_RUN_H

#include "io/json.h"
#include "io/tensor_file.h"
#include "run/group.h"

/* run: what else is to be kept, an object. group: NULL between groups. Replaces `path` when all is written. */
eq_status eq_saved_run_write(eq_context *ctx, const char *path, const json_t *run, const eq_pipeline *pipeline,
                             const eq_generation *generation, eq_group *group);

typedef struct eq_saved_run {
    eq_tensor_file file;
    eq_json run;
} eq_saved_run;

/* Closed with eq_saved_run_close. */
eq_status eq_saved_run_open(eq_context *ctx, const char *path, eq_saved_run *out);
void eq_saved_run_close(eq_saved_run *saved);
/* Fills all of the generation but its pixels. EQ_BAD_INPUT where it is of another form. */
eq_status eq_saved_run_rows(eq_context *ctx, const eq_saved_run *saved, const eq_pipeline *pipeline,
                            eq_generation *generation);
/* Whether there is a group in progress, and its state. */
bool eq_saved_run_has_group(const eq_saved_run *saved);
eq_status eq_saved_run_group(eq_context *ctx, const eq_saved_run *saved, eq_group *group);

#endif
