/* h-vectors on disk. Those of an accepted file are all there to be read. */
#include "folder.h"
#include "train/h_store.h"

static volatile uint16_t all; /* so that the numbers are read */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    eq_context *ctx = eq_context_new();
    eq_h_store store;
    const char *path = fuzz_folder_write("h.safetensors", data, size);
    if (fuzz_accepted(ctx, eq_h_store_open(ctx, path, &store), EQ_BAD_INPUT)) {
        int64_t count = store.timesteps * store.images * store.h_count;
        FUZZ_CHECK(store.timesteps >= 1 && count * 2 < (int64_t)size);
        FUZZ_CHECK(eq_shape_count(&store.h_shape) == store.h_count);
        for (int64_t i = 0; i < count; i++)
            all ^= store.h[i];
        eq_h_store_close(&store);
    }
    eq_context_free(ctx);
    return 0;
}
