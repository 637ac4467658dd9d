/* What an occupation adds to a portrait: the scene behind it, clothes, what is worn on the head, and what is held. */
#ifndef EQ_SYNTH_ATTIRE_H
#define EQ_SYNTH_ATTIRE_H

#include "synth/clothes.h"

enum { EQ_ATTIRE_CHANCES = 32 };

typedef struct eq_attire {
    int occupation;
    double side;                       /* -1 or 1: where the held thing is */
    eq_rgb colour, trim, prop, prop_2; /* of the garment, and of the held thing */
    double chance[EQ_ATTIRE_CHANCES];  /* in 0..1: heights of houses, bricks, petals */
} eq_attire;

/* Also puts the garment's base, over which its parts are drawn, in the place of `clothes`. */
eq_attire eq_attire_sample(eq_rng *rng, eq_portrait_labels labels, eq_clothes *clothes);

/* The y above which hats and wigs hide the hair; 0 for none. */
double eq_attire_hair_line(const eq_attire *attire, const eq_head *head);

/* In the picture's frame, over the background. */
void eq_scene_draw(cairo_t *cr, const eq_attire *attire);
/* Over body, neck and collar. */
void eq_garment_draw(cairo_t *cr, const eq_attire *attire, const eq_clothes *clothes, const eq_head *head);
/* In the head's frame, over the hair. */
void eq_hat_draw(cairo_t *cr, const eq_attire *attire, const eq_head *head);
/* In the body's frame, over everything. */
void eq_held_draw(cairo_t *cr, const eq_attire *attire, const eq_head *head);

#endif
