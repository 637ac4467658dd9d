/* One decoder a format, chosen by eq_image_decode. Each decodes `bytes` into a new image or fails with EQ_BAD_INPUT
 * naming `name`; *out is untouched on failure. */
#ifndef EQ_IO_IMAGE_CODECS_H
#define EQ_IO_IMAGE_CODECS_H

#include "io/image.h"

eq_status eq_png_decode(eq_context *ctx, const uint8_t *bytes, size_t size, const char *name, eq_image *out);
eq_status eq_jpeg_decode(eq_context *ctx, const uint8_t *bytes, size_t size, const char *name, eq_image *out);
eq_status eq_webp_decode(eq_context *ctx, const uint8_t *bytes, size_t size, const char *name, eq_image *out);

/* Checks the sides that a file states. */
eq_status eq_image_check_sides(eq_context *ctx, const char *name, uint64_t width, uint64_t height);

/* Lays RGBA over white, in place: pixels [count, 4] become [count, 3]. */
void eq_image_flatten(uint8_t *pixels, size_t count);

#endif
