/* Decoders over the formats' variants and over damaged files; resizing; conversions. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jpeglib.h>
#include <png.h>
#include <webp/encode.h>

#include "base/path.h"
#include "io/image.h"
#include "temporary.h"

static eq_context *ctx;

static int make_context(void **state)
{
    ctx = eq_context_new();
    return ctx ? 0 : -1;
}

static int drop_context(void **state)
{
    eq_context_free(ctx);
    return 0;
}

/* Smooth, so that lossy codecs stay close; different in every channel and corner. */
static eq_image gradient(int width, int height)
{
    eq_image image;
    assert_int_equal(eq_image_new(ctx, width, height, &image), EQ_OK);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            uint8_t *pixel = image.pixels + 3 * (y * width + x);
            pixel[0] = (uint8_t)(255 * x / width);
            pixel[1] = (uint8_t)(255 * y / height);
            pixel[2] = (uint8_t)(255 - 200 * x / width);
        }
    return image;
}

static void assert_images_near(const eq_image *a, const eq_image *b, int tolerance)
{
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->height, b->height);
    for (size_t i = 0; i < (size_t)a->width * (size_t)a->height * 3; i++)
        assert_true(abs(a->pixels[i] - b->pixels[i]) <= tolerance);
}

/* Encodes raw samples of any PNG type. rows: [height, stride]. */
static uint8_t *encode_png(int width, int height, int depth, int type, bool interlaced, const uint8_t *rows,
                           size_t stride, size_t *size)
{
    static const png_color palette[3] = {{255, 0, 0}, {0, 255, 0}, {0, 0, 255}};
    static const uint8_t palette_alpha[3] = {255, 0, 128};
    uint8_t *bytes = NULL;
    FILE *stream = open_memstream((char **)&bytes, size);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_init_io(png, stream);
    png_set_IHDR(png, info, (png_uint_32)width, (png_uint_32)height, depth, type,
                 interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, 0, 0);
    if (type == PNG_COLOR_TYPE_PALETTE) {
        png_set_PLTE(png, info, palette, 3);
        png_set_tRNS(png, info, palette_alpha, 3, NULL);
    }
    png_write_info(png, info);
    int passes = png_set_interlace_handling(png);
    for (int pass = 0; pass < passes; pass++)
        for (int y = 0; y < height; y++)
            png_write_row(png, rows + (size_t)y * stride);
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    fclose(stream);
    return bytes;
}

/* Frees `bytes`. `size` is a pointer so that an encoder that sets it may stand in the same argument list. */
static eq_image decode(uint8_t *bytes, const size_t *size)
{
    eq_image image;
    if (eq_image_decode(ctx, bytes, *size, "memory", &image) != EQ_OK)
        fail_msg("%s", eq_last_error(ctx));
    free(bytes);
    return image;
}

static uint8_t *encode_jpeg(const uint8_t *samples, int width, int height, int channels, J_COLOR_SPACE space,
                            bool progressive, size_t *size)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    unsigned char *bytes = NULL;
    unsigned long length = 0;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &bytes, &length);
    jpeg.image_width = (JDIMENSION)width;
    jpeg.image_height = (JDIMENSION)height;
    jpeg.input_components = channels;
    jpeg.in_color_space = space;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, 97, TRUE);
    if (progressive)
        jpeg_simple_progression(&jpeg);
    jpeg_start_compress(&jpeg, TRUE);
    while (jpeg.next_scanline < jpeg.image_height) {
        JSAMPROW row = (JSAMPROW)samples + (size_t)jpeg.next_scanline * (size_t)(width * channels);
        jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    *size = length;
    return bytes;
}

static void png_round_trip_is_exact(void **state)
{
    char *path = eq_path_join(*state, "a.png");
    eq_image image = gradient(37, 21), back;
    assert_int_equal(eq_image_write_png(ctx, path, &image), EQ_OK);
    assert_int_equal(eq_image_read(ctx, path, &back), EQ_OK);
    assert_images_near(&image, &back, 0);
    eq_image_free(&image);
    eq_image_free(&back);
    free(path);
}

