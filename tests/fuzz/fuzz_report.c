/* run.json of a run's folder, as the report reads it. Whatever it says is text on the page: no markup comes through. */
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "eval/report.h"
#include "fuzz.h"

static char folder[PATH_MAX], run_json[PATH_MAX + 16], html[PATH_MAX + 16];

static void remove_folder(void)
{
    remove(run_json);
    remove(html);
    rmdir(folder);
}

static void make_folder(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/equipoise-fuzz-XXXXXX", base && base[0] ? base : "/tmp");
    FUZZ_CHECK(mkdtemp(folder) != NULL);
    snprintf(run_json, sizeof run_json, "%s/run.json", folder);
    snprintf(html, sizeof html, "%s/report.html", folder);
    atexit(remove_folder);
}

static void check_page(eq_context *ctx)
{
    uint8_t *page;
    size_t size;
    FUZZ_CHECK(eq_file_read(ctx, html, 1 << 28, &page, &size) == EQ_OK);
    FUZZ_CHECK(strlen((const char *)page) == size);
    FUZZ_CHECK(strstr((const char *)page, "<script") == NULL);
    FUZZ_CHECK(strstr((const char *)page, "</html>") != NULL);
    free(page);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!folder[0])
        make_folder();
    FILE *file = fopen(run_json, "wb");
    FUZZ_CHECK(file && fwrite(data, 1, size, file) == size && fclose(file) == 0);
    eq_context *ctx = eq_context_new();
    if (fuzz_accepted(ctx, eq_report_write(ctx, folder, NULL, html), EQ_BAD_INPUT))
        check_page(ctx);
    eq_context_free(ctx);
    return 0;
}
