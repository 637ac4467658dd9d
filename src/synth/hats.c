/* What occupations wear on their heads. Whatever hides the crown leaves the forehead bare: its lines are a sign of
 * age. */
#include <math.h>

#include "synth/attire.h"

static const eq_rgb white = {0.97, 0.97, 0.96};
/* How far above the eyes hats end. */
static const double hat_height = 16.5;
/* How far below them the wig does; only hanging hair shows under it. */
static const double wig_depth = 14;

double eq_attire_hair_line(const eq_attire *attire, const eq_head *head)
{
    switch (attire->occupation) {
    case EQ_OCCUPATION_JUDGE: return head->eye_y + wig_depth - 1;
    case EQ_OCCUPATION_CHEF:
    case EQ_OCCUPATION_BUILDER:
    case EQ_OCCUPATION_FIREFIGHTER: return head->eye_y - hat_height - 1;
    default: return 0;
    }
}

static void stroke(cairo_t *cr, double width, eq_rgb colour)
{
    cairo_set_line_cap(cr, CAIRO_LINE_CAP_ROUND);
    cairo_set_line_width(cr, width);
    eq_set_rgb(cr, colour);
    cairo_stroke(cr);
}

/* The shadow of a brim on the forehead. */
static void draw_shadow(cairo_t *cr, const eq_head *head, double y, double depth)
{
    cairo_save(cr);
    eq_head_path(cr, head, 0);
    cairo_clip(cr);
    cairo_rectangle(cr, -40, y, 80, depth);
    eq_set_rgba(cr, head->skin.line, 0.30);
    cairo_fill(cr);
    cairo_restore(cr);
}

static void draw_toque(cairo_t *cr, const eq_attire *a, const eq_head *head)
{
    const double w = head->half_width + 2, y = head->eye_y - hat_height, top = y - 12, dim = 0.86;
    draw_shadow(cr, head, y, 2);
    /* The puff: overlapping bulges, then the folds between them. */
    for (int i = -2; i <= 2; i++)
        eq_ellipse(cr, 0.46 * w * i, top - 7 + 1.6 * fabs((double)i), 0.46 * w, 8.5 + 1.5 * a->chance[i + 2]);
    eq_fill_linear(cr, -w, top - 12, white, w, top + 2, eq_rgb_scale(white, dim));
    cairo_move_to(cr, -w + 1.5, y);
    cairo_line_to(cr, -w - 2, top - 4);
    cairo_line_to(cr, w + 2, top - 4);
    cairo_line_to(cr, w - 1.5, y);
    cairo_close_path(cr);
    eq_fill_linear(cr, -w, top, white, w, y, eq_rgb_scale(white, dim));
    for (int i = -2; i <= 2; i++) {
        cairo_move_to(cr, 0.36 * w * i, y - 8);
        cairo_line_to(cr, 0.44 * w * i, top - 6);
    }
    stroke(cr, 0.9, eq_rgb_scale(white, 0.78));
    cairo_move_to(cr, -w, y - 8);
    cairo_line_to(cr, w, y - 8);
    cairo_curve_to(cr, w + 0.5, y - 4, w, y - 2, w - 0.8, y + 0.8);
    cairo_curve_to(cr, 0.5 * w, y - 1, -0.5 * w, y - 1, -w + 0.8, y + 0.8);
    cairo_curve_to(cr, -w, y - 2, -w - 0.5, y - 4, -w, y - 8);
    cairo_close_path(cr);
    eq_fill_linear(cr, -w, y, eq_rgb_scale(white, 1.03), w, y, eq_rgb_scale(white, 0.82));
}

/* A dome over the crown that ends at y, `rise` high. */
static void dome(cairo_t *cr, double w, double y, double rise, eq_rgb colour)
{
    cairo_move_to(cr, -w, y);
    cairo_curve_to(cr, -w - 0.5, y - 0.75 * rise, -0.6 * w, y - rise, 0, y - rise);
    cairo_curve_to(cr, 0.6 * w, y - rise, w + 0.5, y - 0.75 * rise, w, y);
    cairo_close_path(cr);
    eq_fill_linear(cr, -0.7 * w, y - rise, eq_rgb_scale(colour, 1.12), 0.9 * w, y, eq_rgb_scale(colour, 0.74));
}

