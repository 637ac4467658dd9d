/* A run's folder: images, manifest.jsonl, labels.csv, run.json (see doc/formats.md). */
#ifndef EQ_RUN_FOLDER_H
#define EQ_RUN_FOLDER_H

#include "run/run_json.h"

typedef enum eq_folder_state {
    EQ_FOLDER_NEW,      /* not there, or empty */
    EQ_FOLDER_BEGUN,    /* has a checkpoint */
    EQ_FOLDER_FINISHED, /* has run.json */
    EQ_FOLDER_OTHER,
} eq_folder_state;

eq_folder_state eq_run_folder_state(const char *folder);

/* Makes the folder; with `replace`, what an earlier run left in it goes. */
eq_status eq_run_folder_begin(eq_context *ctx, const char *folder, bool replace);

/* Takes back what eq_run_folder_begin and a first checkpoint made, where nothing else has come in. */
void eq_run_folder_abandon(const char *folder);

/* Writes the images of rows [n] of the generation and appends their lines to the manifest. */
eq_status eq_run_folder_add(eq_context *ctx, const char *folder, const eq_run_record *record, const int64_t *rows,
                            int64_t n);

/* Reads the pixels of the first n rows back. EQ_BAD_INPUT names an image that is missing or another. */
eq_status eq_run_folder_read(eq_context *ctx, const char *folder, int64_t n, eq_generation *generation);

/* Brings the manifest into order, takes away images that are not of the set, writes labels.csv where graded, and last
 * run.json: where it stands, the folder is complete. */
eq_status eq_run_folder_finish(eq_context *ctx, const char *folder, const eq_run_record *record);

#endif
