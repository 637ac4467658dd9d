/* PNG through libpng, from and to memory. libpng reports errors by longjmp: everything that must survive one lives in
 * a struct outside the function that calls setjmp. */
#include "io/image_codecs.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

struct reader {
    const uint8_t *bytes;
    size_t size, used;
    eq_context *ctx;
    const char *name;
    png_structp png;
    png_infop info;
    uint8_t *pixels;
    png_bytep *rows;
    uint32_t width, height;
    eq_status status;
};

static void read_error(png_structp png, png_const_charp message)
{
    struct reader *reader = png_get_error_ptr(png);
    if (reader->status == EQ_OK)
        reader->status = eq_fail(reader->ctx, EQ_BAD_INPUT, "%s: damaged PNG: %s", reader->name, message);
    png_longjmp(png, 1);
}

static void ignore_warning(png_structp png, png_const_charp message)
{
}

static void read_bytes(png_structp png, png_bytep out, size_t count)
{
    struct reader *reader = png_get_io_ptr(png);
    if (count > reader->size - reader->used)
        png_error(png, "the file is truncated");
    memcpy(out, reader->bytes + reader->used, count);
    reader->used += count;
}

static void fail_allocation(struct reader *reader)
{
    reader->status = eq_fail_memory(reader->ctx, "an image");
    png_longjmp(reader->png, 1);
}

/* Whatever the file holds comes out as 8-bit RGB or RGBA; returns the number of channels. */
static size_t request_rgb(png_structp png, png_infop info)
{
    png_set_expand(png); /* palette to RGB, 1/2/4-bit grey to 8, tRNS to alpha */
    png_set_scale_16(png);
    png_set_gray_to_rgb(png);
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
    return png_get_channels(png, info);
}

/* Leaves pixels [height, width, 3] in the reader, or a status other than EQ_OK. */
static void read_guarded(struct reader *reader)
{
    if (setjmp(png_jmpbuf(reader->png)))
        return;
    png_structp png = reader->png;
    png_set_read_fn(png, reader, read_bytes);
    /* The sides are checked here, with a better message than libpng's. */
    png_set_user_limits(png, 0x7fffffff, 0x7fffffff);
    png_set_chunk_malloc_max(png, 8 << 20);
    png_read_info(png, reader->info);
    reader->width = png_get_image_width(png, reader->info);
    reader->height = png_get_image_height(png, reader->info);
    reader->status = eq_image_check_sides(reader->ctx, reader->name, reader->width, reader->height);
    if (reader->status != EQ_OK)
        return;

    size_t channels = request_rgb(png, reader->info);
    if ((channels != 3 && channels != 4) || png_get_bit_depth(png, reader->info) != 8)
        png_error(png, "unexpected pixel format");
    size_t stride = reader->width * channels;
    reader->pixels = malloc(stride * reader->height);
    reader->rows = malloc(reader->height * sizeof *reader->rows);
    if (!reader->pixels || !reader->rows)
        fail_allocation(reader);
    for (size_t y = 0; y < reader->height; y++)
        reader->rows[y] = reader->pixels + y * stride;
    png_read_image(png, reader->rows);
    png_read_end(png, NULL);
    if (channels == 4)
        eq_image_flatten(reader->pixels, (size_t)reader->width * reader->height);
}

eq_status eq_png_decode(eq_context *ctx, const uint8_t *bytes, size_t size, const char *name, eq_image *out)
{
    struct reader reader = {.bytes = bytes, .size = size, .ctx = ctx, .name = name};
    reader.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, read_error, ignore_warning);
    if (reader.png)
        reader.info = png_create_info_struct(reader.png);
    if (reader.info)
        read_guarded(&reader);
    else
        reader.status = eq_fail_memory(ctx, "the PNG decoder");
    png_destroy_read_struct(&reader.png, &reader.info, NULL);
    free(reader.rows);
    if (reader.status != EQ_OK) {
        free(reader.pixels);
        return reader.status;
    }
    /* Flattening left a quarter of an RGBA buffer unused. */
    uint8_t *shrunk = realloc(reader.pixels, (size_t)reader.width * reader.height * 3);
    *out = (eq_image){(int)reader.width, (int)reader.height, shrunk ? shrunk : reader.pixels};
    return EQ_OK;
}

struct writer {
    eq_context *ctx;
    const eq_image *image;
    png_structp png;
    png_infop info;
    uint8_t *bytes;
    size_t size, capacity;
    eq_status status;
};

static void write_error(png_structp png, png_const_charp message)
{
    struct writer *writer = png_get_error_ptr(png);
    if (writer->status == EQ_OK)
        writer->status = eq_fail(writer->ctx, EQ_FAILED, "PNG encoding failed: %s", message);
    png_longjmp(png, 1);
}

static void append_bytes(png_structp png, png_bytep bytes, size_t count)
{
    struct writer *writer = png_get_io_ptr(png);
    if (count > writer->capacity - writer->size) {
        size_t capacity = writer->size + count + writer->capacity;
        uint8_t *grown = realloc(writer->bytes, capacity);
        if (!grown) {
            writer->status = eq_fail_memory(writer->ctx, "an encoded image");
            png_longjmp(png, 1);
        }
        writer->bytes = grown;
        writer->capacity = capacity;
    }
    memcpy(writer->bytes + writer->size, bytes, count);
    writer->size += count;
}

static void nothing_to_flush(png_structp png)
{
}

static void write_guarded(struct writer *writer)
{
    if (setjmp(png_jmpbuf(writer->png)))
        return;
    const eq_image *image = writer->image;
    png_set_write_fn(writer->png, writer, append_bytes, nothing_to_flush);
    png_set_IHDR(writer->png, writer->info, (png_uint_32)image->width, (png_uint_32)image->height, 8,
                 PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(writer->png, writer->info);
    for (size_t y = 0; y < (size_t)image->height; y++)
        png_write_row(writer->png, image->pixels + y * (size_t)image->width * 3);
    png_write_end(writer->png, NULL);
}

eq_status eq_image_encode_png(eq_context *ctx, const eq_image *image, uint8_t **bytes, size_t *size)
{
    *bytes = NULL;
    *size = 0;
    struct writer writer = {.ctx = ctx, .image = image};
    writer.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &writer, write_error, ignore_warning);
    if (writer.png)
        writer.info = png_create_info_struct(writer.png);
    if (writer.info)
        write_guarded(&writer);
    else
        writer.status = eq_fail_memory(ctx, "the PNG encoder");
    png_destroy_write_struct(&writer.png, &writer.info);
    if (writer.status != EQ_OK) {
        free(writer.bytes);
        return writer.status;
    }
    *bytes = writer.bytes;
    *size = writer.size;
    return EQ_OK;
}
