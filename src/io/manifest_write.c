#include "io/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "base/file.h"

/* Cuts off what follows the last line end. */
static eq_status drop_torn_line(eq_context *ctx, int fd, const char *path)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return eq_fail_system(ctx, "read", path, errno);
    off_t end = info.st_size;
    bool found = false;
    while (end > 0 && !found) {
        char block[4096];
        size_t wanted = end < (off_t)sizeof block ? (size_t)end : sizeof block;
        ssize_t got = pread(fd, block, wanted, end - (off_t)wanted);
        if (got != (ssize_t)wanted)
            return eq_fail_system(ctx, "read", path, got < 0 ? errno : EIO);
        const char *newline = memrchr(block, '\n', wanted);
        end -= (off_t)wanted;
        if (newline) {
            end += newline - block + 1;
            found = true;
        }
    }
    if (end < info.st_size && ftruncate(fd, end) != 0)
        return eq_fail_system(ctx, "write", path, errno);
    return EQ_OK;
}

eq_status eq_manifest_writer_open(eq_context *ctx, const char *path, eq_manifest_writer *out)
{
    *out = (eq_manifest_writer){0};
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0)
        return eq_fail_system(ctx, "write", path, errno);
    eq_status status = drop_torn_line(ctx, fd, path);
    char *copy = status == EQ_OK ? strdup(path) : NULL;
    if (status == EQ_OK && !copy)
        status = eq_fail_memory(ctx, "a file name");
    if (status != EQ_OK) {
        close(fd);
        return status;
    }
    *out = (eq_manifest_writer){.fd = fd, .path = copy};
    return EQ_OK;
}

static json_t *predictions_to_json(const eq_manifest_entry *entry)
{
    json_t *map = json_object();
    for (int i = 0; i < entry->prediction_count; i++) {
        const eq_manifest_prediction *prediction = &entry->predictions[i];
        json_t *classes = json_object();
        for (int k = 0; k < prediction->attribute.classes; k++)
            if (json_object_set_new(classes, prediction->attribute.class_names[k], json_real(prediction->p[k])) != 0) {
                json_decref(classes);
                json_decref(map);
                return NULL;
            }
        if (json_object_set_new(map, prediction->attribute.name, classes) != 0) {
            json_decref(map);
            return NULL;
        }
    }
    return map;
}

static json_t *targets_to_json(const eq_manifest_entry *entry)
{
    json_t *map = json_object();
    for (int i = 0; i < entry->target_count; i++) {
        const eq_manifest_target *target = &entry->targets[i];
        json_t *cell = target->cell ? json_string(target->cell) : json_null();
        if (json_object_set_new(map, target->target, cell) != 0) {
            json_decref(map);
            return NULL;
        }
    }
    return map;
}

/* Writes all or nothing. */
static eq_status append_line(eq_context *ctx, const eq_manifest_writer *writer, const char *line, size_t size)
{
    struct stat info;
    if (fstat(writer->fd, &info) != 0)
        return eq_fail_system(ctx, "write", writer->path, errno);
    for (size_t written = 0; written < size;) {
        ssize_t got = write(writer->fd, line + written, size - written);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            int error = errno;
            if (written > 0 && ftruncate(writer->fd, info.st_size) != 0)
                error = errno; /* the torn line is dropped at the next opening */
            return eq_fail_system(ctx, "write", writer->path, error);
        }
        written += (size_t)got;
    }
    return EQ_OK;
}

eq_status eq_manifest_append(eq_context *ctx, eq_manifest_writer *writer, const eq_manifest_entry *entry)
{
    if (entry->seed > INT64_MAX)
        return eq_fail(ctx, EQ_BAD_USAGE, "the seed %llu is too large for a manifest; use one below 2^63",
                       (unsigned long long)entry->seed);
    /* json_pack gives NULL if any part is NULL: a name that is not UTF-8, a probability that is not finite. */
    json_t *object =
        json_pack("{s:s, s:I, s:I, s:I, s:o, s:o, s:b}", "file", entry->file, "seed", (json_int_t)entry->seed, "index",
                  (json_int_t)entry->index, "batch", (json_int_t)entry->batch, "target_class", targets_to_json(entry),
                  "adp", predictions_to_json(entry), "guided", (int)entry->guided);
    if (object && entry->prompt && json_object_set_new(object, "prompt", json_string(entry->prompt)) != 0) {
        json_decref(object);
        object = NULL;
    }
    if (object && entry->replacement)
        json_object_set_new(object, "replaces", json_integer((json_int_t)entry->replaces));
    /* Nine digits give back every float exactly. */
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(object);
    if (!text)
        return eq_fail(
            ctx, EQ_FAILED,
            "image %lld cannot be written to %s: a name or prompt is not UTF-8 or a probability is not a number",
            (long long)entry->index, writer->path);
    size_t size = strlen(text);
    text[size] = '\n'; /* in place of the final zero */
    eq_status status = append_line(ctx, writer, text, size + 1);
    free(text);
    return status;
}

eq_status eq_manifest_writer_close(eq_context *ctx, eq_manifest_writer *writer)
{
    if (!writer || !writer->path)
        return EQ_OK;
    eq_status status = EQ_OK;
    if (fsync(writer->fd) != 0 && errno != EINVAL) /* a pipe cannot be synchronised */
        status = eq_fail_system(ctx, "write", writer->path, errno);
    if (close(writer->fd) != 0 && status == EQ_OK)
        status = eq_fail_system(ctx, "write", writer->path, errno);
    free(writer->path);
    *writer = (eq_manifest_writer){0};
    return status;
}
