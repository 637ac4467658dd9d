/* Hashes of large files: remembered while the file is the same, and never longer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/file_hash.h"
#include "io/safetensors.h"
#include "temporary.h"
#include "unit/tiny.h"

static eq_context *ctx;
static const char false_hash[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/* A file of `size` zeros that takes no space but for its last byte. Malloc'ed path. */
static char *write_file(const char *folder, const char *name, off_t size, char last)
{
    char *path = eq_path_join(folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fseeko(file, size - 1, SEEK_SET), 0);
    assert_int_equal(fputc(last, file), last);
    assert_int_equal(fclose(file), 0);
    return path;
}

/* The cache of the test, empty, below its folder. Malloc'ed path. */
static char *use_cache(const char *folder)
{
    char *cache = eq_path_join(folder, "cache");
    setenv("XDG_CACHE_HOME", cache, 1);
    free(cache);
    return eq_path_join(folder, "cache/equipoise/hashes");
}

/* Long enough after the file was written. */
static time_t later(void)
{
    return time(NULL) + 60;
}

/* Puts the false hash into the only entry of the cache. False where there is none. */
static bool forge(const char *folder)
{
    char command[600];
    snprintf(command, sizeof command, "f=$(ls %s/* 2>/dev/null) && [ -n \"$f\" ] && sed -i '2s/.*/%s/' \"$f\"", folder,
             false_hash);
    return system(command) == 0;
}

static void hashes_are_remembered_until_files_change(void **state)
{
    char *entries = use_cache(*state), hex[EQ_SHA256_HEX], truth[EQ_SHA256_HEX];
    char *path = write_file(*state, "large", EQ_HASH_KEPT_BYTES, 'a');
    assert_ok(eq_sha256_file(ctx, path, truth));
    assert_ok(eq_file_hash_at(ctx, path, later(), hex));
    assert_string_equal(hex, truth);
    assert_true(forge(entries)); /* what comes from the cache is seen by this */
    assert_ok(eq_file_hash_at(ctx, path, later(), hex));
    assert_string_equal(hex, false_hash);
    assert_ok(eq_file_hash(ctx, path, hex));
    assert_string_equal(hex, false_hash);

    /* The same size, and the same time of its content, but another content. */
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    free(path);
    path = write_file(*state, "large", EQ_HASH_KEPT_BYTES, 'b');
    assert_int_equal(utimensat(AT_FDCWD, path, (struct timespec[]){info.st_atim, info.st_mtim}, 0), 0);
    assert_ok(eq_sha256_file(ctx, path, truth));
    assert_ok(eq_file_hash_at(ctx, path, later(), hex));
    assert_string_equal(hex, truth);
    free(path);
    free(entries);
}

static void young_and_small_files_are_not_remembered(void **state)
{
    char *entries = use_cache(*state), hex[EQ_SHA256_HEX];
    char *large = write_file(*state, "large", EQ_HASH_KEPT_BYTES, 'a');
    char *small = write_file(*state, "small", EQ_HASH_KEPT_BYTES - 1, 'a');
    assert_ok(eq_file_hash(ctx, large, hex)); /* it was written just now, and might be again */
    assert_ok(eq_file_hash_at(ctx, small, later(), hex));
    assert_false(forge(entries));
    free(large);
    free(small);
    free(entries);
}

static void a_cache_is_done_without(void **state)
{
    char hex[EQ_SHA256_HEX], truth[EQ_SHA256_HEX];
    char *path = write_file(*state, "large", EQ_HASH_KEPT_BYTES, 'a');
    char *not_a_folder = eq_path_join(*state, "large"), *entries;
    assert_ok(eq_sha256_file(ctx, path, truth));
    setenv("XDG_CACHE_HOME", not_a_folder, 1);
    assert_ok(eq_file_hash_at(ctx, path, later(), hex));
    assert_string_equal(hex, truth);

    /* Damaged entries are not believed. */
    entries = use_cache(*state);
    assert_ok(eq_file_hash_at(ctx, path, later(), hex));
    char command[600];
    snprintf(command, sizeof command, "for f in %s/*; do sed -i '2s/^......../XXXXXXXX/' $f; done", entries);
    assert_int_equal(system(command), 0);
    assert_ok(eq_file_hash_at(ctx, path, later(), hex));
    assert_string_equal(hex, truth);
    assert_int_equal(eq_file_hash(ctx, "/nowhere/at/all", hex), EQ_BAD_INPUT);
    free(path);
    free(not_a_folder);
    free(entries);
}

/* An index says where tensors are, not what is in them: its hash is that of its shards. */
static void shards_hash_by_what_they_hold(void **state)
{
    static const char index[] = "{\"weight_map\": {\"a\": \"2.safetensors\", \"b\": \"1.safetensors\"}}";
    char *path = eq_path_join(*state, "x.index.json"), hashes[3][EQ_SHA256_HEX];
    assert_ok(eq_file_write(ctx, path, index, strlen(index)));
    for (int i = 0; i < 3; i++) {
        float numbers[2] = {1, i == 1 ? 3 : 2};
        for (int k = 0; k < 2; k++) {
            char *shard = eq_path_join(*state, k ? "1.safetensors" : "2.safetensors");
            eq_named_tensor tensor = {k ? "b" : "a", {EQ_F32, eq_shape_of(1), &numbers[k]}};
            assert_ok(eq_safetensors_write(ctx, shard, &tensor, 1, NULL, 0));
            free(shard);
        }
        eq_tensor_file file;
        assert_ok(eq_tensor_file_open(ctx, path, &file));
        assert_ok(eq_tensor_file_hash(ctx, &file, hashes[i]));
        eq_tensor_file_close(&file);
    }
    assert_string_equal(hashes[0], hashes[2]);
    assert_string_not_equal(hashes[0], hashes[1]);
    free(path);
}

int main(void)
{
#define in_folder(test) cmocka_unit_test_setup_teardown(test, temporary_setup, temporary_teardown)
    const struct CMUnitTest tests[] = {
        in_folder(hashes_are_remembered_until_files_change),
        in_folder(young_and_small_files_are_not_remembered),
        in_folder(a_cache_is_done_without),
        in_folder(shards_hash_by_what_they_hold),
    };
    ctx = eq_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failed;
}