static void brim(cairo_t *cr, double w, double y, double depth, double droop, eq_rgb colour)
{
    cairo_move_to(cr, -w, y + droop);
    cairo_curve_to(cr, -0.6 * w, y - depth, 0.6 * w, y - depth, w, y + droop);
    cairo_curve_to(cr, 0.7 * w, y + depth, -0.7 * w, y + depth, -w, y + droop);
    cairo_close_path(cr);
    eq_fill_linear(cr, 0, y - depth, eq_rgb_scale(colour, 1.06), 0, y + depth, eq_rgb_scale(colour, 0.70));
}

static void draw_hard_hat(cairo_t *cr, const eq_attire *a, const eq_head *head)
{
    static const eq_rgb yellow = {0.99, 0.82, 0.12}, pale = {0.96, 0.95, 0.90};
    const double w = head->half_width + 4, y = head->eye_y - hat_height, top = y - 20;
    const eq_rgb colour = a->chance[0] < 0.85 ? yellow : pale;
    draw_shadow(cr, head, y, 3.6);
    dome(cr, w, y, 20, colour);
    for (int i = -1; i <= 1; i++) {
        cairo_move_to(cr, 6.2 * i, y - 3);
        cairo_curve_to(cr, 6.2 * i, y - 10, 5.2 * i, top + 4, 4 * i, top + 1 + fabs((double)i));
    }
    stroke(cr, 2.4, eq_rgb_scale(colour, 0.82));
    brim(cr, w + 4.5, y, 3.2, 0.6, colour);
}

static void draw_helmet(cairo_t *cr, const eq_attire *a, const eq_head *head)
{
    static const eq_rgb red = {0.82, 0.12, 0.12}, gold = {0.97, 0.80, 0.28};
    const double w = head->half_width + 3, y = head->eye_y - hat_height, rise = 22 + a->chance[0];
    draw_shadow(cr, head, y, 3.6);
    dome(cr, w, y, rise, red);
    /* The comb along the crown, seen from the front. */
    cairo_move_to(cr, -3.2, y - 4);
    cairo_curve_to(cr, -3.2, y - 16, -2.4, y - rise - 3, 0, y - rise - 3);
    cairo_curve_to(cr, 2.4, y - rise - 3, 3.2, y - 16, 3.2, y - 4);
    cairo_close_path(cr);
    eq_set_rgb(cr, eq_rgb_scale(red, 0.78));
    cairo_fill(cr);
    brim(cr, w + 9, y, 3.4, 3.6, red);
    cairo_move_to(cr, 0, y - 15);
    cairo_curve_to(cr, 3, y - 14, 5, y - 14, 6.4, y - 14.6);
    cairo_curve_to(cr, 7, y - 6, 4, y - 2, 0, y);
    cairo_curve_to(cr, -4, y - 2, -7, y - 6, -6.4, y - 14.6);
    cairo_curve_to(cr, -5, y - 14, -3, y - 14, 0, y - 15);
    cairo_close_path(cr);
    eq_fill_linear(cr, -5, y - 14, gold, 6, y, eq_rgb_scale(gold, 0.84));
    eq_ellipse(cr, 0, y - 8.5, 2.2, 2.6);
    eq_set_rgb(cr, red);
    cairo_fill(cr);
}

static void draw_nurse_cap(cairo_t *cr, const eq_head *head)
{
    const double y = head->eye_y - hat_height - 2.5, top = y - 15.5;
    cairo_move_to(cr, -12.5, y);
    cairo_curve_to(cr, -6, y - 2, 6, y - 2, 12.5, y);
    cairo_line_to(cr, 16, top + 2.5);
    cairo_curve_to(cr, 8, top - 1.5, -8, top - 1.5, -16, top + 2.5);
    cairo_close_path(cr);
    cairo_path_t *outline = cairo_copy_path(cr);
    eq_fill_linear(cr, -12, top, eq_rgb_scale(white, 1.03), 12, y, eq_rgb_scale(white, 0.86));
    cairo_append_path(cr, outline);
    cairo_path_destroy(outline);
    stroke(cr, 0.9, eq_rgb_scale(white, 0.72));
    cairo_set_source_rgb(cr, 0.88, 0.12, 0.16);
    cairo_rectangle(cr, -1.7, top + 2.6, 3.4, 10.4);
    cairo_rectangle(cr, -5.2, top + 6.1, 10.4, 3.4);
    cairo_fill(cr);
}

