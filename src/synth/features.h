/* Brows, eyes, nose, mouth, blush and the lines of age. */
#ifndef EQ_SYNTH_FEATURES_H
#define EQ_SYNTH_FEATURES_H

#include "synth/head.h"

typedef struct eq_features {
    bool female, older;
    eq_rgb iris, brow;
    double eye_spacing; /* from the axis to an eye's centre */
    double eye_half_width, eye_half_height, eye_slant;
    double gaze; /* the irises' shift to the right */
    double brow_height, brow_thickness, brow_arch, brow_tilt;
    double nose_half_width, nose_y;
    double mouth_y, mouth_half_width, lip_height;
    double smile; /* -0.2 (pensive) .. 1 (broad) */
    bool open;    /* a smile that shows teeth */
    double blush;
    int forehead_lines;
    double fold_depth; /* strength of the older face's lines, 0..1 */
} eq_features;

eq_features eq_features_sample(eq_rng *rng, eq_portrait_labels labels, const eq_head *head, eq_rgb hair);
/* Blush, lines and nose: what lies under a beard. */
void eq_features_draw_skin(cairo_t *cr, const eq_features *f, const eq_head *head);
/* Eyes, brows and mouth: what lies over it. */
void eq_features_draw(cairo_t *cr, const eq_features *f, const eq_head *head);

#endif
