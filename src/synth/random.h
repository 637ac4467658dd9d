/* Small draws on top of base/rng.h, and the substreams of the portrait world. */
#ifndef EQ_SYNTH_RANDOM_H
#define EQ_SYNTH_RANDOM_H

#include <stdbool.h>

#include "base/rng.h"

/* Far from the small step numbers that key sampling noise, so that one seed serves both. */
enum {
    EQ_SYNTH_LABELS = 0x53594e00,
    EQ_SYNTH_LOOK,
    EQ_SYNTH_OCCUPATION,
    EQ_SYNTH_ATTIRE,
    EQ_SYNTH_CAPTION,
};

static inline double eq_synth_range(eq_rng *rng, double low, double high)
{
    return low + (high - low) * eq_rng_uniform(rng);
}

static inline bool eq_synth_chance(eq_rng *rng, double probability)
{
    return eq_rng_uniform(rng) < probability;
}

/* An index in 0..count-1 with the given relative weights. */
static inline int eq_synth_pick(eq_rng *rng, const double *weights, int count)
{
    double total = 0;
    for (int i = 0; i < count; i++)
        total += weights[i];
    double u = eq_rng_uniform(rng) * total;
    for (int i = 0; i < count - 1; i++) {
        if (u < weights[i])
            return i;
        u -= weights[i];
    }
    return count - 1;
}

#endif
