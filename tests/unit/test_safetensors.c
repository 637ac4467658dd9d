/* safetensors: round trips, every kind of damage, shards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/path.h"
#include "io/safetensors.h"
#include "temporary.h"

static eq_context *ctx;

static int make_context(void **state)
{
    ctx = eq_context_new();
    return ctx ? 0 : -1;
}

static int drop_context(void **state)
{
    eq_context_free(ctx);
    return 0;
}

typedef struct blob {
    uint8_t *bytes;
    size_t size;
} blob;

/* A file of this header and `data_size` bytes 0, 1, 2, ...; in a block of exactly its size, so that a sanitizer sees
 * any read beyond it. */
static blob make_file(const char *header, size_t data_size)
{
    size_t length = strlen(header);
    blob file = {malloc(8 + length + data_size), 8 + length + data_size};
    for (int i = 0; i < 8; i++)
        file.bytes[i] = (uint8_t)((uint64_t)length >> (8 * i));
    memcpy(file.bytes + 8, header, length);
    for (size_t i = 0; i < data_size; i++)
        file.bytes[8 + length + i] = (uint8_t)i;
    return file;
}

static void assert_refused(const char *header, size_t data_size, const char *fault)
{
    blob file = make_file(header, data_size);
    eq_tensor_file tensors;
    assert_int_equal(eq_tensor_file_from_memory(ctx, file.bytes, file.size, "m.safetensors", &tensors), EQ_BAD_INPUT);
    assert_non_null(strstr(eq_last_error(ctx), "m.safetensors"));
    if (!strstr(eq_last_error(ctx), fault))
        fail_msg("expected \"%s\" in: %s", fault, eq_last_error(ctx));
    assert_null(tensors.entries);
    free(file.bytes);
}

static void all_dtypes_round_trip(void **state)
{
    static double storage[EQ_DTYPE_COUNT][6];
    static char names[EQ_DTYPE_COUNT][8];
    eq_named_tensor tensors[EQ_DTYPE_COUNT];
    for (int i = 0; i < EQ_DTYPE_COUNT; i++) {
        memset(storage[i], 17 + i, sizeof storage[i]);
        snprintf(names[i], sizeof names[i], "t%d", 9 - i);
        tensors[i] = (eq_named_tensor){names[i], {(eq_dtype)i, eq_shape_of(2, 3), storage[i]}};
    }
    const eq_metadata metadata[] = {{"format", "eq"}, {"note", "\xc3\xa9t\xc3\xa9 \"quoted\""}};
    char *path = eq_path_join(*state, "a.safetensors");
    assert_int_equal(eq_safetensors_write(ctx, path, tensors, EQ_DTYPE_COUNT, metadata, 2), EQ_OK);

    eq_tensor_file file;
    assert_int_equal(eq_tensor_file_open(ctx, path, &file), EQ_OK);
    assert_int_equal(file.count, EQ_DTYPE_COUNT);
    for (size_t i = 1; i < file.count; i++)
        assert_true(strcmp(file.entries[i - 1].name, file.entries[i].name) < 0);
    for (int i = 0; i < EQ_DTYPE_COUNT; i++) {
        const eq_tensor *tensor = eq_tensor_file_find(&file, names[i]);
        assert_non_null(tensor);
        assert_int_equal(tensor->dtype, i);
        assert_true(eq_shape_equal(&tensor->shape, &tensors[i].tensor.shape));
        assert_int_equal((uintptr_t)tensor->data % eq_dtype_size(tensor->dtype), 0);
        assert_memory_equal(tensor->data, storage[i], eq_tensor_bytes(tensor));
    }
    eq_tensor_file_unload(&file); /* what is touched again is read again */
    for (int i = 0; i < EQ_DTYPE_COUNT; i++) {
        const eq_tensor *tensor = eq_tensor_file_find(&file, names[i]);
        assert_memory_equal(tensor->data, storage[i], eq_tensor_bytes(tensor));
    }
    assert_null(eq_tensor_file_find(&file, "t10"));
    assert_string_equal(eq_tensor_file_metadata(&file, "note"), metadata[1].value);
    assert_null(eq_tensor_file_metadata(&file, "other"));

    eq_tensor found;
    assert_int_equal(eq_tensor_file_get(ctx, &file, "t9", eq_shape_of(2, 3), &found), EQ_OK);
    assert_int_equal(eq_tensor_file_get(ctx, &file, "t9", eq_shape_of(3, 2), &found), EQ_BAD_INPUT);
    assert_non_null(strstr(eq_last_error(ctx), "\"t9\" should have the shape [3, 2], found [2, 3]"));
    assert_int_equal(eq_tensor_file_get(ctx, &file, "absent", eq_shape_of(3, 2), &found), EQ_BAD_INPUT);
    assert_non_null(strstr(eq_last_error(ctx), "\"absent\" is missing"));
    eq_tensor_file_close(&file);
    free(path);
}

