/* Image files. What was decoded is written as PNG and must come back the same. */
#include <string.h>

#include "fuzz.h"
#include "io/image.h"

static void check_round_trip(eq_context *ctx, const eq_image *image)
{
    uint8_t *png;
    size_t size;
    eq_image again;
    if (!fuzz_accepted(ctx, eq_image_encode_png(ctx, image, &png, &size), EQ_NO_MEMORY))
        return;
    FUZZ_CHECK(eq_image_decode(ctx, png, size, "again", &again) == EQ_OK);
    FUZZ_CHECK(again.width == image->width && again.height == image->height);
    FUZZ_CHECK(memcmp(again.pixels, image->pixels, (size_t)image->width * (size_t)image->height * 3) == 0);
    eq_image_free(&again);
    free(png);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    eq_context *ctx = eq_context_new();
    eq_image image, fitted;
    if (fuzz_accepted(ctx, eq_image_decode(ctx, data, size, "input", &image), EQ_BAD_INPUT)) {
        FUZZ_CHECK(image.width >= 1 && image.height >= 1);
        FUZZ_CHECK(image.width <= EQ_IMAGE_MAX_SIDE && image.height <= EQ_IMAGE_MAX_SIDE);
        if ((size_t)image.width * (size_t)image.height <= 1 << 16) {
            check_round_trip(ctx, &image);
            if (eq_image_fit(ctx, &image, 24, 17, &fitted) == EQ_OK)
                eq_image_free(&fitted);
        }
        eq_image_free(&image);
    }
    eq_context_free(ctx);
    return 0;
}
