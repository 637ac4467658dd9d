/* The zip container: NAME/data.pkl, a pickle; NAME/data/KEY, a storage each; NAME/byteorder in newer ones. */
#include <stdlib.h>
#include <zip.h>

#include "base/path.h"
#include "io/torch_parts.h"

/* libzip does not tell where in the file an entry's data lie. It reads the archive through this source, which
 * remembers where the last read went. */
typedef struct source {
    const uint8_t *bytes;
    size_t size, at, last;
    zip_error_t error;
} source;

typedef struct archive {
    source source;
    zip_t *zip;
    char *prefix;         /* "NAME/" */
    const uint8_t **data; /* [entries] of storages that were found already */
} archive;

static zip_int64_t serve(void *user, void *data, zip_uint64_t length, zip_source_cmd_t command)
{
    source *s = user;
    switch (command) {
    case ZIP_SOURCE_OPEN: s->at = 0; return 0;
    case ZIP_SOURCE_READ: {
        size_t count = length < s->size - s->at ? (size_t)length : s->size - s->at;
        memcpy(data, s->bytes + s->at, count);
        s->last = s->at;
        s->at += count;
        return (zip_int64_t)count;
    }
    case ZIP_SOURCE_SEEK: {
        zip_int64_t at = zip_source_seek_compute_offset(s->at, s->size, data, length, &s->error);
        if (at < 0)
            return -1;
        s->at = (size_t)at;
        return 0;
    }
    case ZIP_SOURCE_TELL: return (zip_int64_t)s->at;
    case ZIP_SOURCE_STAT: {
        zip_stat_t *stat = ZIP_SOURCE_GET_ARGS(zip_stat_t, data, length, &s->error);
        if (!stat)
            return -1;
        zip_stat_init(stat);
        stat->size = s->size;
        stat->valid |= ZIP_STAT_SIZE;
        return sizeof *stat;
    }
    case ZIP_SOURCE_ERROR: return zip_error_to_data(&s->error, data, length);
    case ZIP_SOURCE_CLOSE:
    case ZIP_SOURCE_FREE: return 0;
    case ZIP_SOURCE_SUPPORTS:
        return zip_source_make_command_bitmap(ZIP_SOURCE_OPEN, ZIP_SOURCE_READ, ZIP_SOURCE_CLOSE, ZIP_SOURCE_STAT,
                                              ZIP_SOURCE_ERROR, ZIP_SOURCE_FREE, ZIP_SOURCE_SEEK, ZIP_SOURCE_TELL,
                                              ZIP_SOURCE_SUPPORTS, -1);
    default: zip_error_set(&s->error, ZIP_ER_OPNOTSUPP, 0); return -1;
    }
}

static eq_status open_archive(eq_torch_reader *reader, archive *a)
{
    zip_error_t error;
    zip_error_init(&error);
    zip_error_init(&a->source.error);
    a->source.bytes = reader->bytes;
    a->source.size = reader->size;
    zip_source_t *layer = zip_source_function_create(serve, &a->source, &error);
    a->zip = layer ? zip_open_from_source(layer, ZIP_RDONLY, &error) : NULL;
    eq_status status = EQ_OK;
    if (!a->zip)
        status = eq_fail(reader->ctx, EQ_BAD_INPUT, "%s: a zip archive that cannot be opened: %s; is it truncated?",
                         reader->out->path, zip_error_strerror(&error));
    if (!a->zip && layer)
        zip_source_free(layer);
    zip_error_fini(&error);
    return status;
}

static void close_archive(archive *a)
{
    if (a->zip)
        zip_discard(a->zip);
    zip_error_fini(&a->source.error);
    free(a->prefix);
    free(a->data);
}

/* What there is to know of an entry before it is read. */
typedef struct entry {
    zip_uint64_t index;
    uint64_t size;
    const uint8_t *stored; /* its bytes in the file; NULL when they are compressed */
    size_t offset;         /* of those in the file */
} entry;

static eq_status entry_failed(eq_torch_reader *reader, const archive *a, zip_uint64_t index, const char *fault)
{
    const char *name = zip_get_name(a->zip, index, ZIP_FL_ENC_GUESS);
    return eq_fail(reader->ctx, EQ_BAD_INPUT, "%s: the entry \"%s\": %s", reader->out->path,
                   eq_pickle_show((eq_pickle_text){name ? name : "", name ? strlen(name) : 0}).text, fault);
}

