/* Places where occupations are at home, seen behind the figure. */
#include <math.h>

#include "synth/attire.h"

static void chalk(cairo_t *cr)
{
    cairo_set_line_cap(cr, CAIRO_LINE_CAP_ROUND);
    cairo_set_line_join(cr, CAIRO_LINE_JOIN_ROUND);
    cairo_set_line_width(cr, 1.7);
    cairo_set_source_rgba(cr, 0.96, 0.97, 0.92, 0.9);
    cairo_stroke(cr);
}

static void polyline(cairo_t *cr, double x, double y, const double (*points)[2], int count)
{
    for (int i = 0; i < count; i++)
        cairo_line_to(cr, x + points[i][0], y + points[i][1]);
    cairo_new_sub_path(cr);
}

/* "1+2" and "ABC" in strokes: fonts differ between machines. */
static void draw_writing(cairo_t *cr, double left, double right, double y)
{
    static const double one[][2] = {{0, 2.5}, {2.5, 0}, {2.5, 9}}, across[][2] = {{6, 5}, {12, 5}},
                        down[][2] = {{9, 2}, {9, 8}},
                        two[][2] = {{15, 2}, {17, 0}, {19.5, 1}, {19.5, 3.5}, {15, 9}, {20.5, 9}};
    static const double a[][2] = {{0, 9}, {3, 0}, {6, 9}}, bar[][2] = {{1.3, 6}, {4.7, 6}},
                        b[][2] = {{9, 0},   {9, 9},      {12.5, 8.2}, {13.5, 6.5}, {12, 4.5},
                                  {9, 4.3}, {11.8, 3.8}, {12.6, 2},   {11.5, 0.4}, {9, 0}},
                        c[][2] = {{22, 1.6}, {20, 0}, {17.6, 1.4}, {16.8, 4.5}, {17.6, 7.6}, {20, 9}, {22, 7.4}};
    cairo_new_path(cr);
    polyline(cr, left, y, one, 3);
    polyline(cr, left, y, across, 2);
    polyline(cr, left, y, down, 2);
    polyline(cr, left, y, two, 6);
    polyline(cr, right, y, a, 3);
    polyline(cr, right, y, bar, 2);
    polyline(cr, right, y, b, 10);
    polyline(cr, right, y, c, 7);
    chalk(cr);
}

static void draw_blackboard(cairo_t *cr, const eq_attire *a)
{
    static const eq_rgb slate = {0.16, 0.34, 0.28}, wood = {0.66, 0.46, 0.26};
    const double y = 6 + 3 * a->chance[0];
    cairo_rectangle(cr, 0, y, 100, 66);
    eq_fill_linear(cr, 0, y, eq_rgb_scale(wood, 1.1), 0, y + 66, eq_rgb_scale(wood, 0.8));
    cairo_rectangle(cr, 0, y + 4, 100, 58);
    eq_fill_linear(cr, 0, y, eq_rgb_scale(slate, 1.15), 100, y + 60, eq_rgb_scale(slate, 0.9));
    draw_writing(cr, 4 + 2 * a->chance[1], 73 + 2 * a->chance[2], y + 12 + 5 * a->chance[3]);
    for (int side = 0; side < 2; side++) {
        const double x = side ? 75 : 5, line_y = y + 34 + 3 * a->chance[4 + side];
        cairo_move_to(cr, x, line_y);
        cairo_line_to(cr, x + 14 + 5 * a->chance[6 + side], line_y);
        cairo_move_to(cr, x, line_y + 7);
        cairo_line_to(cr, x + 10 + 6 * a->chance[8 + side], line_y + 7);
    }
    chalk(cr);
}

static void draw_house(cairo_t *cr, double x, double width, double top, eq_rgb colour)
{
    cairo_rectangle(cr, x, top, width, 110 - top);
    eq_fill_linear(cr, x, top, eq_rgb_scale(colour, 1.1), x + width, 100, eq_rgb_scale(colour, 0.85));
    for (double y = top + 4; y < 96; y += 6.5)
        for (double at = x + 2.4; at < x + width - 3; at += 4.6)
            cairo_rectangle(cr, at, y, 2.3, 3.2);
    cairo_set_source_rgba(cr, 1, 0.93, 0.66, 0.85);
    cairo_fill(cr);
}