static void empty_files_scalars_and_empty_tensors(void **state)
{
    char *path = eq_path_join(*state, "a.safetensors");
    eq_tensor_file file;
    assert_int_equal(eq_safetensors_write(ctx, path, NULL, 0, NULL, 0), EQ_OK);
    assert_int_equal(eq_tensor_file_open(ctx, path, &file), EQ_OK);
    assert_int_equal(file.count, 0);
    assert_null(eq_tensor_file_find(&file, "x"));
    eq_tensor_file_close(&file);

    float scalar = 2.5f;
    const eq_named_tensor tensors[] = {
        {"scalar", {EQ_F32, {0}, &scalar}},
        {"empty", {EQ_F64, eq_shape_of(3, 0), NULL}},
    };
    assert_int_equal(eq_safetensors_write(ctx, path, tensors, 2, NULL, 0), EQ_OK);
    assert_int_equal(eq_tensor_file_open(ctx, path, &file), EQ_OK);
    assert_int_equal(eq_tensor_file_find(&file, "scalar")->shape.rank, 0);
    assert_true(*(float *)eq_tensor_file_find(&file, "scalar")->data == 2.5f);
    assert_int_equal(eq_tensor_bytes(eq_tensor_file_find(&file, "empty")), 0);
    eq_tensor_file_close(&file);
    free(path);
}

static void misaligned_tensors_are_readable(void **state)
{
    /* The byte before makes the float start at an odd place, whatever the header's length. */
    blob file = make_file("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                          "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[1,5]},"
                          "\"c\":{\"dtype\":\"I16\",\"shape\":[1],\"data_offsets\":[5,7]}}",
                          7);
    const float value = -1.25f;
    memcpy(file.bytes + file.size - 6, &value, 4);
    eq_tensor_file tensors;
    assert_int_equal(eq_tensor_file_from_memory(ctx, file.bytes, file.size, "m", &tensors), EQ_OK);
    float out[1];
    eq_tensor_to_f32(eq_tensor_file_find(&tensors, "b"), out);
    assert_true(out[0] == value);
    eq_tensor_to_f32(eq_tensor_file_find(&tensors, "c"), out);
    assert_true(out[0] == 0x0605);
    assert_true(*(const float *)eq_tensor_file_find(&tensors, "b")->data == value); /* the same once more */
    eq_tensor_file_close(&tensors);
    free(file.bytes);
}

static void truncated_anywhere_is_refused(void **state)
{
    blob file = make_file("{\"__metadata__\":{\"k\":\"v\"},\"a\":{\"dtype\":\"F32\",\"shape\":[2,1],"
                          "\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"I8\",\"shape\":[3],\"data_offsets\":[8,11]}}",
                          11);
    eq_tensor_file tensors;
    for (size_t length = 0; length < file.size; length++) {
        uint8_t *copy = malloc(length ? length : 1);
        memcpy(copy, file.bytes, length);
        assert_int_equal(eq_tensor_file_from_memory(ctx, copy, length, "m", &tensors), EQ_BAD_INPUT);
        free(copy);
    }
    assert_int_equal(eq_tensor_file_from_memory(ctx, file.bytes, file.size, "m", &tensors), EQ_OK);
    eq_tensor_file_close(&tensors);
    free(file.bytes);
}

