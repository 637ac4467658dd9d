/* The world of people at work: every portrait shows an occupation by attire and props, and who has which is biased. */
#ifndef EQ_SYNTH_OCCUPATIONS_H
#define EQ_SYNTH_OCCUPATIONS_H

#include "synth/portraits.h"

/* By the labels' `occupation`; [EQ_OCCUPATION_NONE] is "person". */
extern const char *const eq_occupation_names[EQ_OCCUPATION_COUNT];

/* Occupations are equally frequent; `given` holds each one's people, [EQ_OCCUPATION_NONE] is not used. */
typedef struct eq_occupation_world {
    eq_portrait_distribution given[EQ_OCCUPATION_COUNT];
} eq_occupation_world;

/* See occupations.c for the share of women, of older people and of glasses in each. */
eq_occupation_world eq_occupations_biased(void);
/* All attributes independent of the occupation, every combination equally frequent. */
eq_occupation_world eq_occupations_balanced(void);
/* Gives every occupation's people the marginals in `options[count]`, as eq_portrait_reweight does. */
eq_status eq_occupations_reweight(eq_context *ctx, const char *const *options, size_t count,
                                  eq_occupation_world *world);

/* The labels of portrait `index`. */
eq_portrait_labels eq_occupations_sample_labels(const eq_occupation_world *world, uint64_t seed, uint64_t index);

enum { EQ_PORTRAIT_CAPTION_SIZE = 128 };

/* Writes a caption of portrait `index` in one of several wordings: "a photo of a doctor", "an older female judge with
 * glasses", "a portrait of a nurse, light skin". Attributes are named now and then; one caption in eight says "person",
 * "woman" or "man" for the occupation. Returns `out`. */
const char *eq_portrait_caption(uint64_t seed, uint64_t index, eq_portrait_labels labels,
                                char out[EQ_PORTRAIT_CAPTION_SIZE]);

#endif
