#include "models/preparation.h"

#include <string.h>

enum { MAX_SIZE = 1024 };

eq_preparation eq_preparation_own(int size)
{
    return (eq_preparation){
        .size = size, .resize = size, .mode = EQ_PREPARE_FIT, .mean = {0.5f, 0.5f, 0.5f}, .std = {0.5f, 0.5f, 0.5f}};
}

eq_preparation eq_preparation_imagenet(void)
{
    return (eq_preparation){.size = 224,
                            .resize = 256,
                            .mode = EQ_PREPARE_CROP,
                            .filter = EQ_FILTER_BILINEAR,
                            .mean = {0.485f, 0.456f, 0.406f},
                            .std = {0.229f, 0.224f, 0.225f}};
}

eq_preparation eq_preparation_fairface(void)
{
    eq_preparation preparation = eq_preparation_imagenet();
    preparation.mode = EQ_PREPARE_SQUASH;
    return preparation;
}

eq_preparation eq_preparation_clip(int size)
{
    return (eq_preparation){.size = size,
                            .resize = size,
                            .mode = EQ_PREPARE_CROP,
                            .filter = EQ_FILTER_BICUBIC,
                            .mean = {0.48145466f, 0.4578275f, 0.40821073f},
                            .std = {0.26862954f, 0.26130258f, 0.27577711f}};
}

/* --- settings --- */

/* A number a channel; low is exceeded. */
static eq_status read_channels(eq_context *ctx, const eq_json *json, const char *key, double low, float out[3])
{
    if (!eq_json_has(json, key))
        return EQ_OK;
    json_t *array = json_object_get(json->object, key);
    bool good = json_is_array(array) && json_array_size(array) == 3;
    for (size_t c = 0; good && c < 3; c++) {
        double value = json_number_value(json_array_get(array, c));
        good = json_is_number(json_array_get(array, c)) && value > low && value < 1000;
        out[c] = (float)value;
    }
    return good ? EQ_OK : eq_fail(ctx, EQ_BAD_INPUT, "%s: %s: three numbers above %g expected", json->where, key, low);
}

/* Which of two words; unchanged where the key is not there. */
static eq_status read_choice(eq_context *ctx, const eq_json *json, const char *key, const char *first,
                             const char *second, int *out)
{
    const char *word;
    EQ_TRY(eq_json_string_or(ctx, json, key, *out ? second : first, &word));
    if (strcmp(word, first) != 0 && strcmp(word, second) != 0)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: %s is \"%.60s\", expected \"%s\" or \"%s\"", json->where, key, word,
                       first, second);
    *out = strcmp(word, second) == 0;
    return EQ_OK;
}

static eq_status check(eq_context *ctx, const eq_json *json, const eq_preparation *p)
{
    if (p->mode == EQ_PREPARE_CROP && p->resize < p->size)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: images scaled to %d have no middle of %d: resize below size",
                       json->where, p->resize, p->size);
    return EQ_OK;
}

eq_status eq_preparation_read(eq_context *ctx, const eq_json *json, eq_preparation *p)
{
    int64_t size, resize;
    int squash = p->mode == EQ_PREPARE_SQUASH, bicubic = p->filter == EQ_FILTER_BICUBIC;
    EQ_TRY(eq_json_int_or(ctx, json, "size", p->size, 32, MAX_SIZE, &size));
    EQ_TRY(eq_json_int_or(ctx, json, "resize", p->resize * size / p->size, 32, 4 * MAX_SIZE, &resize));
    EQ_TRY(read_choice(ctx, json, "mode", "crop", "squash", &squash));
    EQ_TRY(read_choice(ctx, json, "filter", "bilinear", "bicubic", &bicubic));
    EQ_TRY(read_channels(ctx, json, "mean", -1000, p->mean));
    EQ_TRY(read_channels(ctx, json, "std", 0, p->std));
    p->size = (int)size;
    p->resize = (int)resize;
    p->mode = squash ? EQ_PREPARE_SQUASH : EQ_PREPARE_CROP;
    p->filter = bicubic ? EQ_FILTER_BICUBIC : EQ_FILTER_BILINEAR;
    return check(ctx, json, p);
}

