/* The manifest that belongs to a folder of images: what each of them was made of. */
#ifndef EQ_EVAL_RUN_MANIFEST_H
#define EQ_EVAL_RUN_MANIFEST_H

#include "base/path.h"
#include "io/manifest.h"

/* Freed by eq_run_manifest_free. */
typedef struct eq_run_manifest {
    eq_manifest manifest;
    char *prefix; /* of the manifest's names: "images/" where the images' folder is that one; owned */
} eq_run_manifest;

/* folder: of a run or of its images. EQ_BAD_INPUT where manifest.jsonl is neither in it nor in the one above. */
eq_status eq_run_manifest_read(eq_context *ctx, const char *folder, eq_run_manifest *out);
void eq_run_manifest_free(eq_run_manifest *run);

/* The position of the manifest's name among the folder's files, which are sorted; -1 if it is not among them. */
int64_t eq_run_manifest_find(const eq_run_manifest *run, const eq_names *files, const char *name);

#endif
