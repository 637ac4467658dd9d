/* What occupations hold before them: a flask, a book, a gavel, flowers. */
#include <math.h>

#include "synth/attire.h"

static const eq_rgb white = {1, 1, 1};

static void edge(cairo_t *cr, double width, eq_rgb colour, double alpha)
{
    cairo_set_line_cap(cr, CAIRO_LINE_CAP_ROUND);
    cairo_set_line_join(cr, CAIRO_LINE_JOIN_ROUND);
    cairo_set_line_width(cr, width);
    eq_set_rgba(cr, colour, alpha);
    cairo_stroke(cr);
}

/* Knuckles round something that passes through (x, y), seen from outside. */
static void draw_hand(cairo_t *cr, const eq_head *head, double x, double y)
{
    const eq_skin *skin = &head->skin;
    eq_ellipse(cr, x, y, 6.4, 4.9);
    eq_fill_linear(cr, x - 5, y - 5, skin->base, x + 5, y + 5, skin->shade);
    for (int i = 0; i < 3; i++) {
        cairo_move_to(cr, x - 3 + 3 * i, y - 3.6);
        cairo_line_to(cr, x - 3 + 3 * i, y + 0.5);
    }
    edge(cr, 0.8, skin->line, 0.6);
}

static void flask_path(cairo_t *cr, double level)
{
    const double half = level < 0 ? 3.0 : 3.0 + 9.5 * level; /* level: 0 at the neck's end, 1 at the bottom */
    cairo_move_to(cr, -half, -18 + 22 * level);
    cairo_line_to(cr, -12, 3);
    cairo_curve_to(cr, -13, 5.5, -12, 6.5, -10, 6.5);
    cairo_line_to(cr, 10, 6.5);
    cairo_curve_to(cr, 12, 6.5, 13, 5.5, 12, 3);
    cairo_line_to(cr, half, -18 + 22 * level);
}

static void draw_flask(cairo_t *cr, const eq_attire *a, const eq_head *head)
{
    cairo_save(cr);
    cairo_translate(cr, a->side * 32, 95);
    cairo_rotate(cr, a->side * (0.08 + 0.1 * a->chance[0]));
    cairo_move_to(cr, -3, -27);
    cairo_line_to(cr, -3, -18);
    flask_path(cr, 0);
    cairo_line_to(cr, 3, -27);
    cairo_close_path(cr);
    cairo_path_t *glass = cairo_copy_path(cr);
    eq_set_rgba(cr, white, 0.42);
    cairo_fill(cr);
    flask_path(cr, 0.22 + 0.14 * a->chance[1]);
    cairo_close_path(cr);
    eq_fill_linear(cr, -8, -10, eq_rgb_mix(a->prop, white, 0.25), 8, 6, eq_rgb_scale(a->prop, 0.85));
    for (int i = 0; i < 4; i++)
        eq_ellipse(cr, -6 + 12 * a->chance[4 + i], 3 - 11 * a->chance[8 + i], 1.1, 1.1);
    eq_set_rgba(cr, white, 0.75);
    cairo_fill(cr);
    cairo_append_path(cr, glass);
    cairo_path_destroy(glass);
    edge(cr, 1.3, eq_rgb_mix(a->prop, white, 0.85), 0.95);
    cairo_move_to(cr, -4.4, -27);
    cairo_line_to(cr, 4.4, -27);
    edge(cr, 2.2, white, 0.95);
    draw_hand(cr, head, -a->side * 1.0, 8.5);
    cairo_restore(cr);
}

static void draw_book(cairo_t *cr, const eq_attire *a, const eq_head *head)
{
    cairo_save(cr);
    cairo_translate(cr, a->side * 27, 99);
    cairo_rotate(cr, a->side * (0.10 + 0.08 * a->chance[10]));
    cairo_rectangle(cr, -10.5, -16, 22, 30);
    cairo_set_source_rgb(cr, 0.97, 0.95, 0.88);
    cairo_fill(cr);
    cairo_rectangle(cr, -12, -16.8, 22, 30);
    eq_fill_linear(cr, -12, -16, eq_rgb_scale(a->prop, 1.1), 10, 12, eq_rgb_scale(a->prop, 0.84));
    cairo_rectangle(cr, -12, -16.8, 3, 30);
    eq_set_rgb(cr, eq_rgb_scale(a->prop, 0.66));
    cairo_fill(cr);
    cairo_rectangle(cr, -5.6, -11.5, 12, 2.6);
    cairo_rectangle(cr, -4, -6.5, 9, 1.8);
    eq_set_rgba(cr, (eq_rgb){1, 0.94, 0.72}, 0.95);
    cairo_fill(cr);
    draw_hand(cr, head, a->side * 9, 3.5);
    cairo_restore(cr);
}

