/* Paths, folders and listings. */
#ifndef EQ_BASE_PATH_H
#define EQ_BASE_PATH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* printf into a malloc'ed string; NULL when memory is out. The caller frees it. */
char *eq_format(const char *format, ...) EQ_PRINTF(1, 2);

/* "folder/name"; `name` alone when it is absolute or `folder` is empty. Malloc'ed, NULL when memory is out. */
char *eq_path_join(const char *folder, const char *name);
/* What follows the last slash; points into `path`. */
const char *eq_path_name(const char *path);
/* What precedes the last slash, "." if there is none, "/" for the root. Malloc'ed, NULL when memory is out. */
char *eq_path_folder(const char *path);
/* Whether the name ends in `extension` (with its dot: ".png"), in any case. */
bool eq_path_has_extension(const char *path, const char *extension);

bool eq_path_exists(const char *path);
bool eq_path_is_folder(const char *path);
/* Creates the folder and those above it; one that exists is fine. */
eq_status eq_make_folders(eq_context *ctx, const char *path);

/* File names, owned; freed by eq_names_free. */
typedef struct eq_names {
    char **name;
    size_t count;
} eq_names;

/* The images (.png, .jpg, .jpeg, .webp, in any case) in a folder, as paths relative to it, sorted bytewise. Names that
 * start with a dot are left out; so are linked folders, which could form a loop. No images is not an error. */
eq_status eq_list_images(eq_context *ctx, const char *folder, bool recursive, eq_names *out);
void eq_names_free(eq_names *names);

#endif