static void changed_anywhere_does_no_harm(void **state)
{
    blob file = make_file("{\"__metadata__\":{\"k\":\"v\"},\"a\":{\"dtype\":\"F32\",\"shape\":[2,1],"
                          "\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"I8\",\"shape\":[3],\"data_offsets\":[8,11]}}",
                          11);
    for (size_t i = 0; i < file.size - 11; i++) {
        uint8_t original = file.bytes[i];
        for (int value = 0; value < 256; value++) {
            eq_tensor_file tensors;
            file.bytes[i] = (uint8_t)value;
            if (eq_tensor_file_from_memory(ctx, file.bytes, file.size, "m", &tensors) == EQ_OK) {
                float out[16];
                for (size_t t = 0; t < tensors.count; t++) {
                    assert_true(eq_tensor_bytes(&tensors.entries[t].tensor) <= 11);
                    eq_tensor_to_f32(eq_tensor_file_find(&tensors, tensors.entries[t].name), out);
                }
                eq_tensor_file_close(&tensors);
            }
        }
        file.bytes[i] = original;
    }
    free(file.bytes);
}

static void faults_are_named(void **state)
{
    assert_refused("", 0, "JSON");
    assert_refused("[]", 0, "expected a JSON object");
    assert_refused("{\"a\":3}", 0, "\"a\" should be an object, found 3");
    assert_refused("{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "a: \"dtype\" is missing");
    assert_refused("{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4, "type F8_E4M3");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":1,\"data_offsets\":[0,4]}}", 4, "\"shape\" should be an array");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "\"shape\"");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4, "6 elements");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "two numbers");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 4, "data_offsets");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, "not inside");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 4, "not inside");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, "do not take");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]}}", 0,
                   "do not take");
    assert_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
                   "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
                   3, "\"b\": its data overlap");
    assert_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                   "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[2,3]}}",
                   3, "\"b\": its data do not follow");
    assert_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 3, "2 bytes follow");
    assert_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                   "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
                   2, "duplicate");
    assert_refused("{\"__metadata__\":[]}", 0, "__metadata__");
    assert_refused("{\"__metadata__\":{\"k\":1}}", 0, "metadata \"k\" should be a string");
}

static void an_enormous_header_length_is_refused(void **state)
{
    uint8_t bytes[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, '{', '}'};
    eq_tensor_file tensors;
    assert_int_equal(eq_tensor_file_from_memory(ctx, bytes, sizeof bytes, "m", &tensors), EQ_BAD_INPUT);
    assert_non_null(strstr(eq_last_error(ctx), "header of 18446744073709551615 bytes"));
}

static void streaming_checks_the_amount(void **state)
{
    char *path = eq_path_join(*state, "a.safetensors");
    const int16_t numbers[3] = {1, 2, 3};
    eq_named_tensor tensors[] = {{"bytes", {EQ_U8, eq_shape_of(2), NULL}}, {"numbers", {EQ_I16, eq_shape_of(3), NULL}}};
    eq_safetensors_writer writer;

    assert_int_equal(eq_safetensors_writer_open(ctx, path, tensors, 2, NULL, 0, &writer), EQ_OK);
    assert_string_equal(tensors[0].name, "numbers"); /* larger elements come first */
    assert_int_equal(eq_safetensors_writer_data(ctx, &writer, numbers, 4), EQ_OK);
    assert_int_equal(eq_safetensors_writer_commit(ctx, &writer), EQ_BAD_USAGE);
    assert_false(eq_path_exists(path));

    assert_int_equal(eq_safetensors_writer_open(ctx, path, tensors, 2, NULL, 0, &writer), EQ_OK);
    assert_int_equal(eq_safetensors_writer_data(ctx, &writer, numbers, 6), EQ_OK);
    assert_int_equal(eq_safetensors_writer_data(ctx, &writer, numbers, 3), EQ_BAD_USAGE);
    assert_int_equal(eq_safetensors_writer_data(ctx, &writer, "\7\10", 2), EQ_OK);
    assert_int_equal(eq_safetensors_writer_commit(ctx, &writer), EQ_OK);

    eq_tensor_file file;
    assert_int_equal(eq_tensor_file_open(ctx, path, &file), EQ_OK);
    assert_memory_equal(eq_tensor_file_find(&file, "numbers")->data, numbers, 6);
    assert_memory_equal(eq_tensor_file_find(&file, "bytes")->data, "\7\10", 2);
    eq_tensor_file_close(&file);
    free(path);
}