static void png_types_become_rgb(void **state)
{
    size_t size;
    /* 16-bit RGB: 0xffff -> 255, 0x8080 -> 128, 0 -> 0 */
    const uint8_t deep[6] = {0xff, 0xff, 0x80, 0x80, 0, 0};
    eq_image image = decode(encode_png(1, 1, 16, PNG_COLOR_TYPE_RGB, false, deep, 6, &size), &size);
    assert_memory_equal(image.pixels, ((uint8_t[]){255, 128, 0}), 3);
    eq_image_free(&image);

    /* 1-bit grey: 10000000 */
    const uint8_t bits[1] = {0x80};
    image = decode(encode_png(2, 1, 1, PNG_COLOR_TYPE_GRAY, false, bits, 1, &size), &size);
    assert_memory_equal(image.pixels, ((uint8_t[]){255, 255, 255, 0, 0, 0}), 6);
    eq_image_free(&image);

    /* grey with alpha: black at 0, 128 and 255 over white */
    const uint8_t grey_alpha[6] = {0, 0, 0, 128, 0, 255};
    image = decode(encode_png(3, 1, 8, PNG_COLOR_TYPE_GRAY_ALPHA, false, grey_alpha, 6, &size), &size);
    assert_memory_equal(image.pixels, ((uint8_t[]){255, 255, 255, 127, 127, 127, 0, 0, 0}), 9);
    eq_image_free(&image);

    /* palette with transparency: opaque red, invisible green, half blue */
    const uint8_t indices[3] = {0, 1, 2};
    image = decode(encode_png(3, 1, 8, PNG_COLOR_TYPE_PALETTE, false, indices, 3, &size), &size);
    assert_memory_equal(image.pixels, ((uint8_t[]){255, 0, 0, 255, 255, 255, 127, 127, 255}), 9);
    eq_image_free(&image);
}

static void interlaced_png_equals_plain(void **state)
{
    size_t size;
    eq_image image = gradient(19, 23);
    eq_image back = decode(encode_png(19, 23, 8, PNG_COLOR_TYPE_RGB, true, image.pixels, 19 * 3, &size), &size);
    assert_images_near(&image, &back, 0);
    eq_image_free(&image);
    eq_image_free(&back);
}

static void jpeg_is_close(void **state)
{
    eq_image image = gradient(64, 48);
    for (int progressive = 0; progressive < 2; progressive++) {
        size_t size;
        eq_image back = decode(encode_jpeg(image.pixels, 64, 48, 3, JCS_RGB, progressive, &size), &size);
        assert_images_near(&image, &back, 8);
        eq_image_free(&back);
    }
    eq_image_free(&image);
}

static void grey_and_cmyk_jpeg(void **state)
{
    size_t size;
    uint8_t grey[16 * 16];
    memset(grey, 90, sizeof grey);
    eq_image image = decode(encode_jpeg(grey, 16, 16, 1, JCS_GRAYSCALE, false, &size), &size);
    for (int i = 0; i < 16 * 16 * 3; i++)
        assert_true(abs(image.pixels[i] - 90) <= 1);
    eq_image_free(&image);

    /* libjpeg marks CMYK as Adobe's, whose values are light: full cyan light, half magenta light, no yellow light. */
    uint8_t cmyk[16 * 16 * 4];
    for (int i = 0; i < 16 * 16; i++)
        memcpy(cmyk + 4 * i, ((uint8_t[]){255, 128, 0, 204}), 4);
    image = decode(encode_jpeg(cmyk, 16, 16, 4, JCS_CMYK, false, &size), &size);
    for (int i = 0; i < 16 * 16; i++) {
        assert_true(abs(image.pixels[3 * i] - 204) <= 2);
        assert_true(abs(image.pixels[3 * i + 1] - 102) <= 2);
        assert_true(image.pixels[3 * i + 2] <= 2);
    }
    eq_image_free(&image);
}

static void webp_with_and_without_alpha(void **state)
{
    eq_image image = gradient(40, 30), back;
    uint8_t *encoded = NULL;
    size_t size = WebPEncodeLosslessRGB(image.pixels, 40, 30, 120, &encoded);
    assert_true(size > 0);
    assert_int_equal(eq_image_decode(ctx, encoded, size, "memory", &back), EQ_OK);
    assert_images_near(&image, &back, 0);
    WebPFree(encoded);
    eq_image_free(&back);
    eq_image_free(&image);

    const uint8_t rgba[8] = {10, 20, 30, 255, 10, 20, 30, 0};
    size = WebPEncodeLosslessRGBA(rgba, 2, 1, 8, &encoded);
    assert_int_equal(eq_image_decode(ctx, encoded, size, "memory", &back), EQ_OK);
    assert_memory_equal(back.pixels, ((uint8_t[]){10, 20, 30, 255, 255, 255}), 6);
    WebPFree(encoded);
    eq_image_free(&back);
}

