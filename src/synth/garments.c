/* Coats, robes, vests and aprons: what occupations wear over the body's own clothes. */
#include "synth/attire.h"

static const double bottom_y = 120;
static const eq_rgb white = {0.96, 0.97, 0.98}, metal = {0.86, 0.88, 0.90};

static void line(cairo_t *cr, double width, eq_rgb colour)
{
    cairo_set_line_cap(cr, CAIRO_LINE_CAP_ROUND);
    cairo_set_line_join(cr, CAIRO_LINE_JOIN_ROUND);
    cairo_set_line_width(cr, width);
    eq_set_rgb(cr, colour);
    cairo_stroke(cr);
}

static void disc(cairo_t *cr, double x, double y, double radius, eq_rgb colour)
{
    eq_ellipse(cr, x, y, radius, radius);
    eq_set_rgb(cr, colour);
    cairo_fill(cr);
}

/* Both fronts of an open coat, their edges `open` apart at the bottom, with lapels in the trim's colour. */
static void draw_coat(cairo_t *cr, const eq_attire *a, const eq_clothes *clothes, const eq_head *head, double open)
{
    const double n = head->neck_half_width, s = clothes->shoulder_half_width;
    for (int side = -1; side <= 1; side += 2) {
        cairo_save(cr);
        eq_body_path(cr, clothes, head);
        cairo_clip(cr);
        cairo_move_to(cr, side * (n + 1.5), 78);
        cairo_line_to(cr, side * (s + 6), 78);
        cairo_line_to(cr, side * (s + 6), bottom_y);
        cairo_line_to(cr, side * open, bottom_y);
        cairo_curve_to(cr, side * (open + 1), 98, side * (n + 0.5), 92, side * (n + 1.5), 78);
        cairo_close_path(cr);
        eq_fill_linear(cr, -0.6 * s, 84, a->colour, 0.8 * s, 108, eq_rgb_scale(a->colour, 0.84));
        cairo_restore(cr);
        cairo_move_to(cr, side * (n + 0.8), 82);
        cairo_line_to(cr, side * (n + 6.5), 85);
        cairo_line_to(cr, side * (n + 8.5), 92);
        cairo_line_to(cr, side * (n + 5), 94);
        cairo_line_to(cr, side * (open + 1), 106);
        cairo_curve_to(cr, side * (open + 2), 98, side * n, 91, side * (n + 0.8), 82);
        cairo_close_path(cr);
        eq_set_rgb(cr, a->trim);
        cairo_fill(cr);
    }
}

static void draw_stethoscope(cairo_t *cr, const eq_head *head, double side)
{
    const double n = head->neck_half_width;
    const eq_rgb tube = {0.14, 0.17, 0.24};
    cairo_move_to(cr, -n - 3, 83);
    cairo_curve_to(cr, -n - 3.5, 92, -n + 1, 97, -side * 2, 98.5);
    cairo_move_to(cr, n + 3, 83);
    cairo_curve_to(cr, n + 3.5, 92, n - 1, 97, -side * 2, 98.5);
    line(cr, 2.4, tube);
    cairo_move_to(cr, -side * 2, 98.5);
    cairo_curve_to(cr, -side * 2, 104, side * (n + 4), 107, side * (n + 5), 101);
    line(cr, 2.4, tube);
    disc(cr, side * (n + 5), 100, 4.1, tube);
    disc(cr, side * (n + 5), 100, 3.1, metal);
}

static void draw_badge(cairo_t *cr, double x, double y)
{
    cairo_rectangle(cr, x - 4, y, 8, 6.5);
    eq_set_rgb(cr, white);
    cairo_fill(cr);
    cairo_rectangle(cr, x - 4, y, 8, 2.2);
    cairo_set_source_rgb(cr, 0.86, 0.20, 0.22);
    cairo_fill(cr);
}

static void draw_neckerchief(cairo_t *cr, double n)
{
    const eq_rgb red = {0.86, 0.17, 0.18};
    cairo_move_to(cr, -n - 2, 80);
    cairo_curve_to(cr, -0.5 * n, 86, 0.5 * n, 86, n + 2, 80);
    cairo_curve_to(cr, n + 3.5, 84, n + 3, 86, n + 2, 87);
    cairo_curve_to(cr, 0.5 * n, 91, -0.5 * n, 91, -n - 2, 87);
    cairo_curve_to(cr, -n - 3, 86, -n - 3.5, 84, -n - 2, 80);
    cairo_close_path(cr);
    eq_fill_linear(cr, -n, 80, red, n, 90, eq_rgb_scale(red, 0.8));
    cairo_move_to(cr, 0, 87);
    cairo_line_to(cr, -5, 95);
    cairo_line_to(cr, 0, 92.5);
    cairo_line_to(cr, 5, 95);
    cairo_close_path(cr);
    eq_set_rgb(cr, eq_rgb_scale(red, 0.9));
    cairo_fill(cr);
}

