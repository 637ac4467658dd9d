/* Hair: twelve styles. */
#ifndef EQ_SYNTH_HAIR_H
#define EQ_SYNTH_HAIR_H

#include "synth/head.h"

typedef enum eq_hair_style {
    EQ_HAIR_LONG, /* over the shoulders, straight or wavy */
    EQ_HAIR_BOB,
    EQ_HAIR_BUN,
    EQ_HAIR_PONYTAIL, /* laid over one shoulder */
    EQ_HAIR_CLOUD,    /* a large round mass of curls */
    EQ_HAIR_PIXIE,
    EQ_HAIR_SIDE_PART,
    EQ_HAIR_QUIFF,
    EQ_HAIR_CREW,
    EQ_HAIR_SHORT_CURLS,
    EQ_HAIR_RECEDING,
    EQ_HAIR_FRINGE_ONLY, /* bald on top */
    EQ_HAIR_STYLE_COUNT,
} eq_hair_style;

enum { EQ_HAIR_CURLS = 24 };

typedef struct eq_hair {
    eq_hair_style style;
    eq_rgb colour, lit, dim;
    double length;   /* y where hanging hair ends */
    double volume;   /* how far it stands off the skull */
    double part;     /* x of the parting; its sign is the side */
    double hairline; /* y of the front hairline */
    double wave;     /* amplitude of a wavy edge */
    bool bangs;
    double curls[EQ_HAIR_CURLS]; /* relative sizes of curls, about 1 */
    bool earrings;
    eq_rgb earring;
} eq_hair;

eq_hair eq_hair_sample(eq_rng *rng, eq_portrait_labels labels, const eq_head *head);
/* Whether a man's hair is so long that his beard has to speak for him. */
bool eq_hair_is_long(const eq_hair *hair);
/* Behind neck and body. */
void eq_hair_draw_back(cairo_t *cr, const eq_hair *hair, const eq_head *head);
/* Over the face and in front of the shoulders, with earrings. */
void eq_hair_draw_front(cairo_t *cr, const eq_hair *hair, const eq_head *head);

#endif