/* Every proper prefix is refused as bad input, naming the file. The last two bytes of a JPEG are its end marker. */
static void refuse_prefixes(const uint8_t *bytes, size_t size)
{
    for (size_t length = 0; length < size; length++) {
        uint8_t *copy = malloc(length + 1); /* sized so that a sanitizer sees reads beyond the end */
        eq_image image;
        memcpy(copy, bytes, length);
        copy = realloc(copy, length ? length : 1);
        assert_int_equal(eq_image_decode(ctx, copy, length, "folder/x.img", &image), EQ_BAD_INPUT);
        assert_non_null(strstr(eq_last_error(ctx), "folder/x.img"));
        assert_null(image.pixels);
        free(copy);
    }
}

static void truncated_files_are_refused(void **state)
{
    eq_image image = gradient(24, 24);
    uint8_t *bytes;
    size_t size;
    assert_int_equal(eq_image_encode_png(ctx, &image, &bytes, &size), EQ_OK);
    refuse_prefixes(bytes, size);
    free(bytes);
    bytes = encode_jpeg(image.pixels, 24, 24, 3, JCS_RGB, false, &size);
    refuse_prefixes(bytes, size);
    free(bytes);
    bytes = encode_jpeg(image.pixels, 24, 24, 3, JCS_RGB, true, &size);
    refuse_prefixes(bytes, size);
    free(bytes);
    size = WebPEncodeLosslessRGB(image.pixels, 24, 24, 72, &bytes);
    refuse_prefixes(bytes, size);
    WebPFree(bytes);
    eq_image_free(&image);
}

/* Damaged anywhere, a file decodes to something or is refused; it never does more. */
static void flipped_bytes_do_no_harm(void **state)
{
    eq_image image = gradient(16, 16);
    uint8_t *bytes;
    size_t size;
    bytes = encode_jpeg(image.pixels, 16, 16, 3, JCS_RGB, true, &size);
    for (size_t i = 2; i < size; i++) {
        eq_image back;
        bytes[i] ^= 0x55;
        eq_status status = eq_image_decode(ctx, bytes, size, "x", &back);
        assert_true(status == EQ_OK || status == EQ_BAD_INPUT || status == EQ_NO_MEMORY);
        eq_image_free(&back);
        bytes[i] ^= 0x55;
    }
    free(bytes);
    eq_image_free(&image);
}

static void other_content_is_refused(void **state)
{
    eq_image image;
    assert_int_equal(eq_image_decode(ctx, (const uint8_t *)"GIF89a..........", 16, "a.png", &image), EQ_BAD_INPUT);
    assert_non_null(strstr(eq_last_error(ctx), "a.png: not a PNG, JPEG or WebP"));
    assert_int_equal(eq_image_read(ctx, "/nonexistent/a.png", &image), EQ_BAD_INPUT);
    assert_non_null(strstr(eq_last_error(ctx), "/nonexistent/a.png"));
}

static void absurd_sides_are_refused(void **state)
{
    /* A PNG header that claims 16385 x 1 pixels; png_sig and IHDR with its right CRC come from libpng itself. */
    static uint8_t row[16385];
    size_t size;
    eq_image image;
    uint8_t *bytes = encode_png(16385, 1, 8, PNG_COLOR_TYPE_GRAY, false, row, sizeof row, &size);
    assert_int_equal(eq_image_decode(ctx, bytes, size, "wide.png", &image), EQ_BAD_INPUT);
    assert_non_null(strstr(eq_last_error(ctx), "wide.png: the image is 16385 x 1 pixels"));
    free(bytes);
    assert_int_equal(eq_image_new(ctx, 0, 5, &image), EQ_BAD_USAGE);
    assert_int_equal(eq_image_new(ctx, 5, 16385, &image), EQ_BAD_USAGE);
}

