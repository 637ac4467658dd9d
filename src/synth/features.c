#include "synth/features.h"

#include <math.h>

static const eq_rgb white = {1, 1, 1}, ink = {0.09, 0.07, 0.08};

eq_features eq_features_sample(eq_rng *rng, eq_portrait_labels labels, const eq_head *head, eq_rgb hair)
{
    const bool female = labels.gender == EQ_GENDER_FEMALE, older = labels.age == EQ_AGE_OLDER;
    eq_features f = {.female = female, .older = older};

    f.iris = eq_iris_colour_sample(rng, labels);
    /* Fair and grey brows are darkened so that they read on pale skin. */
    f.brow = older ? eq_rgb_mix(hair, (eq_rgb){0.40, 0.39, 0.40}, labels.skin == EQ_SKIN_DARK ? 0.15 : 0.62)
                   : eq_rgb_mix(hair, ink, 0.35);
    f.eye_spacing = 0.46 * head->half_width + eq_synth_range(rng, -0.4, 0.5);
    f.eye_half_width = eq_synth_range(rng, 3.9, 4.5) + (female ? 0.3 : 0);
    f.eye_half_height = (female ? eq_synth_range(rng, 2.6, 3.2) : eq_synth_range(rng, 2.1, 2.6)) - (older ? 0.25 : 0);
    f.eye_slant = eq_synth_range(rng, -0.05, 0.12);
    f.gaze = eq_synth_range(rng, -0.7, 0.7);
    f.brow_height = female ? eq_synth_range(rng, 6.6, 7.8) : eq_synth_range(rng, 5.2, 6.2);
    f.brow_thickness = female ? eq_synth_range(rng, 1.1, 1.5) : eq_synth_range(rng, 2.3, 3.1);
    f.brow_arch = female ? eq_synth_range(rng, 1.6, 2.6) : eq_synth_range(rng, 0.3, 1.2);
    f.brow_tilt = eq_synth_range(rng, -0.8, 0.8);
    f.nose_half_width = eq_synth_range(rng, 2.6, 3.6) + (female ? -0.3 : 0.5);
    f.nose_y = head->eye_y + eq_synth_range(rng, 10.2, 12.2);
    f.mouth_y = head->chin_y - eq_synth_range(rng, 8.8, 10.2);
    f.mouth_half_width = eq_synth_range(rng, 6.0, 7.8) + (female ? -0.3 : 0.3);
    f.lip_height = female ? eq_synth_range(rng, 1.9, 2.6) : eq_synth_range(rng, 0.9, 1.3);
    f.smile = eq_synth_range(rng, -0.1, 1);
    f.open = f.smile > 0.35 && eq_synth_chance(rng, 0.45);
    f.blush = female ? eq_synth_range(rng, 0.35, 0.65) : eq_synth_range(rng, 0.05, 0.25);
    f.forehead_lines = 2 + (int)eq_rng_below(rng, 2);
    f.fold_depth = eq_synth_range(rng, 0.75, 1);
    return f;
}

static void soft_line(cairo_t *cr, double width, eq_rgb colour, double alpha)
{
    cairo_set_line_cap(cr, CAIRO_LINE_CAP_ROUND);
    cairo_set_line_width(cr, width);
    eq_set_rgba(cr, colour, alpha);
    cairo_stroke(cr);
}

static void draw_age_lines(cairo_t *cr, const eq_features *f, const eq_head *head)
{
    static const double line_spacing = 2.7, line_width = 0.85;
    const eq_rgb line = head->skin.line;
    const double alpha = 0.62 * f->fold_depth, x = head->turn, brow_y = head->eye_y - f->brow_height;

    for (int i = 0; i < f->forehead_lines; i++) {
        const double y = brow_y - 3.6 - i * line_spacing, half = 8.5 - 1.3 * i;
        cairo_move_to(cr, x - half, y + 0.5);
        cairo_curve_to(cr, x - 0.4 * half, y - 0.6, x + 0.4 * half, y - 0.6, x + half, y + 0.5);
    }
    soft_line(cr, line_width, line, 0.75 * alpha);

    for (int side = -1; side <= 1; side += 2) {
        const double eye_x = x + side * f->eye_spacing, eye_y = head->eye_y;
        /* Folds from the nose's wings past the mouth's corners. */
        cairo_move_to(cr, x + side * (f->nose_half_width + 1.6), f->nose_y - 0.5);
        cairo_curve_to(cr, x + side * (f->nose_half_width + 4.4), f->nose_y + 2, x + side * (f->mouth_half_width + 2.6),
                       f->mouth_y - 3, x + side * (f->mouth_half_width + 2.2), f->mouth_y + 1.2);
        soft_line(cr, 1.15, line, alpha);
        /* Bags, and crow's feet. */
        cairo_move_to(cr, eye_x - 3.6, eye_y + 4.2);
        cairo_curve_to(cr, eye_x - 1.6, eye_y + 6.0, eye_x + 1.6, eye_y + 6.0, eye_x + 3.6, eye_y + 4.2);
        soft_line(cr, line_width, line, 0.8 * alpha);
        for (int i = -1; i <= 1; i += 2) {
            cairo_move_to(cr, eye_x + side * (f->eye_half_width + 1.6), eye_y + 0.7 * i);
            cairo_line_to(cr, eye_x + side * (f->eye_half_width + 4.0), eye_y + 2.0 * i);
        }
        soft_line(cr, 0.7, line, 0.8 * alpha);
    }
}

