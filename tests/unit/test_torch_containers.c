/* PyTorch's two containers, made byte by byte: how they are told apart, what lies where in them, and every kind of
 * damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/path.h"
#include "temporary.h"
#include "unit/torch_files.h"

static bool is_view(const void *data, const uint8_t *block, size_t size)
{
    return (const uint8_t *)data >= block && (const uint8_t *)data < block + size;
}

static void aligned_entries_are_views_others_copies(void **state)
{
    for (size_t shift = 0; shift < 8; shift += 2) {
        eq_tensor_file file;
        uint8_t *block;
        bytes b = zip_of(dict_of("w", &dense, 0), six, sizeof six, shift);
        open_bytes(&b, &block, &file);
        assert_string_equal(file.container, "PyTorch zip");
        assert_int_equal(file.count, 1);
        assert_floats(&file, "w", eq_shape_of(2, 3), six);
        assert_int_equal(is_view(file.entries[0].tensor.data, block, b.size), shift % 4 == 0);
        eq_tensor_file_close(&file);
        free(block);
        drop(&b);
    }
}

/* By content, whatever the name; and the reverse: bytes of something else in a .pt. */
static void files_are_told_by_their_content(void **state)
{
    char *path = eq_path_join(*state, "weights.safetensors");
    bytes b = zip_of(dict_of("w", &dense, 0), six, sizeof six, 0);
    eq_tensor_file file;
    assert_int_equal(eq_file_write(ctx, path, b.at, b.size), EQ_OK);
    assert_int_equal(eq_tensor_file_open(ctx, path, &file), EQ_OK);
    assert_floats(&file, "w", eq_shape_of(2, 3), six);
    eq_tensor_file_close(&file);

    char *index = eq_path_join(*state, "index");
    static const char text[] = "{\"weight_map\": {\"w\": \"weights.safetensors\"}}";
    assert_int_equal(eq_file_write(ctx, index, text, sizeof text - 1), EQ_OK);
    assert_int_equal(eq_tensor_file_open(ctx, index, &file), EQ_OK);
    assert_string_equal(file.container, "shards");
    assert_floats(&file, "w", eq_shape_of(2, 3), six);
    eq_tensor_file_close(&file);
    free(index);
    free(path);
    drop(&b);
}

static void damaged_archives(void **state)
{
    bytes p = dict_of("w", &dense, 0);
    assert_refused(zip_of(dict_of("w", &dense, 0), six, 20, 0), "should be 24 bytes, the entry \"m/data/0\" has 20");
    const tensor_bytes missing = {"FloatStorage", "7", 6, 0, 1, {6}, {1}};
    assert_refused(zip_of(dict_of("w", &missing, 0), six, sizeof six, 0), "no entry \"m/data/7\"");

    zip_bytes z = {0};
    zip_add(&z, "other.txt", "x", 1, 0);
    zip_finish(&z);
    assert_refused(z.file, "NAME/data.pkl expected, found 1 other");

    z = (zip_bytes){0};
    zip_add(&z, "m/data.pkl", p.at, p.size, 0);
    zip_add(&z, "m/byteorder", "big", 3, 0);
    zip_finish(&z);
    assert_refused(z.file, "\"m/byteorder\": \"little\" expected");

    /* Cut short anywhere, or without what its directory promises. */
    bytes whole = zip_of(dict_of("w", &dense, 0), six, sizeof six, 0);
    for (size_t size = 4; size < whole.size; size++) {
        bytes cut = {0};
        put(&cut, whole.at, size);
        assert_refused(cut, "m.pt");
    }
    drop(&whole);
    drop(&p);
}

/* The byte that a message names is the file's, so that it can be found with a hex editor. */
static void faults_name_the_byte_of_the_file(void **state)
{
    bytes p = {0};
    PUT(&p, "\x80\2cos\nsystem\n.");
    bytes b = zip_of(p, six, sizeof six, 0);
    eq_tensor_file file;
    assert_int_equal(eq_tensor_file_from_memory(ctx, b.at, b.size, "m.pt", &file), EQ_BAD_INPUT);
    const char *at = strstr(eq_last_error(ctx), "byte ");
    assert_non_null(at);
    assert_memory_equal(b.at + atoi(at + 5), "cos\nsystem\n", 11);
    drop(&b);
}

