/* run.json of a run's folder, as the report reads it. Whatever it says is text on the page: no markup comes through. */
#include "base/file.h"
#include "eval/report.h"
#include "folder.h"

static void check_page(eq_context *ctx)
{
    uint8_t *page;
    size_t size;
    FUZZ_CHECK(eq_file_read(ctx, fuzz_folder_file("report.html"), 1 << 28, &page, &size) == EQ_OK);
    FUZZ_CHECK(strlen((const char *)page) == size);
    FUZZ_CHECK(strstr((const char *)page, "<script") == NULL);
    FUZZ_CHECK(strstr((const char *)page, "</html>") != NULL);
    free(page);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_folder_write("run.json", data, size);
    eq_context *ctx = eq_context_new();
    if (fuzz_accepted(ctx, eq_report_write(ctx, fuzz_folder(), NULL, fuzz_folder_file("report.html")), EQ_BAD_INPUT))
        check_page(ctx);
    eq_context_free(ctx);
    return 0;
}