/* The double-breasted jacket's flap and its two rows of buttons. */
static void draw_jacket(cairo_t *cr, const eq_attire *a, const eq_head *head)
{
    const double n = head->neck_half_width;
    cairo_move_to(cr, a->side * (n + 2), 87);
    cairo_curve_to(cr, a->side * (n + 1), 95, a->side * (n - 2), 104, a->side * (n - 2), bottom_y);
    line(cr, 1.3, a->trim);
    for (int row = 0; row < 2; row++)
        for (int side = -1; side <= 1; side += 2)
            disc(cr, side * 7.5, 98 + 8 * row, 1.7, (eq_rgb){0.22, 0.24, 0.30});
    draw_neckerchief(cr, n);
}

/* A black robe's wide folds and the two white bands at the throat. */
static void draw_robe(cairo_t *cr, const eq_clothes *clothes, const eq_head *head)
{
    const double n = head->neck_half_width, s = clothes->shoulder_half_width;
    for (int side = -1; side <= 1; side += 2) {
        cairo_move_to(cr, side * (n + 7), 88);
        cairo_curve_to(cr, side * (n + 8), 96, side * (n + 6), 104, side * (n + 7), bottom_y);
        line(cr, 4.6, (eq_rgb){0.56, 0.10, 0.16});
        cairo_move_to(cr, side * (0.72 * s), 91);
        cairo_curve_to(cr, side * (0.70 * s), 98, side * (0.76 * s), 104, side * (0.74 * s), bottom_y);
        line(cr, 1.4, (eq_rgb){0.28, 0.27, 0.32});
    }
    cairo_move_to(cr, -n - 1, 80.5);
    cairo_curve_to(cr, -0.5 * n, 86.5, 0.5 * n, 86.5, n + 1, 80.5);
    cairo_line_to(cr, n + 2.5, 86);
    cairo_curve_to(cr, 0.5 * n, 90.5, -0.5 * n, 90.5, -n - 2.5, 86);
    cairo_close_path(cr);
    eq_set_rgb(cr, white);
    cairo_fill(cr);
    for (int side = -1; side <= 1; side += 2) {
        cairo_move_to(cr, side * 0.4, 87.5);
        cairo_line_to(cr, side * 4.6, 87.5);
        cairo_line_to(cr, side * 7.6, 103);
        cairo_line_to(cr, side * 1.4, 103);
        cairo_close_path(cr);
        eq_fill_linear(cr, 0, 87, white, 0, 104, eq_rgb_scale(white, 0.86));
    }
}

/* A sleeveless vest with bands that shine, over a checked shirt. */
static void draw_vest(cairo_t *cr, const eq_attire *a, const eq_clothes *clothes, const eq_head *head)
{
    const double n = head->neck_half_width, s = clothes->shoulder_half_width;
    cairo_save(cr);
    eq_body_path(cr, clothes, head);
    cairo_clip(cr);
    for (int side = -1; side <= 1; side += 2) {
        cairo_move_to(cr, side * (n + 3), 78);
        cairo_line_to(cr, side * (s - 6), 78);
        cairo_curve_to(cr, side * (s - 9), 92, side * (s - 9), 100, side * (s - 6), bottom_y);
        cairo_line_to(cr, side * 1.2, bottom_y);
        cairo_line_to(cr, side * 1.2, 100);
        cairo_close_path(cr);
        eq_fill_linear(cr, -0.6 * s, 84, eq_rgb_scale(a->colour, 1.05), 0.7 * s, 106, eq_rgb_scale(a->colour, 0.86));
        cairo_move_to(cr, side * (n + 9), 80);
        cairo_line_to(cr, side * (n + 9), bottom_y);
        cairo_set_line_width(cr, 5);
        eq_set_rgb(cr, a->trim);
        cairo_stroke(cr);
        cairo_rectangle(cr, side > 0 ? 1.2 : -s + 8, 101.5, s - 9.2, 5);
        cairo_fill(cr);
    }
    cairo_restore(cr);
}