static void draw_nose(cairo_t *cr, const eq_features *f, const eq_head *head)
{
    const double x = 1.5 * head->turn, y = f->nose_y, w = f->nose_half_width;
    /* The bridge's shaded side, the tip's light, the base's line. */
    cairo_move_to(cr, x + 0.9, head->eye_y + 1);
    cairo_curve_to(cr, x + 1.5, y - 5, x + w, y - 2.5, x + w, y);
    cairo_curve_to(cr, x + 0.5 * w, y + 1.4, x, y + 1, x, y);
    cairo_close_path(cr);
    eq_set_rgba(cr, head->skin.shade, 0.75);
    cairo_fill(cr);
    eq_soft_disc(cr, x - 0.3, y - 1.6, 2.6, head->skin.light, 0.8);
    cairo_move_to(cr, x - w, y - 0.4);
    cairo_curve_to(cr, x - 0.6 * w, y + 1.7, x + 0.6 * w, y + 1.7, x + w, y - 0.4);
    soft_line(cr, 1.0, head->skin.line, 0.65);
}

void eq_features_draw_skin(cairo_t *cr, const eq_features *f, const eq_head *head)
{
    const double cheek_x = 0.58 * head->half_width, cheek_y = f->nose_y + 0.5;
    eq_soft_disc(cr, head->turn - cheek_x, cheek_y, 6.5, head->skin.blush, f->blush);
    eq_soft_disc(cr, head->turn + cheek_x, cheek_y, 6.5, head->skin.blush, f->blush);
    if (f->older)
        draw_age_lines(cr, f, head);
    draw_nose(cr, f, head);
}

static void eye_outline(cairo_t *cr, double w, double h)
{
    cairo_move_to(cr, -w, 0.3);
    cairo_curve_to(cr, -0.55 * w, -1.25 * h, 0.45 * w, -1.35 * h, w, 0);
    cairo_curve_to(cr, 0.5 * w, 1.05 * h, -0.5 * w, 1.1 * h, -w, 0.3);
    cairo_close_path(cr);
}

static void upper_lid(cairo_t *cr, double w, double h)
{
    cairo_move_to(cr, -w, 0.3);
    cairo_curve_to(cr, -0.55 * w, -1.25 * h, 0.45 * w, -1.35 * h, w, 0);
}

/* In a frame whose +x points outwards, so that one drawing serves both eyes. */
static void draw_eye(cairo_t *cr, const eq_features *f, const eq_head *head, double side)
{
    const double w = f->eye_half_width, h = f->eye_half_height, iris = fmin(h + 0.15, 2.7);
    cairo_save(cr);
    cairo_translate(cr, head->turn + side * f->eye_spacing, head->eye_y);
    cairo_scale(cr, side, 1);
    cairo_rotate(cr, -f->eye_slant);

    eq_soft_disc(cr, 0, -0.5, 1.5 * w, head->skin.shade, 0.7);
    eye_outline(cr, w, h);
    cairo_save(cr);
    cairo_clip_preserve(cr);
    cairo_set_source_rgb(cr, 0.98, 0.975, 0.97);
    cairo_fill(cr);
    const double gaze = side * f->gaze;
    eq_ellipse(cr, gaze, -0.1, iris, iris);
    eq_set_rgb(cr, f->iris);
    cairo_fill(cr);
    eq_ellipse(cr, gaze, -0.1, 0.55 * iris, 0.55 * iris);
    eq_set_rgb(cr, ink);
    cairo_fill(cr);
    cairo_restore(cr);
    /* The light's reflection is on the same side in both eyes. */
    eq_ellipse(cr, gaze - 0.75 * side, -1.0, 0.75, 0.75);
    eq_set_rgba(cr, white, 0.95);
    cairo_fill(cr);

    upper_lid(cr, w, h);
    if (f->female) {
        cairo_line_to(cr, w + 1.7, -1.7);
        soft_line(cr, 1.35, ink, 0.95);
        cairo_move_to(cr, 0.72 * w, -0.75 * h);
        cairo_line_to(cr, 0.72 * w + 1.5, -0.75 * h - 1.7);
        soft_line(cr, 0.8, ink, 0.9);
    } else {
        soft_line(cr, 0.95, eq_rgb_mix(head->skin.line, ink, 0.6), 0.9);
    }
    cairo_restore(cr);
}

