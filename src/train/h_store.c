#include "train/h_store.h"

#include <jansson.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "io/json.h"

/* A JSON array of integers as text; free()d by the caller. */
static char *array_text(const int64_t *values, int count)
{
    json_t *array = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(array, json_integer(values[i]));
    char *text = json_dumps(array, JSON_COMPACT);
    json_decref(array);
    return text;
}

/* A disk that is full after a day of sampling would be a pity. */
static eq_status check_room(const eq_h_writer *writer)
{
    static const double GB = 1e9;
    struct statvfs disk;
    double need = (double)writer->timesteps * (double)writer->images * (double)writer->h_count * sizeof(uint16_t);
    if (fstatvfs(fileno(writer->file.file.stream), &disk) != 0)
        return EQ_OK; /* not known: writing will tell */
    double room = (double)disk.f_bavail * (double)disk.f_frsize;
    if (need <= room)
        return EQ_OK;
    return eq_fail(writer->ctx, EQ_IO_ERROR,
                   "%s: the h-vectors of %lld images at %d timesteps take %.1f GB, and %.1f GB are free there; record "
                   "fewer images or timesteps, or put them on another disk",
                   writer->file.file.path, (long long)writer->images, writer->timesteps, need / GB, room / GB);
}

eq_status eq_h_writer_open(eq_context *ctx, const char *path, const int64_t *timesteps, const int *steps, int count,
                           int64_t images, eq_shape h_shape, const char *model_hash, eq_h_writer *out)
{
    int64_t h_count = eq_shape_count(&h_shape);
    *out = (eq_h_writer){.ctx = ctx, .timesteps = count, .images = images, .h_count = h_count, .step_of = steps};
    eq_h_writer_begin(out, 0, images);
    out->row = malloc((size_t)h_count * sizeof *out->row);
    char *times = array_text(timesteps, count), *shape = array_text(h_shape.dim, h_shape.rank);
    eq_status status = EQ_OK;
    if (out->row && times && shape) {
        eq_metadata metadata[] = {
            {"format", "equipoise h-vectors"}, {"timesteps", times}, {"h_shape", shape}, {"model", model_hash}};
        eq_named_tensor tensor = {"h", {EQ_F16, eq_shape_of(count, images, h_count), NULL}};
        status = eq_safetensors_writer_open(ctx, path, &tensor, 1, metadata, 4, &out->file);
        if (status == EQ_OK)
            status = check_room(out);
    } else {
        status = eq_fail_memory(ctx, "the h-vector file");
    }
    free(times);
    free(shape);
    if (status != EQ_OK)
        eq_h_writer_abort(out);
    return status;
}

void eq_h_writer_begin(eq_h_writer *writer, int64_t first, int64_t n)
{
    writer->first = first;
    writer->group = n;
    writer->written = 0;
}

eq_status eq_h_writer_add(eq_h_writer *writer, const float *h)
{
    uint64_t rows = (uint64_t)(writer->written * writer->images + writer->first);
    EQ_TRY(
        eq_safetensors_writer_seek(writer->ctx, &writer->file, rows * (uint64_t)writer->h_count * sizeof *writer->row));
    for (int64_t i = 0; i < writer->group; i++) {
        for (int64_t k = 0; k < writer->h_count; k++)
            writer->row[k] = eq_f32_to_f16(h[i * writer->h_count + k]);
        EQ_TRY(eq_safetensors_writer_data(writer->ctx, &writer->file, writer->row,
                                          (size_t)writer->h_count * sizeof *writer->row));
    }
    writer->written++;
    return EQ_OK;
}

eq_status eq_h_writer_commit(eq_h_writer *writer)
{
    free(writer->row);
    writer->row = NULL;
    return eq_safetensors_writer_commit(writer->ctx, &writer->file);
}

void eq_h_writer_abort(eq_h_writer *writer)
{
    free(writer->row);
    eq_safetensors_writer_abort(&writer->file);
    *writer = (eq_h_writer){0};
}

static bool recorder_active(const void *user, int step)
{
    const eq_h_writer *writer = user;
    return writer->written < writer->timesteps && writer->step_of[writer->written] == step;
}

