/* A run's folder: images, manifest.jsonl, labels.csv, run.json (see doc/design.md). */
#ifndef EQ_RUN_FOLDER_H
#define EQ_RUN_FOLDER_H

#include <jansson.h>

#include "run/pipeline.h"

typedef struct eq_run_record {
    const eq_pipeline *pipeline;
    const eq_generate_options *options;
    const eq_targets *targets;
    const eq_generation *generation;
    const json_t *settings;   /* flat object: how the run was asked for */
    const json_t *evaluation; /* as eq_evaluation_json gives it; NULL: not graded */
    double labelling_seconds;
} eq_run_record;

/* Writes images/ and manifest.jsonl. */
eq_status eq_run_write_images(eq_context *ctx, const char *folder, const eq_run_record *record);

/* Writes run.json: where it stands, the folder is complete. */
eq_status eq_run_write_json(eq_context *ctx, const char *folder, const eq_run_record *record);

#endif
