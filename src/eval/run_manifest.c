#include "eval/run_manifest.h"

#include <stdlib.h>
#include <string.h>

void eq_run_manifest_free(eq_run_manifest *run)
{
    eq_manifest_free(&run->manifest);
    free(run->prefix);
}

eq_status eq_run_manifest_read(eq_context *ctx, const char *folder, eq_run_manifest *out)
{
    *out = (eq_run_manifest){0};
    /* Real paths, as "." has no folder above it by name. */
    char *whole = realpath(folder, NULL), *above = whole != NULL ? eq_path_folder(whole) : NULL;
    char *inside = whole != NULL ? eq_path_join(whole, "manifest.jsonl") : NULL;
    char *beside = above != NULL ? eq_path_join(above, "manifest.jsonl") : NULL;
    eq_status status = EQ_OK;
    if (whole == NULL)
        status = eq_fail(ctx, EQ_BAD_INPUT, "cannot find the folder %s", folder);
    else if (inside == NULL || beside == NULL)
        status = eq_fail_memory(ctx, "a path");
    if (status == EQ_OK && eq_path_exists(inside)) {
        out->prefix = strdup("");
        status = eq_manifest_read(ctx, inside, &out->manifest);
    } else if (status == EQ_OK && eq_path_exists(beside)) {
        out->prefix = eq_format("%s/", eq_path_name(whole));
        status = eq_manifest_read(ctx, beside, &out->manifest);
    } else if (status == EQ_OK) {
        status =
            eq_fail(ctx, EQ_BAD_INPUT,
                    "%s: there is no manifest.jsonl here or in the folder above to tell what the images are", folder);
    }
    if (status == EQ_OK && out->prefix == NULL)
        status = eq_fail_memory(ctx, "a path");
    free(whole);
    free(above);
    free(inside);
    free(beside);
    if (status != EQ_OK)
        eq_run_manifest_free(out);
    return status;
}

static int compare_names(const void *key, const void *element)
{
    return strcmp(key, *(char *const *)element);
}

int64_t eq_run_manifest_find(const eq_run_manifest *run, const eq_names *files, const char *name)
{
    size_t length = strlen(run->prefix);
    if (strncmp(name, run->prefix, length) != 0)
        return -1;
    char **found = bsearch(name + length, files->name, files->count, sizeof(char *), compare_names);
    return found != NULL ? found - files->name : -1;
}
