/* The report of a run: one HTML file without scripts or outside resources, for those who answer for the set. */
#ifndef EQ_EVAL_REPORT_H
#define EQ_EVAL_REPORT_H

#include "base/error.h"

/* Reads a run's folder (run.json, labels.csv, manifest.jsonl, images/) and writes the report to `path`.
 * before_folder: the unguided twin, a run's folder too, or NULL. What run.json lacks is left out, and said to be;
 * images that cannot be read likewise. EQ_BAD_INPUT: no run.json, or a file that is not of its form. */
eq_status eq_report_write(eq_context *ctx, const char *run_folder, const char *before_folder, const char *path);

#endif
