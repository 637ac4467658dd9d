/* SHA-256 of large files, remembered between runs. */
#ifndef EQ_BASE_FILE_HASH_H
#define EQ_BASE_FILE_HASH_H

#include <time.h>

#include "base/hash.h"

/* As eq_sha256_file. The hashes of files of EQ_HASH_KEPT_BYTES and more are kept in the user's cache folder
 * ($XDG_CACHE_HOME/equipoise/hashes, or ~/.cache/equipoise/hashes), and taken from there as long as the file is the
 * same: its resolved path, device, inode, size, and times of change, both of content and of inode, to the nanosecond.
 * A file that changed within the last seconds is not remembered, as another change could go unseen. A cache that cannot
 * be read or written is done without. */
eq_status eq_file_hash(eq_context *ctx, const char *path, char hex[EQ_SHA256_HEX]);
/* The same at another time than now, for tests. */
eq_status eq_file_hash_at(eq_context *ctx, const char *path, time_t now, char hex[EQ_SHA256_HEX]);

enum { EQ_HASH_KEPT_BYTES = 16 << 20 };

#endif