/* Where a stored entry's data lie: where libzip goes to read their first byte. */
static eq_status locate(eq_torch_reader *reader, archive *a, entry *e)
{
    uint8_t first;
    zip_file_t *file = zip_fopen_index(a->zip, e->index, ZIP_FL_UNCHANGED);
    if (!file)
        return entry_failed(reader, a, e->index, zip_strerror(a->zip));
    bool found = e->size == 0 || zip_fread(file, &first, 1) == 1;
    e->offset = a->source.last;
    zip_fclose(file);
    if (!found || e->size > reader->size - e->offset)
        return entry_failed(reader, a, e->index, "it does not fit in the file; is it truncated?");
    e->stored = reader->bytes + e->offset;
    return EQ_OK;
}

static eq_status find_entry(eq_torch_reader *reader, archive *a, zip_uint64_t index, entry *out)
{
    zip_stat_t stat;
    const zip_uint64_t needed = ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD;
    if (zip_stat_index(a->zip, index, ZIP_FL_UNCHANGED, &stat) != 0 || (stat.valid & needed) != needed)
        return entry_failed(reader, a, index, "its sizes are not given");
    if ((stat.valid & ZIP_STAT_ENCRYPTION_METHOD) && stat.encryption_method != ZIP_EM_NONE)
        return entry_failed(reader, a, index, "it is encrypted");
    *out = (entry){.index = index, .size = stat.size};
    if (stat.comp_method == ZIP_CM_DEFLATE)
        return EQ_OK;
    if (stat.comp_method != ZIP_CM_STORE)
        return entry_failed(reader, a, index, "it is neither stored nor deflated");
    if (stat.comp_size != stat.size)
        return entry_failed(reader, a, index, "it is stored, but in another number of bytes than it has");
    return locate(reader, a, out);
}

static eq_status inflate_entry(eq_torch_reader *reader, archive *a, const entry *e, uint8_t *out)
{
    zip_file_t *file = zip_fopen_index(a->zip, e->index, ZIP_FL_UNCHANGED);
    if (!file)
        return entry_failed(reader, a, e->index, zip_strerror(a->zip));
    uint64_t done = 0;
    zip_int64_t count = 0;
    while (done < e->size && (count = zip_fread(file, out + done, e->size - done)) > 0)
        done += (uint64_t)count;
    /* The checksum is compared at the end. */
    uint8_t more;
    bool whole = done == e->size && zip_fread(file, &more, 1) == 0;
    zip_fclose(file);
    return whole ? EQ_OK : entry_failed(reader, a, e->index, "it does not inflate to its stated size and checksum");
}

/* The entry's bytes, aligned to `alignment`: in the file where they can stay there, else in a copy. */
static eq_status read_entry(eq_torch_reader *reader, archive *a, const entry *e, size_t alignment, const uint8_t **out)
{
    void *copy;
    if (e->stored && (uintptr_t)e->stored % alignment == 0) {
        *out = e->stored;
        return EQ_OK;
    }
    EQ_TRY(eq_torch_buffer(reader, e->size, &copy));
    *out = copy;
    if (!e->stored)
        return inflate_entry(reader, a, e, copy);
    memcpy(copy, e->stored, e->size);
    return EQ_OK;
}

static eq_status find_storage(eq_torch_reader *reader, const eq_pickle *pickle, const eq_pickle_storage *storage,
                              size_t at, const uint8_t **data)
{
    archive *a = reader->container;
    char name[512];
    size_t element = eq_dtype_size(storage->dtype);
    int length =
        snprintf(name, sizeof name, "%sdata/%.*s", a->prefix, (int)(storage->key.length & 0xff), storage->key.bytes);
    zip_int64_t index = -1;
    if (storage->key.length < 256 && length < (int)sizeof name)
        index = zip_name_locate(a->zip, name, ZIP_FL_ENC_GUESS);
    if (index < 0)
        return eq_pickle_fail(reader->ctx, pickle, at, "the archive has no entry \"%sdata/%s\" for a storage",
                              a->prefix, eq_pickle_show(storage->key).text);
    entry e;
    EQ_TRY(find_entry(reader, a, (zip_uint64_t)index, &e));
    if (e.size != (uint64_t)storage->total * element)
        return eq_pickle_fail(
            reader->ctx, pickle, at, "a storage of %lld elements of %s should be %llu bytes, the entry \"%s\" has %llu",
            (long long)storage->total, eq_dtype_name(storage->dtype), (unsigned long long)storage->total * element,
            eq_pickle_show((eq_pickle_text){name, (size_t)length}).text, (unsigned long long)e.size);
    if (!a->data[index] || (uintptr_t)a->data[index] % element != 0)
        EQ_TRY(read_entry(reader, a, &e, element, &a->data[index]));
    *data = a->data[index];
    return EQ_OK;
}

