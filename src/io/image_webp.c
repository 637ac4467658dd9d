/* WebP through libwebp, from memory. */
#include "io/image_codecs.h"

#include <stdlib.h>

#include <webp/decode.h>

static const char *fault(VP8StatusCode code)
{
    switch (code) {
    case VP8_STATUS_NOT_ENOUGH_DATA: return "the file is truncated";
    case VP8_STATUS_UNSUPPORTED_FEATURE: return "it uses an unsupported feature";
    default: return "its data are invalid";
    }
}

eq_status eq_webp_decode(eq_context *ctx, const uint8_t *bytes, size_t size, const char *name, eq_image *out)
{
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config))
        return eq_fail(ctx, EQ_FAILED, "libwebp is of another version than the one Equipoise was built with");
    VP8StatusCode code = WebPGetFeatures(bytes, size, &config.input);
    if (code != VP8_STATUS_OK)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: damaged WebP: %s", name, fault(code));
    if (config.input.has_animation)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: an animated WebP; save the wanted frame as a still image", name);
    size_t width = (size_t)config.input.width, height = (size_t)config.input.height;
    EQ_TRY(eq_image_check_sides(ctx, name, width, height));

    size_t channels = config.input.has_alpha ? 4 : 3;
    uint8_t *pixels = malloc(width * height * channels);
    if (!pixels)
        return eq_fail_memory(ctx, "an image");
    config.output.colorspace = config.input.has_alpha ? MODE_RGBA : MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = pixels;
    config.output.u.RGBA.stride = (int)(width * channels);
    config.output.u.RGBA.size = width * height * channels;
    code = WebPDecode(bytes, size, &config);
    WebPFreeDecBuffer(&config.output);
    if (code != VP8_STATUS_OK) {
        free(pixels);
        if (code == VP8_STATUS_OUT_OF_MEMORY)
            return eq_fail_memory(ctx, "an image");
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: damaged WebP: %s", name, fault(code));
    }
    if (channels == 4) {
        eq_image_flatten(pixels, width * height);
        uint8_t *shrunk = realloc(pixels, width * height * 3);
        pixels = shrunk ? shrunk : pixels;
    }
    *out = (eq_image){(int)width, (int)height, pixels};
    return EQ_OK;
}
