/* Where the reference fixtures lie: the folder named by EQUIPOISE_FIXTURES, which ctest sets. */
#ifndef EQ_TESTS_FIXTURES_H
#define EQ_TESTS_FIXTURES_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* What a test's main returns where it cannot run. */
enum { FIXTURES_SKIP = 77 };

static inline const char *fixture_folder(void)
{
    const char *folder = getenv("EQUIPOISE_FIXTURES");
    return folder && folder[0] ? folder : "../shared/fixtures";
}

/* "<fixtures>/<name>", e.g. of "ddpm-unet2d/reference.safetensors". Valid until the eighth call after this one. */
static inline const char *fixture_path(const char *name)
{
    static char paths[8][1024];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", fixture_folder(), name);
    return path;
}

/* Whether the fixture of that name (a model's folder) is there; says so where not. First thing in main:
 *     if (!fixture_exists("ddpm-unet2d")) return FIXTURES_SKIP; */
static inline int fixture_exists(const char *name)
{
    if (access(fixture_path(name), R_OK) == 0)
        return 1;
    printf("skipped: %s is missing; set EQUIPOISE_FIXTURES to the folder of the reference fixtures\n",
           fixture_path(name));
    return 0;
}

#endif
