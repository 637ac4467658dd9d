#include "synth/glasses.h"

#include <math.h>

static const double lens_drop = 0.7; /* of the lens's centre below the eye's */

eq_glasses eq_glasses_sample(eq_rng *rng, eq_portrait_labels labels)
{
    static const double size[EQ_FRAME_COUNT][2] = {
        [EQ_FRAME_ROUND] = {6.5, 6.4},   [EQ_FRAME_RECTANGLE] = {7.2, 5.1}, [EQ_FRAME_OVAL] = {7.0, 5.5},
        [EQ_FRAME_AVIATOR] = {7.1, 6.2}, [EQ_FRAME_CAT_EYE] = {7.1, 5.4},   [EQ_FRAME_BROWLINE] = {7.0, 5.7},
    };
    static const double female[EQ_FRAME_COUNT] = {2, 1.5, 2, 0.6, 2, 0.8};
    static const double male[EQ_FRAME_COUNT] = {2, 2.5, 1.2, 1.4, 0, 1.8};

    eq_glasses glasses;
    glasses.kind = (eq_frame_kind)eq_synth_pick(rng, labels.gender == EQ_GENDER_FEMALE ? female : male, EQ_FRAME_COUNT);
    glasses.colour = eq_frame_colour_sample(rng, labels);
    double scale = eq_synth_range(rng, 0.97, 1.06);
    glasses.half_width = size[glasses.kind][0] * scale;
    glasses.half_height = size[glasses.kind][1] * scale;
    glasses.rim = eq_synth_range(rng, 1.5, 1.9);
    return glasses;
}

/* One lens about the origin; +x points outwards. */
static void lens_path(cairo_t *cr, const eq_glasses *glasses)
{
    const double w = glasses->half_width, h = glasses->half_height;
    double corner;
    switch (glasses->kind) {
    case EQ_FRAME_RECTANGLE:
        corner = 2.0;
        cairo_new_sub_path(cr);
        cairo_arc(cr, w - corner, -h + corner, corner, -M_PI_2, 0);
        cairo_arc(cr, w - corner, h - corner, corner, 0, M_PI_2);
        cairo_arc(cr, -w + corner, h - corner, corner, M_PI_2, M_PI);
        cairo_arc(cr, -w + corner, -h + corner, corner, M_PI, 3 * M_PI_2);
        cairo_close_path(cr);
        break;
    case EQ_FRAME_AVIATOR:
        cairo_move_to(cr, -0.85 * w, -0.9 * h);
        cairo_curve_to(cr, -0.3 * w, -1.1 * h, 0.7 * w, -1.1 * h, w, -0.7 * h);
        cairo_curve_to(cr, 1.15 * w, 0.4 * h, 0.7 * w, h, 0.15 * w, h);
        cairo_curve_to(cr, -0.6 * w, h, -1.1 * w, -0.1 * h, -0.85 * w, -0.9 * h);
        cairo_close_path(cr);
        break;
    case EQ_FRAME_CAT_EYE:
        cairo_move_to(cr, -0.95 * w, -0.5 * h);
        cairo_curve_to(cr, -0.5 * w, -0.9 * h, 0.5 * w, -0.8 * h, 1.2 * w, -1.25 * h);
        cairo_curve_to(cr, 1.15 * w, 0.3 * h, 0.8 * w, h, 0.05 * w, h);
        cairo_curve_to(cr, -0.8 * w, h, -1.1 * w, 0.2 * h, -0.95 * w, -0.5 * h);
        cairo_close_path(cr);
        break;
    default: eq_ellipse(cr, 0, 0, w, h); break;
    }
}

static void draw_lens(cairo_t *cr, const eq_glasses *glasses, double x, double y, double side)
{
    static const double tint = 0.16, glint = 0.38;
    const double w = glasses->half_width, h = glasses->half_height;
    cairo_save(cr);
    cairo_translate(cr, x, y);
    cairo_scale(cr, side, 1);
    lens_path(cr, glasses);
    cairo_save(cr);
    cairo_clip_preserve(cr);
    cairo_set_source_rgba(cr, 1, 1, 1, tint);
    cairo_fill(cr);
    /* The glint leans the same way in both lenses. */
    cairo_scale(cr, side, 1);
    cairo_move_to(cr, -0.75 * w, -h);
    cairo_line_to(cr, -0.15 * w, -h);
    cairo_line_to(cr, -0.85 * w, 0.6 * h);
    cairo_line_to(cr, -1.3 * w, 0.6 * h);
    cairo_close_path(cr);
    cairo_set_source_rgba(cr, 1, 1, 1, glint);
    cairo_fill(cr);
    cairo_restore(cr);

    lens_path(cr, glasses);
    cairo_set_line_width(cr, glasses->rim);
    eq_set_rgb(cr, glasses->colour);
    cairo_stroke(cr);
    if (glasses->kind == EQ_FRAME_BROWLINE) {
        cairo_move_to(cr, -w, -0.25 * h);
        cairo_curve_to(cr, -0.8 * w, -1.25 * h, 0.8 * w, -1.25 * h, w + 0.4, -0.35 * h);
        cairo_set_line_width(cr, 1.7 * glasses->rim);
        cairo_stroke(cr);
    }
    cairo_restore(cr);
}

void eq_glasses_draw(cairo_t *cr, const eq_glasses *glasses, const eq_features *f, const eq_head *head)
{
    const double y = head->eye_y + lens_drop, w = glasses->half_width;
    /* Lenses keep apart even where the eyes are close. */
    const double spacing = fmax(f->eye_spacing, w + 1.7);
    eq_set_rgb(cr, glasses->colour);
    cairo_set_line_cap(cr, CAIRO_LINE_CAP_ROUND);
    cairo_set_line_width(cr, glasses->rim);
    for (int side = -1; side <= 1; side += 2) {
        cairo_move_to(cr, head->turn + side * (spacing + w), y - 1.5);
        cairo_line_to(cr, side * (head->half_width + 0.6), y - 1.8);
    }
    cairo_move_to(cr, head->turn - (spacing - w), y - 0.8);
    cairo_curve_to(cr, head->turn - 1, y - 2.4, head->turn + 1, y - 2.4, head->turn + (spacing - w), y - 0.8);
    cairo_stroke(cr);
    draw_lens(cr, glasses, head->turn - spacing, y, -1);
    draw_lens(cr, glasses, head->turn + spacing, y, 1);
}
