#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

eq_status eq_fail_system(eq_context *ctx, const char *doing, const char *path, int error)
{
    bool reading = strcmp(doing, "read") == 0;
    switch (error) {
    case ENOSPC:
    case EDQUOT:
        return eq_fail(ctx, EQ_IO_ERROR, "cannot %s %s: no space left on the disk; free some or choose another folder",
                       doing, path);
    case EACCES:
    case EPERM:
    case EROFS:
        return eq_fail(ctx, EQ_IO_ERROR, "cannot %s %s: %s; check the permissions of the file and its folder", doing,
                       path, strerror(error));
    case ENOENT:
    case ENOTDIR:
        if (reading)
            return eq_fail(ctx, EQ_BAD_INPUT, "cannot read %s: no such file or folder", path);
        return eq_fail(ctx, EQ_IO_ERROR, "cannot %s %s: its folder does not exist; create it first", doing, path);
    case EISDIR:
        return eq_fail(ctx, reading ? EQ_BAD_INPUT : EQ_BAD_USAGE, "cannot %s %s: it is a folder, not a file", doing,
                       path);
    case ENOMEM: return eq_fail(ctx, EQ_NO_MEMORY, "cannot %s %s: out of memory", doing, path);
    default: return eq_fail(ctx, EQ_IO_ERROR, "cannot %s %s: %s", doing, path, strerror(error));
    }
}

/* Opens a file of a name nobody uses in the folder of `path`; the name is short so that it fits wherever `path` does.
 * Returns the descriptor, or -1 with errno set. *name is malloc'ed on success. */
static int create_temporary(const char *path, char **name)
{
    const char *slash = strrchr(path, '/');
    int folder_length = slash ? (int)(slash - path) + 1 : 0;
    for (unsigned attempt = 0; attempt < 10000; attempt++) {
        char *candidate = NULL;
        if (asprintf(&candidate, "%.*s.equipoise-%ld-%u.tmp", folder_length, path, (long)getpid(), attempt) < 0) {
            errno = ENOMEM;
            return -1;
        }
        int fd = open(candidate, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0) {
            *name = candidate;
            return fd;
        }
        int error = errno;
        free(candidate);
        errno = error;
        if (error != EEXIST)
            return -1;
    }
    return -1;
}

eq_status eq_file_writer_open(eq_context *ctx, const char *path, eq_file_writer *out)
{
    *out = (eq_file_writer){0};
    struct stat info;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode)) {
        if (S_ISDIR(info.st_mode))
            return eq_fail_system(ctx, "write", path, EISDIR);
        return eq_fail(ctx, EQ_BAD_USAGE, "cannot write %s: it is not a regular file", path);
    }
    eq_file_writer writer = {.path = strdup(path)};
    if (!writer.path)
        return eq_fail_memory(ctx, "a file name");
    int fd = create_temporary(path, &writer.temporary);
    if (fd < 0) {
        eq_status status = eq_fail_system(ctx, "write", path, errno);
        eq_file_writer_abort(&writer);
        return status;
    }
    writer.stream = fdopen(fd, "wb");
    if (!writer.stream) {
        eq_status status = eq_fail_system(ctx, "write", path, errno);
        close(fd);
        eq_file_writer_abort(&writer);
        return status;
    }
    *out = writer;
    return EQ_OK;
}

eq_status eq_file_writer_write(eq_context *ctx, eq_file_writer *writer, const void *bytes, size_t size)
{
    if (size > 0 && fwrite(bytes, 1, size, writer->stream) != size)
        return eq_fail_system(ctx, "write", writer->path, errno);
    return EQ_OK;
}

eq_status eq_file_writer_printf(eq_context *ctx, eq_file_writer *writer, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int written = vfprintf(writer->stream, format, args);
    int error = errno;
    va_end(args);
    return written < 0 ? eq_fail_system(ctx, "write", writer->path, error) : EQ_OK;
}

eq_status eq_file_writer_commit(eq_context *ctx, eq_file_writer *writer)
{
    bool failed = fflush(writer->stream) != 0 || fsync(fileno(writer->stream)) != 0;
    int error = errno;
    if (fclose(writer->stream) != 0 && !failed) {
        failed = true;
        error = errno;
    }
    writer->stream = NULL;
    if (!failed && rename(writer->temporary, writer->path) != 0) {
        failed = true;
        error = errno;
    }
    eq_status status = failed ? eq_fail_system(ctx, "write", writer->path, error) : EQ_OK;
    if (!failed) {
        free(writer->temporary);
        writer->temporary = NULL;
    }
    eq_file_writer_abort(writer);
    return status;
}

