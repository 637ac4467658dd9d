#include "synth/clothes.h"

#include <math.h>

/* Heights of the neutral body. */
static const double collar_y = 83.5, bottom_y = 112;

eq_clothes eq_clothes_sample(eq_rng *rng, eq_portrait_labels labels)
{
    static const double female[EQ_CLOTH_COUNT] = {3, 2.5, 2, 2, 0, 0, 0, 0, 0.8};
    static const double male[EQ_CLOTH_COUNT] = {0, 0, 0, 0, 3, 2.2, 2.2, 1.6, 0.6};
    static const eq_rgb suits[] = {{0.17, 0.20, 0.28}, {0.24, 0.25, 0.28}, {0.30, 0.24, 0.20}, {0.13, 0.15, 0.19}};

    const bool is_female = labels.gender == EQ_GENDER_FEMALE;
    eq_clothes clothes;
    clothes.kind = (eq_cloth_kind)eq_synth_pick(rng, is_female ? female : male, EQ_CLOTH_COUNT);
    clothes.colour = eq_cloth_colour_sample(rng);
    if (clothes.kind == EQ_CLOTH_SUIT)
        clothes.colour = suits[eq_rng_below(rng, 4)];
    clothes.accent =
        eq_rgb_from_hsv(eq_rng_uniform(rng), eq_synth_range(rng, 0.02, 0.16), eq_synth_range(rng, 0.9, 0.98));
    clothes.tie = eq_cloth_colour_sample(rng);
    clothes.has_tie = clothes.kind == EQ_CLOTH_SUIT && eq_synth_chance(rng, 0.65);
    clothes.necklace = is_female && clothes.kind != EQ_CLOTH_ROLL_NECK && eq_synth_chance(rng, 0.4);
    clothes.shoulder_half_width = is_female ? eq_synth_range(rng, 30, 34) : eq_synth_range(rng, 39, 44);
    clothes.bottom = bottom_y;
    clothes.neckline = eq_synth_range(rng, 0.85, 1.15);
    return clothes;
}

void eq_body_path(cairo_t *cr, const eq_clothes *clothes, const eq_head *head)
{
    const double s = clothes->shoulder_half_width, n = head->neck_half_width;
    cairo_move_to(cr, -s - 2, clothes->bottom);
    cairo_curve_to(cr, -s - 1, 95, -s + 4, 90.5, -n - 9, 87);
    cairo_curve_to(cr, -n - 4, 85.5, -n - 1, 83, -n, 79);
    cairo_line_to(cr, n, 79);
    cairo_curve_to(cr, n + 1, 83, n + 4, 85.5, n + 9, 87);
    cairo_curve_to(cr, s - 4, 90.5, s + 1, 95, s + 2, clothes->bottom);
    cairo_close_path(cr);
}

/* The skin that shows above the cloth; the caller clips to the body. */
static void neckline_path(cairo_t *cr, const eq_clothes *clothes, const eq_head *head)
{
    const double n = head->neck_half_width, depth = clothes->neckline;
    switch (clothes->kind) {
    case EQ_CLOTH_SCOOP: eq_ellipse(cr, 0, collar_y, n + 6, 11.5 * depth); break;
    case EQ_CLOTH_WIDE_NECK: eq_ellipse(cr, 0, collar_y + 1, n + 17, 9.5 * depth); break;
    case EQ_CLOTH_V_NECK:
    case EQ_CLOTH_OPEN_JACKET:
        cairo_move_to(cr, -n - 5, 76);
        cairo_line_to(cr, n + 5, 76);
        cairo_curve_to(cr, n + 4, 88, 0.4 * n, 93, 0, collar_y + 13.5 * depth);
        cairo_curve_to(cr, -0.4 * n, 93, -n - 4, 88, -n - 5, 76);
        cairo_close_path(cr);
        break;
    case EQ_CLOTH_SHIRT:
    case EQ_CLOTH_SUIT:
        cairo_move_to(cr, -n - 1, 78);
        cairo_line_to(cr, n + 1, 78);
        cairo_line_to(cr, 0, collar_y + (clothes->has_tie ? 6 : 8.5));
        cairo_close_path(cr);
        break;
    default: eq_ellipse(cr, 0, collar_y, n + 1.5, 5); break;
    }
}

