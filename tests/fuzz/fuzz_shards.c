/* A JSON index of shards, beside two shards that it may name: a.safetensors with the tensors "one" and "two", b.bin
 * with "three". */
#include "folder.h"
#include "io/safetensors.h"

static void write_shards(eq_context *ctx)
{
    float values[6] = {1, 2, 3, 4, 5, 6};
    const eq_named_tensor a[] = {{"one", {EQ_F32, eq_shape_of(2), values}}, {"two", {EQ_F32, eq_shape_of(2), values}}};
    const eq_named_tensor b[] = {{"three", {EQ_F32, eq_shape_of(2, 3), values}}};
    FUZZ_CHECK(eq_safetensors_write(ctx, fuzz_folder_file("a.safetensors"), a, 2, NULL, 0) == EQ_OK);
    FUZZ_CHECK(eq_safetensors_write(ctx, fuzz_folder_file("b.bin"), b, 1, NULL, 0) == EQ_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    eq_context *ctx = eq_context_new();
    eq_tensor_file file;
    if (!fuzz_folder_path[0])
        write_shards(ctx);
    const char *path = fuzz_folder_write("m.index.json", data, size);
    if (fuzz_accepted(ctx, eq_tensor_file_open(ctx, path, &file), EQ_BAD_INPUT)) {
        FUZZ_CHECK(file.count <= 3);
        for (size_t i = 0; i < file.count; i++)
            FUZZ_CHECK(*(const float *)file.entries[i].tensor.data == 1);
        eq_tensor_file_close(&file);
    }
    eq_context_free(ctx);
    return 0;
}