static void fit_to_the_same_size_is_exact(void **state)
{
    eq_image image = gradient(33, 17), back;
    assert_int_equal(eq_image_fit(ctx, &image, 33, 17, &back), EQ_OK);
    assert_images_near(&image, &back, 0);
    eq_image_free(&image);
    eq_image_free(&back);
}

static void fit_down_averages_areas(void **state)
{
    /* 4x2 -> 2x1: each output pixel is the mean of a 2x2 block. */
    eq_image image, back;
    assert_int_equal(eq_image_new(ctx, 4, 2, &image), EQ_OK);
    for (int i = 0; i < 8; i++)
        image.pixels[3 * i] = (uint8_t)(10 * i);
    assert_int_equal(eq_image_fit(ctx, &image, 2, 1, &back), EQ_OK);
    assert_int_equal(back.pixels[0], (0 + 10 + 40 + 50) / 4);
    assert_int_equal(back.pixels[3], (20 + 30 + 60 + 70) / 4);
    eq_image_free(&back);

    /* 4x2 -> 1x1 crops to the middle 2x2 first. */
    assert_int_equal(eq_image_fit(ctx, &image, 1, 1, &back), EQ_OK);
    assert_int_equal(back.pixels[0], (10 + 20 + 50 + 60) / 4);
    eq_image_free(&back);
    eq_image_free(&image);
}

static void fit_up_interpolates(void **state)
{
    eq_image image, back;
    assert_int_equal(eq_image_new(ctx, 2, 2, &image), EQ_OK);
    image.pixels[3] = image.pixels[9] = 200; /* red in the right column */
    assert_int_equal(eq_image_fit(ctx, &image, 4, 4, &back), EQ_OK);
    const uint8_t expected[4] = {0, 50, 150, 200};
    for (int i = 0; i < 16; i++)
        assert_int_equal(back.pixels[3 * i], expected[i % 4]);
    eq_image_free(&back);

    /* Flat stays flat at awkward ratios, crops included. */
    memset(image.pixels, 77, 12);
    assert_int_equal(eq_image_fit(ctx, &image, 7, 3, &back), EQ_OK);
    for (int i = 0; i < 7 * 3 * 3; i++)
        assert_int_equal(back.pixels[i], 77);
    eq_image_free(&back);
    eq_image_free(&image);
    assert_int_equal(eq_image_fit(ctx, &(eq_image){.width = 1, .height = 1}, 0, 3, &back), EQ_BAD_USAGE);
}

static void floats_round_trip(void **state)
{
    eq_image image, back;
    float values[86 * 3];
    assert_int_equal(eq_image_new(ctx, 86, 1, &image), EQ_OK);
    assert_int_equal(eq_image_new(ctx, 86, 1, &back), EQ_OK);
    for (int i = 0; i < 256; i++)
        image.pixels[i] = (uint8_t)i;
    eq_image_to_float(&image, values);
    assert_true(values[0] == -1.0f && values[255] == 1.0f);
    eq_image_from_float(values, &back);
    assert_memory_equal(image.pixels, back.pixels, 86 * 3);
    values[0] = 3.0f;
    values[1] = -INFINITY;
    values[2] = NAN;
    eq_image_from_float(values, &back);
    assert_int_equal(back.pixels[0], 255);
    assert_int_equal(back.pixels[1], 0);
    assert_int_equal(back.pixels[2], 0);
    eq_image_free(&image);
    eq_image_free(&back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(png_round_trip_is_exact, temporary_setup, temporary_teardown),
        cmocka_unit_test(png_types_become_rgb),
        cmocka_unit_test(interlaced_png_equals_plain),
        cmocka_unit_test(jpeg_is_close),
        cmocka_unit_test(grey_and_cmyk_jpeg),
        cmocka_unit_test(webp_with_and_without_alpha),
        cmocka_unit_test(truncated_files_are_refused),
        cmocka_unit_test(flipped_bytes_do_no_harm),
        cmocka_unit_test(other_content_is_refused),
        cmocka_unit_test(absurd_sides_are_refused),
        cmocka_unit_test(fit_to_the_same_size_is_exact),
        cmocka_unit_test(fit_down_averages_areas),
        cmocka_unit_test(fit_up_interpolates),
        cmocka_unit_test(floats_round_trip),
    };
    return cmocka_run_group_tests(tests, make_context, drop_context);
}
