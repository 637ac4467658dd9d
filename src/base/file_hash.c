#include "base/file_hash.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/file.h"
#include "base/path.h"

enum { SETTLED_SECONDS = 3 }; /* more than the coarsest clock of a file system */
enum { LONGEST_ENTRY = PATH_MAX + 512 };

/* $XDG_CACHE_HOME, which counts only where it is absolute, or ~/.cache. Malloc'ed; NULL where there is neither. */
static char *cache_folder(void)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && cache[0] == '/')
        return eq_format("%s/equipoise/hashes", cache);
    return home && home[0] == '/' ? eq_format("%s/.cache/equipoise/hashes", home) : NULL;
}

/* A line that is the same only for the same file in the same state. Malloc'ed. */
static char *state_of(const char *resolved, const struct stat *info)
{
    return eq_format("%ju %ju %jd %jd.%09ld %jd.%09ld %s\n", (uintmax_t)info->st_dev, (uintmax_t)info->st_ino,
                     (intmax_t)info->st_size, (intmax_t)info->st_mtim.tv_sec, info->st_mtim.tv_nsec,
                     (intmax_t)info->st_ctim.tv_sec, info->st_ctim.tv_nsec, resolved);
}

/* What the cache has of a file: where, and in which state the file is now. */
typedef struct cached {
    char *folder, *entry; /* NULL: there is no cache for it */
    char *state;
} cached;

static void free_cached(cached *c)
{
    free(c->folder);
    free(c->entry);
    free(c->state);
}

/* An entry a path; different paths whose short hash is the same take turns. */
static void locate(const char *path, const struct stat *info, cached *out)
{
    *out = (cached){0};
    char *resolved = realpath(path, NULL);
    if (resolved && (out->folder = cache_folder())) {
        out->state = state_of(resolved, info);
        out->entry = eq_format("%s/%016" PRIx64, out->folder, eq_hash_name(resolved));
    }
    free(resolved);
}

static bool is_hash(const char *text)
{
    return strspn(text, "0123456789abcdef") == EQ_SHA256_HEX - 1 && text[EQ_SHA256_HEX - 1] == '\n' &&
           text[EQ_SHA256_HEX] == '\0';
}

static bool recall(const cached *c, char hex[EQ_SHA256_HEX])
{
    uint8_t *bytes = NULL;
    size_t size, length = c->state ? strlen(c->state) : 0;
    if (!c->entry || !c->state || eq_file_read(NULL, c->entry, LONGEST_ENTRY, &bytes, &size) != EQ_OK)
        return false;
    const char *text = (const char *)bytes;
    bool same = size == length + EQ_SHA256_HEX && strncmp(text, c->state, length) == 0 && is_hash(text + length);
    if (same)
        snprintf(hex, EQ_SHA256_HEX, "%s", text + length);
    free(bytes);
    return same;
}

static bool is_settled(const struct stat *info, time_t now)
{
    return info->st_ctim.tv_sec + SETTLED_SECONDS <= now && info->st_mtim.tv_sec + SETTLED_SECONDS <= now;
}

/* before: as the file was when hashing began. */
static void remember(const cached *c, const char *path, const struct stat *before, time_t now, const char *hex)
{
    struct stat after;
    bool same = stat(path, &after) == 0 && after.st_ino == before->st_ino && after.st_size == before->st_size &&
                memcmp(&after.st_ctim, &before->st_ctim, sizeof after.st_ctim) == 0;
    if (!c->entry || !c->state || !same || !is_settled(before, now) || eq_make_folders(NULL, c->folder) != EQ_OK)
        return;
    char *text = eq_format("%s%s\n", c->state, hex);
    if (text)
        (void)eq_file_write(NULL, c->entry, text, strlen(text));
    free(text);
}

eq_status eq_file_hash(eq_context *ctx, const char *path, char hex[EQ_SHA256_HEX])
{
    return eq_file_hash_at(ctx, path, time(NULL), hex);
}

eq_status eq_file_hash_at(eq_context *ctx, const char *path, time_t now, char hex[EQ_SHA256_HEX])
{
    struct stat info;
    if (stat(path, &info) != 0 || info.st_size < EQ_HASH_KEPT_BYTES)
        return eq_sha256_file(ctx, path, hex);
    cached c;
    locate(path, &info, &c);
    eq_status status = EQ_OK;
    if (!recall(&c, hex)) {
        status = eq_sha256_file(ctx, path, hex);
        if (status == EQ_OK)
            remember(&c, path, &info, now, hex);
    }
    free_cached(&c);
    return status;
}
