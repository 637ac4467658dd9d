/* comparison.csv: a line a run, then numbers by name; empty fields are not known. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "run/comparison_parts.h"

/* Quoted as RFC 4180 wants it. */
static eq_status write_text(eq_context *ctx, eq_file_writer *writer, const char *text)
{
    EQ_TRY(eq_file_writer_write(ctx, writer, "\"", 1));
    for (const char *at = text; *at; at++)
        EQ_TRY(eq_file_writer_write(ctx, writer, *at == '"' ? "\"\"" : at, *at == '"' ? 2 : 1));
    return eq_file_writer_write(ctx, writer, "\"", 1);
}

static eq_status write_number(eq_context *ctx, eq_file_writer *writer, double value)
{
    return isfinite(value) ? eq_file_writer_printf(ctx, writer, ",%.6g", value)
                           : eq_file_writer_write(ctx, writer, ",", 1);
}

static eq_status write_cell(const eq_comparison *c, eq_file_writer *writer, int target, int method, int seed)
{
    const eq_comparison_cell *cell = &c->rows[target * c->suite->method_count + method].cells[seed];
    EQ_TRY(write_text(c->ctx, writer, c->suite->targets[target].name));
    EQ_TRY(eq_file_writer_printf(c->ctx, writer, ",%s,%lld,%d", c->suite->methods[method].name,
                                 (long long)c->suite->seeds[seed], cell->evaluation.n));
    for (int i = 0; i < EQ_MEASURES; i++) {
        EQ_TRY(write_number(c->ctx, writer, cell->measures[i].value));
        EQ_TRY(write_number(c->ctx, writer, cell->measures[i].low));
        EQ_TRY(write_number(c->ctx, writer, cell->measures[i].high));
    }
    return eq_file_writer_write(c->ctx, writer, "\n", 1);
}

static eq_status write_table(const eq_comparison *c, eq_file_writer *writer)
{
    EQ_TRY(eq_file_writer_printf(c->ctx, writer, "target,method,seed,n"));
    for (int i = 0; i < EQ_MEASURES; i++)
        EQ_TRY(eq_file_writer_printf(c->ctx, writer, ",%s,%s_low,%s_high", eq_measures[i].key, eq_measures[i].key,
                                     eq_measures[i].key));
    EQ_TRY(eq_file_writer_write(c->ctx, writer, "\n", 1));
    for (int t = 0; t < c->suite->target_count; t++)
        for (int m = 0; m < c->suite->method_count; m++)
            for (int i = 0; i < c->suite->seed_count; i++)
                EQ_TRY(write_cell(c, writer, t, m, i));
    return EQ_OK;
}

eq_status eq_comparison_write_csv(const eq_comparison *c)
{
    char *path;
    eq_file_writer writer = {0};
    EQ_TRY(eq_comparison_path(c, "comparison.csv", &path));
    eq_status status = eq_file_writer_open(c->ctx, path, &writer);
    if (status == EQ_OK)
        status = write_table(c, &writer);
    if (status == EQ_OK)
        status = eq_file_writer_commit(c->ctx, &writer);
    else
        eq_file_writer_abort(&writer);
    free(path);
    return status;
}