/* The index of NAME/data.pkl; sets a->prefix. */
static eq_status find_pickle(eq_torch_reader *reader, archive *a, zip_uint64_t *out)
{
    static const char wanted[] = "data.pkl";
    zip_int64_t count = zip_get_num_entries(a->zip, ZIP_FL_UNCHANGED);
    for (zip_int64_t i = 0; i < count; i++) {
        const char *name = zip_get_name(a->zip, (zip_uint64_t)i, ZIP_FL_ENC_GUESS);
        const char *slash = name ? strchr(name, '/') : NULL;
        if (!name || strcmp(slash ? slash + 1 : name, wanted) != 0)
            continue;
        a->prefix = strndup(name, strlen(name) - strlen(wanted));
        a->data = calloc((size_t)count, sizeof *a->data);
        *out = (zip_uint64_t)i;
        return a->prefix && a->data ? EQ_OK : eq_fail_memory(reader->ctx, "an archive");
    }
    return eq_fail(reader->ctx, EQ_BAD_INPUT,
                   "%s: a zip archive, but not of PyTorch: NAME/data.pkl expected, found %lld other entries",
                   reader->out->path, (long long)count);
}

/* Newer files say in which order their numbers' bytes are. */
static eq_status check_byte_order(eq_torch_reader *reader, archive *a)
{
    char name[512];
    entry e;
    const uint8_t *text;
    if (snprintf(name, sizeof name, "%sbyteorder", a->prefix) >= (int)sizeof name)
        return EQ_OK;
    zip_int64_t index = zip_name_locate(a->zip, name, ZIP_FL_ENC_GUESS);
    if (index < 0)
        return EQ_OK;
    EQ_TRY(find_entry(reader, a, (zip_uint64_t)index, &e));
    EQ_TRY(read_entry(reader, a, &e, 1, &text));
    if (e.size != 6 || memcmp(text, "little", 6) != 0)
        return entry_failed(reader, a, e.index, "\"little\" expected; other byte orders are not supported");
    return EQ_OK;
}

static eq_status read_archive(eq_torch_reader *reader, archive *a)
{
    entry e;
    const uint8_t *bytes;
    EQ_TRY(open_archive(reader, a));
    EQ_TRY(find_pickle(reader, a, &e.index));
    EQ_TRY(check_byte_order(reader, a));
    EQ_TRY(find_entry(reader, a, e.index, &e));
    if (e.size > EQ_PICKLE_MAX_BYTES)
        return entry_failed(reader, a, e.index, "it is larger than the 64 MiB that a pickle may have");
    EQ_TRY(read_entry(reader, a, &e, 1, &bytes));
    /* Bytes are counted in the file, or, where it is compressed, in the pickle. */
    char *where = eq_format("%s%s", reader->out->path, e.stored ? "" : " (data.pkl, inflated)");
    if (!where)
        return eq_fail_memory(reader->ctx, "an archive");
    eq_pickle pickle = {0};
    eq_status status = eq_unpickle(reader->ctx, bytes, (size_t)e.size, where, e.offset, &pickle);
    if (status == EQ_OK)
        status = eq_torch_add_tensors(reader, &pickle);
    eq_pickle_free(&pickle);
    free(where);
    return status;
}

bool eq_torch_is_zip(const uint8_t *bytes, size_t size)
{
    return size >= 4 && (memcmp(bytes, "PK\3\4", 4) == 0 || memcmp(bytes, "PK\5\6", 4) == 0);
}

eq_status eq_torch_read_zip(eq_torch_reader *reader)
{
    archive a = {0};
    reader->find = find_storage;
    reader->container = &a;
    eq_status status = read_archive(reader, &a);
    close_archive(&a);
    return status;
}
