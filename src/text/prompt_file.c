#include "text/prompt_file.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "text/normalise.h"

enum { MAX_FILE_BYTES = 1 << 26 };

/* A position in a file, for messages. */
typedef struct place {
    const char *name;
    size_t line;
} place;

static bool is_blank(const char *text)
{
    return text[strspn(text, " \t\v\f\r")] == '\0';
}

/* Takes "<number><TAB>" off the line; a line that does not start with a number has none, and counts once. */
static eq_status take_count(eq_context *ctx, place at, char **line, int *count)
{
    *count = 1;
    char *digits = *line + strspn(*line, " "), *tab = strchr(digits, '\t');
    if (!tab || !strchr("+-0123456789", digits[0]))
        return EQ_OK;
    char *end;
    long number = strtol(digits, &end, 10); /* saturates */
    end += strspn(end, " ");
    if (end != tab || number < 1 || number > EQ_PROMPT_MAX_COUNT)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: line %zu: \"%.*s\" before the tab is not a count from 1 to %d", at.name,
                       at.line, (int)(tab - *line < 60 ? tab - *line : 60), *line, EQ_PROMPT_MAX_COUNT);
    *count = (int)number;
    *line = tab + 1;
    return EQ_OK;
}

static eq_status add_line(eq_context *ctx, place at, char *line, eq_prompt_list *out)
{
    size_t size = strlen(line);
    if (size && line[size - 1] == '\r')
        line[--size] = '\0';
    if (is_blank(line))
        return EQ_OK;
    size_t valid = eq_text_valid_length(line, size);
    if (valid < size)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: line %zu: not valid UTF-8 from byte %zu (0x%02x) on", at.name, at.line,
                       valid + 1, (unsigned char)line[valid]);
    eq_prompt prompt;
    EQ_TRY(take_count(ctx, at, &line, &prompt.count));
    if (is_blank(line))
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: line %zu: a count without a prompt", at.name, at.line);
    prompt.text = line;
    out->items[out->count++] = prompt;
    out->images += prompt.count;
    return EQ_OK;
}

static eq_status parse_lines(eq_context *ctx, const char *name, eq_prompt_list *out)
{
    size_t line_number = 0;
    for (char *line = out->text, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        EQ_TRY(add_line(ctx, (place){name, ++line_number}, line, out));
    }
    return out->count ? EQ_OK : eq_fail(ctx, EQ_BAD_INPUT, "%s: no prompts in it; expected one a line", name);
}

eq_status eq_prompt_file_parse(eq_context *ctx, const char *text, size_t size, const char *name, eq_prompt_list *out)
{
    static const char mark[] = "\xef\xbb\xbf"; /* some editors start files with a byte order mark */
    *out = (eq_prompt_list){0};
    if (memchr(text, '\0', size))
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: a zero byte in it: not a text file", name);
    if (size >= 3 && memcmp(text, mark, 3) == 0) {
        text += 3;
        size -= 3;
    }
    size_t lines = 1;
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    out->items = calloc(lines, sizeof *out->items);
    out->text = malloc(size + 1);
    eq_status status = EQ_NO_MEMORY;
    if (out->items && out->text) {
        memcpy(out->text, text, size);
        out->text[size] = '\0';
        status = parse_lines(ctx, name, out);
    } else {
        eq_fail_memory(ctx, "a list of prompts");
    }
    if (status != EQ_OK)
        eq_prompt_list_free(out);
    return status;
}

eq_status eq_prompt_file_read(eq_context *ctx, const char *path, eq_prompt_list *out)
{
    uint8_t *bytes;
    size_t size;
    *out = (eq_prompt_list){0};
    EQ_TRY(eq_file_read(ctx, path, MAX_FILE_BYTES, &bytes, &size));
    eq_status status = eq_prompt_file_parse(ctx, (const char *)bytes, size, path, out);
    free(bytes);
    return status;
}

void eq_prompt_list_free(eq_prompt_list *list)
{
    free(list->items);
    free(list->text);
    *list = (eq_prompt_list){0};
}
