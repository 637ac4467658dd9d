/* A run's folder: images, manifest.jsonl, labels.csv, run.json (see doc/design.md). */
#ifndef EQ_RUN_FOLDER_H
#define EQ_RUN_FOLDER_H

#include <jansson.h>

#include "run/grade.h"
#include "run/pipeline.h"

typedef struct eq_run_record {
    const eq_pipeline *pipeline;
    const eq_generate_options *options;
    const eq_targets *targets;
    const eq_generation *generation;
    const json_t *settings;         /* flat object: how the run was asked for */
    const eq_classifier *evaluator; /* NULL: not graded */
    const eq_grade *grade;          /* by the evaluator; NULL: not graded */
} eq_run_record;

/* Writes images/, manifest.jsonl, labels.csv where graded, and last run.json: where it stands, the folder is complete.
 */
eq_status eq_run_write_folder(eq_context *ctx, const char *folder, const eq_run_record *record);

#endif