static void draw_gavel(cairo_t *cr, const eq_attire *a, const eq_head *head)
{
    static const eq_rgb wood = {0.70, 0.41, 0.19}, band = {0.96, 0.80, 0.36};
    cairo_save(cr);
    cairo_translate(cr, a->side * 34, 84);
    cairo_rotate(cr, a->side * (0.30 + 0.16 * a->chance[10]));
    cairo_rectangle(cr, -1.9, 0, 3.8, 28);
    eq_fill_linear(cr, -2, 0, eq_rgb_scale(wood, 1.15), 2, 0, eq_rgb_scale(wood, 0.75));
    cairo_rectangle(cr, -11, -6, 22, 12);
    eq_fill_linear(cr, 0, -6, eq_rgb_scale(wood, 1.3), 0, 6, eq_rgb_scale(wood, 0.72));
    cairo_rectangle(cr, -13, -7, 3.6, 14);
    cairo_rectangle(cr, 9.4, -7, 3.6, 14);
    eq_fill_linear(cr, 0, -7, eq_rgb_scale(wood, 1.1), 0, 7, eq_rgb_scale(wood, 0.6));
    cairo_rectangle(cr, -8, -6, 1.8, 12);
    cairo_rectangle(cr, 6.2, -6, 1.8, 12);
    eq_set_rgb(cr, band);
    cairo_fill(cr);
    draw_hand(cr, head, 0, 17);
    cairo_restore(cr);
}

static void draw_flower(cairo_t *cr, double x, double y, double size, double turn, eq_rgb colour)
{
    for (int i = 0; i < 5; i++) {
        const double angle = 2 * M_PI * (i + turn) / 5;
        eq_ellipse(cr, x + 0.62 * size * cos(angle), y + 0.62 * size * sin(angle), 0.55 * size, 0.55 * size);
    }
    eq_fill_linear(cr, x - size, y - size, eq_rgb_mix(colour, white, 0.18), x + size, y + size,
                   eq_rgb_scale(colour, 0.86));
    eq_ellipse(cr, x, y, 0.36 * size, 0.36 * size);
    cairo_set_source_rgb(cr, 0.99, 0.88, 0.34);
    cairo_fill(cr);
}

/* A bunch in paper: leaves, six blooms, the hand. */
static void draw_flowers(cairo_t *cr, const eq_attire *a, const eq_head *head)
{
    static const double places[][2] = {{-9, -15}, {9, -16}, {0, -21}, {-13, -5}, {13, -6}, {0, -9}};
    static const eq_rgb leaf = {0.26, 0.56, 0.30}, pale = {0.98, 0.95, 0.97};
    cairo_save(cr);
    cairo_translate(cr, a->side * 27, 96);
    cairo_rotate(cr, a->side * (0.12 + 0.1 * a->chance[20]));
    for (int i = 0; i < 7; i++) {
        const double angle = -M_PI * (0.06 + 0.147 * i);
        cairo_save(cr);
        cairo_translate(cr, 0, -4);
        cairo_rotate(cr, angle);
        eq_ellipse(cr, 14, 0, 9, 3.4);
        eq_set_rgb(cr, eq_rgb_scale(leaf, 0.85 + 0.3 * a->chance[i]));
        cairo_fill(cr);
        cairo_restore(cr);
    }
    cairo_move_to(cr, -14, -4);
    cairo_line_to(cr, 14, -4);
    cairo_line_to(cr, 3.4, 16);
    cairo_line_to(cr, -3.4, 16);
    cairo_close_path(cr);
    eq_fill_linear(cr, -8, 0, eq_rgb_mix(pale, a->prop, 0.10), 8, 12, eq_rgb_mix(pale, a->prop_2, 0.3));
    for (int i = 0; i < 6; i++)
        draw_flower(cr, places[i][0] + 2 * a->chance[8 + i] - 1, places[i][1], 5.9 + 1.2 * a->chance[14 + i],
                    a->chance[20 + i],
                    i % 3 == 0   ? pale
                    : i % 3 == 1 ? a->prop
                                 : a->prop_2);
    draw_hand(cr, head, 0, 7.5);
    cairo_restore(cr);
}

void eq_held_draw(cairo_t *cr, const eq_attire *a, const eq_head *head)
{
    switch (a->occupation) {
    case EQ_OCCUPATION_TEACHER: draw_book(cr, a, head); break;
    case EQ_OCCUPATION_JUDGE: draw_gavel(cr, a, head); break;
    case EQ_OCCUPATION_SCIENTIST: draw_flask(cr, a, head); break;
    case EQ_OCCUPATION_FLORIST: draw_flowers(cr, a, head); break;
    default: break;
    }
}
