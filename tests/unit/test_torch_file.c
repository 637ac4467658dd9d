/* PyTorch's two containers, made byte by byte: what comes out, from where, and every kind of damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/path.h"
#include "io/tensor_file.h"
#include "temporary.h"
#include "torch_bytes.h"

static eq_context *ctx;
static const float six[6] = {0, 1, 2, 3, 4, 5};

static const tensor_bytes dense = {"FloatStorage", "0", 6, 0, 2, {2, 3}, {3, 1}};
static const tensor_bytes transposed = {"FloatStorage", "0", 6, 0, 2, {3, 2}, {1, 3}};

/* {name: tensor} */
static bytes dict_of(const char *name, const tensor_bytes *tensor, int legacy)
{
    bytes b = {0};
    PUT(&b, "\x80\2}");
    put_text(&b, name);
    put_tensor(&b, tensor, legacy);
    PUT(&b, "s.");
    return b;
}

/* Takes over the pickle. */
static bytes zip_of(bytes pickle, const void *storage, size_t size, size_t shift)
{
    zip_bytes z = {0};
    zip_add(&z, "m/data.pkl", pickle.at, pickle.size, 0);
    zip_add(&z, "m/data/0", storage, size, shift);
    zip_add(&z, "m/version", "3\n", 2, 0);
    zip_finish(&z);
    drop(&pickle);
    return z.file;
}

/* Takes over the pickle. */
static bytes legacy_of(bytes pickle, const char *key, uint64_t count, const void *storage, size_t size)
{
    bytes b = {0};
    put_legacy_preamble(&b);
    put(&b, pickle.at, pickle.size);
    PUT(&b, "\x80\2]");
    put_text(&b, key);
    PUT(&b, "a.");
    put_number(&b, count, 8);
    put(&b, storage, size);
    drop(&pickle);
    return b;
}

/* In a block of its exact size, aligned as a mapped file is. */
static uint8_t *block_of(const bytes *b)
{
    void *block = NULL;
    assert_int_equal(posix_memalign(&block, 4096, b->size ? b->size : 1), 0);
    memcpy(block, b->at, b->size);
    return block;
}

static void open_bytes(const bytes *b, uint8_t **block, eq_tensor_file *out)
{
    *block = block_of(b);
    if (eq_tensor_file_from_memory(ctx, *block, b->size, "m.pt", out) != EQ_OK)
        fail_msg("%s", eq_last_error(ctx));
}

/* Takes over the bytes. */
static void assert_refused(bytes b, const char *expected)
{
    eq_tensor_file file;
    uint8_t *block = block_of(&b);
    assert_int_equal(eq_tensor_file_from_memory(ctx, block, b.size, "m.pt", &file), EQ_BAD_INPUT);
    if (!strstr(eq_last_error(ctx), expected) || strncmp(eq_last_error(ctx), "m.pt", 4) != 0)
        fail_msg("expected \"%s\" in: %s", expected, eq_last_error(ctx));
    assert_null(file.entries);
    free(block);
    drop(&b);
}

static void assert_floats(const eq_tensor_file *file, const char *name, eq_shape shape, const float *expected)
{
    eq_tensor tensor;
    assert_int_equal(eq_tensor_file_get(ctx, file, name, shape, &tensor), EQ_OK);
    assert_int_equal(tensor.dtype, EQ_F32);
    assert_memory_equal(tensor.data, expected, (size_t)eq_shape_count(&shape) * sizeof(float));
}

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

static void strided_tensors_are_gathered(void **state)
{
    static const float columns[6] = {0, 3, 1, 4, 2, 5}, expanded[4] = {4, 4, 4, 4};
    static const tensor_bytes slice = {"FloatStorage", "0", 6, 1, 2, {2, 1}, {3, INT64_MAX}};
    static const tensor_bytes expand = {"FloatStorage", "0", 6, 4, 3, {2, 2, 1}, {0, 0, 7}};
    static const tensor_bytes scalar = {"FloatStorage", "0", 6, 5, 0, {0}, {0}};
    static const tensor_bytes empty = {"FloatStorage", "0", 6, 99, 2, {0, 3}, {1, 1}};
    bytes p = {0};
    PUT(&p, "\x80\2}(");
    put_text(&p, "columns");
    put_tensor(&p, &transposed, 0);
    put_text(&p, "slice");
    put_tensor(&p, &slice, 0);
    put_text(&p, "expand");
    put_tensor(&p, &expand, 0);
    put_text(&p, "scalar");
    put_tensor(&p, &scalar, 0);
    put_text(&p, "empty");
    put_tensor(&p, &empty, 0);
    PUT(&p, "u.");
    bytes b = zip_of(p, six, sizeof six, 0);
    eq_tensor_file file;
    uint8_t *block;
    open_bytes(&b, &block, &file);
    assert_int_equal(file.count, 5);
    assert_floats(&file, "columns", eq_shape_of(3, 2), columns);
    assert_floats(&file, "slice", eq_shape_of(2, 1), (const float[]){1, 4});
    assert_floats(&file, "expand", eq_shape_of(2, 2, 1), expanded);
    assert_floats(&file, "scalar", (eq_shape){0}, six + 5);
    assert_floats(&file, "empty", eq_shape_of(0, 3), six);
    eq_tensor_file_close(&file);
    free(block);
    drop(&b);
}

