#include "synth/hair.h"

#include <math.h>

eq_hair eq_hair_sample(eq_rng *rng, eq_portrait_labels labels, const eq_head *head)
{
    /* Long, bob, bun, ponytail, cloud, pixie; side part, quiff, crew, curls, receding, fringe only. */
    static const double weights[2][2][EQ_HAIR_STYLE_COUNT] = {
        [EQ_GENDER_FEMALE] =
            {[EQ_AGE_YOUNG] = {4, 2.5, 1.6, 1.8, 1.4, 0.7}, [EQ_AGE_OLDER] = {1.8, 3, 2.2, 0.8, 1.6, 1.5}},
        [EQ_GENDER_MALE] = {[EQ_AGE_YOUNG] = {0.35, 0, 0.3, 0, 0.25, 0, 3, 2.6, 2.2, 1.8, 0.2, 0},
                            [EQ_AGE_OLDER] = {0.15, 0, 0, 0, 0.1, 0, 2.2, 1, 1.2, 0.8, 2.6, 2.2}},
    };
    const bool female = labels.gender == EQ_GENDER_FEMALE, older = labels.age == EQ_AGE_OLDER;

    eq_hair hair;
    hair.style = (eq_hair_style)eq_synth_pick(rng, weights[labels.gender][labels.age], EQ_HAIR_STYLE_COUNT);
    hair.colour = eq_hair_colour_sample(rng, labels);
    hair.lit = eq_rgb_mix(hair.colour, (eq_rgb){1, 0.96, 0.9}, 0.16);
    hair.dim = eq_rgb_scale(hair.colour, 0.78);
    hair.length = hair.style == EQ_HAIR_BOB ? eq_synth_range(rng, 66, 75)
                  : female                  ? eq_synth_range(rng, 86, 102)
                                            : eq_synth_range(rng, 80, 86);
    hair.volume = eq_synth_range(rng, 2.2, 4.6);
    hair.part = (eq_synth_chance(rng, 0.5) ? 1 : -1) * eq_synth_range(rng, 0, 9);
    hair.hairline = eq_synth_range(rng, 27, 30.5) - (older ? 1.2 : 0);
    hair.wave = eq_synth_chance(rng, 0.45) ? eq_synth_range(rng, 1.2, 2.6) : 0;
    /* An older forehead stays visible: its lines are a sign of age. */
    hair.bangs = !older && female && eq_synth_chance(rng, 0.3);
    for (int i = 0; i < EQ_HAIR_CURLS; i++)
        hair.curls[i] = eq_synth_range(rng, 0.82, 1.18);
    hair.earrings = female && eq_synth_chance(rng, 0.45);
    hair.earring = eq_synth_chance(rng, 0.6) ? (eq_rgb){0.95, 0.78, 0.33} : (eq_rgb){0.93, 0.94, 0.97};
    return hair;
}

bool eq_hair_is_long(const eq_hair *hair)
{
    return hair->style <= EQ_HAIR_PIXIE;
}

static void fill_hair(cairo_t *cr, const eq_hair *hair, double x, double y0, double y1)
{
    eq_fill_linear(cr, -x, y0, hair->lit, x, y1, hair->dim);
}

/* The outside of a cap from the left end over the skull to the right end. `lift` moves its summit sideways. */
static void cap_outside(cairo_t *cr, const eq_head *head, double side, double volume, double end_y, double lift)
{
    const double w = head->half_width + side, top = head->top - volume;
    cairo_move_to(cr, -w, end_y);
    cairo_curve_to(cr, -w - 1.2, head->top + 13, -0.66 * w + 0.5 * lift, top, lift, top);
    cairo_curve_to(cr, 0.66 * w + 0.5 * lift, top, w + 1.2, head->top + 13, w, end_y);
}

