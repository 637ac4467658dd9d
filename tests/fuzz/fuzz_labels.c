/* Label tables, CSV or JSON lines. A table that was read is written as CSV and must come back the same. */
#include <string.h>

#include "fuzz.h"
#include "io/labels.h"

static void check_same(const eq_labels *a, const eq_labels *b)
{
    FUZZ_CHECK(a->count == b->count && a->attribute_count == b->attribute_count);
    for (size_t i = 0; i < a->count; i++)
        FUZZ_CHECK(strcmp(a->files[i], b->files[i]) == 0);
    for (int c = 0; c < a->attribute_count; c++) {
        FUZZ_CHECK(strcmp(a->attributes[c].name, b->attributes[c].name) == 0);
        FUZZ_CHECK(a->attributes[c].classes == b->attributes[c].classes);
    }
    size_t cells = a->count * (size_t)a->attribute_count;
    FUZZ_CHECK(memcmp(a->classes, b->classes, cells * sizeof *a->classes) == 0);
}

static void check_round_trip(eq_context *ctx, const eq_labels *labels)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    if (!stream)
        return;
    eq_labels_print_csv(stream, labels);
    eq_labels again;
    if (fclose(stream) == 0) {
        FUZZ_CHECK(eq_labels_parse(ctx, text, size, "again", &again) == EQ_OK);
        check_same(labels, &again);
        eq_labels_free(&again);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    eq_context *ctx = eq_context_new();
    eq_labels labels;
    if (fuzz_accepted(ctx, eq_labels_parse(ctx, (const char *)data, size, "input", &labels), EQ_BAD_INPUT)) {
        for (size_t i = 0; i < labels.count; i++)
            FUZZ_CHECK(eq_labels_find(&labels, labels.files[i]) == (int64_t)i);
        check_round_trip(ctx, &labels);
        eq_labels_free(&labels);
    }
    eq_context_free(ctx);
    return 0;
}