static void draw_brow(cairo_t *cr, const eq_features *f, const eq_head *head, double side)
{
    const double w = f->eye_half_width + 1.2, t = f->brow_thickness, arch = f->brow_arch, tilt = f->brow_tilt;
    cairo_save(cr);
    cairo_translate(cr, head->turn + side * f->eye_spacing, head->eye_y - f->brow_height);
    cairo_scale(cr, side, 1);
    cairo_move_to(cr, -w, 0.6 + tilt);
    cairo_curve_to(cr, -0.2 * w, -arch, 0.5 * w, -arch - 0.4, w + 0.6, 1.2);
    cairo_curve_to(cr, 0.5 * w, -arch - 0.4 + 0.9 * t, -0.2 * w, -arch + t, -w, 0.6 + tilt + t);
    cairo_close_path(cr);
    eq_set_rgb(cr, f->brow);
    cairo_set_line_join(cr, CAIRO_LINE_JOIN_ROUND);
    cairo_set_line_width(cr, 0.4);
    cairo_fill_preserve(cr);
    cairo_stroke(cr);
    cairo_restore(cr);
}

static void draw_closed_mouth(cairo_t *cr, const eq_features *f, const eq_head *head)
{
    const double w = f->mouth_half_width, lip = f->lip_height, lift = 2.1 * f->smile, dip = 0.8 * lift;
    const eq_rgb colour = head->skin.lip;
    /* Upper lip with its bow, then the fuller lower one, then the line between. */
    cairo_move_to(cr, -w, -lift);
    cairo_curve_to(cr, -0.6 * w, -lip - 0.3 * lift, -0.25 * w, -1.2 * lip + 0.4 * dip, 0, -0.6 * lip + 0.4 * dip);
    cairo_curve_to(cr, 0.25 * w, -1.2 * lip + 0.4 * dip, 0.6 * w, -lip - 0.3 * lift, w, -lift);
    cairo_curve_to(cr, 0.5 * w, dip, -0.5 * w, dip, -w, -lift);
    cairo_close_path(cr);
    eq_set_rgb(cr, eq_rgb_scale(colour, 0.92));
    cairo_fill(cr);
    cairo_move_to(cr, -w, -lift);
    cairo_curve_to(cr, -0.5 * w, dip, 0.5 * w, dip, w, -lift);
    cairo_curve_to(cr, 0.55 * w, dip + 1.75 * lip, -0.55 * w, dip + 1.75 * lip, -w, -lift);
    cairo_close_path(cr);
    eq_set_rgb(cr, colour);
    cairo_fill(cr);
    cairo_move_to(cr, -w, -lift);
    cairo_curve_to(cr, -0.5 * w, dip, 0.5 * w, dip, w, -lift);
    soft_line(cr, 0.95, eq_rgb_scale(head->skin.line, 0.8), 0.85);
}

static void draw_open_mouth(cairo_t *cr, const eq_features *f, const eq_head *head)
{
    const double w = f->mouth_half_width, lip = f->lip_height, lift = 1.6, depth = 3.2 + 2.2 * f->smile;
    cairo_move_to(cr, -w, -lift);
    cairo_curve_to(cr, -0.4 * w, -lift + 0.9, 0.4 * w, -lift + 0.9, w, -lift);
    cairo_curve_to(cr, 0.75 * w, depth, -0.75 * w, depth, -w, -lift);
    cairo_close_path(cr);
    cairo_path_t *outline = cairo_copy_path(cr);
    cairo_set_line_join(cr, CAIRO_LINE_JOIN_ROUND);
    cairo_set_line_width(cr, 1.2 * lip);
    eq_set_rgb(cr, head->skin.lip);
    cairo_stroke(cr);

    cairo_append_path(cr, outline);
    cairo_path_destroy(outline);
    cairo_save(cr);
    cairo_clip_preserve(cr);
    cairo_set_source_rgb(cr, 0.36, 0.10, 0.12);
    cairo_fill(cr);
    cairo_rectangle(cr, -w, -lift - 1, 2 * w, 0.42 * depth + 2.0);
    cairo_set_source_rgb(cr, 0.98, 0.97, 0.95);
    cairo_fill(cr);
    cairo_restore(cr);
}

void eq_features_draw(cairo_t *cr, const eq_features *f, const eq_head *head)
{
    cairo_save(cr);
    cairo_translate(cr, 1.1 * head->turn, f->mouth_y);
    if (f->open)
        draw_open_mouth(cr, f, head);
    else
        draw_closed_mouth(cr, f, head);
    cairo_restore(cr);
    for (int side = -1; side <= 1; side += 2) {
        draw_eye(cr, f, head, side);
        draw_brow(cr, f, head, side);
    }
}
