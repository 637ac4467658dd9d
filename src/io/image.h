/* 8-bit images in memory and in files (PNG, JPEG, WebP). */
#ifndef EQ_IO_IMAGE_H
#define EQ_IO_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { EQ_IMAGE_MAX_SIDE = 16384 };

/* pixels: [height, width, 3] RGB, owned; freed by eq_image_free. */
typedef struct eq_image {
    int width, height;
    uint8_t *pixels;
} eq_image;

/* Allocates a black image; width and height in 1..16384. */
eq_status eq_image_new(eq_context *ctx, int width, int height, eq_image *out);
void eq_image_free(eq_image *image);

/* Reads PNG, JPEG or WebP, told by content, not by name; grey and palette images become RGB, alpha is laid over
 * white, 16-bit samples become 8-bit, CMYK becomes RGB without a colour profile. EXIF orientation is ignored: pixels
 * come as stored. Truncated, damaged and animated files are refused: EQ_BAD_INPUT names the file and the fault. */
eq_status eq_image_read(eq_context *ctx, const char *path, eq_image *out);

/* The same from memory; `name` stands for the file in messages. */
eq_status eq_image_decode(eq_context *ctx, const uint8_t *bytes, size_t size, const char *name, eq_image *out);

/* Writes PNG (lossless) under a temporary name, then renames. */
eq_status eq_image_write_png(eq_context *ctx, const char *path, const eq_image *image);

/* Encodes PNG into memory; *bytes is malloc'ed, the caller frees it. */
eq_status eq_image_encode_png(eq_context *ctx, const eq_image *image, uint8_t **bytes, size_t *size);

/* Centre-crops to the target's aspect ratio, then resizes with an antialiasing filter (area average down, bilinear
 * up). `out` is new. */
eq_status eq_image_fit(eq_context *ctx, const eq_image *image, int width, int height, eq_image *out);

/* Conversions with the networks' numbers. pixels [h, w, 3] <-> values [h, w, 3] in [-1, 1]; values outside are clamped.
 */
void eq_image_to_float(const eq_image *image, float *values);
void eq_image_from_float(const float *values, eq_image *image);
/* The same for any number of values. pixels, values: [count] */
void eq_pixels_to_float(const uint8_t *pixels, size_t count, float *values);
void eq_pixels_from_float(const float *values, size_t count, uint8_t *pixels);

#endif
