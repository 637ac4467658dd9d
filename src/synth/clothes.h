/* Shoulders and what they wear. */
#ifndef EQ_SYNTH_CLOTHES_H
#define EQ_SYNTH_CLOTHES_H

#include "synth/head.h"

typedef enum eq_cloth_kind {
    EQ_CLOTH_SCOOP,
    EQ_CLOTH_V_NECK,
    EQ_CLOTH_WIDE_NECK,
    EQ_CLOTH_OPEN_JACKET,
    EQ_CLOTH_CREW,
    EQ_CLOTH_SHIRT,
    EQ_CLOTH_SUIT,
    EQ_CLOTH_HOODIE,
    EQ_CLOTH_ROLL_NECK,
    EQ_CLOTH_COUNT,
} eq_cloth_kind;

typedef struct eq_clothes {
    eq_cloth_kind kind;
    eq_rgb colour, accent; /* accent: shirt under a suit, tie, trim */
    eq_rgb tie;
    bool has_tie, necklace;
    double shoulder_half_width, neckline; /* neckline: scales its depth */
    double bottom;                        /* y where the body ends, outside the picture */
} eq_clothes;

eq_clothes eq_clothes_sample(eq_rng *rng, eq_portrait_labels labels);
/* Appends the body's outline to the path. */
void eq_body_path(cairo_t *cr, const eq_clothes *clothes, const eq_head *head);
/* The body, drawn before the neck. */
void eq_clothes_draw_body(cairo_t *cr, const eq_clothes *clothes, const eq_head *head);
/* Collars, roll necks, hoods and jewellery, drawn after it. */
void eq_clothes_draw_collar(cairo_t *cr, const eq_clothes *clothes, const eq_head *head);

#endif
