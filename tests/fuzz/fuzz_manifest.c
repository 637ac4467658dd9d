/* manifest.jsonl of a run's folder. */
#include "fuzz.h"
#include "io/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    eq_context *ctx = eq_context_new();
    eq_manifest manifest;
    if (fuzz_accepted(ctx, eq_manifest_parse(ctx, (const char *)data, size, "input", &manifest), EQ_BAD_INPUT)) {
        for (size_t i = 0; i < manifest.count; i++) {
            const eq_manifest_entry *entry = &manifest.entries[i];
            FUZZ_CHECK(eq_manifest_find(&manifest, entry->index) == entry);
            FUZZ_CHECK(i == 0 || manifest.entries[i - 1].index < entry->index);
            for (int p = 0; p < entry->prediction_count; p++)
                for (int k = 0; k < entry->predictions[p].attribute.classes; k++)
                    FUZZ_CHECK(entry->predictions[p].p[k] >= 0 && entry->predictions[p].p[k] <= 1);
        }
        eq_manifest_free(&manifest);
    }
    eq_context_free(ctx);
    return 0;
}
