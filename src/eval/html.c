#include "eval/html.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void eq_html_free(eq_html *html)
{
    free(html->text);
    *html = (eq_html){0};
}

eq_status eq_html_status(eq_context *ctx, const eq_html *html)
{
    return html->failed ? eq_fail_memory(ctx, "an HTML page") : EQ_OK;
}

/* Room for `size` more bytes and the final zero. */
static bool reserve(eq_html *html, size_t size)
{
    if (html->failed)
        return false;
    if (size < html->capacity - html->size)
        return true;
    size_t capacity;
    if (__builtin_add_overflow(html->size + 1, size, &capacity) || capacity > SIZE_MAX / 2) {
        html->failed = true;
        return false;
    }
    capacity = capacity < 2048 ? 4096 : capacity * 2;
    char *grown = realloc(html->text, capacity);
    if (grown == NULL) {
        html->failed = true;
        return false;
    }
    html->text = grown;
    html->capacity = capacity;
    return true;
}

static void append(eq_html *html, const char *bytes, size_t size)
{
    if (!reserve(html, size))
        return;
    memcpy(html->text + html->size, bytes, size);
    html->size += size;
    html->text[html->size] = 0;
}

void eq_html_raw(eq_html *html, const char *markup)
{
    append(html, markup, strlen(markup));
}

/* The length of the UTF-8 character at `text`; 0 if there is none, or one that HTML does not allow. */
static size_t character_length(const char *text)
{
    const unsigned char *c = (const unsigned char *)text;
    if (c[0] < 0x80)
        return c[0] >= 0x20 && c[0] != 0x7f ? 1 : c[0] == '\n' || c[0] == '\t' ? 1 : 0;
    size_t length = c[0] >= 0xf0 && c[0] <= 0xf4 ? 4 : c[0] >= 0xe0 && c[0] < 0xf0 ? 3 : c[0] >= 0xc2 ? 2 : 0;
    if (c[0] > 0xf4)
        return 0;
    unsigned code = c[0] & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if ((c[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (c[i] & 0x3f);
    }
    static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
    bool allowed = code >= least[length] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff) && code >= 0xa0;
    return allowed ? length : 0;
}

static const char *entity(char c)
{
    switch (c) {
    case '&': return "&amp;";
    case '<': return "&lt;";
    case '>': return "&gt;";
    case '"': return "&quot;";
    case '\'': return "&#39;";
    default: return NULL;
    }
}

void eq_html_text(eq_html *html, const char *text)
{
    while (*text && !html->failed) {
        const char *replacement = entity(*text);
        size_t length = character_length(text);
        if (replacement != NULL) {
            eq_html_raw(html, replacement);
            text++;
        } else if (length == 0) {
            eq_html_raw(html, "\xef\xbf\xbd");
            text++;
        } else {
            append(html, text, length);
            text += length;
        }
    }
}

/* One conversion; `spec` is its text, from the % to the letter. The arguments are taken here so that it is certain how
 * many are. */
static void convert(eq_html *html, const char *spec, char conversion, va_list *arguments)
{
    char number[400]; /* %f of the largest double takes 310 digits */
    switch (conversion) {
    case 's': eq_html_text(html, va_arg(*arguments, const char *)); return;
    case '%': eq_html_raw(html, "%"); return;
    case 'd': snprintf(number, sizeof(number), spec, va_arg(*arguments, int)); break;
    case 'u': snprintf(number, sizeof(number), spec, va_arg(*arguments, size_t)); break;
    default: snprintf(number, sizeof(number), spec, va_arg(*arguments, double)); break;
    }
    eq_html_raw(html, number);
}

void eq_html_format(eq_html *html, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    while (*format && !html->failed) {
        size_t plain = strcspn(format, "%");
        append(html, format, plain);
        format += plain;
        if (*format == 0)
            break;
        size_t length = strcspn(format + 1, "sdufge%") + 2;
        char spec[16];
        snprintf(spec, sizeof(spec), "%.*s", (int)length, format);
        convert(html, spec, format[length - 1], &arguments);
        format += length;
    }
    va_end(arguments);
}

void eq_html_png_uri(eq_html *html, const uint8_t *bytes, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    eq_html_raw(html, "data:image/png;base64,");
    if (size > SIZE_MAX / 2 || !reserve(html, (size + 2) / 3 * 4))
        return;
    char *out = html->text + html->size;
    for (size_t i = 0; i < size; i += 3) {
        unsigned group = (unsigned)bytes[i] << 16;
        group |= i + 1 < size ? (unsigned)bytes[i + 1] << 8 : 0;
        group |= i + 2 < size ? bytes[i + 2] : 0;
        *out++ = digits[group >> 18];
        *out++ = digits[group >> 12 & 63];
        *out++ = i + 1 < size ? digits[group >> 6 & 63] : '=';
        *out++ = i + 2 < size ? digits[group & 63] : '=';
    }
    *out = 0;
    html->size = (size_t)(out - html->text);
}