static void every_storage_type_has_its_dtype(void **state)
{
    static const struct {
        const char *name;
        eq_dtype dtype;
    } types[] = {{"FloatStorage", EQ_F32},  {"HalfStorage", EQ_F16}, {"BFloat16Storage", EQ_BF16},
                 {"DoubleStorage", EQ_F64}, {"LongStorage", EQ_I64}, {"IntStorage", EQ_I32},
                 {"ShortStorage", EQ_I16},  {"CharStorage", EQ_I8},  {"ByteStorage", EQ_U8},
                 {"BoolStorage", EQ_BOOL}};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        for (int legacy = 0; legacy < 2; legacy++) {
            const uint8_t values[16] = {1, 0, 1, 1, 0, 0, 1, 0, 1, 0, 0, 1, 1, 0, 1, 0};
            tensor_bytes tensor = {types[i].name, "0", 2, 0, 1, {2}, {1}};
            size_t size = 2 * eq_dtype_size(types[i].dtype);
            bytes pickle = dict_of("t", &tensor, legacy);
            bytes b = legacy ? legacy_of(pickle, "0", 2, values, size) : zip_of(pickle, values, size, 0);
            eq_tensor_file file;
            uint8_t *block;
            open_bytes(&b, &block, &file);
            assert_int_equal(file.entries[0].tensor.dtype, types[i].dtype);
            assert_int_equal((uintptr_t)file.entries[0].tensor.data % eq_dtype_size(types[i].dtype), 0);
            assert_memory_equal(file.entries[0].tensor.data, values, size);
            eq_tensor_file_close(&file);
            free(block);
            drop(&b);
        }
    assert_refused(zip_of(dict_of("t", &(tensor_bytes){"ComplexFloatStorage", "0", 1, 0, 1, {1}, {1}}, 0), six, 8, 0),
                   "the global torch.ComplexFloatStorage is not one");
}

/* Names of a pickle's tensors, in order, joined by spaces. */
static void assert_names(bytes pickle, const char *expected)
{
    char names[256] = "";
    bytes b = zip_of(pickle, six, sizeof six, 0);
    eq_tensor_file file;
    uint8_t *block;
    open_bytes(&b, &block, &file);
    for (size_t i = 0; i < file.count; i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? " " : "", file.entries[i].name);
    assert_string_equal(names, expected);
    eq_tensor_file_close(&file);
    free(block);
    drop(&b);
}

static void put_dict_under(bytes *p, const char *key, const char *name)
{
    put_text(p, key);
    PUT(p, "}");
    put_text(p, name);
    put_tensor(p, &dense, 0);
    PUT(p, "s");
}

static void names_come_from_where_the_weights_are(void **state)
{
    bytes p = {0};
    PUT(&p, "\x80\2}(");
    put_dict_under(&p, "ema", "e");
    put_dict_under(&p, "model", "m");
    put_text(&p, "epoch");
    PUT(&p, "K\7");
    put_dict_under(&p, "state_dict", "s");
    PUT(&p, "u.");
    assert_names(p, "s");

    p = (bytes){0};
    PUT(&p, "\x80\2}(");
    put_dict_under(&p, "ema", "e");
    put_dict_under(&p, "model", "m");
    PUT(&p, "u.");
    assert_names(p, "m");

    /* Nested otherwise, with plain values, numbers as keys, lists, and a key that is no name where there is nothing to
     * name. */
    p = (bytes){0};
    PUT(&p, "\x80\2}(");
    put_dict_under(&p, "unet", "w");
    put_text(&p, "state_dict");
    PUT(&p, "N");
    PUT(&p, "K\1K\2\x86]K\3a"); /* {(1, 2): [3]} */
    PUT(&p, "K\5](K\1");
    put_tensor(&p, &dense, 0);
    PUT(&p, "eu.");
    assert_names(p, "5.1 unet.w");

    p = (bytes){0};
    PUT(&p, "\x80\2");
    put_tensor(&p, &dense, 0);
    PUT(&p, ".");
    assert_names(p, "tensor");

    /* A list that holds itself, and a dictionary at two places. */
    p = (bytes){0};
    PUT(&p, "\x80\2]q\0(h\0}q\1");
    put_text(&p, "w");
    put_tensor(&p, &dense, 0);
    PUT(&p, "sh\1e.");
    assert_names(p, "1.w");
}

