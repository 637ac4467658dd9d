/* safetensors files: the header is JSON with offsets into what follows. */
#include <string.h>

#include "fuzz.h"
#include "io/tensor_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    eq_context *ctx = eq_context_new();
    eq_tensor_file file;
    if (fuzz_accepted(ctx, eq_tensor_file_from_memory(ctx, data, size, "input", &file), EQ_BAD_INPUT)) {
        size_t total = 0;
        for (size_t i = 0; i < file.count; i++) {
            const eq_tensor *tensor = &file.entries[i].tensor;
            FUZZ_CHECK(eq_tensor_file_find(&file, file.entries[i].name) == tensor);
            total += eq_tensor_bytes(tensor);
            int64_t count = eq_shape_count(&tensor->shape);
            float *values = malloc((size_t)count * sizeof *values + 1);
            if (values)
                eq_tensor_to_f32(tensor, values);
            free(values);
        }
        FUZZ_CHECK(total < size);
        for (size_t i = 0; i < file.metadata_count; i++)
            FUZZ_CHECK(eq_tensor_file_metadata(&file, file.metadata[i].key) != NULL);
        eq_tensor_file_close(&file);
    }
    eq_context_free(ctx);
    return 0;
}
