/* The two forms of label tables: CSV and JSON lines. */
#include "io/labels.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/file.h"
#include "io/csv.h"
#include "io/labels_table.h"

enum { MAX_FILE_BYTES = 1 << 30 };

/* -- CSV -- */

/* *file_field: which field of a record is the file name. */
static eq_status read_csv_header(eq_label_table *table, eq_csv *csv, int *file_field)
{
    *file_field = -1;
    for (int field = 0;; field++) {
        EQ_TRY(eq_csv_read_field(csv));
        if (strcmp(csv->field, "file_name") == 0 && *file_field < 0) {
            *file_field = field;
        } else {
            if (eq_label_table_column(table, csv->field) >= 0 || strcmp(csv->field, "file_name") == 0)
                return eq_fail(table->ctx, EQ_BAD_INPUT, "%s: line %zu: the column \"%s\" occurs twice", table->name,
                               csv->line, csv->field);
            EQ_TRY(eq_label_table_add_column(table, csv->field, csv->line));
        }
        if (csv->last)
            break;
    }
    if (*file_field < 0)
        return eq_fail(table->ctx, EQ_BAD_INPUT,
                       "%s: line %zu: no column is called \"file_name\"; expected a header like file_name,gender",
                       table->name, csv->line);
    eq_csv_end_record(csv);
    return EQ_OK;
}

/* One record into the last row. fields: [columns + 1] where each field's text starts in the buffer; the row's name is
 * needed before its labels can be set. */
static eq_status read_csv_record(eq_label_table *table, eq_csv *csv, int file_field, char **fields)
{
    int expected = table->column_count + 1, count = 0;
    size_t line = csv->line;
    char *buffer = csv->field;
    eq_status status = EQ_OK;
    do {
        status = eq_csv_read_field(csv);
        if (status != EQ_OK)
            break;
        if (count < expected)
            fields[count] = csv->field;
        if (count == 0 && csv->last && !csv->quoted && !csv->field[0]) { /* an empty line */
            count = -1;
            break;
        }
        count++;
        csv->field += strlen(csv->field) + 1;
    } while (!csv->last);
    csv->field = buffer;
    EQ_TRY(status);
    eq_csv_end_record(csv);
    if (count < 0)
        return EQ_OK;
    if (count != expected)
        return eq_fail(table->ctx, EQ_BAD_INPUT, "%s: line %zu: expected %d fields as in the header, found %d",
                       table->name, line, expected, count);
    EQ_TRY(eq_label_table_add_row(table, fields[file_field], line));
    for (int field = 0, c = 0; field < expected; field++)
        if (field != file_field)
            EQ_TRY(eq_label_table_set(table, c++, fields[field], line));
    return EQ_OK;
}

static eq_status parse_csv(eq_label_table *table, const char *text, size_t size)
{
    /* Every field's text is followed by at least one character in the text, or is the last: one more byte is enough
     * for a whole record with its terminating zeros. */
    eq_csv csv = {
        .ctx = table->ctx, .name = table->name, .at = text, .end = text + size, .line = 1, .field = malloc(size + 1)};
    char **fields = NULL;
    eq_status status = EQ_OK;
    int file_field;
    if (!csv.field) {
        status = eq_fail_memory(table->ctx, "a table of labels");
        goto done;
    }
    EQ_TRY_GOTO(status, read_csv_header(table, &csv, &file_field), done);
    fields = calloc((size_t)table->column_count + 1, sizeof *fields);
    if (!fields) {
        status = eq_fail_memory(table->ctx, "a table of labels");
        goto done;
    }
    while (csv.at < csv.end)
        EQ_TRY_GOTO(status, read_csv_record(table, &csv, file_field, fields), done);
done:
    free(fields);
    free(csv.field);
    return status;
}

/* -- JSON lines -- */

static eq_status set_json_label(eq_label_table *table, const char *key, const json_t *value, size_t line)
{
    int c = eq_label_table_column(table, key);
    if (c < 0) {
        EQ_TRY(eq_label_table_add_column(table, key, line));
        c = table->column_count - 1;
    }
    char number[32];
    switch (json_typeof(value)) {
    case JSON_NULL: return EQ_OK;
    case JSON_STRING: return eq_label_table_set(table, c, json_string_value(value), line);
    case JSON_TRUE: return eq_label_table_set(table, c, "true", line);
    case JSON_FALSE: return eq_label_table_set(table, c, "false", line);
    case JSON_INTEGER:
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
        return eq_label_table_set(table, c, number, line);
    default:
        return eq_fail(table->ctx, EQ_BAD_INPUT,
                       "%s: line %zu: the label \"%s\" should be a string, an integer, true, false or null",
                       table->name, line, key);
    }
}

static eq_status read_json_line(eq_label_table *table, const char *text, size_t size, size_t line)
{
    json_error_t error;
    json_t *object = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(object)) {
        json_decref(object);
        return eq_fail(table->ctx, EQ_BAD_INPUT, "%s: line %zu: expected a JSON object: %s", table->name, line,
                       object ? "found an array" : error.text);
    }
    eq_status status = EQ_OK;
    const json_t *file = json_object_get(object, "file_name");
    if (!json_is_string(file)) {
        status =
            eq_fail(table->ctx, EQ_BAD_INPUT, "%s: line %zu: expected a string under \"file_name\"", table->name, line);
        goto done;
    }
    EQ_TRY_GOTO(status, eq_label_table_add_row(table, json_string_value(file), line), done);
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        if (value != file)
            EQ_TRY_GOTO(status, set_json_label(table, key, value, line), done);
    }
done:
    json_decref(object);
    return status;
}

static eq_status parse_json_lines(eq_label_table *table, const char *text, size_t size)
{
    const char *end = text + size;
    for (size_t line = 1; text < end; line++) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t length = (size_t)((newline ? newline : end) - text);
        size_t blank = 0;
        while (blank < length && strchr(" \t\r", text[blank]))
            blank++;
        if (blank < length)
            EQ_TRY(read_json_line(table, text, length, line));
        text += length + (newline != NULL);
    }
    return EQ_OK;
}

eq_status eq_labels_parse(eq_context *ctx, const char *text, size_t size, const char *name, eq_labels *out)
{
    *out = (eq_labels){0};
    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        size -= 3;
    }
    size_t first = 0;
    while (first < size && strchr(" \t\r\n", text[first]))
        first++;
    if (first == size)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: the table of labels is empty", name);
    EQ_TRY(eq_check_text(ctx, text, size, name));
    eq_label_table table = {.ctx = ctx, .name = name};
    eq_status status = text[first] == '{' ? parse_json_lines(&table, text, size) : parse_csv(&table, text, size);
    if (status == EQ_OK)
        status = eq_label_table_pack(&table, out);
    eq_label_table_free(&table);
    return status;
}

eq_status eq_labels_read(eq_context *ctx, const char *path, eq_labels *out)
{
    uint8_t *bytes;
    size_t size;
    *out = (eq_labels){0};
    EQ_TRY(eq_file_read(ctx, path, MAX_FILE_BYTES, &bytes, &size));
    eq_status status = eq_labels_parse(ctx, (const char *)bytes, size, path, out);
    free(bytes);
    return status;
}
