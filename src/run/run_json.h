/* What run.json says, and what makes two runs the same. */
#ifndef EQ_RUN_RUN_JSON_H
#define EQ_RUN_RUN_JSON_H

#include <jansson.h>

#include "run/grade.h"
#include "run/settings.h"

/* Everything that decides a run's images: {"settings": {...}, "model": HASH, "predictors": {ATTRIBUTE: HASH},
 * "factors": {ATTRIBUTE: NUMBER}, "targets": {...}}. */
eq_status eq_run_identity(eq_context *ctx, eq_pipeline *pipeline, const eq_run_settings *settings,
                          const eq_targets *targets, json_t **out);

/* EQ_BAD_USAGE says in what a run differs from the one that `folder` was begun with: "steps 40, not 50". */
eq_status eq_run_identity_check(eq_context *ctx, const json_t *begun, const json_t *now, const char *folder);

/* The identity that a finished run's document tells. */
json_t *eq_run_identity_of(const json_t *run);

typedef struct eq_run_record {
    const eq_pipeline *pipeline;
    const eq_run_settings *settings;
    const eq_targets *targets;
    const eq_generation *generation;
    const json_t *identity;
    const char *command;            /* the command line; NULL: not known */
    const json_t *verification;     /* what --verify did; NULL: nothing */
    const eq_classifier *evaluator; /* NULL: not graded */
    const eq_grade *grade;          /* by the evaluator; NULL: not graded */
    eq_self_grading self_grading;
} eq_run_record;

/* The document. */
eq_status eq_run_json(eq_context *ctx, const eq_run_record *record, json_t **out);

#endif
