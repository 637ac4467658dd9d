/* The report of a comparison: one HTML file without scripts or outside resources. */
#ifndef EQ_EVAL_COMPARISON_REPORT_H
#define EQ_EVAL_COMPARISON_REPORT_H

#include "base/error.h"

/* Reads comparison.json in `folder`, and the images and run.json of the runs that it names, and writes the report to
 * `path`. What is missing is left out. EQ_BAD_INPUT: no comparison.json, or one that is not of its form. */
eq_status eq_comparison_report_write(eq_context *ctx, const char *folder, const char *path);

#endif
