#include "synth/beard.h"

#include <math.h>

eq_beard eq_beard_sample(eq_rng *rng, eq_portrait_labels labels, eq_rgb hair, bool long_hair)
{
    static const double any[] = {3, 3.5, 1.2, 1.3, 3}, long_haired[] = {0, 0, 0, 1, 3};
    eq_beard beard = {.kind = EQ_BEARD_NONE};
    if (labels.gender == EQ_GENDER_FEMALE)
        return beard;
    beard.kind = (eq_beard_kind)eq_synth_pick(rng, long_hair ? long_haired : any, 5);
    beard.colour = eq_rgb_scale(hair, labels.age == EQ_AGE_OLDER ? 0.96 : 0.88);
    beard.length = eq_synth_range(rng, 0.8, 4);
    beard.cheek_dip = eq_synth_range(rng, -1.5, 2);
    return beard;
}

/* The jaw from ear to ear: outside `margin` beyond the chin, inside along the cheeks and under the nose. */
static void full_path(cairo_t *cr, const eq_beard *beard, const eq_features *f, const eq_head *head, double margin)
{
    const double w = head->half_width + 0.4, j = head->jaw_half_width + 0.4 * margin + 0.3;
    const double top = head->eye_y + 4, chin = head->chin_y + margin, x = head->turn;
    const double cheek_y = f->nose_y + 3 + beard->cheek_dip, lip_y = f->nose_y + 2.6;

    cairo_move_to(cr, -w, top);
    cairo_curve_to(cr, -w, top + 8, -j - 1, head->jaw_y - 5, -j, head->jaw_y);
    cairo_curve_to(cr, -j + 1, head->jaw_y + 7, -head->chin_half_width - 2, chin, 0, chin);
    cairo_curve_to(cr, head->chin_half_width + 2, chin, j - 1, head->jaw_y + 7, j, head->jaw_y);
    cairo_curve_to(cr, j + 1, head->jaw_y - 5, w, top + 8, w, top);
    cairo_curve_to(cr, w - 3, top + 6, w - 4, cheek_y, x + 0.48 * w, cheek_y);
    cairo_curve_to(cr, x + 0.3 * w, cheek_y, x + 4, lip_y, x, lip_y);
    cairo_curve_to(cr, x - 4, lip_y, x - 0.3 * w, cheek_y, x - 0.48 * w, cheek_y);
    cairo_curve_to(cr, -w + 4, cheek_y, -w + 3, top + 6, -w, top);
    cairo_close_path(cr);
}

static void moustache_path(cairo_t *cr, const eq_features *f, const eq_head *head, double droop)
{
    const double x = 1.1 * head->turn, y = f->nose_y + 2.4, w = f->mouth_half_width + 1.6;
    const double low = f->mouth_y - 2.1 * f->smile + droop;
    cairo_move_to(cr, x, y);
    cairo_curve_to(cr, x + 0.5 * w, y - 0.6, x + w, low - 4, x + w, low);
    cairo_curve_to(cr, x + 0.7 * w, low - 1.2, x + 0.4 * w, f->mouth_y - 1.2, x, f->mouth_y - 1.6);
    cairo_curve_to(cr, x - 0.4 * w, f->mouth_y - 1.2, x - 0.7 * w, low - 1.2, x - w, low);
    cairo_curve_to(cr, x - w, low - 4, x - 0.5 * w, y - 0.6, x, y);
    cairo_close_path(cr);
}

static void goatee_path(cairo_t *cr, const eq_features *f, const eq_head *head, double margin)
{
    const double x = 1.1 * head->turn, w = f->mouth_half_width + 1.4, chin = head->chin_y + margin;
    cairo_move_to(cr, x - w, f->mouth_y - 1);
    cairo_curve_to(cr, x - w, f->mouth_y + 6, x - 0.7 * w, chin, x, chin);
    cairo_curve_to(cr, x + 0.7 * w, chin, x + w, f->mouth_y + 6, x + w, f->mouth_y - 1);
    cairo_close_path(cr);
}

void eq_beard_draw(cairo_t *cr, const eq_beard *beard, const eq_features *f, const eq_head *head)
{
    static const double stubble_alpha = 0.30, stubble_margin = 0.1;
    const eq_rgb lit = eq_rgb_scale(beard->colour, 1.06), dim = eq_rgb_scale(beard->colour, 0.84);
    const double from = f->nose_y, to = head->chin_y + beard->length;

    switch (beard->kind) {
    case EQ_BEARD_NONE: break;
    case EQ_BEARD_STUBBLE:
        full_path(cr, beard, f, head, stubble_margin);
        eq_set_rgba(cr, eq_rgb_mix(beard->colour, head->skin.line, 0.35), stubble_alpha);
        cairo_fill(cr);
        break;
    case EQ_BEARD_MOUSTACHE:
        moustache_path(cr, f, head, 0.5);
        eq_fill_linear(cr, 0, from, lit, 0, f->mouth_y, dim);
        break;
    case EQ_BEARD_GOATEE:
        goatee_path(cr, f, head, 0.3 * beard->length);
        eq_fill_linear(cr, 0, from, lit, 0, to, dim);
        moustache_path(cr, f, head, 1.5);
        eq_fill_linear(cr, 0, from, lit, 0, f->mouth_y + 4, dim);
        break;
    case EQ_BEARD_FULL:
        full_path(cr, beard, f, head, beard->length);
        eq_fill_linear(cr, -8, from, lit, 8, to, dim);
        break;
    }
}
