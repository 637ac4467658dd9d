/* HTML under construction: a growing text in which whatever comes from outside is escaped. */
#ifndef EQ_EVAL_HTML_H
#define EQ_EVAL_HTML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Starts zeroed; freed by eq_html_free. Running out of memory is remembered: everything after it does nothing. */
typedef struct eq_html {
    char *text; /* NULL while empty, else terminated */
    size_t size, capacity;
    bool failed;
} eq_html;

void eq_html_free(eq_html *html);
/* EQ_NO_MEMORY if that ran out on the way. */
eq_status eq_html_status(eq_context *ctx, const eq_html *html);

/* As it is: for the markup itself. */
void eq_html_raw(eq_html *html, const char *markup);

/* Escaped for element content and for quoted attribute values. Control characters that HTML does not allow and bytes
 * that are not UTF-8 become U+FFFD. */
void eq_html_text(eq_html *html, const char *text);

/* Like printf, with the format as markup and every %s escaped. Conversions: %s %d %zu %f %g %e %%, with flags, width
 * and precision, but none of these for %s, and no '*'. */
void eq_html_format(eq_html *html, const char *format, ...) EQ_PRINTF(2, 3);

/* "data:image/png;base64,..." of a PNG file. */
void eq_html_png_uri(eq_html *html, const uint8_t *bytes, size_t size);

#endif