static void bad_names_are_not_written(void **state)
{
    char *path = eq_path_join(*state, "a.safetensors");
    uint8_t byte = 1;
    const eq_tensor one = {EQ_U8, eq_shape_of(1), &byte};
    const eq_named_tensor twice[] = {{"a", one}, {"a", one}}, reserved[] = {{"__metadata__", one}},
                          invalid[] = {{"\xff", one}};
    assert_int_equal(eq_safetensors_write(ctx, path, twice, 2, NULL, 0), EQ_BAD_USAGE);
    assert_int_equal(eq_safetensors_write(ctx, path, reserved, 1, NULL, 0), EQ_BAD_USAGE);
    assert_int_equal(eq_safetensors_write(ctx, path, invalid, 1, NULL, 0), EQ_BAD_USAGE);
    assert_false(eq_path_exists(path));
    free(path);
}

static void write_text(const char *folder, const char *name, const char *text)
{
    char *path = eq_path_join(folder, name);
    assert_int_equal(eq_file_write(ctx, path, text, strlen(text)), EQ_OK);
    free(path);
}

static void shards_appear_as_one(void **state)
{
    char *index = eq_path_join(*state, "m.safetensors.index.json");
    char *first = eq_path_join(*state, "m-1.safetensors"), *second = eq_path_join(*state, "m-2.safetensors");
    float values[3] = {1, 2, 3};
    const eq_named_tensor a[] = {{"a", {EQ_F32, eq_shape_of(1), values}}, {"c", {EQ_F32, eq_shape_of(1), values + 2}}};
    const eq_named_tensor b[] = {{"b", {EQ_F32, eq_shape_of(1), values + 1}}};
    assert_int_equal(eq_safetensors_write(ctx, first, a, 2, NULL, 0), EQ_OK);
    assert_int_equal(eq_safetensors_write(ctx, second, b, 1, NULL, 0), EQ_OK);
    write_text(*state, "m.safetensors.index.json",
               "{\"metadata\":{\"total_size\":12,\"x\":\"y\"},\"weight_map\":{\"c\":\"m-1.safetensors\","
               "\"a\":\"m-1.safetensors\",\"b\":\"m-2.safetensors\"}}");
    eq_tensor_file file;
    assert_int_equal(eq_tensor_file_open(ctx, index, &file), EQ_OK);
    assert_int_equal(file.count, 3);
    for (int i = 0; i < 3; i++)
        assert_true(*(float *)file.entries[i].tensor.data == values[i]);
    assert_string_equal(eq_tensor_file_metadata(&file, "x"), "y");
    eq_tensor_file_close(&file);

    static const struct {
        const char *text, *fault;
    } faulty[] = {
        {"{\"weight_map\":{\"b\":\"m-1.safetensors\"}}", "\"b\" is missing"},
        {"{\"weight_map\":{\"a\":\"m-1.safetensors\",\"b\":\"m-3.safetensors\"}}", "m-3.safetensors"},
        {"{\"weight_map\":{\"a\":\"../m-1.safetensors\"}}", "the same folder"},
        {"{\"weight_map\":{\"a\":7}}", "\"a\" should be a string, found 7"},
        {"{\"weight_map\":[]}", "\"weight_map\" should be an object"},
        {"{}", "\"weight_map\" is missing"},
    };
    for (size_t i = 0; i < sizeof faulty / sizeof *faulty; i++) {
        write_text(*state, "m.safetensors.index.json", faulty[i].text);
        assert_int_equal(eq_tensor_file_open(ctx, index, &file), EQ_BAD_INPUT);
        if (!strstr(eq_last_error(ctx), faulty[i].fault))
            fail_msg("expected \"%s\" in: %s", faulty[i].fault, eq_last_error(ctx));
    }
    free(index);
    free(first);
    free(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_dtypes_round_trip, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(empty_files_scalars_and_empty_tensors, temporary_setup, temporary_teardown),
        cmocka_unit_test(misaligned_tensors_are_readable),
        cmocka_unit_test(truncated_anywhere_is_refused),
        cmocka_unit_test(changed_anywhere_does_no_harm),
        cmocka_unit_test(faults_are_named),
        cmocka_unit_test(an_enormous_header_length_is_refused),
        cmocka_unit_test_setup_teardown(streaming_checks_the_amount, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(bad_names_are_not_written, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(shards_appear_as_one, temporary_setup, temporary_teardown),
    };
    return cmocka_run_group_tests(tests, make_context, drop_context);
}
