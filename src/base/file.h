/* Whole-file reading, read-only mapping, and writing that leaves either the old file or the complete new one. */
#ifndef EQ_BASE_FILE_H
#define EQ_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

/* A file being written under a temporary name in the folder of `path`. Made by eq_file_writer_open; ended by exactly
 * one of eq_file_writer_commit and eq_file_writer_abort. A zeroed writer may be aborted. */
typedef struct eq_file_writer {
    FILE *stream;
    char *path;
    char *temporary;
} eq_file_writer;

/* EQ_IO_ERROR when the folder is missing or refuses; EQ_BAD_USAGE when `path` names something other than a file. */
eq_status eq_file_writer_open(eq_context *ctx, const char *path, eq_file_writer *out);
eq_status eq_file_writer_write(eq_context *ctx, eq_file_writer *writer, const void *bytes, size_t size);
eq_status eq_file_writer_printf(eq_context *ctx, eq_file_writer *writer, const char *format, ...) EQ_PRINTF(3, 4);
/* Flushes to the disk, closes and renames. Ends the writer whether it succeeds or not. */
eq_status eq_file_writer_commit(eq_context *ctx, eq_file_writer *writer);
/* Closes and removes the temporary file. */
void eq_file_writer_abort(eq_file_writer *writer);

/* Writes a whole file through a writer. */
eq_status eq_file_write(eq_context *ctx, const char *path, const void *bytes, size_t size);

/* Reads a whole file of at most `limit` bytes; EQ_BAD_INPUT when it is missing, a folder, or larger. *bytes is
 * malloc'ed, the caller frees it; a zero byte follows the content, so that text can be used as a string. */
eq_status eq_file_read(eq_context *ctx, const char *path, size_t limit, uint8_t **bytes, size_t *size);

/* A file mapped read-only. The file must not shrink meanwhile. An empty file has bytes == NULL. */
typedef struct eq_mapping {
    const uint8_t *bytes;
    size_t size;
} eq_mapping;

eq_status eq_mapping_open(eq_context *ctx, const char *path, eq_mapping *out);
void eq_mapping_close(eq_mapping *mapping);
/* Gives the memory of its pages back; they are read again where they are touched again. */
void eq_mapping_unload(const eq_mapping *mapping);

/* Sets the message for a failed system call on `path` from errno value `error`, with a remedy where there is a usual
 * one (disk full, permissions). `doing` reads like "write". Missing files are EQ_BAD_INPUT when `doing` is "read",
 * everything else is EQ_IO_ERROR. */
eq_status eq_fail_system(eq_context *ctx, const char *doing, const char *path, int error);

#endif
