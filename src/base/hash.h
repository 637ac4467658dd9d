/* SHA-256 (FIPS 180-4), which identifies model files in run records, and a quick hash of names. */
#ifndef EQ_BASE_HASH_H
#define EQ_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { EQ_SHA256_BYTES = 32, EQ_SHA256_HEX = 65 /* with the final zero */ };

typedef struct eq_sha256 {
    uint32_t state[8];
    uint64_t length; /* bytes taken in so far */
    uint8_t block[64];
} eq_sha256;

eq_sha256 eq_sha256_start(void);
void eq_sha256_update(eq_sha256 *hash, const void *bytes, size_t size);
/* The hash may not be used any further. */
void eq_sha256_finish(eq_sha256 *hash, uint8_t digest[EQ_SHA256_BYTES]);

/* Lower-case hexadecimal. */
void eq_sha256_to_hex(const uint8_t digest[EQ_SHA256_BYTES], char hex[EQ_SHA256_HEX]);

/* Hashes a file of any size; EQ_BAD_INPUT when it is missing. */
eq_status eq_sha256_file(eq_context *ctx, const char *path, char hex[EQ_SHA256_HEX]);

/* FNV-1a of 64 bits: for tables, and for a stream of random numbers of its own for each name. */
uint64_t eq_hash_bytes(const void *bytes, size_t size);
uint64_t eq_hash_name(const char *name);

#endif
