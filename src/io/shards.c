#include "io/shards.h"

#include <stdlib.h>
#include <string.h>

#include "base/file_hash.h"
#include "base/path.h"
#include "io/json.h"

struct owner {
    eq_tensor_file *shards; /* [count] */
    const char **names;     /* [count], inside the parsed index: valid while it is read */
    size_t count;
};

static void unload_owner(void *pointer)
{
    const struct owner *owner = pointer;
    for (size_t i = 0; i < owner->count; i++)
        eq_tensor_file_unload(&owner->shards[i]);
}

/* A tensor here has the data of its namesake in a shard. */
static void fetch(void *pointer, const eq_tensor *tensor)
{
    const struct owner *owner = pointer;
    for (size_t i = 0; i < owner->count; i++)
        if (owner->shards[i].fetch)
            owner->shards[i].fetch(owner->shards[i].owner, tensor);
}

static void release_owner(void *pointer)
{
    struct owner *owner = pointer;
    for (size_t i = 0; i < owner->count; i++)
        eq_tensor_file_close(&owner->shards[i]);
    free(owner->shards);
    free(owner->names);
    free(owner);
}

/* The shard of that name, opened at its first mention. */
static eq_status find_shard(eq_context *ctx, const char *index, const char *name, struct owner *owner,
                            const eq_tensor_file **out)
{
    for (size_t i = 0; i < owner->count; i++) {
        if (strcmp(owner->names[i], name) == 0) {
            *out = &owner->shards[i];
            return EQ_OK;
        }
    }
    /* An index from elsewhere must not reach beyond its folder. */
    if (!name[0] || strchr(name, '/'))
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: \"%s\" should be the name of a file in the same folder", index, name);
    eq_tensor_file *shards = realloc(owner->shards, (owner->count + 1) * sizeof *shards);
    if (shards)
        owner->shards = shards;
    const char **names = realloc(owner->names, (owner->count + 1) * sizeof *names);
    if (names)
        owner->names = names;
    char *folder = eq_path_folder(index);
    char *path = folder ? eq_path_join(folder, name) : NULL;
    eq_status status = shards && names && path ? eq_tensor_file_open_single(ctx, path, &shards[owner->count])
                                               : eq_fail_memory(ctx, "a list of shards");
    free(folder);
    free(path);
    EQ_TRY(status);
    names[owner->count] = name;
    *out = &shards[owner->count++];
    return EQ_OK;
}

static eq_status read_index(eq_context *ctx, const eq_json *index, eq_tensor_file *out)
{
    eq_json map;
    const char *name;
    json_t *value;
    EQ_TRY(eq_json_object(ctx, index, "weight_map", &map));
    json_object_foreach(map.object, name, value)
    {
        const char *shard_name;
        const eq_tensor_file *shard = NULL;
        EQ_TRY(eq_json_string(ctx, &map, name, &shard_name));
        EQ_TRY(find_shard(ctx, out->path, shard_name, out->owner, &shard));
        const eq_tensor *tensor = eq_tensor_file_peek(shard, name);
        if (!tensor)
            return eq_fail(ctx, EQ_BAD_INPUT, "%s: the tensor \"%s\" is missing, though %s says it is there",
                           shard->path, name, out->path);
        EQ_TRY(eq_tensor_file_add(ctx, out, name, tensor));
    }
    json_object_foreach(json_object_get(index->object, "metadata"), name, value)
    {
        if (json_is_string(value))
            EQ_TRY(eq_tensor_file_add_metadata(ctx, out, name, json_string_value(value)));
    }
    return eq_tensor_file_finish(ctx, out);
}

eq_status eq_shards_open(eq_context *ctx, const char *path, eq_tensor_file *out)
{
    *out = (eq_tensor_file){0};
    eq_tensor_file file = {0};
    eq_json index = {0};
    eq_status status;
    EQ_TRY_GOTO(status, eq_tensor_file_start(ctx, path, &file), fail);
    file.container = "shards";
    file.owner = calloc(1, sizeof(struct owner));
    if (!file.owner) {
        status = eq_fail_memory(ctx, "a list of shards");
        goto fail;
    }
    file.release = release_owner;
    file.unload = unload_owner;
    file.fetch = fetch;
    EQ_TRY_GOTO(status, eq_json_read(ctx, path, &index), fail);
    EQ_TRY_GOTO(status, read_index(ctx, &index, &file), fail);
    eq_json_close(&index);
    *out = file;
    return EQ_OK;
fail:
    eq_json_close(&index);
    eq_tensor_file_close(&file);
    return status;
}

bool eq_shards_are(const eq_tensor_file *file)
{
    return file->release == release_owner;
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp((*(const eq_tensor_file *const *)a)->path, (*(const eq_tensor_file *const *)b)->path);
}

eq_status eq_shards_hash(eq_context *ctx, const eq_tensor_file *file, char hex[EQ_SHA256_HEX])
{
    const struct owner *owner = file->owner;
    const eq_tensor_file **sorted = calloc(owner->count + 1, sizeof *sorted);
    if (!sorted)
        return eq_fail_memory(ctx, "a list of shards");
    for (size_t i = 0; i < owner->count; i++)
        sorted[i] = &owner->shards[i];
    qsort(sorted, owner->count, sizeof *sorted, compare_paths);
    eq_sha256 hash = eq_sha256_start();
    eq_status status = EQ_OK;
    for (size_t i = 0; i < owner->count && status == EQ_OK; i++) {
        status = eq_file_hash(ctx, sorted[i]->path, hex);
        eq_sha256_update(&hash, hex, EQ_SHA256_HEX - 1);
        eq_sha256_update(&hash, "\n", 1);
    }
    free(sorted);
    uint8_t digest[EQ_SHA256_BYTES];
    eq_sha256_finish(&hash, digest);
    eq_sha256_to_hex(digest, hex);
    return status;
}
