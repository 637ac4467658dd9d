/* The tensors of PyTorch's files, made byte by byte: their numbers, types and names, and which are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/torch_files.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strided_tensors_are_gathered),          cmocka_unit_test(every_storage_type_has_its_dtype),
        cmocka_unit_test(names_come_from_where_the_weights_are), cmocka_unit_test(refused_names),
        cmocka_unit_test(tensors_beyond_their_storage),
    };
    ctx = eq_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failed;
}