/* A heavy tunic: bands round chest and upper arms, a flap over the fastening, a turned-up collar. */
static void draw_tunic(cairo_t *cr, const eq_attire *a, const eq_clothes *clothes, const eq_head *head)
{
    const eq_rgb silver = {0.84, 0.86, 0.84};
    const double s = clothes->shoulder_half_width;
    cairo_save(cr);
    eq_body_path(cr, clothes, head);
    cairo_clip(cr);
    cairo_rectangle(cr, -60, 96.5, 120, 7);
    eq_set_rgb(cr, a->trim);
    cairo_fill(cr);
    cairo_rectangle(cr, -60, 98.8, 120, 2.4);
    eq_set_rgb(cr, silver);
    cairo_fill(cr);
    for (int side = -1; side <= 1; side += 2) {
        cairo_move_to(cr, side * (0.56 * s), 86);
        cairo_line_to(cr, side * (0.50 * s), 97);
        cairo_set_line_width(cr, 4.4);
        eq_set_rgb(cr, a->trim);
        cairo_stroke(cr);
    }
    cairo_rectangle(cr, -2.6, 88, 5.2, 30);
    eq_set_rgb(cr, eq_rgb_scale(clothes->colour, 0.7));
    cairo_fill(cr);
    cairo_restore(cr);
    disc(cr, 0, 94, 1.2, metal);
    disc(cr, 0, 106, 1.2, metal);
}

static void draw_apron(cairo_t *cr, const eq_attire *a, const eq_head *head)
{
    const double n = head->neck_half_width;
    for (int side = -1; side <= 1; side += 2) {
        cairo_move_to(cr, side * (n + 3), 84);
        cairo_line_to(cr, side * (n + 5), 94);
        line(cr, 3, a->trim);
    }
    cairo_move_to(cr, -n - 7, 93);
    cairo_curve_to(cr, -0.5 * n, 95, 0.5 * n, 95, n + 7, 93);
    cairo_line_to(cr, n + 11, bottom_y);
    cairo_line_to(cr, -n - 11, bottom_y);
    cairo_close_path(cr);
    cairo_path_t *bib = cairo_copy_path(cr);
    eq_fill_linear(cr, -n, 92, eq_rgb_scale(a->colour, 1.1), n, 106, eq_rgb_scale(a->colour, 0.88));
    cairo_append_path(cr, bib);
    cairo_path_destroy(bib);
    line(cr, 1.2, a->trim);
}

static void draw_pens(cairo_t *cr, double x)
{
    static const eq_rgb pens[] = {{0.16, 0.32, 0.70}, {0.80, 0.18, 0.20}};
    for (int i = 0; i < 2; i++) {
        cairo_move_to(cr, x + 3 * i, 96.5);
        cairo_line_to(cr, x + 3 * i, 100.5);
        line(cr, 1.5, pens[i]);
    }
    cairo_move_to(cr, x - 2.6, 101);
    cairo_line_to(cr, x + 5.6, 101);
    line(cr, 1.1, eq_rgb_scale(white, 0.76));
}

static void draw_cardigan(cairo_t *cr, const eq_attire *a, const eq_clothes *clothes, const eq_head *head)
{
    draw_coat(cr, a, clothes, head, 2.4);
    disc(cr, 3.6, 104, 1.2, eq_rgb_scale(white, 0.9));
}

void eq_garment_draw(cairo_t *cr, const eq_attire *a, const eq_clothes *clothes, const eq_head *head)
{
    switch (a->occupation) {
    case EQ_OCCUPATION_DOCTOR:
        draw_coat(cr, a, clothes, head, 5);
        draw_stethoscope(cr, head, a->side);
        break;
    case EQ_OCCUPATION_NURSE: draw_badge(cr, a->side * (head->neck_half_width + 9), 95); break;
    case EQ_OCCUPATION_TEACHER: draw_cardigan(cr, a, clothes, head); break;
    case EQ_OCCUPATION_JUDGE: draw_robe(cr, clothes, head); break;
    case EQ_OCCUPATION_CHEF: draw_jacket(cr, a, head); break;
    case EQ_OCCUPATION_BUILDER: draw_vest(cr, a, clothes, head); break;
    case EQ_OCCUPATION_FIREFIGHTER: draw_tunic(cr, a, clothes, head); break;
    case EQ_OCCUPATION_SCIENTIST:
        draw_coat(cr, a, clothes, head, 3);
        draw_pens(cr, -a->side * (head->neck_half_width + 11));
        break;
    case EQ_OCCUPATION_FLORIST: draw_apron(cr, a, head); break;
    default: break;
    }
}
