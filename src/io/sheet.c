#include "io/sheet.h"

#include <stdlib.h>
#include <string.h>

static void paste(const eq_image *from, eq_image *to, int left, int top)
{
    for (int y = 0; y < from->height; y++)
        memcpy(to->pixels + ((size_t)(top + y) * (size_t)to->width + (size_t)left) * 3,
               from->pixels + (size_t)y * (size_t)from->width * 3, (size_t)from->width * 3);
}

eq_status eq_sheet(eq_context *ctx, const eq_image *images, int count, int columns, int gap, eq_image *out)
{
    if (count < 1 || columns < 1)
        return eq_fail(ctx, EQ_BAD_USAGE, "a contact sheet wants images and columns, not %d and %d", count, columns);
    if (gap < 0 || gap > EQ_IMAGE_MAX_SIDE)
        return eq_fail(ctx, EQ_BAD_USAGE, "a contact sheet's gap must be 0 to %d, not %d", EQ_IMAGE_MAX_SIDE, gap);
    if (columns > count)
        columns = count;
    int width = images[0].width, height = images[0].height, rows = (count - 1) / columns + 1;
    for (int i = 1; i < count; i++)
        if (images[i].width != width || images[i].height != height)
            return eq_fail(ctx, EQ_BAD_USAGE, "a contact sheet wants images of one size, not %d x %d and %d x %d",
                           width, height, images[i].width, images[i].height);
    int64_t whole_width = (int64_t)columns * (width + gap) + gap, whole_height = (int64_t)rows * (height + gap) + gap;
    if (whole_width > EQ_IMAGE_MAX_SIDE || whole_height > EQ_IMAGE_MAX_SIDE)
        return eq_fail(ctx, EQ_BAD_USAGE, "a contact sheet of %lld x %lld pixels; sides must be 1 to %d",
                       (long long)whole_width, (long long)whole_height, EQ_IMAGE_MAX_SIDE);
    EQ_TRY(eq_image_new(ctx, (int)whole_width, (int)whole_height, out));
    memset(out->pixels, 255, (size_t)out->width * (size_t)out->height * 3);
    for (int i = 0; i < count; i++)
        paste(&images[i], out, gap + i % columns * (width + gap), gap + i / columns * (height + gap));
    return EQ_OK;
}

eq_status eq_sheet_write(eq_context *ctx, const float *images, int count, int side, int columns, const char *path)
{
    eq_image sheet = {0}, *list = calloc((size_t)count, sizeof *list);
    eq_status status = list ? EQ_OK : eq_fail_memory(ctx, "a sheet");
    for (int i = 0; i < count && status == EQ_OK; i++) {
        status = eq_image_new(ctx, side, side, &list[i]);
        if (status == EQ_OK)
            eq_image_from_float(images + (size_t)i * (size_t)side * (size_t)side * 3, &list[i]);
    }
    if (status == EQ_OK)
        status = eq_sheet(ctx, list, count, columns, 2, &sheet);
    if (status == EQ_OK)
        status = eq_image_write_png(ctx, path, &sheet);
    for (int i = 0; list && i < count; i++)
        eq_image_free(&list[i]);
    free(list);
    eq_image_free(&sheet);
    return status;
}