/* "size": 224, or an object with one number in it: {"shortest_edge": 224}, {"height": 224, "width": 224}. */
static eq_status read_size(eq_context *ctx, const eq_json *json, const char *key, const char *inner, int *out)
{
    int64_t value;
    eq_json object;
    if (!eq_json_has(json, key))
        return EQ_OK;
    if (json_is_object(json_object_get(json->object, key))) {
        EQ_TRY(eq_json_object(ctx, json, key, &object));
        EQ_TRY(eq_json_int(ctx, &object, inner, 8, 4 * MAX_SIZE, &value));
    } else {
        EQ_TRY(eq_json_int(ctx, json, key, 8, 4 * MAX_SIZE, &value));
    }
    *out = (int)value;
    return EQ_OK;
}

/* The size that the network sees is its configuration's; a crop of another size could not go in. */
eq_status eq_preparation_read_transformers(eq_context *ctx, const eq_json *json, eq_preparation *p)
{
    enum { PIL_BILINEAR = 2, PIL_BICUBIC = 3 };
    int crop = p->size;
    int64_t filter;
    EQ_TRY(read_size(ctx, json, "size", "shortest_edge", &p->resize));
    EQ_TRY(read_size(ctx, json, "crop_size", "height", &crop));
    EQ_TRY(eq_json_int_or(ctx, json, "resample", PIL_BICUBIC, PIL_BILINEAR, PIL_BICUBIC, &filter));
    EQ_TRY(read_channels(ctx, json, "image_mean", -1000, p->mean));
    EQ_TRY(read_channels(ctx, json, "image_std", 0, p->std));
    p->filter = filter == PIL_BICUBIC ? EQ_FILTER_BICUBIC : EQ_FILTER_BILINEAR;
    p->crop_rounds_down = true;
    if (crop != p->size)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: crop_size is %d, but the network's images are %d", json->where, crop,
                       p->size);
    return check(ctx, json, p);
}

/* --- images --- */

static int margin(int length, int size, bool rounds_down)
{
    int half = (length - size) / 2;
    bool up = !rounds_down && (length - size) % 2 == 1 && half % 2 == 1;
    return up ? half + 1 : half;
}

static eq_status resize_and_crop(eq_context *ctx, const eq_preparation *p, const eq_image *image, eq_image *out)
{
    int shorter = image->width < image->height ? image->width : image->height;
    int64_t width = (int64_t)p->resize * image->width / shorter, height = (int64_t)p->resize * image->height / shorter;
    eq_image scaled;
    if (width > EQ_IMAGE_MAX_SIDE || height > EQ_IMAGE_MAX_SIDE)
        return eq_fail(ctx, EQ_BAD_INPUT, "an image of %d x %d is too long to be scaled to %d", image->width,
                       image->height, p->resize);
    EQ_TRY(eq_image_resample(ctx, image, (int)width, (int)height, p->filter, &scaled));
    eq_status status = eq_image_crop(ctx, &scaled, margin(scaled.width, p->size, p->crop_rounds_down),
                                     margin(scaled.height, p->size, p->crop_rounds_down), p->size, p->size, out);
    eq_image_free(&scaled);
    return status;
}

eq_status eq_prepare_pixels(eq_context *ctx, const eq_preparation *p, const eq_image *image, eq_image *out)
{
    switch (p->mode) {
    case EQ_PREPARE_CROP: return resize_and_crop(ctx, p, image, out);
    case EQ_PREPARE_SQUASH: return eq_image_resample(ctx, image, p->size, p->size, p->filter, out);
    case EQ_PREPARE_FIT: break;
    }
    if (image->width == p->size && image->height == p->size)
        return eq_image_crop(ctx, image, 0, 0, p->size, p->size, out);
    return eq_image_fit(ctx, image, p->size, p->size, out);
}

void eq_prepare_normalise(const eq_preparation *p, const uint8_t *pixels, float *x)
{
    size_t count = (size_t)p->size * (size_t)p->size;
    for (size_t i = 0; i < count; i++)
        for (size_t c = 0; c < 3; c++)
            x[3 * i + c] = ((float)pixels[3 * i + c] / 255 - p->mean[c]) / p->std[c];
}
