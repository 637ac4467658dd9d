#include "synth/palette.h"

#include <math.h>

#define HEX(value)                                                                                                     \
    {                                                                                                                  \
        ((value) >> 16 & 255) / 255.0, ((value) >> 8 & 255) / 255.0, ((value)&255) / 255.0                             \
    }
#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static const eq_rgb white = {1, 1, 1};

static double clamp01(double x)
{
    return fmin(fmax(x, 0), 1);
}

eq_rgb eq_rgb_mix(eq_rgb a, eq_rgb b, double t)
{
    return (eq_rgb){a.r + (b.r - a.r) * t, a.g + (b.g - a.g) * t, a.b + (b.b - a.b) * t};
}

eq_rgb eq_rgb_scale(eq_rgb colour, double factor)
{
    return (eq_rgb){clamp01(colour.r * factor), clamp01(colour.g * factor), clamp01(colour.b * factor)};
}

eq_rgb eq_rgb_from_hsv(double hue, double saturation, double value)
{
    double channel[3];
    for (int i = 0; i < 3; i++) {
        double position = fmod(hue * 6 + (double[]){5, 3, 1}[i], 6);
        channel[i] = value - value * saturation * clamp01(fmin(position, 4 - position));
    }
    return (eq_rgb){channel[0], channel[1], channel[2]};
}

/* Ends of each class's segment, palest first. In luma: light 0.91..0.81, medium 0.68..0.57, dark 0.42..0.27; the gaps
 * of more than 0.1 are wider than what the light adds or takes. */
static const eq_rgb skin_ends[3][2] = {
    [EQ_SKIN_LIGHT] = {HEX(0xFCE4D3), HEX(0xF0C8A8)},
    [EQ_SKIN_MEDIUM] = {HEX(0xDAA578), HEX(0xBF8858)},
    [EQ_SKIN_DARK] = {HEX(0x92603E), HEX(0x5E3C28)},
};

eq_skin eq_skin_sample(eq_rng *rng, eq_portrait_labels labels)
{
    static const eq_rgb rosy = HEX(0xE2574C), deep_line = HEX(0x4A1F14), rouge = HEX(0xC8283C);
    static const double line_strength[3] = {0.42, 0.45, 0.55};

    eq_skin skin;
    skin.base = eq_rgb_mix(skin_ends[labels.skin][0], skin_ends[labels.skin][1], eq_rng_uniform(rng));
    /* A little towards pink or olive, leaving the luma nearly alone. */
    double warmth = eq_synth_range(rng, -0.018, 0.018);
    skin.base = (eq_rgb){clamp01(skin.base.r + warmth), clamp01(skin.base.g - 0.4 * warmth), skin.base.b};
    skin.light = eq_rgb_mix(skin.base, white, labels.skin == EQ_SKIN_DARK ? 0.12 : 0.22);
    skin.shade = eq_rgb_mix(eq_rgb_scale(skin.base, 0.80), rosy, 0.08);
    skin.line = eq_rgb_mix(eq_rgb_scale(skin.base, 0.72), deep_line, line_strength[labels.skin]);
    skin.blush = eq_rgb_mix(skin.base, rosy, 0.55);
    double rouge_strength = labels.gender == EQ_GENDER_FEMALE ? eq_synth_range(rng, 0.55, 0.85) : 0.12;
    skin.lip = eq_rgb_mix(eq_rgb_scale(skin.base, 0.82), rouge, rouge_strength);
    return skin;
}

eq_rgb eq_hair_colour_sample(eq_rng *rng, eq_portrait_labels labels)
{
    static const eq_rgb young[] = {HEX(0x1E1A1C), HEX(0x3A261C), HEX(0x5B3A22),
                                   HEX(0x8A5A30), HEX(0xE0B45C), HEX(0xB4532A)};
    static const double young_weights[3][COUNT(young)] = {
        [EQ_SKIN_LIGHT] = {2, 3, 3, 2.5, 3, 1.5},
        [EQ_SKIN_MEDIUM] = {4, 4, 2, 0.7, 0.2, 0.2},
        [EQ_SKIN_DARK] = {6, 2.5, 0.8, 0, 0, 0},
    };
    static const eq_rgb older[] = {HEX(0xF0EEEA), HEX(0xD2D3D8), HEX(0xB2B5BC), HEX(0xC2BCB2)};
    static const double older_weights[COUNT(older)] = {2, 3, 3, 2};

    double lightness = eq_synth_range(rng, 0.92, 1.08);
    if (labels.age == EQ_AGE_OLDER)
        return eq_rgb_scale(older[eq_synth_pick(rng, older_weights, COUNT(older))], fmin(lightness, 1.03));
    return eq_rgb_scale(young[eq_synth_pick(rng, young_weights[labels.skin], COUNT(young))], lightness);
}

