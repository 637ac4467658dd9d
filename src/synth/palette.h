/* Colours of the portrait world, and the few cairo helpers that every part uses. */
#ifndef EQ_SYNTH_PALETTE_H
#define EQ_SYNTH_PALETTE_H

#include <cairo.h>

#include "synth/portraits.h"
#include "synth/random.h"

/* Components in 0..1. */
typedef struct eq_rgb {
    double r, g, b;
} eq_rgb;

/* One person's skin: its base tone and what is derived from it. */
typedef struct eq_skin {
    eq_rgb base, light, shade, line, blush, lip;
} eq_skin;

eq_rgb eq_rgb_mix(eq_rgb a, eq_rgb b, double t);
/* Multiplies by `factor` and clamps: below 1 darkens, above 1 lightens. */
eq_rgb eq_rgb_scale(eq_rgb colour, double factor);

/* hue in turns, saturation and value in 0..1 */
eq_rgb eq_rgb_from_hsv(double hue, double saturation, double value);

/* The classes' tones lie on three disjoint segments; see palette.c. */
eq_skin eq_skin_sample(eq_rng *rng, eq_portrait_labels labels);
/* Older people's hair is grey to white, young people's never is. */
eq_rgb eq_hair_colour_sample(eq_rng *rng, eq_portrait_labels labels);
eq_rgb eq_iris_colour_sample(eq_rng *rng, eq_portrait_labels labels);
eq_rgb eq_cloth_colour_sample(eq_rng *rng);
/* Frames stand out from the skin they lie on. */
eq_rgb eq_frame_colour_sample(eq_rng *rng, eq_portrait_labels labels);

void eq_set_rgb(cairo_t *cr, eq_rgb colour);
void eq_set_rgba(cairo_t *cr, eq_rgb colour, double alpha);
/* Fills the current path with a gradient from (x0, y0) to (x1, y1). */
void eq_fill_linear(cairo_t *cr, double x0, double y0, eq_rgb from, double x1, double y1, eq_rgb to);
/* A disc that fades from `alpha` at its centre to nothing at its rim. */
void eq_soft_disc(cairo_t *cr, double x, double y, double radius, eq_rgb colour, double alpha);
/* Appends an axis-parallel ellipse to the path. */
void eq_ellipse(cairo_t *cr, double x, double y, double radius_x, double radius_y);

#endif
