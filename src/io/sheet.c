#include "io/sheet.h"

#include <string.h>

static void paste(const eq_image *from, eq_image *to, int left, int top)
{
    for (int y = 0; y < from->height; y++)
        memcpy(to->pixels + ((size_t)(top + y) * (size_t)to->width + (size_t)left) * 3,
               from->pixels + (size_t)y * (size_t)from->width * 3, (size_t)from->width * 3);
}

eq_status eq_sheet(eq_context *ctx, const eq_image *images, int count, int columns, int gap, eq_image *out)
{
    if (count < 1 || columns < 1 || gap < 0)
        return eq_fail(ctx, EQ_BAD_USAGE, "a contact sheet wants images and columns, not %d and %d", count, columns);
    if (columns > count)
        columns = count;
    int width = images[0].width, height = images[0].height, rows = (count + columns - 1) / columns;
    for (int i = 1; i < count; i++)
        if (images[i].width != width || images[i].height != height)
            return eq_fail(ctx, EQ_BAD_USAGE, "a contact sheet wants images of one size, not %d x %d and %d x %d",
                           width, height, images[i].width, images[i].height);
    EQ_TRY(eq_image_new(ctx, columns * (width + gap) + gap, rows * (height + gap) + gap, out));
    memset(out->pixels, 255, (size_t)out->width * (size_t)out->height * 3);
    for (int i = 0; i < count; i++)
        paste(&images[i], out, gap + i % columns * (width + gap), gap + i / columns * (height + gap));
    return EQ_OK;
}