void eq_file_writer_abort(eq_file_writer *writer)
{
    if (!writer)
        return;
    if (writer->stream)
        fclose(writer->stream);
    if (writer->temporary)
        unlink(writer->temporary);
    free(writer->temporary);
    free(writer->path);
    *writer = (eq_file_writer){0};
}

eq_status eq_file_write(eq_context *ctx, const char *path, const void *bytes, size_t size)
{
    eq_file_writer writer;
    EQ_TRY(eq_file_writer_open(ctx, path, &writer));
    eq_status status = eq_file_writer_write(ctx, &writer, bytes, size);
    if (status != EQ_OK) {
        eq_file_writer_abort(&writer);
        return status;
    }
    return eq_file_writer_commit(ctx, &writer);
}

static eq_status open_for_reading(eq_context *ctx, const char *path, int *fd, struct stat *info)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0)
        return eq_fail_system(ctx, "read", path, errno);
    int error = fstat(*fd, info) != 0 ? errno : S_ISDIR(info->st_mode) ? EISDIR : 0;
    if (error) {
        close(*fd);
        return eq_fail_system(ctx, "read", path, error);
    }
    return EQ_OK;
}

static eq_status fail_too_large(eq_context *ctx, const char *path, size_t limit)
{
    return eq_fail(ctx, EQ_BAD_INPUT, "%s is larger than the %zu bytes allowed for a file of its kind", path, limit);
}

eq_status eq_file_read(eq_context *ctx, const char *path, size_t limit, uint8_t **bytes, size_t *size)
{
    *bytes = NULL;
    *size = 0;
    int fd;
    struct stat info;
    EQ_TRY(open_for_reading(ctx, path, &fd, &info));

    eq_status status = EQ_OK;
    uint8_t *buffer = NULL;
    size_t used = 0;
    /* Pipes state no size; they start small and grow. */
    size_t capacity = S_ISREG(info.st_mode) ? (size_t)info.st_size + 1 : 65536;
    if (S_ISREG(info.st_mode) && (size_t)info.st_size > limit) {
        status = fail_too_large(ctx, path, limit);
        goto done;
    }
    for (;;) {
        if (!buffer || used + 1 >= capacity) {
            size_t wanted = buffer ? capacity + capacity / 2 + 4096 : capacity + 1;
            uint8_t *grown = realloc(buffer, wanted);
            if (!grown) {
                status = eq_fail_memory(ctx, path);
                goto done;
            }
            buffer = grown;
            capacity = wanted;
        }
        ssize_t got = read(fd, buffer + used, capacity - used - 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            status = eq_fail_system(ctx, "read", path, errno);
            goto done;
        }
        if (got == 0)
            break;
        used += (size_t)got;
        if (used > limit) {
            status = fail_too_large(ctx, path, limit);
            goto done;
        }
    }
    buffer[used] = 0;
    *bytes = buffer;
    *size = used;
    buffer = NULL;
done:
    free(buffer);
    close(fd);
    return status;
}

eq_status eq_mapping_open(eq_context *ctx, const char *path, eq_mapping *out)
{
    *out = (eq_mapping){0};
    int fd;
    struct stat info;
    EQ_TRY(open_for_reading(ctx, path, &fd, &info));
    eq_status status = EQ_OK;
    if (!S_ISREG(info.st_mode)) {
        status = eq_fail(ctx, EQ_BAD_INPUT, "cannot map %s: it is not a regular file", path);
    } else if (info.st_size > 0) {
        void *bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (bytes == MAP_FAILED)
            status = eq_fail_system(ctx, "read", path, errno);
        else
            *out = (eq_mapping){.bytes = bytes, .size = (size_t)info.st_size};
    }
    close(fd);
    return status;
}

void eq_mapping_unload(const eq_mapping *mapping)
{
    /* Pages that were not written to come back from the file; advice that is not taken does no harm. */
    if (mapping->bytes)
        madvise((void *)mapping->bytes, mapping->size, MADV_DONTNEED);
}

void eq_mapping_close(eq_mapping *mapping)
{
    if (mapping && mapping->bytes)
        munmap((void *)mapping->bytes, mapping->size);
    if (mapping)
        *mapping = (eq_mapping){0};
}
