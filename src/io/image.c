#include "io/image.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "equipoise/image.h"
#include "io/image_codecs.h"

enum { MAX_FILE_BYTES = 1 << 29 };

static eq_status check_asked_sides(eq_context *ctx, int width, int height)
{
    if (width >= 1 && height >= 1 && width <= EQ_IMAGE_MAX_SIDE && height <= EQ_IMAGE_MAX_SIDE)
        return EQ_OK;
    return eq_fail(ctx, EQ_BAD_USAGE, "an image of %d x %d pixels was asked for; sides must be 1 to %d", width, height,
                   EQ_IMAGE_MAX_SIDE);
}

eq_status eq_image_new(eq_context *ctx, int width, int height, eq_image *out)
{
    EQ_TRY(check_asked_sides(ctx, width, height));
    uint8_t *pixels = calloc((size_t)width * (size_t)height, 3);
    if (!pixels)
        return eq_fail_memory(ctx, "an image");
    *out = (eq_image){.width = width, .height = height, .pixels = pixels};
    return EQ_OK;
}

void eq_image_free(eq_image *image)
{
    if (!image)
        return;
    free(image->pixels);
    *image = (eq_image){0};
}

eq_status eq_image_check_sides(eq_context *ctx, const char *name, uint64_t width, uint64_t height)
{
    if (width >= 1 && height >= 1 && width <= EQ_IMAGE_MAX_SIDE && height <= EQ_IMAGE_MAX_SIDE)
        return EQ_OK;
    return eq_fail(ctx, EQ_BAD_INPUT, "%s: the image is %llu x %llu pixels; sides must be 1 to %d", name,
                   (unsigned long long)width, (unsigned long long)height, EQ_IMAGE_MAX_SIDE);
}

void eq_image_flatten(uint8_t *pixels, size_t count)
{
    /* The write position never overtakes the read position. */
    for (size_t i = 0; i < count; i++) {
        unsigned alpha = pixels[4 * i + 3];
        for (size_t c = 0; c < 3; c++)
            pixels[3 * i + c] = (uint8_t)((pixels[4 * i + c] * alpha + 255u * (255u - alpha) + 127u) / 255u);
    }
}

eq_status eq_image_decode(eq_context *ctx, const uint8_t *bytes, size_t size, const char *name, eq_image *out)
{
    static const uint8_t png_magic[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    static const uint8_t jpeg_magic[3] = {0xff, 0xd8, 0xff};
    *out = (eq_image){0};
    if (size == 0)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: the file is empty, not an image", name);
    if (size >= 8 && memcmp(bytes, png_magic, 8) == 0)
        return eq_png_decode(ctx, bytes, size, name, out);
    if (size >= 3 && memcmp(bytes, jpeg_magic, 3) == 0)
        return eq_jpeg_decode(ctx, bytes, size, name, out);
    if (size >= 12 && memcmp(bytes, "RIFF", 4) == 0 && memcmp(bytes + 8, "WEBP", 4) == 0)
        return eq_webp_decode(ctx, bytes, size, name, out);
    return eq_fail(ctx, EQ_BAD_INPUT, "%s: not a PNG, JPEG or WebP image, going by its content", name);
}

eq_status eq_image_read(eq_context *ctx, const char *path, eq_image *out)
{
    uint8_t *bytes;
    size_t size;
    *out = (eq_image){0};
    EQ_TRY(eq_file_read(ctx, path, MAX_FILE_BYTES, &bytes, &size));
    eq_status status = eq_image_decode(ctx, bytes, size, path, out);
    free(bytes);
    return status;
}

eq_status eq_write_png(eq_context *ctx, const char *path, const uint8_t *pixels, int width, int height)
{
    EQ_TRY(check_asked_sides(ctx, width, height));
    return eq_image_write_png(ctx, path, &(eq_image){width, height, (uint8_t *)pixels});
}

eq_status eq_image_write_png(eq_context *ctx, const char *path, const eq_image *image)
{
    uint8_t *bytes;
    size_t size;
    EQ_TRY(eq_image_encode_png(ctx, image, &bytes, &size));
    eq_status status = eq_file_write(ctx, path, bytes, size);
    free(bytes);
    return status;
}

void eq_pixels_to_float(const uint8_t *pixels, size_t count, float *values)
{
    for (size_t i = 0; i < count; i++)
        values[i] = (float)pixels[i] / 127.5f - 1.0f;
}

void eq_image_to_float(const eq_image *image, float *values)
{
    eq_pixels_to_float(image->pixels, (size_t)image->width * (size_t)image->height * 3, values);
}

void eq_pixels_from_float(const float *values, size_t count, uint8_t *pixels)
{
    for (size_t i = 0; i < count; i++) {
        float level = (values[i] + 1.0f) * 127.5f + 0.5f;
        /* Written so that NaN becomes 0. */
        pixels[i] = level >= 255.0f ? 255 : level > 0.0f ? (uint8_t)level : 0;
    }
}

void eq_image_from_float(const float *values, eq_image *image)
{
    eq_pixels_from_float(values, (size_t)image->width * (size_t)image->height * 3, image->pixels);
}
