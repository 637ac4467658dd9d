#include "synth/head.h"

#include <math.h>

/* Proportions of the neutral head, in hundredths of the picture. */
static const double skull_top = 17, eye_line = 45.5, neck_base = 87;

eq_head eq_head_sample(eq_rng *rng, eq_portrait_labels labels)
{
    const bool female = labels.gender == EQ_GENDER_FEMALE;
    eq_head head;
    head.top = skull_top + eq_synth_range(rng, -1, 1);
    head.half_width = eq_synth_range(rng, 18.6, 21.2) + (female ? -0.6 : 0.2);
    head.eye_y = eye_line + eq_synth_range(rng, -0.8, 0.8);
    head.jaw_half_width =
        head.half_width * (female ? eq_synth_range(rng, 0.70, 0.78) : eq_synth_range(rng, 0.84, 0.92));
    head.jaw_y = eq_synth_range(rng, 62, 64.5) + (female ? -1 : 0);
    head.chin_half_width = female ? eq_synth_range(rng, 4.5, 7) : eq_synth_range(rng, 9, 12);
    head.chin_y = eq_synth_range(rng, 71, 74.5) + (female ? -0.5 : 0.8);
    head.neck_half_width = female ? eq_synth_range(rng, 7, 8.2) : eq_synth_range(rng, 10.5, 12.5);
    head.ear_size = eq_synth_range(rng, 0.9, 1.12);
    head.turn = eq_synth_range(rng, -1.7, 1.7);
    head.skin = eq_skin_sample(rng, labels);
    return head;
}

/* The right half from top to chin, and back up the left half. */
void eq_head_path(cairo_t *cr, const eq_head *head, double margin)
{
    const double w = head->half_width + margin, j = head->jaw_half_width + margin, c = head->chin_half_width;
    const double top = head->top - margin, chin = head->chin_y + margin, jaw_y = head->jaw_y + 0.4 * margin;
    const double temple_y = head->eye_y - 3, jaw_rise = jaw_y - temple_y, jaw_fall = chin - jaw_y;

    cairo_move_to(cr, 0, top);
    cairo_curve_to(cr, 0.62 * w, top, w, top + 0.40 * (temple_y - top), w, temple_y);
    cairo_curve_to(cr, w, temple_y + 0.5 * jaw_rise, j + 1.2, jaw_y - 0.3 * jaw_rise, j, jaw_y);
    cairo_curve_to(cr, j - 1.4, jaw_y + 0.6 * jaw_fall, c + 2, chin, 0, chin);
    cairo_curve_to(cr, -c - 2, chin, -j + 1.4, jaw_y + 0.6 * jaw_fall, -j, jaw_y);
    cairo_curve_to(cr, -j - 1.2, jaw_y - 0.3 * jaw_rise, -w, temple_y + 0.5 * jaw_rise, -w, temple_y);
    cairo_curve_to(cr, -w, top + 0.40 * (temple_y - top), -0.62 * w, top, 0, top);
    cairo_close_path(cr);
}

void eq_neck_draw(cairo_t *cr, const eq_head *head)
{
    const double w = head->neck_half_width, from = head->jaw_y - 4;

    cairo_move_to(cr, -w, from);
    cairo_curve_to(cr, -w, neck_base - 6, -w - 0.5, neck_base - 3, -w - 3, neck_base - 1);
    cairo_curve_to(cr, -0.5 * w, neck_base + 4, 0.5 * w, neck_base + 4, w + 3, neck_base - 1);
    cairo_curve_to(cr, w + 0.5, neck_base - 3, w, neck_base - 6, w, from);
    cairo_close_path(cr);
    cairo_save(cr);
    cairo_clip_preserve(cr);
    eq_fill_linear(cr, 0, head->chin_y - 2, eq_rgb_mix(head->skin.shade, head->skin.base, 0.15), 0, neck_base + 2,
                   head->skin.base);
    /* The chin's shadow keeps the jaw's shape readable on the same tone. */
    cairo_translate(cr, 1.0, 3.2);
    eq_head_path(cr, head, 0);
    eq_set_rgba(cr, head->skin.line, 0.30);
    cairo_fill(cr);
    cairo_restore(cr);
}

static void draw_ear(cairo_t *cr, const eq_head *head, double side)
{
    const double x = side * (head->half_width + 0.4), y = head->eye_y + 3.6, size = head->ear_size;
    eq_ellipse(cr, x, y, 3.1 * size, 5.0 * size);
    eq_fill_linear(cr, x, y - 5, head->skin.base, x, y + 5, head->skin.shade);
    eq_ellipse(cr, x + 0.3 * side, y + 0.2, 1.5 * size, 2.9 * size);
    eq_set_rgba(cr, head->skin.line, 0.28);
    cairo_fill(cr);
}

/* Light from above left: a pale brow and cheek, and a darker rim on the other side. */
void eq_head_draw(cairo_t *cr, const eq_head *head)
{
    draw_ear(cr, head, -1);
    draw_ear(cr, head, 1);

    const double w = head->half_width, middle_y = head->eye_y + 4;
    const eq_skin *skin = &head->skin;
    cairo_pattern_t *shading = cairo_pattern_create_radial(-0.30 * w, middle_y - 10, 0.25 * w, 0, middle_y, 1.75 * w);
    const eq_rgb lit = eq_rgb_mix(skin->base, skin->light, 0.75), rim = skin->shade;
    cairo_pattern_add_color_stop_rgb(shading, 0, lit.r, lit.g, lit.b);
    cairo_pattern_add_color_stop_rgb(shading, 0.45, skin->base.r, skin->base.g, skin->base.b);
    cairo_pattern_add_color_stop_rgb(shading, 1, rim.r, rim.g, rim.b);
    eq_head_path(cr, head, 0);
    cairo_set_source(cr, shading);
    cairo_fill(cr);
    cairo_pattern_destroy(shading);
}