static void draw_skyline(cairo_t *cr, const eq_attire *a)
{
    static const eq_rgb high = {0.48, 0.70, 0.92}, low = {0.86, 0.92, 0.97}, near = {0.34, 0.42, 0.54},
                        far = {0.58, 0.66, 0.76};
    cairo_rectangle(cr, 0, 0, 100, 100);
    eq_fill_linear(cr, 0, 0, high, 0, 75, low);
    for (int row = 0; row < 2; row++)
        for (int i = 0; i < 6; i++) {
            const double x = 18.0 * i - 6 + 9 * row, top = (row ? 34 : 18) + 26 * a->chance[6 * row + i];
            draw_house(cr, x, 14, top, row ? near : far);
        }
    cairo_rectangle(cr, 0, 0, 100, 4);
    cairo_rectangle(cr, 24 + 4 * a->chance[20], 0, 2.4, 100);
    cairo_rectangle(cr, 72 + 4 * a->chance[21], 0, 2.4, 100);
    cairo_set_source_rgb(cr, 0.90, 0.91, 0.93);
    cairo_fill(cr);
}

static void draw_bricks(cairo_t *cr, const eq_attire *a)
{
    static const eq_rgb mortar = {0.80, 0.76, 0.71}, brick = {0.71, 0.43, 0.33};
    enum { ROWS = 10, COLUMNS = 7 };
    const double shift = 20 * a->chance[30];
    cairo_rectangle(cr, 0, 0, 100, 100);
    eq_set_rgb(cr, mortar);
    cairo_fill(cr);
    for (int row = 0; row < ROWS; row++)
        for (int i = 0; i < COLUMNS; i++) {
            const double tone = a->chance[(7 * row + 5 * i) % EQ_ATTIRE_CHANCES];
            cairo_rectangle(cr, 20.0 * i - (row % 2 ? 10 : 0) - shift, 10.0 * row + 1, 18.4, 8.4);
            eq_set_rgb(cr, eq_rgb_scale(brick, 0.90 + 0.2 * tone));
            cairo_fill(cr);
        }
}

/* A courtroom's panelled wall. */
static void draw_panels(cairo_t *cr, const eq_attire *a)
{
    const eq_rgb wood = eq_rgb_mix((eq_rgb){0.46, 0.28, 0.17}, (eq_rgb){0.56, 0.37, 0.23}, a->chance[0]);
    const double shift = 8 * a->chance[1];
    cairo_rectangle(cr, 0, 0, 100, 100);
    eq_fill_linear(cr, 0, 0, eq_rgb_scale(wood, 1.1), 100, 100, eq_rgb_scale(wood, 0.86));
    for (int i = 0; i < 4; i++) {
        cairo_rectangle(cr, 28.0 * i - 8 + shift, 8, 22, 100);
        eq_fill_linear(cr, 0, 0, eq_rgb_scale(wood, 0.84), 0, 100, eq_rgb_scale(wood, 0.72));
        cairo_rectangle(cr, 28.0 * i - 5 + shift, 12, 16, 100);
        eq_fill_linear(cr, 0, 0, eq_rgb_scale(wood, 1.16), 0, 100, eq_rgb_scale(wood, 0.96));
    }
}

static void flame(cairo_t *cr, double x, double base, double width, double height, eq_rgb colour)
{
    cairo_move_to(cr, x - width, base);
    cairo_curve_to(cr, x - 1.2 * width, base - 0.45 * height, x - 0.1 * width, base - 0.6 * height, x, base - height);
    cairo_curve_to(cr, x + 0.3 * width, base - 0.6 * height, x + 1.2 * width, base - 0.45 * height, x + width, base);
    cairo_close_path(cr);
    eq_set_rgb(cr, colour);
    cairo_fill(cr);
}

static void draw_fire(cairo_t *cr, const eq_attire *a)
{
    static const eq_rgb smoke = {0.34, 0.30, 0.34}, glow = {0.86, 0.42, 0.20};
    static const eq_rgb layers[] = {{0.93, 0.36, 0.10}, {0.98, 0.60, 0.14}, {1.0, 0.86, 0.38}};
    cairo_rectangle(cr, 0, 0, 100, 100);
    eq_fill_linear(cr, 0, 0, smoke, 0, 95, glow);
    for (int layer = 0; layer < 3; layer++)
        for (int i = 0; i < 6; i++) {
            const double height = (36 + 34 * a->chance[i]) * (1 - 0.27 * layer);
            flame(cr, (i < 3 ? 4 + 11.0 * i : 74 + 11.0 * (i - 3)) + 3 * a->chance[i + 6] - 1.5, 101, 9.0 - 2.4 * layer,
                  height, layers[layer]);
        }
}

void eq_scene_draw(cairo_t *cr, const eq_attire *a)
{
    switch (a->occupation) {
    case EQ_OCCUPATION_TEACHER: draw_blackboard(cr, a); break;
    case EQ_OCCUPATION_JUDGE: draw_panels(cr, a); break;
    case EQ_OCCUPATION_BUILDER: draw_bricks(cr, a); break;
    case EQ_OCCUPATION_FIREFIGHTER: draw_fire(cr, a); break;
    case EQ_OCCUPATION_EXECUTIVE: draw_skyline(cr, a); break;
    default: break;
    }
}
