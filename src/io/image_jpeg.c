/* JPEG through libjpeg(-turbo), from memory. Errors leave by longjmp; what must survive one lives in a struct outside
 * the function that calls setjmp. */
#include "io/image_codecs.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>

#include <jerror.h>

enum { MAX_SCANS = 200 }; /* more only serve to waste time */

struct reader {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    eq_context *ctx;
    const char *name;
    uint8_t *pixels;
    uint8_t *row; /* one CMYK row */
    eq_status status;
};

static void leave_damaged(j_common_ptr jpeg)
{
    struct reader *reader = jpeg->client_data;
    char message[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, message);
    reader->status = eq_fail(reader->ctx, EQ_BAD_INPUT, "%s: damaged JPEG: %s", reader->name, message);
    longjmp(reader->escape, 1);
}

/* libjpeg only warns where data are missing or garbled, and fills in grey: such an image is refused instead. */
static void message_or_leave(j_common_ptr jpeg, int level)
{
    switch (level < 0 ? jpeg->err->msg_code : 0) {
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_MUST_RESYNC:
    case JWRN_ARITH_BAD_CODE: leave_damaged(jpeg); break;
    default: break;
    }
}

static void limit_scans(j_common_ptr jpeg)
{
    struct reader *reader = jpeg->client_data;
    if (reader->jpeg.input_scan_number > MAX_SCANS) {
        reader->status = eq_fail(reader->ctx, EQ_BAD_INPUT, "%s: the JPEG has more than %d scans; re-save it",
                                 reader->name, MAX_SCANS);
        longjmp(reader->escape, 1);
    }
}

/* Adobe's files store CMYK inverted: 255 is no ink. */
static void cmyk_to_rgb(const uint8_t *cmyk, size_t width, bool inverted, uint8_t *rgb)
{
    for (size_t x = 0; x < width; x++) {
        unsigned k = inverted ? cmyk[4 * x + 3] : 255u - cmyk[4 * x + 3];
        for (size_t c = 0; c < 3; c++) {
            unsigned light = inverted ? cmyk[4 * x + c] : 255u - cmyk[4 * x + c];
            rgb[3 * x + c] = (uint8_t)((light * k + 127u) / 255u);
        }
    }
}

static void read_guarded(struct reader *reader, const uint8_t *bytes, size_t size)
{
    if (setjmp(reader->escape))
        return;
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    jpeg_create_decompress(jpeg);
    jpeg->progress = &reader->progress;
    jpeg_mem_src(jpeg, bytes, size);
    jpeg_read_header(jpeg, TRUE);
    size_t width = jpeg->image_width, height = jpeg->image_height;
    reader->status = eq_image_check_sides(reader->ctx, reader->name, width, height);
    if (reader->status != EQ_OK)
        return;
    bool cmyk = jpeg->jpeg_color_space == JCS_CMYK || jpeg->jpeg_color_space == JCS_YCCK;
    jpeg->out_color_space = cmyk ? JCS_CMYK : JCS_RGB;

    reader->pixels = malloc(width * height * 3);
    reader->row = cmyk ? malloc(width * 4) : NULL;
    if (!reader->pixels || (cmyk && !reader->row)) {
        reader->status = eq_fail_memory(reader->ctx, "an image");
        return;
    }
    jpeg_start_decompress(jpeg);
    while (jpeg->output_scanline < jpeg->output_height) {
        uint8_t *rgb = reader->pixels + jpeg->output_scanline * width * 3;
        JSAMPROW row = cmyk ? reader->row : rgb;
        if (jpeg_read_scanlines(jpeg, &row, 1) == 1 && cmyk)
            cmyk_to_rgb(reader->row, width, jpeg->saw_Adobe_marker, rgb);
    }
    jpeg_finish_decompress(jpeg);
}

eq_status eq_jpeg_decode(eq_context *ctx, const uint8_t *bytes, size_t size, const char *name, eq_image *out)
{
    struct reader reader = {.ctx = ctx, .name = name};
    reader.jpeg.err = jpeg_std_error(&reader.errors);
    reader.jpeg.client_data = &reader;
    reader.errors.error_exit = leave_damaged;
    reader.errors.emit_message = message_or_leave;
    reader.progress.progress_monitor = limit_scans;
    read_guarded(&reader, bytes, size);
    eq_image image = {(int)reader.jpeg.image_width, (int)reader.jpeg.image_height, reader.pixels};
    jpeg_destroy_decompress(&reader.jpeg);
    free(reader.row);
    if (reader.status != EQ_OK) {
        free(reader.pixels);
        return reader.status;
    }
    *out = image;
    return EQ_OK;
}
