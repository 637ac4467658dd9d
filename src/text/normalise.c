#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/normalise.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

size_t eq_text_valid_length(const char *text, size_t size)
{
    size_t at = 0;
    while (at < size) {
        utf8proc_int32_t code;
        utf8proc_ssize_t used =
            utf8proc_iterate((const utf8proc_uint8_t *)text + at, (utf8proc_ssize_t)(size - at), &code);
        if (used <= 0)
            break;
        at += (size_t)used;
    }
    return at;
}

static eq_status compose(eq_context *ctx, const char *text, char **out)
{
    size_t size = strnlen(text, EQ_TEXT_MAX_BYTES + 1), valid = eq_text_valid_length(text, size);
    if (size > EQ_TEXT_MAX_BYTES)
        return eq_fail(ctx, EQ_BAD_USAGE, "the text is longer than %d bytes", EQ_TEXT_MAX_BYTES);
    if (valid < size)
        return eq_fail(ctx, EQ_BAD_USAGE, "the text is not valid UTF-8 from byte %zu (0x%02x) on", valid + 1,
                       (unsigned char)text[valid]);
    *out = (char *)utf8proc_NFC((const utf8proc_uint8_t *)text);
    return *out ? EQ_OK : eq_fail_memory(ctx, "a text");
}

/* A capital sigma that ends a word becomes the final form; which those are is told by The Unicode Standard, table 3-17,
 * "Final_Sigma". *text is replaced. */
static eq_status lower_final_sigmas(eq_context *ctx, char **text)
{
    static const char capital[] = "\u03a3", final[] = "\u03c2";
    static const char pattern[] = "(?!\\p{Case_Ignorable})\\p{Cased}\\p{Case_Ignorable}*+\\K\u03a3"
                                  "(?!\\p{Case_Ignorable}*+\\p{Cased})";
    if (!strstr(*text, capital))
        return EQ_OK;
    int error;
    PCRE2_SIZE at, size = strlen(*text) + 1; /* both forms have two bytes */
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF, &error, &at, NULL);
    char *lowered = malloc(size);
    error = code && lowered
                ? pcre2_substitute(code, (PCRE2_SPTR)*text, size - 1, 0, PCRE2_SUBSTITUTE_GLOBAL, NULL, NULL,
                                   (PCRE2_SPTR) final, sizeof final - 1, (PCRE2_UCHAR *)lowered, &size)
                : PCRE2_ERROR_NOMEMORY;
    pcre2_code_free(code);
    if (error < 0) {
        free(lowered);
        return eq_fail_memory(ctx, "a text");
    }
    free(*text);
    *text = lowered;
    return EQ_OK;
}

/* What Python's str.isspace says. */
static bool is_space(utf8proc_int32_t code)
{
    utf8proc_category_t category = utf8proc_category(code);
    return (code >= 0x09 && code <= 0x0d) || (code >= 0x1c && code <= 0x1f) || code == 0x85 ||
           category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL || category == UTF8PROC_CATEGORY_ZP;
}

/* Returns the bytes written, at most one and a half times those of the character itself. */
static size_t put_lower(utf8proc_int32_t code, char *to)
{
    utf8proc_ssize_t size = utf8proc_encode_char(utf8proc_tolower(code), (utf8proc_uint8_t *)to);
    if (code == 0x130) /* the one whose lower case is two characters: i and a dot above */
        size += utf8proc_encode_char(0x307, (utf8proc_uint8_t *)to + size);
    return (size_t)size;
}

static char *lower_and_collapse(const char *text)
{
    size_t size = strlen(text), used = 0, put = 0;
    char *out = malloc(2 * size + 1);
    bool space = false;
    while (out && used < size) {
        utf8proc_int32_t code;
        used += (size_t)utf8proc_iterate((const utf8proc_uint8_t *)text + used, (utf8proc_ssize_t)(size - used), &code);
        if (is_space(code)) {
            space = put > 0;
            continue;
        }
        if (space)
            out[put++] = ' ';
        space = false;
        put += put_lower(code, out + put);
    }
    if (out)
        out[put] = '\0';
    return out;
}

eq_status eq_text_normalise(eq_context *ctx, const char *text, char **out)
{
    char *composed = NULL;
    *out = NULL;
    eq_status status = compose(ctx, text, &composed);
    if (status == EQ_OK)
        status = lower_final_sigmas(ctx, &composed);
    if (status == EQ_OK && !(*out = lower_and_collapse(composed)))
        status = eq_fail_memory(ctx, "a text");
    free(composed);
    return status;
}