static void draw_lapels(cairo_t *cr, const eq_clothes *clothes, const eq_head *head, bool closes)
{
    const double n = head->neck_half_width, x = closes ? 1.0 : 5.5;
    const eq_rgb dark = eq_rgb_scale(clothes->colour, 0.78);
    for (int side = -1; side <= 1; side += 2) {
        cairo_move_to(cr, side * (n + 0.5), 82.5);
        cairo_line_to(cr, side * (n + 6), 86);
        cairo_line_to(cr, side * (n + 7.5), 92.5);
        cairo_line_to(cr, side * (n + 4.5), 94);
        cairo_line_to(cr, side * x, clothes->bottom);
        cairo_close_path(cr);
        eq_set_rgb(cr, dark);
        cairo_fill(cr);
    }
}

void eq_clothes_draw_body(cairo_t *cr, const eq_clothes *clothes, const eq_head *head)
{
    const double s = clothes->shoulder_half_width, n = head->neck_half_width;
    const bool layered = clothes->kind == EQ_CLOTH_SUIT;

    eq_body_path(cr, clothes, head);
    cairo_save(cr);
    cairo_clip_preserve(cr);
    eq_fill_linear(cr, -0.6 * s, collar_y, eq_rgb_scale(clothes->colour, 1.12), 0.7 * s, 104,
                   eq_rgb_scale(clothes->colour, 0.80));
    if (layered) {
        cairo_move_to(cr, -n - 1, 78);
        cairo_line_to(cr, n + 1, 78);
        cairo_line_to(cr, 1.0, clothes->bottom);
        cairo_line_to(cr, -1.0, clothes->bottom);
        cairo_close_path(cr);
        eq_set_rgb(cr, clothes->accent);
        cairo_fill(cr);
    }
    neckline_path(cr, clothes, head);
    cairo_path_t *neckline = cairo_copy_path(cr);
    eq_fill_linear(cr, -8, collar_y - 4, head->skin.base, 8, 98, eq_rgb_mix(head->skin.base, head->skin.shade, 0.6));
    if (!layered && clothes->kind != EQ_CLOTH_SHIRT) {
        cairo_append_path(cr, neckline);
        cairo_set_line_width(cr, 1.3);
        eq_set_rgb(cr, eq_rgb_scale(clothes->colour, 0.78));
        cairo_stroke(cr);
    }
    cairo_path_destroy(neckline);
    cairo_restore(cr);
}

static void draw_shirt_collar(cairo_t *cr, eq_rgb colour, double n, double gap)
{
    for (int side = -1; side <= 1; side += 2) {
        cairo_move_to(cr, side * (n + 0.6), 79.5);
        cairo_line_to(cr, side * (n + 2.6), 82.5);
        cairo_line_to(cr, side * (0.45 * n + 1.6), 93);
        cairo_line_to(cr, side * gap, collar_y + 6);
        cairo_curve_to(cr, side * 0.5 * n, 87, side * n, 85, side * (n + 0.6), 79.5);
        cairo_close_path(cr);
        eq_fill_linear(cr, 0, 80, eq_rgb_scale(colour, 1.08), 0, 93, eq_rgb_scale(colour, 0.88));
    }
}

static void draw_tie(cairo_t *cr, eq_rgb colour, double bottom)
{
    static const double knot_y = 88.5;
    cairo_move_to(cr, -2.2, knot_y);
    cairo_line_to(cr, 2.2, knot_y);
    cairo_line_to(cr, 1.4, knot_y + 3.6);
    cairo_line_to(cr, 3.0, bottom);
    cairo_line_to(cr, -3.0, bottom);
    cairo_line_to(cr, -1.4, knot_y + 3.6);
    cairo_close_path(cr);
    eq_fill_linear(cr, -2, knot_y, eq_rgb_scale(colour, 1.05), 2, 100, eq_rgb_scale(colour, 0.8));
}

