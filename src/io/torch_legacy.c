/* The older container: five pickles one after the other (a magic number, the version, facts about the machine, the
 * object, the list of storage keys), then the storages in the list's order, each a count of elements in 8 bytes and the
 * elements. */
#include <stdlib.h>

#include "io/torch_parts.h"

enum { VERSION = 1001, MAGIC_WITHIN = 32 };
static const char magic[10] = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

/* A storage that the object's pickle mentions, and where it lies. */
typedef struct storage_place {
    const eq_pickle_value *value;
    const uint8_t *bytes;   /* in the file; NULL until the list of keys was gone through */
    const uint8_t *aligned; /* bytes, or a copy of them; NULL until it was asked for */
} storage_place;

typedef struct storage_places {
    storage_place *items; /* [count] ordered by key */
    size_t count;
} storage_places;

static int compare_texts(eq_pickle_text a, eq_pickle_text b)
{
    if (a.length != b.length)
        return a.length < b.length ? -1 : 1;
    return memcmp(a.bytes, b.bytes, a.length);
}

static int compare_places(const void *a, const void *b)
{
    const storage_place *x = a, *y = b;
    return compare_texts(x->value->storage.key, y->value->storage.key);
}

static storage_place *find_place(const storage_places *places, const eq_pickle_value *storage)
{
    storage_place wanted = {.value = storage};
    return places->count ? bsearch(&wanted, places->items, places->count, sizeof wanted, compare_places) : NULL;
}

/* The storages of a pickle, each key once. A key must always stand for the same type and number of elements. */
static eq_status list_storages(eq_torch_reader *reader, const eq_pickle *pickle, storage_places *out)
{
    size_t count = 0;
    out->items = calloc(pickle->storage_count + 1, sizeof *out->items);
    if (!out->items)
        return eq_fail_memory(reader->ctx, "a list of storages");
    for (const eq_pickle_value *s = pickle->last_storage; s; s = s->storage.previous)
        out->items[count++].value = s;
    if (count > 1)
        qsort(out->items, count, sizeof *out->items, compare_places);
    for (size_t i = 0; i < count; i++) {
        const eq_pickle_storage *storage = &out->items[i].value->storage;
        const eq_pickle_storage *kept = out->count ? &out->items[out->count - 1].value->storage : NULL;
        if (!kept || compare_texts(kept->key, storage->key) != 0)
            out->items[out->count++] = out->items[i];
        else if (kept->dtype != storage->dtype || kept->total != storage->total)
            return eq_pickle_fail(reader->ctx, pickle, out->items[i].value->offset,
                                  "the storage \"%s\" has %lld elements of %s here, elsewhere %lld of %s",
                                  eq_pickle_show(storage->key).text, (long long)storage->total,
                                  eq_dtype_name(storage->dtype), (long long)kept->total, eq_dtype_name(kept->dtype));
    }
    return EQ_OK;
}

/* The next pickle; *at moves behind it. */
static eq_status next_pickle(eq_torch_reader *reader, size_t *at, eq_pickle *out)
{
    EQ_TRY(eq_unpickle(reader->ctx, reader->bytes + *at, reader->size - *at, reader->out->path, *at, out));
    *at += out->used;
    return EQ_OK;
}

static eq_status check_magic(eq_torch_reader *reader, const eq_pickle *pickle)
{
    const eq_pickle_value *root = pickle->root;
    if (root->kind == EQ_PICKLE_LONG && root->text.length == sizeof magic &&
        memcmp(root->text.bytes, magic, sizeof magic) == 0)
        return EQ_OK;
    return eq_pickle_fail(reader->ctx, pickle, root->offset, "PyTorch's magic number expected, found %s",
                          eq_pickle_kind_name(root->kind));
}

static eq_status check_version(eq_torch_reader *reader, const eq_pickle *pickle)
{
    const eq_pickle_value *root = pickle->root;
    if (root->kind != EQ_PICKLE_INT)
        return eq_pickle_fail(reader->ctx, pickle, root->offset, "the container's version expected, found %s",
                              eq_pickle_kind_name(root->kind));
    if (root->integer != VERSION)
        return eq_pickle_fail(reader->ctx, pickle, root->offset, "container version %d expected, found %lld", VERSION,
                              (long long)root->integer);
    return EQ_OK;
}

static eq_status check_machine(eq_torch_reader *reader, const eq_pickle *pickle)
{
    const eq_pickle_value *little = eq_pickle_find(pickle->root, "little_endian");
    if (little && little->kind == EQ_PICKLE_BOOL && little->truth)
        return EQ_OK;
    return eq_pickle_fail(reader->ctx, pickle, little ? little->offset : pickle->root->offset,
                          "\"little_endian\": true expected, found %s; other byte orders are not supported",
                          !little                          ? "nothing"
                          : little->kind == EQ_PICKLE_BOOL ? "false"
                                                           : eq_pickle_kind_name(little->kind));
}

/* The three pickles ahead of the object. */
static eq_status read_preamble(eq_torch_reader *reader, size_t *at)
{
    static eq_status (*const checks[])(eq_torch_reader *, const eq_pickle *) = {check_magic, check_version,
                                                                                check_machine};
    for (int i = 0; i < 3; i++) {
        eq_pickle pickle;
        EQ_TRY(next_pickle(reader, at, &pickle));
        eq_status status = checks[i](reader, &pickle);
        eq_pickle_free(&pickle);
        EQ_TRY(status);
    }
    return EQ_OK;
}