eq_rgb eq_iris_colour_sample(eq_rng *rng, eq_portrait_labels labels)
{
    static const eq_rgb irises[] = {HEX(0x4A2A18), HEX(0x6E4423), HEX(0x4E6B3A), HEX(0x3E6E9A), HEX(0x5E7480)};
    static const double weights[3][COUNT(irises)] = {{3, 2, 2, 3, 1}, {5, 3, 0.5, 0, 0}, {6, 2, 0, 0, 0}};
    return irises[eq_synth_pick(rng, weights[labels.skin], COUNT(irises))];
}

eq_rgb eq_cloth_colour_sample(eq_rng *rng)
{
    static const eq_rgb cloths[] = {
        HEX(0x2E4A6B), HEX(0x3D7A78), HEX(0x8C3B46), HEX(0xD9695A), HEX(0xE0A13C), HEX(0x5A7D4E), HEX(0x6A5596),
        HEX(0x39404E), HEX(0xEDE6DA), HEX(0x4F86B8), HEX(0xC98FA8), HEX(0x7A5C48), HEX(0x2B6E55), HEX(0xB8C4CF),
    };
    return eq_rgb_scale(cloths[eq_rng_below(rng, COUNT(cloths))], eq_synth_range(rng, 0.92, 1.06));
}

eq_rgb eq_frame_colour_sample(eq_rng *rng, eq_portrait_labels labels)
{
    static const eq_rgb dark_frames[] = {HEX(0x17181C), HEX(0x17181C), HEX(0x3C2016), HEX(0x1C2A52), HEX(0x6A1526)};
    static const eq_rgb bright_frames[] = {HEX(0xF2C94C), HEX(0xF4EFE6), HEX(0xF0863C), HEX(0x56C4C0), HEX(0xE8505B)};
    if (labels.skin == EQ_SKIN_DARK)
        return bright_frames[eq_rng_below(rng, COUNT(bright_frames))];
    return dark_frames[eq_rng_below(rng, COUNT(dark_frames))];
}

void eq_set_rgb(cairo_t *cr, eq_rgb colour)
{
    cairo_set_source_rgb(cr, colour.r, colour.g, colour.b);
}

void eq_set_rgba(cairo_t *cr, eq_rgb colour, double alpha)
{
    cairo_set_source_rgba(cr, colour.r, colour.g, colour.b, alpha);
}

void eq_fill_linear(cairo_t *cr, double x0, double y0, eq_rgb from, double x1, double y1, eq_rgb to)
{
    cairo_pattern_t *pattern = cairo_pattern_create_linear(x0, y0, x1, y1);
    cairo_pattern_add_color_stop_rgb(pattern, 0, from.r, from.g, from.b);
    cairo_pattern_add_color_stop_rgb(pattern, 1, to.r, to.g, to.b);
    cairo_set_source(cr, pattern);
    cairo_fill(cr);
    cairo_pattern_destroy(pattern);
}

void eq_soft_disc(cairo_t *cr, double x, double y, double radius, eq_rgb colour, double alpha)
{
    cairo_pattern_t *pattern = cairo_pattern_create_radial(x, y, 0, x, y, radius);
    cairo_pattern_add_color_stop_rgba(pattern, 0, colour.r, colour.g, colour.b, alpha);
    cairo_pattern_add_color_stop_rgba(pattern, 1, colour.r, colour.g, colour.b, 0);
    cairo_set_source(cr, pattern);
    cairo_arc(cr, x, y, radius, 0, 2 * M_PI);
    cairo_fill(cr);
    cairo_pattern_destroy(pattern);
}

void eq_ellipse(cairo_t *cr, double x, double y, double radius_x, double radius_y)
{
    cairo_matrix_t saved;
    cairo_get_matrix(cr, &saved);
    cairo_new_sub_path(cr);
    cairo_translate(cr, x, y);
    cairo_scale(cr, radius_x, radius_y);
    cairo_arc(cr, 0, 0, 1, 0, 2 * M_PI);
    cairo_close_path(cr);
    cairo_set_matrix(cr, &saved);
}
