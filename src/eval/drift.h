/* How far images moved from their twins, the images of the same seed and index in another run: guidance should change
 * what was asked for and leave the rest. */
#ifndef EQ_EVAL_DRIFT_H
#define EQ_EVAL_DRIFT_H

#include "base/path.h"
#include "equipoise/evaluate.h"

/* One side of the comparison. */
typedef struct eq_drift_side {
    const char *folder;    /* of the images; the run's folder, which has the manifest.jsonl, is this or the one above */
    const eq_names *files; /* relative to the folder */
    const float *features; /* [files->count, d], or NULL */
} eq_drift_side;

/* Pairs by the manifests' seed and index; files that a manifest does not have are not paired. Features are compared
 * where both sides have them; `features` says whose they are. Reads both images of every pair; pairs of different
 * sizes are EQ_BAD_INPUT, as are a missing manifest and runs without a common seed and index. The caller frees `out`
 * with eq_drift_clear. */
eq_status eq_drift_measure(eq_context *ctx, const eq_drift_side *ours, const eq_drift_side *twin, const char *features,
                           int d, eq_drift *out);
void eq_drift_clear(eq_drift *drift);

/* The statistics alone. squared_errors: [pairs] mean squared differences of 8-bit samples. */
eq_status eq_drift_pixels(eq_context *ctx, const double *squared_errors, int pairs, eq_drift *out);
/* ours, twins: [pairs, d] */
eq_status eq_drift_features(eq_context *ctx, const float *ours, const float *twins, int pairs, int d, eq_drift *out);

#endif
