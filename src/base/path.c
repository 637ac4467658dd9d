#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/file.h"

char *eq_format(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int length = vasprintf(&text, format, args);
    va_end(args);
    return length < 0 ? NULL : text;
}

char *eq_path_join(const char *folder, const char *name)
{
    size_t length = strlen(folder);
    if (length == 0 || name[0] == '/')
        return strdup(name);
    return eq_format("%s%s%s", folder, folder[length - 1] == '/' ? "" : "/", name);
}

const char *eq_path_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char *eq_path_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return strdup(".");
    return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

bool eq_path_has_extension(const char *path, const char *extension)
{
    size_t length = strlen(path), tail = strlen(extension);
    return length > tail && strcasecmp(path + length - tail, extension) == 0;
}

bool eq_path_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

bool eq_path_is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static eq_status make_folder(eq_context *ctx, const char *path)
{
    if (mkdir(path, 0777) == 0)
        return EQ_OK;
    int error = errno;
    if (error == EEXIST || error == EISDIR) {
        if (eq_path_is_folder(path))
            return EQ_OK;
        return eq_fail(ctx, EQ_BAD_USAGE, "cannot create the folder %s: a file of that name exists", path);
    }
    if (eq_path_is_folder(path)) /* e.g. EROFS for a mount point that exists */
        return EQ_OK;
    return eq_fail_system(ctx, "create the folder", path, error);
}

eq_status eq_make_folders(eq_context *ctx, const char *path)
{
    if (!path[0])
        return eq_fail(ctx, EQ_BAD_USAGE, "cannot create a folder without a name");
    char *partial = strdup(path);
    if (!partial)
        return eq_fail_memory(ctx, "a folder name");
    eq_status status = EQ_OK;
    for (char *slash = strchr(partial + 1, '/'); slash && status == EQ_OK; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        status = make_folder(ctx, partial);
        *slash = '/';
    }
    if (status == EQ_OK)
        status = make_folder(ctx, partial);
    free(partial);
    return status;
}

static bool is_image_name(const char *name)
{
    return eq_path_has_extension(name, ".png") || eq_path_has_extension(name, ".jpg") ||
           eq_path_has_extension(name, ".jpeg") || eq_path_has_extension(name, ".webp");
}

/* Takes over `name`, also when it fails. */
static eq_status append_name(eq_context *ctx, eq_names *names, char *name)
{
    /* Grows at powers of two, so that no capacity need be kept. */
    if ((names->count & (names->count - 1)) == 0) {
        size_t capacity = names->count ? names->count * 2 : 1;
        char **grown = realloc(names->name, capacity * sizeof *grown);
        if (!grown) {
            free(name);
            return eq_fail_memory(ctx, "a folder's listing");
        }
        names->name = grown;
    }
    names->name[names->count++] = name;
    return EQ_OK;
}

static eq_status list_into(eq_context *ctx, const char *root, const char *below, bool recursive, eq_names *out)
{
    eq_status status = EQ_OK;
    DIR *dir = NULL;
    char *folder = below[0] ? eq_path_join(root, below) : strdup(root);
    if (!folder)
        return eq_fail_memory(ctx, "a folder name");
    dir = opendir(folder);
    if (!dir) {
        status = errno == ENOTDIR ? eq_fail(ctx, EQ_BAD_INPUT, "cannot list %s: it is not a folder", folder)
                                  : eq_fail_system(ctx, "read", folder, errno);
        goto done;
    }
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry) {
            if (errno)
                status = eq_fail_system(ctx, "read", folder, errno);
            break;
        }
        if (entry->d_name[0] == '.')
            continue;
        struct stat info;
        if (fstatat(dirfd(dir), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0)
            continue; /* removed meanwhile */
        bool descend = recursive && S_ISDIR(info.st_mode);
        bool image =
            is_image_name(entry->d_name) && fstatat(dirfd(dir), entry->d_name, &info, 0) == 0 && S_ISREG(info.st_mode);
        if (!descend && !image)
            continue;
        char *relative = eq_path_join(below, entry->d_name);
        if (!relative) {
            status = eq_fail_memory(ctx, "a file name");
            goto done;
        }
        if (descend) {
            status = list_into(ctx, root, relative, recursive, out);
            free(relative);
        } else {
            status = append_name(ctx, out, relative);
        }
        if (status != EQ_OK)
            goto done;
    }
done:
    if (dir)
        closedir(dir);
    free(folder);
    return status;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

eq_status eq_list_images(eq_context *ctx, const char *folder, bool recursive, eq_names *out)
{
    eq_names names = {0};
    *out = names;
    eq_status status = list_into(ctx, folder, "", recursive, &names);
    if (status != EQ_OK) {
        eq_names_free(&names);
        return status;
    }
    if (names.count > 1)
        qsort(names.name, names.count, sizeof *names.name, compare_names);
    *out = names;
    return EQ_OK;
}

void eq_names_free(eq_names *names)
{
    if (!names)
        return;
    for (size_t i = 0; i < names->count; i++)
        free(names->name[i]);
    free(names->name);
    *names = (eq_names){0};
}