/* The hairline from the right end back to the left, highest at the parting. */
static void hairline(cairo_t *cr, const eq_head *head, double end_y, double part, double peak_y, double temple_y)
{
    const double w = head->half_width;
    cairo_line_to(cr, w - 1.3, end_y);
    cairo_curve_to(cr, w - 1.0, end_y - 5, w - 1.6, temple_y + 3, w - 3.5, temple_y);
    cairo_curve_to(cr, w - 6, temple_y - 4, part + 0.4 * (w - part), peak_y, part, peak_y);
    cairo_curve_to(cr, part - 0.4 * (w + part), peak_y, -w + 6, temple_y - 4, -w + 3.5, temple_y);
    cairo_curve_to(cr, -w + 1.6, temple_y + 3, -w + 1.0, end_y - 5, -w + 1.3, end_y);
    cairo_close_path(cr);
}

/* A broad soft band of light over the crown of the path just filled. */
static void shine(cairo_t *cr, const eq_hair *hair, const eq_head *head, double volume)
{
    const double w = 0.78 * head->half_width, y = head->top + 0.5 * (hair->hairline - head->top) - 0.5 * volume;
    cairo_move_to(cr, -w, y + 9);
    cairo_curve_to(cr, -0.75 * w, y - 1, -0.3 * w, y - 2.6, 0.25 * w, y - 1.4);
    cairo_set_line_cap(cr, CAIRO_LINE_CAP_ROUND);
    cairo_set_line_width(cr, 2.6);
    eq_set_rgba(cr, (eq_rgb){1, 0.97, 0.92}, 0.16);
    cairo_stroke(cr);
}

/* The hair's shadow on the forehead. */
static void hairline_shadow(cairo_t *cr, const eq_head *head, double end_y, double part, double peak_y, double temple_y)
{
    cairo_save(cr);
    eq_head_path(cr, head, 0);
    cairo_clip(cr);
    cairo_translate(cr, 0.6, 1.8);
    cap_outside(cr, head, 2, 3, end_y, 0);
    hairline(cr, head, end_y, part, peak_y, temple_y);
    eq_set_rgba(cr, head->skin.line, 0.28);
    cairo_fill(cr);
    cairo_restore(cr);
}

static void draw_cap(cairo_t *cr, const eq_hair *hair, const eq_head *head, double side, double volume, double end_y,
                     double lift, double part, double peak_y, double temple_y)
{
    hairline_shadow(cr, head, end_y, part, peak_y, temple_y);
    cap_outside(cr, head, side, volume, end_y, lift);
    hairline(cr, head, end_y, part, peak_y, temple_y);
    fill_hair(cr, hair, head->half_width, head->top - volume, end_y);
    shine(cr, hair, head, volume);
}

/* Hair that hangs from the crown past one side of the face to y = end. */
static void draw_lock(cairo_t *cr, const eq_hair *hair, const eq_head *head, double side, double end, double spread)
{
    const double w = head->half_width, out = w + hair->volume, wave = hair->wave;
    const double eye = head->eye_y, third = (end - eye) / 3;
    cairo_save(cr);
    cairo_scale(cr, side, 1);
    cairo_move_to(cr, 0.55 * w, head->top + 2);
    cairo_curve_to(cr, out - 1, head->top + 4, out + 0.6, head->top + 16, out, eye);
    cairo_curve_to(cr, out + 1 + wave, eye + 0.4 * third, out - wave, eye + 0.8 * third, out + 0.4 * spread,
                   eye + third);
    cairo_curve_to(cr, out + 0.4 * spread + 2 * wave, eye + 1.5 * third, out + 0.7 * spread - wave, eye + 2 * third,
                   out + spread, end - 2.5);
    cairo_curve_to(cr, out + spread - 2, end + 1.5, 0.62 * w + 2, end + 1.5, 0.60 * w, end - 1.5);
    cairo_curve_to(cr, 0.62 * w - wave, eye + 2.2 * third, 0.80 * w, eye + 1.6 * third, 0.84 * w, eye + 0.9 * third);
    cairo_curve_to(cr, 0.93 * w, eye + 0.4 * third, w - 1, eye, w - 2.4, eye - 8);
    cairo_curve_to(cr, w - 5, eye - 14, 0.6 * w, head->top + 8, 0.55 * w, head->top + 2);
    cairo_close_path(cr);
    eq_fill_linear(cr, 0.6 * w, head->top, hair->lit, out, end, hair->dim);
    /* One long strand of light. */
    cairo_move_to(cr, out - 2.6, head->top + 18);
    cairo_curve_to(cr, out - 2.6 + wave, eye + third, out - 2.6 - wave, eye + 1.6 * third, out - 1.8 + 0.5 * spread,
                   eye + 2.4 * third);
    cairo_set_line_cap(cr, CAIRO_LINE_CAP_ROUND);
    cairo_set_line_width(cr, 1.6);
    eq_set_rgba(cr, hair->lit, 0.55);
    cairo_stroke(cr);
    cairo_restore(cr);
}

