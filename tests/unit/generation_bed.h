/* What the tests of whole generations share: a tiny random model with two predictors, and how its images compare. */
#ifndef EQ_TESTS_UNIT_GENERATION_BED_H
#define EQ_TESTS_UNIT_GENERATION_BED_H

#include "equipoise/generate.h"
#include "guidance/adp_file.h"
#include "run/pipeline.h"
#include "temporary.h"
#include "unit/tiny.h"

static eq_context *ctx;
static void *folder;
static eq_pipeline *pipeline;
static eq_targets balanced, none;

static inline int setup(void **state)
{
    if (temporary_setup(&folder) != 0)
        return -1;
    eq_unet_config unet = tiny_unet();
    eq_attribute gender = tiny_gender(), age = tiny_age();
    eq_adp adps[2];
    char *model = eq_path_join(folder, "model"), *adp = eq_path_join(model, "adp");
    char *paths[2] = {eq_path_join(adp, "gender.safetensors"), eq_path_join(adp, "age.safetensors")};
    assert_ok(tiny_model(ctx, model, &unet, 3));
    assert_ok(tiny_adp(ctx, &gender, 10, 50, 0, eq_shape_of(8, 8, 16), 8, 1, &adps[0]));
    assert_ok(tiny_adp(ctx, &age, 10, 50, 4, eq_shape_of(8, 8, 16), 8, 2, &adps[1]));
    assert_ok(eq_make_folders(ctx, adp));
    for (int i = 0; i < 2; i++) {
        assert_ok(eq_adp_write(ctx, paths[i], &adps[i]));
        eq_adp_free(&adps[i]);
        free(paths[i]);
    }
    assert_ok(eq_pipeline_open(ctx, model, &pipeline));
    free(model);
    free(adp);
    int count;
    const eq_attribute *known = eq_pipeline_attributes(pipeline, &count);
    assert_ok(eq_targets_add(ctx, &balanced, "gender=female:0.5,male:0.5", known, count));
    return 0;
}

static inline int teardown(void **state)
{
    eq_targets_free(&balanced);
    eq_pipeline_close(pipeline);
    return temporary_teardown(&folder);
}

static inline eq_generation generate(const eq_generate_options *options, const eq_targets *targets)
{
    eq_generation out;
    assert_ok(eq_generate(pipeline, options, targets, &out));
    return out;
}

/* Largest difference of two pixels of the `count` images. */
static inline int most_apart(const eq_generation *a, int64_t first_a, const eq_generation *b, int64_t first_b,
                             int64_t count)
{
    int most = 0;
    for (int64_t i = 0; i < count * TINY_PIXELS; i++) {
        int d = abs(a->pixels[first_a * TINY_PIXELS + i] - b->pixels[first_b * TINY_PIXELS + i]);
        most = d > most ? d : most;
    }
    return most;
}

#endif