/* Rolls of curls beside the face, waves over the crown. */
static void draw_wig(cairo_t *cr, const eq_head *head)
{
    static const eq_rgb wool = {0.95, 0.93, 0.87};
    const double w = head->half_width, y = head->eye_y, top = head->top - 4, end = y + wig_depth;
    const eq_rgb dim = eq_rgb_scale(wool, 0.72);
    draw_shadow(cr, head, y - hat_height - 1, 2.2);
    cairo_move_to(cr, -w - 5, end);
    cairo_curve_to(cr, -w - 7, y - 14, -0.8 * w, top, 0, top);
    cairo_curve_to(cr, 0.8 * w, top, w + 7, y - 14, w + 5, end);
    cairo_line_to(cr, w - 2.4, end);
    cairo_curve_to(cr, w - 1.4, y, w - 1.4, y - 8, w - 5, y - 12.5);
    cairo_curve_to(cr, 0.4 * w, y - hat_height - 1.2, -0.4 * w, y - hat_height - 1.2, -w + 5, y - 12.5);
    cairo_curve_to(cr, -w + 1.4, y - 8, -w + 1.4, y, -w + 2.4, end);
    cairo_close_path(cr);
    eq_fill_linear(cr, -w, top, wool, w, end, eq_rgb_scale(wool, 0.86));
    for (int i = 0; i < 3; i++) {
        const double half = 0.62 * w + 2.2 * i, at = top + 4 + 4.2 * i;
        cairo_move_to(cr, -half, at + 3);
        cairo_curve_to(cr, -0.4 * half, at - 1, 0.4 * half, at - 1, half, at + 3);
    }
    stroke(cr, 0.9, dim);
    for (int side = -1; side <= 1; side += 2)
        for (int i = 0; i < 4; i++) {
            eq_ellipse(cr, side * (w + 1.6), y - 7 + 6.2 * i, 4.6, 2.9);
            eq_set_rgb(cr, eq_rgb_scale(wool, 1.02));
            cairo_fill_preserve(cr);
            stroke(cr, 1.0, dim);
        }
}

/* Pushed up into the hair. */
static void draw_goggles(cairo_t *cr, const eq_attire *a, const eq_head *head)
{
    static const eq_rgb frame = {0.16, 0.18, 0.22}, glass = {0.56, 0.86, 0.94};
    const double w = head->half_width, y = head->eye_y - hat_height - 3.5;
    cairo_move_to(cr, -w - 0.5, y + 2);
    cairo_curve_to(cr, -0.5 * w, y - 1.5, 0.5 * w, y - 1.5, w + 0.5, y + 2);
    stroke(cr, 3, frame);
    for (int side = -1; side <= 1; side += 2) {
        eq_ellipse(cr, side * 8.2, y, 7.6, 5.6);
        eq_set_rgb(cr, frame);
        cairo_fill(cr);
        eq_ellipse(cr, side * 8.2, y, 5.8, 3.9);
        eq_fill_linear(cr, side * 8.2 - 4, y - 3, eq_rgb_mix(glass, white, 0.5), side * 8.2 + 4, y + 3,
                       eq_rgb_scale(glass, 0.85 + 0.1 * a->chance[0]));
    }
}

void eq_hat_draw(cairo_t *cr, const eq_attire *a, const eq_head *head)
{
    switch (a->occupation) {
    case EQ_OCCUPATION_NURSE: draw_nurse_cap(cr, head); break;
    case EQ_OCCUPATION_JUDGE: draw_wig(cr, head); break;
    case EQ_OCCUPATION_CHEF: draw_toque(cr, a, head); break;
    case EQ_OCCUPATION_BUILDER: draw_hard_hat(cr, a, head); break;
    case EQ_OCCUPATION_FIREFIGHTER: draw_helmet(cr, a, head); break;
    case EQ_OCCUPATION_SCIENTIST: draw_goggles(cr, a, head); break;
    default: break;
    }
}