/* Circles along an arc about (0, y) between two angles from straight up. */
static void draw_curls(cairo_t *cr, const eq_hair *hair, double y, double radius_x, double radius_y, double from,
                       double to, int count, double size)
{
    for (int i = 0; i < count; i++) {
        const double angle = from + (to - from) * i / (count - 1), curl = size * hair->curls[i];
        eq_ellipse(cr, radius_x * sin(angle), y - radius_y * cos(angle), curl, curl);
    }
}

static void draw_cloud_back(cairo_t *cr, const eq_hair *hair, const eq_head *head)
{
    const double r = head->half_width + 6 + hair->volume, y = 0.5 * (head->top + head->jaw_y) - 1;
    eq_ellipse(cr, 0, y, r, r + 1);
    fill_hair(cr, hair, r, y - r, y + r);
    draw_curls(cr, hair, y, r - 1.5, r - 0.5, -2.4, 2.4, 18, 5.2);
    fill_hair(cr, hair, r, y - r - 4, y + r);
}

static void draw_bun(cairo_t *cr, const eq_hair *hair, const eq_head *head)
{
    const double r = 6.6 + 0.5 * hair->volume, y = head->top - 3.5;
    eq_ellipse(cr, 0.3 * hair->part, y, r + 0.8, r);
    eq_fill_linear(cr, -r, y - r, hair->lit, r, y + r, hair->dim);
}

void eq_hair_draw_back(cairo_t *cr, const eq_hair *hair, const eq_head *head)
{
    const double out = head->half_width + hair->volume - 0.8;
    switch (hair->style) {
    case EQ_HAIR_LONG:
    case EQ_HAIR_BOB:
        cairo_move_to(cr, -out, head->eye_y);
        cairo_line_to(cr, out, head->eye_y);
        cairo_curve_to(cr, out + 1, 64, out, hair->length - 8, out - 1, hair->length - 3);
        cairo_line_to(cr, -out + 1, hair->length - 3);
        cairo_curve_to(cr, -out, hair->length - 8, -out - 1, 64, -out, head->eye_y);
        cairo_close_path(cr);
        eq_set_rgb(cr, eq_rgb_scale(hair->dim, 0.82));
        cairo_fill(cr);
        break;
    case EQ_HAIR_CLOUD: draw_cloud_back(cr, hair, head); break;
    case EQ_HAIR_BUN: draw_bun(cr, hair, head); break;
    default: break;
    }
}

static void draw_bangs(cairo_t *cr, const eq_hair *hair, const eq_head *head)
{
    const double w = head->half_width, y = head->eye_y - 8.2, top = head->top - hair->volume;
    cairo_move_to(cr, -w + 0.5, y + 4);
    cairo_curve_to(cr, -w, head->top + 10, -0.7 * w, top, 0, top);
    cairo_curve_to(cr, 0.7 * w, top, w, head->top + 10, w - 0.5, y + 4);
    cairo_curve_to(cr, 0.7 * w, y - 1, 0.3 * w, y + 0.8, 0.05 * w, y);
    cairo_curve_to(cr, -0.3 * w, y + 0.8, -0.7 * w, y - 1, -w + 0.5, y + 4);
    cairo_close_path(cr);
    eq_fill_linear(cr, -w, top, hair->lit, w, y + 4, hair->dim);
}

