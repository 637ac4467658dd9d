/* A folder for one test's files, removed with all it holds. */
#ifndef EQ_TESTS_TEMPORARY_H
#define EQ_TESTS_TEMPORARY_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static inline int temporary_remove_entry(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    return remove(path);
}

/* For cmocka_unit_test_setup_teardown: *state becomes the folder's name. */
static inline int temporary_setup(void **state)
{
    const char *base = getenv("TMPDIR");
    char name[512];
    snprintf(name, sizeof name, "%s/equipoise-test-XXXXXX", base && base[0] ? base : "/tmp");
    if (!mkdtemp(name))
        return -1;
    *state = strdup(name);
    return *state ? 0 : -1;
}

static inline int temporary_teardown(void **state)
{
    int result = nftw(*state, temporary_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(*state);
    return result;
}

#endif
