/* Facial hair. */
#ifndef EQ_SYNTH_BEARD_H
#define EQ_SYNTH_BEARD_H

#include "synth/features.h"

typedef enum eq_beard_kind {
    EQ_BEARD_NONE,
    EQ_BEARD_STUBBLE,
    EQ_BEARD_MOUSTACHE,
    EQ_BEARD_GOATEE,
    EQ_BEARD_FULL
} eq_beard_kind;

typedef struct eq_beard {
    eq_beard_kind kind;
    eq_rgb colour;
    double length;    /* how far a full beard hangs below the chin */
    double cheek_dip; /* how low its line runs on the cheek */
} eq_beard;

/* Men only; women get EQ_BEARD_NONE. A man with long hair always has one (see hair.h). */
eq_beard eq_beard_sample(eq_rng *rng, eq_portrait_labels labels, eq_rgb hair, bool long_hair);
void eq_beard_draw(cairo_t *cr, const eq_beard *beard, const eq_features *f, const eq_head *head);

#endif
