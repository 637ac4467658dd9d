/* From an image of any size to a classifier's input, as whoever trained it did it: torchvision's transforms on Pillow
 * images, to the bit. Everything before the normalisation is bytes. */
#ifndef EQ_MODELS_PREPARATION_H
#define EQ_MODELS_PREPARATION_H

#include "io/image_resample.h"
#include "io/json.h"

typedef enum eq_prepare_mode {
    EQ_PREPARE_FIT,    /* ours (eq_image_fit): the largest square in the middle, scaled */
    EQ_PREPARE_CROP,   /* the shorter side becomes `resize`, then the middle size x size is cut out */
    EQ_PREPARE_SQUASH, /* both sides become `size`, whatever they were */
} eq_prepare_mode;

typedef struct eq_preparation {
    int size;   /* a side of what the network sees */
    int resize; /* EQ_PREPARE_CROP: size or more */
    eq_prepare_mode mode;
    eq_image_filter filter;
    bool crop_rounds_down; /* where the margins are odd, as transformers does; torchvision rounds halves to even */
    float mean[3], std[3]; /* of channels in [0, 1], for (x - mean) / std */
} eq_preparation;

/* Our own networks', torchvision's classifiers', FairFace's, CLIP's. */
eq_preparation eq_preparation_own(int size);
eq_preparation eq_preparation_imagenet(void);
eq_preparation eq_preparation_fairface(void);
eq_preparation eq_preparation_clip(int size);

/* Overrides what the keys "size", "resize", "mode" ("crop", "squash"), "filter" ("bilinear", "bicubic"), "mean" and
 * "std" say. A `size` without a `resize` keeps their ratio. */
eq_status eq_preparation_read(eq_context *ctx, const eq_json *json, eq_preparation *preparation);
/* Overrides what a preprocessor_config.json of transformers says. */
eq_status eq_preparation_read_transformers(eq_context *ctx, const eq_json *json, eq_preparation *preparation);

/* The [size, size, 3] that the network will see; `out` is new. */
eq_status eq_prepare_pixels(eq_context *ctx, const eq_preparation *preparation, const eq_image *image, eq_image *out);
/* pixels: [size, size, 3] of eq_prepare_pixels -> x: [size, size, 3] */
void eq_prepare_normalise(const eq_preparation *preparation, const uint8_t *pixels, float *x);

#endif