static void draw_hanging(cairo_t *cr, const eq_hair *hair, const eq_head *head)
{
    const double spread = hair->style == EQ_HAIR_BOB ? 0.6 : 3.5;
    draw_lock(cr, hair, head, -1, hair->length, spread);
    draw_lock(cr, hair, head, 1, hair->length - 1, spread);
    draw_cap(cr, hair, head, hair->volume, hair->volume, head->eye_y - 2, 0, hair->part, hair->hairline - 1,
             head->eye_y - 8);
    if (hair->bangs)
        draw_bangs(cr, hair, head);
    shine(cr, hair, head, hair->volume);
}

static void draw_ponytail(cairo_t *cr, const eq_hair *hair, const eq_head *head)
{
    const double side = hair->part < 0 ? -1 : 1, w = head->half_width, wave = hair->wave;
    cairo_save(cr);
    cairo_scale(cr, side, 1);
    cairo_move_to(cr, w - 2, 62);
    cairo_curve_to(cr, w + 5, 62, w + 9 + wave, 74, w + 5, 84);
    cairo_curve_to(cr, w + 2, 92, w + 5 - wave, 98, w - 2, 104);
    cairo_curve_to(cr, w - 10, 98, w - 9 + wave, 88, w - 7, 82);
    cairo_curve_to(cr, w - 5, 74, w - 6, 68, w - 5.5, 66);
    cairo_close_path(cr);
    eq_fill_linear(cr, w - 6, 62, hair->lit, w + 7, 102, hair->dim);
    cairo_restore(cr);
    draw_cap(cr, hair, head, 1.2, 2.6, head->eye_y + 3, 0, hair->part, hair->hairline, head->eye_y - 9);
}

static void draw_pixie(cairo_t *cr, const eq_hair *hair, const eq_head *head)
{
    const double w = head->half_width, side = hair->part < 0 ? -1 : 1;
    draw_cap(cr, hair, head, 1.8, hair->volume + 1, head->eye_y + 5, 0, 0.9 * hair->part, hair->hairline,
             head->eye_y - 7);
    /* The long side is swept over the forehead. */
    cairo_save(cr);
    cairo_scale(cr, -side, 1);
    cairo_move_to(cr, -0.55 * w, hair->hairline - 3);
    cairo_curve_to(cr, 0, hair->hairline - 6, 0.8 * w, hair->hairline - 2, w + 0.8, head->eye_y - 1);
    cairo_curve_to(cr, 0.8 * w, head->eye_y - 8, 0.2 * w, hair->hairline + 6, -0.55 * w, hair->hairline - 3);
    cairo_close_path(cr);
    eq_set_rgb(cr, eq_rgb_mix(hair->colour, hair->lit, 0.4));
    cairo_fill(cr);
    cairo_restore(cr);
}

static void draw_quiff(cairo_t *cr, const eq_hair *hair, const eq_head *head)
{
    const double w = head->half_width, side = hair->part < 0 ? -1 : 1, top = head->top - hair->volume - 3.5;
    const double line = hair->hairline;
    draw_cap(cr, hair, head, 0.9, 2, head->eye_y + 1, 0, 0, line - 0.5, head->eye_y - 10);
    cairo_save(cr);
    cairo_scale(cr, side, 1);
    cairo_move_to(cr, -0.74 * w, line + 4);
    cairo_curve_to(cr, -1.0 * w, line - 8, -0.6 * w, top, 0.15 * w, top);
    cairo_curve_to(cr, 0.8 * w, top, 1.05 * w, line - 6, 0.80 * w, line + 3.5);
    cairo_curve_to(cr, 0.5 * w, line - 2, -0.3 * w, line - 1, -0.74 * w, line + 4);
    cairo_close_path(cr);
    eq_fill_linear(cr, -0.5 * w, top, hair->lit, 0.4 * w, line + 4, hair->dim);
    cairo_restore(cr);
}

