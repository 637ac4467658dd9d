#include "synth/attire.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* Of figures that are drawn higher than those without an occupation. */
static const double bottom_y = 118;
static const eq_rgb white = {0.96, 0.97, 0.98};

static eq_rgb pick(eq_rng *rng, const eq_rgb *colours, int count)
{
    return eq_rgb_scale(colours[eq_rng_below(rng, (uint32_t)count)], eq_synth_range(rng, 0.94, 1.05));
}

static void dress(eq_rng *rng, eq_attire *a, eq_portrait_labels labels, eq_clothes *clothes)
{
    static const eq_rgb pastels[] = {{0.62, 0.76, 0.90}, {0.80, 0.72, 0.86}, {0.90, 0.84, 0.66}, {0.68, 0.84, 0.78}};
    static const eq_rgb scrubs[] = {{0.22, 0.62, 0.66}, {0.28, 0.52, 0.78}, {0.40, 0.68, 0.58}};
    static const eq_rgb knits[] = {{0.62, 0.28, 0.30}, {0.80, 0.58, 0.24}, {0.46, 0.36, 0.58}, {0.52, 0.40, 0.30}};
    static const eq_rgb darks[] = {{0.20, 0.24, 0.34}, {0.26, 0.22, 0.30}, {0.18, 0.30, 0.32}};
    static const eq_rgb checks[] = {{0.36, 0.44, 0.58}, {0.56, 0.32, 0.30}, {0.42, 0.44, 0.46}};
    static const eq_rgb suits[] = {{0.15, 0.18, 0.27}, {0.20, 0.21, 0.24}, {0.11, 0.12, 0.15}};
    static const eq_rgb ties[] = {{0.76, 0.16, 0.20}, {0.20, 0.36, 0.70}, {0.50, 0.20, 0.44}};
    static const eq_rgb aprons[] = {{0.22, 0.48, 0.32}, {0.30, 0.56, 0.36}, {0.18, 0.42, 0.36}};

    clothes->has_tie = clothes->necklace = false;
    clothes->bottom = bottom_y;
    a->colour = white;
    a->trim = eq_rgb_scale(white, 0.84);
    switch (a->occupation) {
    case EQ_OCCUPATION_DOCTOR:
        clothes->kind = EQ_CLOTH_SHIRT;
        clothes->colour = pick(rng, pastels, COUNT(pastels));
        break;
    case EQ_OCCUPATION_NURSE:
        clothes->kind = EQ_CLOTH_V_NECK;
        clothes->colour = pick(rng, scrubs, COUNT(scrubs));
        clothes->neckline = 0.8;
        break;
    case EQ_OCCUPATION_TEACHER:
        clothes->kind = EQ_CLOTH_SHIRT;
        clothes->colour = white;
        a->colour = pick(rng, knits, COUNT(knits));
        a->trim = eq_rgb_scale(a->colour, 0.76);
        break;
    case EQ_OCCUPATION_JUDGE:
        clothes->kind = EQ_CLOTH_CREW;
        clothes->colour = (eq_rgb){0.13, 0.12, 0.15};
        break;
    case EQ_OCCUPATION_CHEF:
        clothes->kind = EQ_CLOTH_CREW;
        clothes->colour = white;
        break;
    case EQ_OCCUPATION_BUILDER:
        clothes->kind = EQ_CLOTH_SHIRT;
        clothes->colour = pick(rng, checks, COUNT(checks));
        a->colour = (eq_rgb){0.98, 0.47, 0.10};
        a->trim = (eq_rgb){0.90, 0.93, 0.74};
        break;
    case EQ_OCCUPATION_FIREFIGHTER:
        clothes->kind = EQ_CLOTH_ROLL_NECK;
        clothes->colour = (eq_rgb){0.20, 0.20, 0.24};
        a->trim = (eq_rgb){0.96, 0.88, 0.22};
        break;
    case EQ_OCCUPATION_EXECUTIVE:
        clothes->kind = EQ_CLOTH_SUIT;
        clothes->colour = pick(rng, suits, COUNT(suits));
        clothes->accent = white;
        clothes->has_tie = labels.gender == EQ_GENDER_MALE;
        clothes->tie = pick(rng, ties, COUNT(ties));
        break;
    case EQ_OCCUPATION_SCIENTIST:
        clothes->kind = EQ_CLOTH_ROLL_NECK;
        clothes->colour = pick(rng, darks, COUNT(darks));
        break;
    case EQ_OCCUPATION_FLORIST:
        clothes->kind = EQ_CLOTH_SHIRT;
        clothes->colour = eq_rgb_mix(pick(rng, pastels, COUNT(pastels)), white, 0.35);
        a->colour = pick(rng, aprons, COUNT(aprons));
        a->trim = eq_rgb_scale(a->colour, 0.8);
        break;
    default: break;
    }
    if (clothes->kind != EQ_CLOTH_SUIT)
        clothes->accent = white;
}

static void take(eq_rng *rng, eq_attire *a)
{
    static const eq_rgb liquids[] = {{0.30, 0.82, 0.36}, {0.84, 0.26, 0.66}, {0.20, 0.62, 0.94}, {0.98, 0.62, 0.14}};
    static const eq_rgb books[] = {{0.78, 0.22, 0.22}, {0.20, 0.40, 0.72}, {0.86, 0.60, 0.16}};
    static const eq_rgb flowers[] = {{0.92, 0.30, 0.42}, {0.96, 0.62, 0.76}, {0.98, 0.80, 0.24}, {0.70, 0.44, 0.82}};
    const bool book = a->occupation == EQ_OCCUPATION_TEACHER, flower = a->occupation == EQ_OCCUPATION_FLORIST;
    const eq_rgb *colours = book ? books : flower ? flowers : liquids;
    const int count = book ? COUNT(books) : flower ? COUNT(flowers) : COUNT(liquids);
    a->side = eq_synth_chance(rng, 0.5) ? 1 : -1;
    a->prop = pick(rng, colours, count);
    a->prop_2 = pick(rng, colours, count);
}

eq_attire eq_attire_sample(eq_rng *rng, eq_portrait_labels labels, eq_clothes *clothes)
{
    eq_attire a = {.occupation = labels.occupation};
    dress(rng, &a, labels, clothes);
    take(rng, &a);
    for (int i = 0; i < EQ_ATTIRE_CHANCES; i++)
        a.chance[i] = eq_rng_uniform(rng);
    return a;
}
