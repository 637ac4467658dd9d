/* Runs that were stopped and continued leave the files of runs that were not. */
#ifndef EQ_TESTS_UNIT_SAME_FILES_H
#define EQ_TESTS_UNIT_SAME_FILES_H

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/path.h"

/* The file of that name in folder `a` is that in `b`, byte by byte. */
static inline void assert_same_files(eq_context *ctx, const char *a, const char *b, const char *name)
{
    char *paths[2] = {eq_path_join(a, name), eq_path_join(b, name)};
    uint8_t *bytes[2];
    size_t size[2];
    for (int i = 0; i < 2; i++)
        if (eq_file_read(ctx, paths[i], 1 << 26, &bytes[i], &size[i]) != EQ_OK)
            fail_msg("%s", eq_last_error(ctx));
    if (size[0] != size[1] || memcmp(bytes[0], bytes[1], size[0]) != 0)
        fail_msg("%s and %s differ", paths[0], paths[1]);
    for (int i = 0; i < 2; i++) {
        free(bytes[i]);
        free(paths[i]);
    }
}

#endif
