/* A temporary folder for targets whose reader wants files. It is removed, with the files named here, at the end. */
#ifndef EQ_TESTS_FUZZ_FOLDER_H
#define EQ_TESTS_FUZZ_FOLDER_H

#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

enum { FUZZ_FOLDER_FILES = 8 };

static char fuzz_folder_path[PATH_MAX];
static char *fuzz_folder_files[FUZZ_FOLDER_FILES];

static inline void fuzz_folder_remove(void)
{
    for (int i = 0; i < FUZZ_FOLDER_FILES; i++) {
        if (fuzz_folder_files[i])
            remove(fuzz_folder_files[i]);
        free(fuzz_folder_files[i]);
    }
    rmdir(fuzz_folder_path);
}

/* The folder, made at the first call. */
static inline const char *fuzz_folder(void)
{
    const char *base = getenv("TMPDIR");
    if (fuzz_folder_path[0])
        return fuzz_folder_path;
    snprintf(fuzz_folder_path, sizeof fuzz_folder_path, "%s/equipoise-fuzz-XXXXXX", base && base[0] ? base : "/tmp");
    FUZZ_CHECK(mkdtemp(fuzz_folder_path) != NULL);
    atexit(fuzz_folder_remove);
    return fuzz_folder_path;
}

/* The path of a file in it; valid until the end. */
static inline const char *fuzz_folder_file(const char *name)
{
    const char *folder = fuzz_folder();
    size_t size = strlen(folder) + strlen(name) + 2;
    for (int i = 0; i < FUZZ_FOLDER_FILES; i++) {
        if (fuzz_folder_files[i] && strcmp(fuzz_folder_files[i] + strlen(folder) + 1, name) == 0)
            return fuzz_folder_files[i];
        if (!fuzz_folder_files[i]) {
            fuzz_folder_files[i] = malloc(size);
            FUZZ_CHECK(fuzz_folder_files[i] != NULL);
            snprintf(fuzz_folder_files[i], size, "%s/%s", folder, name);
            return fuzz_folder_files[i];
        }
    }
    FUZZ_CHECK(!"more files than FUZZ_FOLDER_FILES");
    return NULL;
}

/* Writes a file of that name in it, and returns its path. */
static inline const char *fuzz_folder_write(const char *name, const void *bytes, size_t size)
{
    const char *path = fuzz_folder_file(name);
    FILE *file = fopen(path, "wb");
    FUZZ_CHECK(file && (size == 0 || fwrite(bytes, 1, size, file) == size) && fclose(file) == 0);
    return path;
}

#endif
