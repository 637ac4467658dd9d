#include "io/csv.h"

#include <string.h>

#include <jansson.h>

static bool at_line_end(const eq_csv *csv)
{
    return csv->at == csv->end || *csv->at == '\n' || *csv->at == '\r';
}

static void skip_blanks(eq_csv *csv)
{
    while (csv->at < csv->end && (*csv->at == ' ' || *csv->at == '\t'))
        csv->at++;
}

void eq_csv_end_record(eq_csv *csv)
{
    if (csv->at == csv->end)
        return;
    if (*csv->at == '\r' && csv->at + 1 < csv->end && csv->at[1] == '\n')
        csv->at++;
    csv->at++;
    csv->line++;
}

static eq_status read_quoted(eq_csv *csv, size_t *length)
{
    size_t start = csv->line;
    csv->at++;
    for (;;) {
        if (csv->at == csv->end)
            return eq_fail(csv->ctx, EQ_BAD_INPUT, "%s: line %zu: the quote is never closed", csv->name, start);
        char c = *csv->at++;
        if (c == '"') {
            if (csv->at == csv->end || *csv->at != '"')
                return EQ_OK;
            csv->at++;
        }
        if (c == '\n')
            csv->line++;
        csv->field[(*length)++] = c;
    }
}

eq_status eq_csv_read_field(eq_csv *csv)
{
    size_t length = 0;
    skip_blanks(csv);
    csv->quoted = csv->at < csv->end && *csv->at == '"';
    if (csv->quoted) {
        EQ_TRY(read_quoted(csv, &length));
        skip_blanks(csv);
    } else {
        while (!at_line_end(csv) && *csv->at != ',')
            csv->field[length++] = *csv->at++;
        while (length > 0 && (csv->field[length - 1] == ' ' || csv->field[length - 1] == '\t'))
            length--;
    }
    csv->field[length] = 0;
    csv->last = at_line_end(csv);
    if (!csv->last && *csv->at != ',')
        return eq_fail(csv->ctx, EQ_BAD_INPUT, "%s: line %zu: expected a comma after the closing quote", csv->name,
                       csv->line);
    if (!csv->last)
        csv->at++;
    return EQ_OK;
}

eq_status eq_check_text(eq_context *ctx, const char *text, size_t size, const char *name)
{
    if (memchr(text, 0, size))
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: not a text file: it contains zero bytes (UTF-16? save it as UTF-8)",
                       name);
    json_t *valid = json_stringn(text, size);
    if (!valid)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: the text is not valid UTF-8; save it as UTF-8", name);
    json_decref(valid);
    return EQ_OK;
}
