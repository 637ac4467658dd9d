/* What the tests of guidance share: random predictors of a small h, and runs that they guide. */
#ifndef EQ_TESTS_UNIT_GUIDANCE_BED_H
#define EQ_TESTS_UNIT_GUIDANCE_BED_H

#include "guidance/guidance.h"
#include "unit/tiny.h"

static eq_context *ctx;
static eq_adp gender, age, glasses;

enum { IMAGES = 6, H = 12 };

static inline int make_predictors(void **state)
{
    static const char *const classes[] = {"no", "yes"};
    eq_attribute g = tiny_gender(), a = tiny_age(), s = {"glasses", 2, classes};
    eq_shape shape = eq_shape_of(2, 2, 3);
    if (tiny_adp(ctx, &g, 3, 0, 0, shape, 10, 1, &gender) != EQ_OK ||
        tiny_adp(ctx, &a, 3, 0, 5, shape, 10, 2, &age) != EQ_OK ||
        tiny_adp(ctx, &s, 3, 0, 0, shape, 10, 3, &glasses) != EQ_OK)
        return -1;
    return 0;
}

static inline int free_predictors(void **state)
{
    eq_adp_free(&gender);
    eq_adp_free(&age);
    eq_adp_free(&glasses);
    return 0;
}

/* Adds targets, separated by blanks, over the attributes of the three predictors. */
static inline eq_targets parse(const char *texts)
{
    const eq_attribute known[3] = {gender.attribute, age.attribute, glasses.attribute};
    eq_targets targets = {0};
    char *copy = strdup(texts), *rest = copy, *text;
    while ((text = strsep(&rest, " ")))
        assert_ok(eq_targets_add(ctx, &targets, text, known, 3));
    free(copy);
    return targets;
}

static inline eq_guidance *start(const eq_guidance_options *options, const eq_targets *targets, int64_t n)
{
    const eq_adp *adps[3] = {&gender, &age, &glasses};
    eq_guidance *run;
    assert_ok(eq_guidance_new(ctx, options, adps, 3, targets, n, 10, &run));
    return run;
}

#endif