static void draw_roll_neck(cairo_t *cr, eq_rgb colour, double n)
{
    cairo_move_to(cr, -n - 0.8, 78.5);
    cairo_curve_to(cr, -0.5 * n, 81.5, 0.5 * n, 81.5, n + 0.8, 78.5);
    cairo_curve_to(cr, n + 1.4, 83, n + 2, 85, n + 4, 87);
    cairo_curve_to(cr, 0.5 * n, 90.5, -0.5 * n, 90.5, -n - 4, 87);
    cairo_curve_to(cr, -n - 2, 85, -n - 1.4, 83, -n - 0.8, 78.5);
    cairo_close_path(cr);
    eq_fill_linear(cr, -n, 80, eq_rgb_scale(colour, 1.14), n, 89, eq_rgb_scale(colour, 0.78));
}

static void draw_hood(cairo_t *cr, eq_rgb colour, double n)
{
    for (int side = -1; side <= 1; side += 2) {
        cairo_move_to(cr, side * (n + 1), 78);
        cairo_curve_to(cr, side * (n + 7), 79, side * (n + 9), 86, side * (n + 4), 89.5);
        cairo_curve_to(cr, side * (n - 1), 92, side * 3, 92, 0, 92);
        cairo_curve_to(cr, side * 0.5 * n, 90, side * (n + 1), 87, side * (n + 1), 78);
        cairo_close_path(cr);
        eq_fill_linear(cr, 0, 78, eq_rgb_scale(colour, 1.15), 0, 92, eq_rgb_scale(colour, 0.74));
        cairo_move_to(cr, side * 3.4, 91.4);
        cairo_line_to(cr, side * 3.8, 98.5);
    }
    cairo_set_line_cap(cr, CAIRO_LINE_CAP_ROUND);
    cairo_set_line_width(cr, 1.2);
    eq_set_rgba(cr, (eq_rgb){1, 1, 1}, 0.8);
    cairo_stroke(cr);
}

static void draw_necklace(cairo_t *cr, double n)
{
    static const eq_rgb gold = {0.93, 0.76, 0.33};
    cairo_move_to(cr, -n - 0.5, collar_y);
    cairo_curve_to(cr, -0.7 * n, 90, 0.7 * n, 90, n + 0.5, collar_y);
    cairo_set_line_width(cr, 0.9);
    eq_set_rgb(cr, gold);
    cairo_stroke(cr);
    eq_ellipse(cr, 0, 89.4, 1.1, 1.3);
    cairo_fill(cr);
}

void eq_clothes_draw_collar(cairo_t *cr, const eq_clothes *clothes, const eq_head *head)
{
    const double n = head->neck_half_width;
    switch (clothes->kind) {
    case EQ_CLOTH_SHIRT: draw_shirt_collar(cr, eq_rgb_mix(clothes->colour, clothes->accent, 0.3), n, 0.6); break;
    case EQ_CLOTH_SUIT:
        draw_lapels(cr, clothes, head, true);
        if (clothes->has_tie)
            draw_tie(cr, clothes->tie, clothes->bottom);
        draw_shirt_collar(cr, clothes->accent, n, clothes->has_tie ? 1.2 : 0.6);
        break;
    case EQ_CLOTH_OPEN_JACKET: draw_lapels(cr, clothes, head, false); break;
    case EQ_CLOTH_HOODIE: draw_hood(cr, clothes->colour, n); break;
    case EQ_CLOTH_ROLL_NECK: draw_roll_neck(cr, clothes->colour, n); break;
    default: break;
    }
    if (clothes->necklace)
        draw_necklace(cr, n);
}