static void draw_short_curls(cairo_t *cr, const eq_hair *hair, const eq_head *head)
{
    const double w = head->half_width, y = head->eye_y - 6;
    draw_cap(cr, hair, head, 0.8, 1.5, head->eye_y + 1, 0, 0, hair->hairline, head->eye_y - 10);
    draw_curls(cr, hair, y, w - 1.5, y - head->top - 0.5, -1.45, 1.45, 11, 4.3);
    draw_curls(cr, hair, y, w - 6, y - hair->hairline + 3, -1.0, 1.0, 7, 3.6);
    fill_hair(cr, hair, w, head->top - 4, head->eye_y);
    shine(cr, hair, head, 2);
}

/* A tidy patch above each ear, and light on the bare crown. */
static void draw_fringe_only(cairo_t *cr, const eq_hair *hair, const eq_head *head)
{
    const double w = head->half_width, y = head->eye_y;
    eq_soft_disc(cr, -0.3 * w, head->top + 9, 8, head->skin.light, 0.75);
    for (int side = -1; side <= 1; side += 2) {
        cairo_move_to(cr, side * (w + 1.5), y + 4);
        cairo_curve_to(cr, side * (w + 5), y - 4, side * (w + 3.6), y - 14, side * (w - 2.4), y - 17);
        cairo_curve_to(cr, side * (w - 3.8), y - 12, side * (w - 2), y - 7, side * (w - 2.4), y + 1);
        cairo_close_path(cr);
        eq_fill_linear(cr, 0, y - 16, hair->lit, 0, y + 4, hair->dim);
    }
}

static void draw_earrings(cairo_t *cr, const eq_hair *hair, const eq_head *head)
{
    for (int side = -1; side <= 1; side += 2)
        eq_ellipse(cr, side * (head->half_width + 0.8), head->eye_y + 10, 1.5, 1.9);
    eq_set_rgb(cr, hair->earring);
    cairo_fill(cr);
}

void eq_hair_draw_front(cairo_t *cr, const eq_hair *hair, const eq_head *head)
{
    const double eye = head->eye_y, side = hair->part < 0 ? -1 : 1;
    switch (hair->style) {
    case EQ_HAIR_LONG:
    case EQ_HAIR_BOB: draw_hanging(cr, hair, head); break;
    case EQ_HAIR_BUN: draw_cap(cr, hair, head, 0.8, 2.0, eye + 2, 0, 0.4 * hair->part, hair->hairline, eye - 10); break;
    case EQ_HAIR_PONYTAIL: draw_ponytail(cr, hair, head); break;
    case EQ_HAIR_CLOUD:
        draw_cap(cr, hair, head, 3, 3, eye, 0, 0, hair->hairline, eye - 8);
        draw_curls(cr, hair, eye, head->half_width - 1.5, eye - hair->hairline + 1, -1.25, 1.25, 9, 3.4);
        fill_hair(cr, hair, head->half_width, head->top - 4, eye);
        break;
    case EQ_HAIR_PIXIE: draw_pixie(cr, hair, head); break;
    case EQ_HAIR_SIDE_PART:
        draw_cap(cr, hair, head, 1.3, hair->volume + 1, eye + 2, -3.5 * side, side * (5 + 0.4 * fabs(hair->part)),
                 hair->hairline - 1, eye - 9);
        break;
    case EQ_HAIR_QUIFF: draw_quiff(cr, hair, head); break;
    case EQ_HAIR_CREW: draw_cap(cr, hair, head, 0.5, 1.4, eye + 1, 0, 0, hair->hairline - 0.5, eye - 11); break;
    case EQ_HAIR_SHORT_CURLS: draw_short_curls(cr, hair, head); break;
    case EQ_HAIR_RECEDING:
        draw_cap(cr, hair, head, 1.2, 1.6, eye + 3, 0, 0.3 * hair->part, head->top + 4.5, eye - 15);
        break;
    case EQ_HAIR_FRINGE_ONLY: draw_fringe_only(cr, hair, head); break;
    case EQ_HAIR_STYLE_COUNT: break;
    }
    if (hair->earrings)
        draw_earrings(cr, hair, head);
}
