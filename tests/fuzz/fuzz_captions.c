/* Tables of captions, CSV or JSON lines: sorted, and every file is found with its captions. */
#include <string.h>

#include "fuzz.h"
#include "io/captions.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    eq_context *ctx = eq_context_new();
    eq_captions captions;
    if (fuzz_accepted(ctx, eq_captions_parse(ctx, (const char *)data, size, "input", &captions), EQ_BAD_INPUT)) {
        FUZZ_CHECK(captions.count > 0);
        for (size_t i = 0, first; i < captions.count; i++) {
            const size_t count = eq_captions_find(&captions, captions.items[i].file, &first);
            FUZZ_CHECK(first <= i && i < first + count);
            FUZZ_CHECK(captions.items[i].file[0] && captions.items[i].text[0]);
            FUZZ_CHECK(i == 0 || strcmp(captions.items[i - 1].file, captions.items[i].file) <= 0);
        }
        eq_captions_free(&captions);
    }
    eq_context_free(ctx);
    return 0;
}
