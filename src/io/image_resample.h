/* Resampling with antialiasing exactly as Pillow does it, on which torchvision's and transformers' preprocessing rests:
 * what pretrained classifiers were trained on. */
#ifndef EQ_IO_IMAGE_RESAMPLE_H
#define EQ_IO_IMAGE_RESAMPLE_H

#include "io/image.h"

typedef enum eq_image_filter { EQ_FILTER_BILINEAR, EQ_FILTER_BICUBIC } eq_image_filter;

/* The whole image at another size, 1 to EQ_IMAGE_MAX_SIDE a side. `out` is new. */
eq_status eq_image_resample(eq_context *ctx, const eq_image *image, int width, int height, eq_image_filter filter,
                            eq_image *out);

/* Cuts a box out, which lies within the image. `out` is new. */
eq_status eq_image_crop(eq_context *ctx, const eq_image *image, int left, int top, int width, int height,
                        eq_image *out);

#endif