static void refused_names(void **state)
{
    bytes p = {0};
    PUT(&p, "\x80\2}(X\2\0\0\0a\0");
    put_tensor(&p, &dense, 0);
    PUT(&p, "u.");
    assert_refused(zip_of(p, six, sizeof six, 0), "the key \"a?\" in \"\" is no name");
    p = (bytes){0};
    PUT(&p, "\x80\2}(X\2\0\0\0\xc3(");
    put_tensor(&p, &dense, 0);
    PUT(&p, "u.");
    assert_refused(zip_of(p, six, sizeof six, 0), "is no name");
    p = (bytes){0};
    PUT(&p, "\x80\2}(N");
    put_tensor(&p, &dense, 0);
    PUT(&p, "u.");
    assert_refused(zip_of(p, six, sizeof six, 0), "whose key is neither text nor a number");
    p = (bytes){0};
    PUT(&p, "\x80\2}(");
    for (int i = 0; i < 2; i++) {
        put_text(&p, "w");
        put_tensor(&p, &dense, 0);
    }
    PUT(&p, "u.");
    assert_refused(zip_of(p, six, sizeof six, 0), "the tensor \"w\" occurs twice");
    p = (bytes){0};
    PUT(&p, "\x80\2");
    for (int i = 0; i < 100; i++)
        PUT(&p, "]");
    for (int i = 0; i < 99; i++)
        PUT(&p, "a");
    PUT(&p, ".");
    assert_refused(zip_of(p, six, sizeof six, 0), "is nested deeper than 64 levels");
    p = (bytes){0};
    PUT(&p, "\x80\2K\1.");
    assert_refused(zip_of(p, six, sizeof six, 0), "a dict of tensors expected, found a number");
}

static void tensors_beyond_their_storage(void **state)
{
    static const tensor_bytes faulty[] = {
        {"FloatStorage", "0", 6, 1, 2, {2, 3}, {3, 1}},
        {"FloatStorage", "0", 6, 0, 2, {2, 3}, {4, 1}},
        {"FloatStorage", "0", 6, 6, 0, {0}, {0}},
        {"FloatStorage", "0", 6, 0, 1, {7}, {1}},
        {"FloatStorage", "0", 6, 0, 1, {3}, {INT64_MAX}},
        {"FloatStorage", "0", 6, INT64_MAX, 1, {3}, {1}},
        {"FloatStorage", "0", 6, 0, 2, {1LL << 30, 1LL << 28}, {0, 1}},
    };
    for (size_t i = 0; i < sizeof faulty / sizeof faulty[0]; i++)
        for (int legacy = 0; legacy < 2; legacy++) {
            bytes p = dict_of("w", &faulty[i], legacy);
            assert_refused(legacy ? legacy_of(p, "0", 6, six, sizeof six) : zip_of(p, six, sizeof six, 0),
                           "are not inside its storage of 6");
        }
    const tensor_bytes huge = {"FloatStorage", "0", 6, 0, 4, {1LL << 62, 1LL << 62, 2, 2}, {0, 0, 0, 0}};
    assert_refused(zip_of(dict_of("w", &huge, 0), six, sizeof six, 0), "is too large");
    const tensor_bytes ranks = {"FloatStorage", "0", 6, 0, 6, {1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1}};
    assert_refused(zip_of(dict_of("w", &ranks, 0), six, sizeof six, 0), "6 dimensions, where there may be 5");
    const tensor_bytes negative = {"FloatStorage", "0", 6, 5, 1, {6}, {-1}};
    assert_refused(zip_of(dict_of("w", &negative, 0), six, sizeof six, 0), "two tuples of as many numbers from 0");
    /* Billions of elements out of one: a bomb without compression. */
    const tensor_bytes expanded = {"FloatStorage", "0", 6, 0, 2, {1LL << 20, 1LL << 20}, {0, 0}};
    assert_refused(zip_of(dict_of("w", &expanded, 0), six, sizeof six, 0), "unpack to more than 64 times");
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
        cmocka_unit_test(strided_tensors_are_gathered),
        cmocka_unit_test(every_storage_type_has_its_dtype),
        cmocka_unit_test(names_come_from_where_the_weights_are),
        cmocka_unit_test(refused_names),
        cmocka_unit_test(tensors_beyond_their_storage),
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
