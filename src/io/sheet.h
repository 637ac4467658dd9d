/* Contact sheets: many small images as one. */
#ifndef EQ_IO_SHEET_H
#define EQ_IO_SHEET_H

#include "io/image.h"

/* Lays `count` images of one size out in rows of `columns`, with `gap` white pixels around each. `out` is new. */
eq_status eq_sheet(eq_context *ctx, const eq_image *images, int count, int columns, int gap, eq_image *out);

/* Writes such a sheet of images in networks' numbers as PNG. images: [count, side, side, 3] in [-1, 1] */
eq_status eq_sheet_write(eq_context *ctx, const float *images, int count, int side, int columns, const char *path);

#endif