static eq_status recorder_apply(void *user, int step, double timestep, double beta, float *h)
{
    return eq_h_writer_add(user, h);
}

eq_h_hook eq_h_recorder(eq_h_writer *writer)
{
    return (eq_h_hook){.user = writer, .active = recorder_active, .apply = recorder_apply};
}

/* Reads a JSON array of whole numbers from metadata; at most `capacity`. */
static eq_status read_array(eq_context *ctx, const eq_tensor_file *file, const char *key, int capacity, int64_t *out,
                            int *count)
{
    const char *text = eq_tensor_file_metadata(file, key);
    json_t *array = text ? json_loads(text, 0, NULL) : NULL;
    *count = (int)json_array_size(array);
    bool good = json_is_array(array) && *count >= 1 && *count <= capacity;
    for (int i = 0; good && i < *count; i++) {
        json_t *item = json_array_get(array, (size_t)i);
        good = json_is_integer(item);
        out[i] = json_integer_value(item);
    }
    json_decref(array);
    return good ? EQ_OK
                : eq_fail(ctx, EQ_BAD_INPUT, "%s: the metadata's %s is not an array of 1 to %d whole numbers",
                          file->path, key, capacity);
}

/* In the order of sampling or of inversion. */
static eq_status check_timesteps(eq_context *ctx, const eq_h_store *store)
{
    const int64_t *t = store->timestep;
    for (int i = 0; i < store->timesteps; i++)
        if (t[i] < 0 || t[i] > 1000000 || (i > 0 && (t[i] == t[i - 1] || (t[i] > t[i - 1]) != (t[1] > t[0]))))
            return eq_fail(ctx, EQ_BAD_INPUT, "%s: its timesteps neither rise nor fall, at %lld", store->file.path,
                           (long long)t[i]);
    return EQ_OK;
}

static eq_status read_store(eq_context *ctx, eq_h_store *store)
{
    const eq_tensor *h = eq_tensor_file_find(&store->file, "h");
    store->model_hash = eq_tensor_file_metadata(&store->file, "model");
    if (!h || h->dtype != EQ_F16 || h->shape.rank != 3 || !store->model_hash || h->shape.dim[0] > 1000)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: not a file of h-vectors", store->file.path);
    store->timesteps = (int)h->shape.dim[0];
    store->images = h->shape.dim[1];
    store->h_count = h->shape.dim[2];
    store->h = h->data;
    store->timestep = calloc((size_t)store->timesteps + 1, sizeof *store->timestep);
    if (!store->timestep)
        return eq_fail_memory(ctx, "timesteps");
    int count;
    EQ_TRY(read_array(ctx, &store->file, "timesteps", store->timesteps, store->timestep, &count));
    EQ_TRY(read_array(ctx, &store->file, "h_shape", 3, store->h_shape.dim, &store->h_shape.rank));
    int64_t h_count;
    if (count != store->timesteps || store->h_shape.rank != 3 ||
        !eq_shape_checked_count(&store->h_shape, 2, &h_count) || h_count != store->h_count || h_count < 1)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: its metadata do not fit its tensor %s", store->file.path,
                       eq_shape_format(&h->shape).text);
    return check_timesteps(ctx, store);
}

eq_status eq_h_store_open(eq_context *ctx, const char *path, eq_h_store *out)
{
    *out = (eq_h_store){0};
    EQ_TRY(eq_mapping_open(ctx, path, &out->mapping));
    eq_status status = eq_safetensors_from_memory(ctx, out->mapping.bytes, out->mapping.size, path, &out->file);
    if (status == EQ_OK)
        status = read_store(ctx, out);
    if (status != EQ_OK)
        eq_h_store_close(out);
    return status;
}

void eq_h_store_close(eq_h_store *store)
{
    eq_tensor_file_close(&store->file);
    eq_mapping_close(&store->mapping);
    free(store->timestep);
    *store = (eq_h_store){0};
}

void eq_h_store_release(const eq_h_store *store)
{
    eq_mapping_unload(&store->mapping);
}
