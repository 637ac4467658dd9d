#include "synth/occupations.h"

#include "synth/random.h"

const char *const eq_occupation_names[EQ_OCCUPATION_COUNT] = {
    [EQ_OCCUPATION_NONE] = "person",         [EQ_OCCUPATION_DOCTOR] = "doctor",
    [EQ_OCCUPATION_NURSE] = "nurse",         [EQ_OCCUPATION_TEACHER] = "teacher",
    [EQ_OCCUPATION_JUDGE] = "judge",         [EQ_OCCUPATION_CHEF] = "chef",
    [EQ_OCCUPATION_BUILDER] = "builder",     [EQ_OCCUPATION_FIREFIGHTER] = "firefighter",
    [EQ_OCCUPATION_EXECUTIVE] = "executive", [EQ_OCCUPATION_SCIENTIST] = "scientist",
    [EQ_OCCUPATION_FLORIST] = "florist",
};

/* Shares among an occupation's people. */
typedef struct shares {
    double female, older, glasses;
} shares;

/* Text-to-image models show occupations more one-sided than statistics of work do; these are as they show them. Skin is
 * as in the biased world, and so are the odds ratios: among a judge's colleagues, too, the women are younger. */
static const shares people[EQ_OCCUPATION_COUNT] = {
    [EQ_OCCUPATION_DOCTOR] = {0.30, 0.30, 0.25},      [EQ_OCCUPATION_NURSE] = {0.90, 0.15, 0.15},
    [EQ_OCCUPATION_TEACHER] = {0.75, 0.25, 0.30},     [EQ_OCCUPATION_JUDGE] = {0.25, 0.65, 0.40},
    [EQ_OCCUPATION_CHEF] = {0.25, 0.25, 0.12},        [EQ_OCCUPATION_BUILDER] = {0.05, 0.25, 0.12},
    [EQ_OCCUPATION_FIREFIGHTER] = {0.08, 0.15, 0.08}, [EQ_OCCUPATION_EXECUTIVE] = {0.15, 0.45, 0.25},
    [EQ_OCCUPATION_SCIENTIST] = {0.30, 0.35, 0.45},   [EQ_OCCUPATION_FLORIST] = {0.85, 0.25, 0.20},
};

eq_occupation_world eq_occupations_biased(void)
{
    eq_occupation_world world = {0};
    for (int o = EQ_OCCUPATION_NONE + 1; o < EQ_OCCUPATION_COUNT; o++) {
        const shares *p = &people[o];
        const double gender[] = {p->female, 1 - p->female}, age[] = {1 - p->older, p->older},
                     glasses[] = {1 - p->glasses, p->glasses};
        world.given[o] = eq_portrait_biased();
        eq_portrait_fit(&world.given[o], (const double *const[]){gender, NULL, age, glasses});
    }
    return world;
}

eq_occupation_world eq_occupations_balanced(void)
{
    eq_occupation_world world = {0};
    for (int o = EQ_OCCUPATION_NONE + 1; o < EQ_OCCUPATION_COUNT; o++)
        world.given[o] = eq_portrait_balanced();
    return world;
}

eq_status eq_occupations_reweight(eq_context *ctx, const char *const *options, size_t count, eq_occupation_world *world)
{
    for (int o = EQ_OCCUPATION_NONE + 1; o < EQ_OCCUPATION_COUNT; o++)
        EQ_TRY(eq_portrait_reweight(ctx, &world->given[o], options, count, &world->given[o]));
    return EQ_OK;
}

eq_portrait_labels eq_occupations_sample_labels(const eq_occupation_world *world, uint64_t seed, uint64_t index)
{
    eq_rng rng = eq_rng_make(seed, index, EQ_SYNTH_OCCUPATION);
    const int occupation = 1 + (int)eq_rng_below(&rng, EQ_OCCUPATION_COUNT - 1);
    eq_portrait_labels labels = eq_portrait_sample_labels(&world->given[occupation], seed, index);
    labels.occupation = (uint8_t)occupation;
    return labels;
}