static void deflated_entries_are_inflated(void **state)
{
    bytes p = dict_of("w", &dense, 0);
    zip_bytes z = {0};
    zip_add_deflated(&z, "m/data.pkl", p.at, p.size, p.size);
    zip_add_deflated(&z, "m/data/0", six, sizeof six, sizeof six);
    zip_finish(&z);
    eq_tensor_file file;
    uint8_t *block;
    open_bytes(&z.file, &block, &file);
    assert_floats(&file, "w", eq_shape_of(2, 3), six);
    eq_tensor_file_close(&file);
    free(block);
    drop(&z.file);

    /* It says 24 bytes and gives 20, or 28. */
    static const float more[7] = {0};
    for (int i = 0; i < 2; i++) {
        z = (zip_bytes){0};
        zip_add(&z, "m/data.pkl", p.at, p.size, 0);
        zip_add_deflated(&z, "m/data/0", more, i ? 28 : 20, 24);
        zip_finish(&z);
        assert_refused(z.file, "\"m/data/0\": it does not inflate to its stated size");
    }

    /* A gigabyte promised by a small file. */
    const tensor_bytes large = {"FloatStorage", "0", 1 << 28, 0, 1, {1 << 28}, {1}};
    bytes q = dict_of("w", &large, 0);
    z = (zip_bytes){0};
    zip_add(&z, "m/data.pkl", q.at, q.size, 0);
    zip_add_deflated(&z, "m/data/0", six, sizeof six, (size_t)1 << 30);
    zip_finish(&z);
    assert_refused(z.file, "unpack to more than 64 times");

    z = (zip_bytes){0};
    zip_add(&z, "m/data.pkl", p.at, p.size, 0);
    zip_add_packed(&z, "m/data/0", 12, 0, sizeof six, &q, 0);
    zip_finish(&z);
    assert_refused(z.file, "it is neither stored nor deflated");
    drop(&p);
    drop(&q);
}

static void legacy_containers(void **state)
{
    bytes b = legacy_of(dict_of("w", &transposed, 1), "0", 6, six, sizeof six);
    eq_tensor_file file;
    uint8_t *block;
    open_bytes(&b, &block, &file);
    assert_string_equal(file.container, "PyTorch legacy");
    assert_floats(&file, "w", eq_shape_of(3, 2), (const float[]){0, 3, 1, 4, 2, 5});
    eq_tensor_file_close(&file);
    free(block);
    for (size_t size = 15; size < b.size; size++) {
        bytes cut = {0};
        put(&cut, b.at, size);
        assert_refused(cut, "m.pt: byte ");
    }
    drop(&b);

    assert_refused(legacy_of(dict_of("w", &dense, 1), "0", 5, six, sizeof six), "should have 6 elements, found 5");
    assert_refused(legacy_of(dict_of("w", &dense, 1), "1", 6, six, sizeof six), "\"1\" is listed, but no tensor's");
    b = legacy_of(dict_of("w", &dense, 1), "0", 6, six, sizeof six);
    PUT(&b, "x");
    assert_refused(b, "the end expected, found 1 more");
    bytes p = {0};
    PUT(&p, "\x80\2cos\nsystem\n.");
    assert_refused(legacy_of(p, "0", 6, six, sizeof six), "the global os.system");

    /* The preamble: its version, and its byte order. */
    b = (bytes){0};
    PUT(&b, "\x80\2\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\2M\xea\3.");
    assert_refused(b, "byte 17: container version 1001 expected, found 1002");
    b = (bytes){0};
    PUT(&b, "\x80\2\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\2M\xe9\3.\x80\2}");
    put_text(&b, "little_endian");
    PUT(&b, "\x89s.");
    assert_refused(b, "\"little_endian\": true expected, found false");
}

static void bare_pickles_are_named(void **state)
{
    bytes b = {0};
    PUT(&b, "\x80\2}q\0.");
    assert_refused(b, "m.pt: byte 2: a pickle, but not what torch.save writes");
}

/* Storages that are views of others, as PyTorch before 0.4 shared them. */
static void legacy_views(void **state)
{
    bytes p = {0};
    PUT(&p, "\x80\2}");
    put_text(&p, "w");
    PUT(&p, "ctorch._utils\n_rebuild_tensor_v2\n((");
    put_text(&p, "storage");
    PUT(&p, "ctorch\nFloatStorage\n");
    put_text(&p, "0");
    put_text(&p, "cpu");
    PUT(&p, "K\6(");
    put_text(&p, "v");
    PUT(&p, "K\2K\3ttQK\1K\2\x85K\1\x85\x89NtRs.");
    bytes b = legacy_of(p, "0", 6, six, sizeof six);
    eq_tensor_file file;
    uint8_t *block;
    open_bytes(&b, &block, &file);
    assert_floats(&file, "w", eq_shape_of(2), (const float[]){3, 4});
    eq_tensor_file_close(&file);
    free(block);
    drop(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aligned_entries_are_views_others_copies),
        cmocka_unit_test_setup_teardown(files_are_told_by_their_content, temporary_setup, temporary_teardown),
        cmocka_unit_test(damaged_archives),
        cmocka_unit_test(faults_name_the_byte_of_the_file),
        cmocka_unit_test(deflated_entries_are_inflated),
        cmocka_unit_test(legacy_containers),
        cmocka_unit_test(legacy_views),
        cmocka_unit_test(bare_pickles_are_named),
    };
    ctx = eq_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failed;
}
