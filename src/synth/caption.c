/* Captions in several wordings, so that a model learns bare prompts and such with attributes. */
#include <stdio.h>
#include <string.h>

#include "synth/occupations.h"
#include "synth/random.h"

/* Attributes that a caption names; NULL where it does not. */
typedef struct wording {
    const char *start;               /* "a photo of " */
    const char *age, *skin, *gender; /* adjectives */
    const char *noun;
    const char *glasses, *skin_after; /* " with glasses", ", light skin" */
} wording;

static wording wording_sample(eq_rng *rng, eq_portrait_labels labels)
{
    static const char *const starts[] = {"a portrait of ", "a photo of ", "", "a picture of "};
    static const double start_weights[] = {4, 4, 2, 1};
    static const char *const genders[] = {"female", "male"}, *const people[] = {"woman", "man"};
    static const char *const ages[] = {"young", "older"};
    static const char *const skins[] = {"light-skinned", "medium-skinned", "dark-skinned"};
    static const char *const skins_after[] = {", light skin", ", medium skin", ", dark skin"};

    wording w = {.start = starts[eq_synth_pick(rng, start_weights, 4)], .noun = eq_occupation_names[labels.occupation]};
    if (eq_synth_chance(rng, 0.12))
        w.noun = eq_occupation_names[EQ_OCCUPATION_NONE];
    const bool bare = eq_synth_chance(rng, 0.4);
    const bool gender = eq_synth_chance(rng, 0.6), age = eq_synth_chance(rng, 0.35), skin = eq_synth_chance(rng, 0.3);
    const bool glasses = eq_synth_chance(rng, 0.6), after = eq_synth_chance(rng, 0.5),
               one_word = eq_synth_chance(rng, 0.5);
    if (bare)
        return w;
    if (gender && w.noun == eq_occupation_names[EQ_OCCUPATION_NONE] && one_word)
        w.noun = people[labels.gender];
    else if (gender)
        w.gender = genders[labels.gender];
    w.age = age ? ages[labels.age] : NULL;
    w.skin = skin && !after ? skins[labels.skin] : NULL;
    w.skin_after = skin && after ? skins_after[labels.skin] : NULL;
    w.glasses = labels.glasses == EQ_GLASSES_YES && glasses ? " with glasses" : NULL;
    return w;
}

const char *eq_portrait_caption(uint64_t seed, uint64_t index, eq_portrait_labels labels,
                                char out[EQ_PORTRAIT_CAPTION_SIZE])
{
    eq_rng rng = eq_rng_make(seed, index, EQ_SYNTH_CAPTION);
    const wording w = wording_sample(&rng, labels);
    const char *const adjectives[] = {w.age, w.skin, w.gender};
    char person[EQ_PORTRAIT_CAPTION_SIZE / 2] = "";
    for (int i = 0; i < 3; i++)
        if (adjectives[i])
            snprintf(person + strlen(person), sizeof person - strlen(person), "%s ", adjectives[i]);
    snprintf(person + strlen(person), sizeof person - strlen(person), "%s", w.noun);
    snprintf(out, EQ_PORTRAIT_CAPTION_SIZE, "%s%s %s%s%s", w.start, strchr("aeiou", person[0]) ? "an" : "a", person,
             w.glasses ? w.glasses : "", w.skin_after ? w.skin_after : "");
    return out;
}
