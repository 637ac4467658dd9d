#include "io/captions.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/file.h"
#include "io/csv.h"

enum { MAX_FILE_BYTES = 1 << 30 };

/* Captions as they are read. Their texts are gathered in `text`, which never moves: all of them together are shorter
 * than the table that they come from. */
typedef struct reader {
    eq_context *ctx;
    const char *name;
    eq_captions captions;
    size_t capacity;
    char *put; /* the free rest of captions.text */
} reader;

/* file and text: [..] zero-terminated */
static eq_status add_caption(reader *r, const char *file, const char *text, size_t line)
{
    eq_captions *c = &r->captions;
    while (strncmp(file, "./", 2) == 0)
        file += 2;
    if (!file[0])
        return eq_fail(r->ctx, EQ_BAD_INPUT, "%s: line %zu: \"file_name\" is empty", r->name, line);
    if (!text[0])
        return EQ_OK;
    if (c->count == r->capacity) {
        size_t capacity = r->capacity ? 2 * r->capacity : 256;
        eq_caption *items = reallocarray(c->items, capacity, sizeof *items);
        if (!items)
            return eq_fail_memory(r->ctx, "a table of captions");
        c->items = items;
        r->capacity = capacity;
    }
    const char *parts[] = {file, text}, *kept[2];
    for (int i = 0; i < 2; i++) {
        kept[i] = r->put;
        r->put = stpcpy(r->put, parts[i]) + 1;
    }
    c->items[c->count++] = (eq_caption){kept[0], kept[1]};
    return EQ_OK;
}

/* --- CSV --- */

/* Where "file_name" and "caption" stand, and how many there are. */
typedef struct header {
    int file, caption, count;
} header;

static eq_status read_header(reader *r, eq_csv *csv, header *out)
{
    *out = (header){-1, -1, 0};
    do {
        EQ_TRY(eq_csv_read_field(csv));
        bool is_file = strcmp(csv->field, "file_name") == 0, is_caption = strcmp(csv->field, "caption") == 0;
        int *column = is_file ? &out->file : &out->caption;
        if ((is_file || is_caption) && *column >= 0)
            return eq_fail(r->ctx, EQ_BAD_INPUT, "%s: line %zu: the column \"%s\" occurs twice", r->name, csv->line,
                           csv->field);
        if (is_file || is_caption)
            *column = out->count;
        out->count++;
    } while (!csv->last);
    if (out->file < 0 || out->caption < 0)
        return eq_fail(r->ctx, EQ_BAD_INPUT,
                       "%s: line %zu: no column is called \"%s\"; expected a header like file_name,caption", r->name,
                       csv->line, out->file < 0 ? "file_name" : "caption");
    eq_csv_end_record(csv);
    return EQ_OK;
}

/* The record's two fields of interest stay in `buffer`, one behind the other. */
static eq_status read_record(reader *r, eq_csv *csv, const header *columns, char *buffer)
{
    const size_t line = csv->line;
    const char *file = "", *caption = "";
    int count = 0;
    csv->field = buffer;
    do {
        EQ_TRY(eq_csv_read_field(csv));
        if (count == 0 && csv->last && !csv->quoted && !csv->field[0]) { /* an empty line */
            eq_csv_end_record(csv);
            return EQ_OK;
        }
        if (count == columns->file || count == columns->caption) {
            *(count == columns->file ? &file : &caption) = csv->field;
            csv->field += strlen(csv->field) + 1;
        }
        count++;
    } while (!csv->last);
    eq_csv_end_record(csv);
    if (count != columns->count)
        return eq_fail(r->ctx, EQ_BAD_INPUT,
                       "%s: line %zu: expected %d fields as in the header, found %d; captions with commas are quoted",
                       r->name, line, columns->count, count);
    return add_caption(r, file, caption, line);
}

static eq_status parse_csv(reader *r, const char *text, size_t size)
{
    char *buffer = malloc(size + 1);
    if (!buffer)
        return eq_fail_memory(r->ctx, "a table of captions");
    eq_csv csv = {.ctx = r->ctx, .name = r->name, .at = text, .end = text + size, .line = 1, .field = buffer};
    header columns;
    eq_status status = read_header(r, &csv, &columns);
    while (status == EQ_OK && csv.at < csv.end)
        status = read_record(r, &csv, &columns, buffer);
    free(buffer);
    return status;
}

