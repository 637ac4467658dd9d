/* PyTorch's containers, and the pickles in them by themselves. */
#include <string.h>

#include "fuzz.h"
#include "io/torch_file.h"
#include "io/unpickle.h"

static volatile uint8_t all; /* so that bytes are read */

/* All bytes of all tensors are there to be read. */
static void check_tensors(const eq_tensor_file *file)
{
    for (size_t i = 0; i < file->count; i++) {
        const eq_tensor *tensor = &file->entries[i].tensor;
        size_t size = eq_tensor_bytes(tensor);
        FUZZ_CHECK(eq_tensor_file_find(file, file->entries[i].name) == tensor);
        FUZZ_CHECK((uintptr_t)tensor->data % eq_dtype_size(tensor->dtype) == 0);
        for (size_t k = 0; k<size; k += size> 1 << 20 ? 4093 : 1)
            all ^= ((const uint8_t *)tensor->data)[k];
        if (size)
            all ^= ((const uint8_t *)tensor->data)[size - 1];
    }
}

static void check_pickle(eq_context *ctx, const uint8_t *data, size_t size)
{
    eq_pickle pickle;
    if (!fuzz_accepted(ctx, eq_unpickle(ctx, data, size, "input", 0, &pickle), EQ_BAD_INPUT))
        return;
    FUZZ_CHECK(pickle.used <= size && pickle.root && pickle.value_count <= size);
    FUZZ_CHECK(eq_pickle_kind_name(pickle.root->kind) != NULL);
    eq_pickle_find(pickle.root, "state_dict");
    eq_pickle_free(&pickle);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    eq_context *ctx = eq_context_new();
    eq_tensor_file file;
    check_pickle(ctx, data, size);
    if (eq_torch_file_is(data, size) &&
        fuzz_accepted(ctx, eq_torch_file_from_memory(ctx, data, size, "input", &file), EQ_BAD_INPUT)) {
        check_tensors(&file);
        eq_tensor_file_close(&file);
    }
    eq_context_free(ctx);
    return 0;
}