/* One storage, of which the object's pickle says what it is: its elements begin after their count. */
static eq_status read_storage(eq_torch_reader *reader, const eq_pickle_storage *storage, size_t *at,
                              const uint8_t **bytes)
{
    uint64_t count = 0, size = (uint64_t)storage->total * eq_dtype_size(storage->dtype);
    if (reader->size - *at < 8 || reader->size - *at - 8 < size)
        return eq_fail(reader->ctx, EQ_BAD_INPUT,
                       "%s: byte %zu: the storage \"%s\" of %llu bytes expected, %zu bytes left; is it truncated?",
                       reader->out->path, *at, eq_pickle_show(storage->key).text, (unsigned long long)size,
                       reader->size - *at);
    for (int i = 0; i < 8; i++)
        count |= (uint64_t)reader->bytes[*at + (size_t)i] << (8 * i);
    if (count != (uint64_t)storage->total)
        return eq_fail(reader->ctx, EQ_BAD_INPUT,
                       "%s: byte %zu: the storage \"%s\" should have %lld elements, found %llu", reader->out->path, *at,
                       eq_pickle_show(storage->key).text, (long long)storage->total, (unsigned long long)count);
    *bytes = reader->bytes + *at + 8;
    *at += 8 + (size_t)size;
    return EQ_OK;
}

static eq_status read_storages(eq_torch_reader *reader, const eq_pickle *keys, size_t *at, storage_places *places)
{
    if (keys->root->kind != EQ_PICKLE_LIST)
        return eq_pickle_fail(reader->ctx, keys, keys->root->offset, "the list of storage keys expected, found %s",
                              eq_pickle_kind_name(keys->root->kind));
    for (size_t i = 0; i < keys->root->items.count; i++) {
        const eq_pickle_value *key = keys->root->items.value[i];
        if (key->kind != EQ_PICKLE_TEXT)
            return eq_pickle_fail(reader->ctx, keys, key->offset, "a storage's key expected, found %s",
                                  eq_pickle_kind_name(key->kind));
        const eq_pickle_value wanted = {.kind = EQ_PICKLE_STORAGE, .storage.key = key->text};
        storage_place *place = find_place(places, &wanted);
        if (!place || place->bytes)
            return eq_pickle_fail(reader->ctx, keys, key->offset, "the storage \"%s\" is %s",
                                  eq_pickle_show(key->text).text,
                                  place ? "listed twice" : "listed, but no tensor's, so that its size is not known");
        EQ_TRY(read_storage(reader, &place->value->storage, at, &place->bytes));
    }
    if (*at != reader->size)
        return eq_fail(reader->ctx, EQ_BAD_INPUT, "%s: byte %zu: the end expected, found %zu more bytes",
                       reader->out->path, *at, reader->size - *at);
    return EQ_OK;
}

static eq_status find_storage(eq_torch_reader *reader, const eq_pickle *pickle, const eq_pickle_storage *storage,
                              size_t at, const uint8_t **data)
{
    const eq_pickle_value wanted = {.kind = EQ_PICKLE_STORAGE, .storage = *storage};
    storage_place *place = find_place(reader->container, &wanted);
    size_t element = eq_dtype_size(storage->dtype), size = (size_t)storage->total * element;
    if (!place || !place->bytes)
        return eq_pickle_fail(reader->ctx, pickle, at, "the storage \"%s\" is not in the list of storages",
                              eq_pickle_show(storage->key).text);
    if (!place->aligned && (uintptr_t)place->bytes % element == 0)
        place->aligned = place->bytes;
    if (!place->aligned) {
        void *copy;
        EQ_TRY(eq_torch_buffer(reader, size, &copy));
        memcpy(copy, place->bytes, size);
        place->aligned = copy;
    }
    *data = place->aligned;
    return EQ_OK;
}

static eq_status read_object(eq_torch_reader *reader, size_t at, eq_pickle *object, storage_places *places)
{
    eq_pickle keys;
    EQ_TRY(next_pickle(reader, &at, object));
    EQ_TRY(list_storages(reader, object, places));
    EQ_TRY(next_pickle(reader, &at, &keys));
    eq_status status = read_storages(reader, &keys, &at, places);
    eq_pickle_free(&keys);
    EQ_TRY(status);
    reader->find = find_storage;
    reader->container = places;
    return eq_torch_add_tensors(reader, object);
}

bool eq_torch_is_legacy(const uint8_t *bytes, size_t size)
{
    size_t within = size < MAGIC_WITHIN ? size : MAGIC_WITHIN;
    return size > 2 && bytes[0] == 0x80 && memmem(bytes, within, magic, sizeof magic) != NULL;
}

eq_status eq_torch_read_legacy(eq_torch_reader *reader)
{
    size_t at = 0;
    eq_pickle object = {0};
    storage_places places = {0};
    eq_status status = read_preamble(reader, &at);
    if (status == EQ_OK)
        status = read_object(reader, at, &object, &places);
    eq_pickle_free(&object);
    free(places.items);
    return status;
}
