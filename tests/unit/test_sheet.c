/* Contact sheets. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/sheet.h"
#include "unit/tiny.h"

static eq_context *ctx;

enum { COUNT = 5, WIDTH = 3, HEIGHT = 2 };

/* Image i is filled with i + 1. */
static void make_images(eq_image *images)
{
    for (int i = 0; i < COUNT; i++) {
        assert_ok(eq_image_new(ctx, WIDTH, HEIGHT, &images[i]));
        memset(images[i].pixels, i + 1, WIDTH * HEIGHT * 3);
    }
}

static void free_images(eq_image *images)
{
    for (int i = 0; i < COUNT; i++)
        eq_image_free(&images[i]);
}

/* The image that covers pixel (x, y), 255 for none. */
static int covers(int x, int y, int columns, int gap)
{
    int column = (x - gap) / (WIDTH + gap), row = (y - gap) / (HEIGHT + gap);
    if (x < gap || y < gap || (x - gap) % (WIDTH + gap) >= WIDTH || (y - gap) % (HEIGHT + gap) >= HEIGHT)
        return 255;
    int i = row * columns + column;
    return i < COUNT ? i + 1 : 255;
}

static void layouts(void **state)
{
    static const struct {
        int columns, gap, width, height;
    } cases[] = {{2, 1, 2 * 4 + 1, 3 * 3 + 1}, {5, 2, 5 * 5 + 2, 4 + 2}, {9, 0, 15, 2}, {1, 0, 3, 10}};
    eq_image images[COUNT], sheet;
    make_images(images);
    for (int c = 0; c < 4; c++) {
        assert_ok(eq_sheet(ctx, images, COUNT, cases[c].columns, cases[c].gap, &sheet));
        assert_int_equal(sheet.width, cases[c].width);
        assert_int_equal(sheet.height, cases[c].height);
        int columns = cases[c].columns < COUNT ? cases[c].columns : COUNT;
        for (int y = 0; y < sheet.height; y++)
            for (int x = 0; x < sheet.width; x++)
                for (int k = 0; k < 3; k++)
                    assert_int_equal(sheet.pixels[(y * sheet.width + x) * 3 + k], covers(x, y, columns, cases[c].gap));
        eq_image_free(&sheet);
    }
    free_images(images);
}

static void refusals(void **state)
{
    eq_image images[COUNT], sheet;
    make_images(images);
    assert_fails(eq_sheet(ctx, images, 0, 2, 1, &sheet), EQ_BAD_USAGE, "not 0 and 2");
    assert_fails(eq_sheet(ctx, images, 2, 0, 1, &sheet), EQ_BAD_USAGE, "not 2 and 0");
    assert_fails(eq_sheet(ctx, images, 2, 2, -1, &sheet), EQ_BAD_USAGE, "gap");
    assert_fails(eq_sheet(ctx, images, COUNT, 2, INT_MAX - 1, &sheet), EQ_BAD_USAGE, "gap");
    assert_fails(eq_sheet(ctx, images, COUNT, 5, 9000, &sheet), EQ_BAD_USAGE, "sides must be 1 to 16384");
    eq_image_free(&images[3]);
    assert_ok(eq_image_new(ctx, WIDTH, HEIGHT + 1, &images[3]));
    assert_fails(eq_sheet(ctx, images, COUNT, 2, 1, &sheet), EQ_BAD_USAGE, "3 x 2 and 3 x 3");
    free_images(images);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(layouts), cmocka_unit_test(refusals)};
    ctx = eq_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failed;
}
