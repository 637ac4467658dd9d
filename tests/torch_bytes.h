/* PyTorch's files byte by byte, for tests: pickles, zip archives, the older container. */
#ifndef EQ_TESTS_TORCH_BYTES_H
#define EQ_TESTS_TORCH_BYTES_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct bytes {
    uint8_t *at;
    size_t size, capacity;
} bytes;

static inline void put(bytes *b, const void *from, size_t size)
{
    if (b->size + size > b->capacity) {
        b->capacity = 2 * (b->size + size);
        b->at = realloc(b->at, b->capacity);
        if (!b->at)
            abort();
    }
    if (size)
        memcpy(b->at + b->size, from, size);
    b->size += size;
}

/* A string literal, which may hold zeros. */
#define PUT(b, literal) put(b, literal, sizeof(literal) - 1)

static inline void put_number(bytes *b, uint64_t number, int width)
{
    for (int i = 0; i < width; i++)
        put(b, &(uint8_t){(uint8_t)(number >> (8 * i))}, 1);
}

static inline void drop(bytes *b)
{
    free(b->at);
    *b = (bytes){0};
}

/* --- pickles, protocol 2 --- */

static inline void put_text(bytes *b, const char *text)
{
    PUT(b, "X");
    put_number(b, strlen(text), 4);
    put(b, text, strlen(text));
}

/* As LONG1 of eight bytes, whatever its size. */
static inline void put_integer(bytes *b, int64_t integer)
{
    PUT(b, "\x8a\x08");
    put_number(b, (uint64_t)integer, 8);
}

static inline void put_integers(bytes *b, int count, const int64_t *values)
{
    PUT(b, "(");
    for (int i = 0; i < count; i++)
        put_integer(b, values[i]);
    PUT(b, "t");
}

typedef struct tensor_bytes {
    const char *type, *key; /* "FloatStorage", "0" */
    int64_t total, offset;
    int rank;
    int64_t shape[8], stride[8];
} tensor_bytes;

/* The persistent id of the older container ends in the storage's view: `legacy`. */
static inline void put_storage(bytes *b, const tensor_bytes *t, int legacy)
{
    PUT(b, "(");
    put_text(b, "storage");
    PUT(b, "ctorch\n");
    put(b, t->type, strlen(t->type));
    PUT(b, "\n");
    put_text(b, t->key);
    put_text(b, "cpu");
    put_integer(b, t->total);
    if (legacy)
        PUT(b, "N");
    PUT(b, "tQ");
}

static inline void put_tensor(bytes *b, const tensor_bytes *t, int legacy)
{
    PUT(b, "ctorch._utils\n_rebuild_tensor_v2\n(");
    put_storage(b, t, legacy);
    put_integer(b, t->offset);
    put_integers(b, t->rank, t->shape);
    put_integers(b, t->rank, t->stride);
    PUT(b, "\x89"
           "ccollections\nOrderedDict\n)RtR");
}

/* --- zip archives of stored entries --- */

typedef struct zip_bytes {
    bytes file, directory;
    int entries;
} zip_bytes;

static inline uint32_t crc_of(const uint8_t *at, size_t size)
{
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < size; i++) {
        crc ^= at[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

/* What the two headers of an entry have in common. */
static inline void put_entry_fields(bytes *b, int method, uint32_t crc, size_t packed, size_t size, size_t name,
                                    size_t extra)
{
    put_number(b, 20, 2); /* version */
    put_number(b, 0, 2);
    put_number(b, (uint64_t)method, 2);
    put_number(b, 0x21 << 16, 4); /* time and date */
    put_number(b, crc, 4);
    put_number(b, packed, 4);
    put_number(b, size, 4);
    put_number(b, name, 2);
    put_number(b, extra, 2);
}

/* `packed` are the entry's bytes in the file, made by `method` from `size` bytes of checksum `crc`. The data begin
 * `shift` bytes beyond a multiple of 64, as PyTorch pads them (with 0). */
static inline void zip_add_packed(zip_bytes *z, const char *name, int method, uint32_t crc, size_t size,
                                  const bytes *packed, size_t shift)
{
    static const uint8_t zeros[128];
    size_t begin = z->file.size, length = strlen(name);
    size_t extra = (64 - (begin + 30 + length + 4) % 64) % 64 + shift;
    PUT(&z->file, "PK\3\4");
    put_entry_fields(&z->file, method, crc, packed->size, size, length, extra + 4);
    put(&z->file, name, length);
    PUT(&z->file, "FB");
    put_number(&z->file, extra, 2);
    put(&z->file, zeros, extra);
    put(&z->file, packed->at, packed->size);
    PUT(&z->directory, "PK\1\2");
    put_number(&z->directory, 20, 2);
    put_entry_fields(&z->directory, method, crc, packed->size, size, length, 0);
    put(&z->directory, zeros, 2 + 2 + 2 + 4);
    put_number(&z->directory, begin, 4);
    put(&z->directory, name, length);
    z->entries++;
}

static inline void zip_add(zip_bytes *z, const char *name, const void *data, size_t size, size_t shift)
{
    const bytes stored = {(uint8_t *)data, size, size};
    zip_add_packed(z, name, 0, crc_of(data, size), size, &stored, shift);
}

/* Deflated, as one block without compression of at most 65535 bytes. */
static inline void zip_add_deflated(zip_bytes *z, const char *name, const void *data, size_t size, size_t claimed)
{
    bytes packed = {0};
    PUT(&packed, "\1");
    put_number(&packed, size, 2);
    put_number(&packed, ~size, 2);
    put(&packed, data, size);
    zip_add_packed(z, name, 8, crc_of(data, size), claimed, &packed, 0);
    drop(&packed);
}

static inline void zip_finish(zip_bytes *z)
{
    size_t begin = z->file.size;
    put(&z->file, z->directory.at, z->directory.size);
    PUT(&z->file, "PK\5\6\0\0\0\0");
    put_number(&z->file, (uint64_t)z->entries, 2);
    put_number(&z->file, (uint64_t)z->entries, 2);
    put_number(&z->file, z->directory.size, 4);
    put_number(&z->file, begin, 4);
    put_number(&z->file, 0, 2);
    drop(&z->directory);
}

/* --- the older container --- */

static inline void put_legacy_preamble(bytes *b)
{
    PUT(b, "\x80\2\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.");
    PUT(b, "\x80\2M\xe9\3.");
    PUT(b, "\x80\2}(");
    put_text(b, "protocol_version");
    PUT(b, "M\xe9\3");
    put_text(b, "little_endian");
    PUT(b, "\x88u.");
}

#endif
