/* Spectacles in several frames. */
#ifndef EQ_SYNTH_GLASSES_H
#define EQ_SYNTH_GLASSES_H

#include "synth/features.h"

typedef enum eq_frame_kind {
    EQ_FRAME_ROUND,
    EQ_FRAME_RECTANGLE,
    EQ_FRAME_OVAL,
    EQ_FRAME_AVIATOR,
    EQ_FRAME_CAT_EYE,
    EQ_FRAME_BROWLINE,
    EQ_FRAME_COUNT,
} eq_frame_kind;

typedef struct eq_glasses {
    eq_frame_kind kind;
    eq_rgb colour;
    double half_width, half_height, rim; /* of one lens; the rim's thickness */
} eq_glasses;

eq_glasses eq_glasses_sample(eq_rng *rng, eq_portrait_labels labels);
void eq_glasses_draw(cairo_t *cr, const eq_glasses *glasses, const eq_features *f, const eq_head *head);

#endif
