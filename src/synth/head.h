/* Head, ears and neck: the shape that features, hair and glasses are fitted to.
 *
 * Every part is drawn in the head's frame: x = 0 is the face's axis, y runs down the 100 units of the picture. */
#ifndef EQ_SYNTH_HEAD_H
#define EQ_SYNTH_HEAD_H

#include "synth/palette.h"

typedef struct eq_head {
    double top;        /* y of the skull's top */
    double half_width; /* at the temples, the widest place */
    double eye_y;
    double jaw_half_width, jaw_y; /* the jaw's corner */
    double chin_half_width, chin_y;
    double neck_half_width;
    double ear_size;
    double turn; /* how far the features sit to the right of the axis */
    eq_skin skin;
} eq_head;

eq_head eq_head_sample(eq_rng *rng, eq_portrait_labels labels);
/* Appends the face's outline to the path, grown outwards by `margin`. */
void eq_head_path(cairo_t *cr, const eq_head *head, double margin);
/* The neck with the chin's shadow; belongs to the body, not to the tilted head. */
void eq_neck_draw(cairo_t *cr, const eq_head *head);
void eq_head_draw(cairo_t *cr, const eq_head *head);

#endif