/* --- JSON lines --- */

static eq_status read_json_line(reader *r, const char *text, size_t size, size_t line)
{
    json_error_t error;
    json_t *object = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    const json_t *file = json_object_get(object, "file_name"), *caption = json_object_get(object, "caption");
    eq_status status;
    if (!json_is_object(object))
        status = eq_fail(r->ctx, EQ_BAD_INPUT, "%s: line %zu: expected a JSON object: %s", r->name, line,
                         object ? "found an array" : error.text);
    else if (!json_is_string(file) || (caption && !json_is_string(caption) && !json_is_null(caption)))
        status = eq_fail(r->ctx, EQ_BAD_INPUT, "%s: line %zu: expected a string under \"%s\"", r->name, line,
                         json_is_string(file) ? "caption" : "file_name");
    else
        status =
            add_caption(r, json_string_value(file), json_is_string(caption) ? json_string_value(caption) : "", line);
    json_decref(object);
    return status;
}

static eq_status parse_json_lines(reader *r, const char *text, size_t size)
{
    const char *end = text + size;
    for (size_t line = 1; text < end; line++) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const size_t length = (size_t)((newline ? newline : end) - text);
        size_t blank = 0;
        while (blank < length && strchr(" \t\r", text[blank]))
            blank++;
        if (blank < length)
            EQ_TRY(read_json_line(r, text, length, line));
        text += length + (newline != NULL);
    }
    return EQ_OK;
}

/* --- both --- */

/* Texts lie in the table's order, so that their addresses break ties. */
static int by_file(const void *a, const void *b)
{
    const eq_caption *left = a, *right = b;
    int order = strcmp(left->file, right->file);
    return order ? order : left->text < right->text ? -1 : 1;
}

static eq_status parse(reader *r, const char *text, size_t size)
{
    size_t first = 0;
    while (first < size && strchr(" \t\r\n", text[first]))
        first++;
    EQ_TRY(eq_check_text(r->ctx, text, size, r->name));
    r->captions.text = r->put = malloc(size + 1);
    if (!r->put)
        return eq_fail_memory(r->ctx, "a table of captions");
    EQ_TRY(first < size && text[first] == '{' ? parse_json_lines(r, text, size) : parse_csv(r, text, size));
    if (r->captions.count == 0)
        return eq_fail(r->ctx, EQ_BAD_INPUT, "%s: there are no captions in it", r->name);
    qsort(r->captions.items, r->captions.count, sizeof *r->captions.items, by_file);
    return EQ_OK;
}

eq_status eq_captions_parse(eq_context *ctx, const char *text, size_t size, const char *name, eq_captions *out)
{
    *out = (eq_captions){0};
    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        size -= 3;
    }
    reader r = {.ctx = ctx, .name = name};
    eq_status status = parse(&r, text, size);
    if (status == EQ_OK)
        *out = r.captions;
    else
        eq_captions_free(&r.captions);
    return status;
}

eq_status eq_captions_read(eq_context *ctx, const char *path, eq_captions *out)
{
    uint8_t *bytes;
    size_t size;
    *out = (eq_captions){0};
    EQ_TRY(eq_file_read(ctx, path, MAX_FILE_BYTES, &bytes, &size));
    eq_status status = eq_captions_parse(ctx, (const char *)bytes, size, path, out);
    free(bytes);
    return status;
}

void eq_captions_free(eq_captions *captions)
{
    free(captions->items);
    free(captions->text);
    *captions = (eq_captions){0};
}

/* The first caption whose file does not come before `file`. */
static size_t lower_bound(const eq_captions *captions, const char *file)
{
    size_t low = 0, high = captions->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(captions->items[middle].file, file) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

size_t eq_captions_find(const eq_captions *captions, const char *file, size_t *first)
{
    *first = lower_bound(captions, file);
    size_t end = *first;
    while (end < captions->count && strcmp(captions->items[end].file, file) == 0)
        end++;
    return end - *first;
}
