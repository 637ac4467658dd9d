/* Whole generations with a tiny random model: samplers, methods and presets, the record of a run, refusals, and
 * calibration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <omp.h>

#include "guidance/guidance.h"
#include "unit/generation_bed.h"

/* Guidance reaches every call of every sampler; P is recorded once a step, under the timestep where the step begins. */
static void every_sampler_is_guided(void **state)
{
    static const struct {
        const char *name;
        int calls;
    } cases[] = {{"ddim", 5}, {"ddpm", 5},       {"pndm", 6}, {"euler", 5}, {"euler-ancestral", 5},
                 {"heun", 9}, {"dpmsolver++", 5}};
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        eq_generate_options options = {.count = 4, .steps = 5, .sampler = cases[k].name, .strength = 20};
        eq_generation guided = generate(&options, &balanced);
        assert_near(guided.unet_passes, 4 * cases[k].calls, 0);
        for (int s = 0; s < 5; s++) {
            const double *p = guided.mean_per_step[1] + 2 * s; /* gender's, after age's */
            assert_near(p[0] + p[1], 1, 1e-6);
            assert_true(s == 0 || guided.timesteps[s] < guided.timesteps[s - 1]);
        }
        options.method = "none";
        eq_generation unguided = generate(&options, &balanced);
        assert_true(most_apart(&guided, 0, &unguided, 0, 4) > 5);
        for (int i = 0; i < 4; i++)
            assert_true(guided.moved[i] && !unguided.moved[i]);
        eq_generation_free(&guided);
        eq_generation_free(&unguided);
    }
}

static void the_models_own_sampler(void **state)
{
    eq_schedule_config *config = &pipeline->model.schedule.config;
    eq_schedule_config kept = *config;
    eq_generate_options options = {.count = 2, .steps = 4, .sampler = "model"};
    config->scheduler = "HeunDiscreteScheduler";
    config->sampler = "heun";
    eq_generation own = generate(&options, &none);
    options.sampler = "heun";
    eq_generation named = generate(&options, &none);
    options.sampler = NULL;
    eq_generation standard = generate(&options, &none);
    *config = kept;
    options.sampler = "ddim";
    eq_generation ddim = generate(&options, &none);
    assert_near(own.unet_passes, 14, 0);
    assert_int_equal(most_apart(&own, 0, &named, 0, 2), 0);
    assert_int_equal(most_apart(&standard, 0, &ddim, 0, 2), 0);
    assert_true(most_apart(&own, 0, &ddim, 0, 2) > 5);
    eq_generation_free(&own);
    eq_generation_free(&named);
    eq_generation_free(&standard);
    eq_generation_free(&ddim);
}

/* (Whether the set moves to its target is the model's affair, and a random one's is none.) */
static void methods_move_images(void **state)
{
    static const char *const methods[] = {"distribution", "sample", "assign"};
    eq_generate_options options = {.count = 4, .steps = 5, .strength = 2, .method = "none"};
    eq_generation plain = generate(&options, &balanced);
    for (int m = 0; m < 3; m++) {
        options.method = methods[m];
        eq_generation guided = generate(&options, &balanced);
        assert_near(guided.strengths[1], 2, 0);
        for (int i = 0; i < 4; i++)
            assert_int_equal(guided.moved[i], most_apart(&guided, i, &plain, i, 1) > 0);
        assert_true(guided.moved[0] || guided.moved[1] || guided.moved[2] || guided.moved[3]);
        eq_generation_free(&guided);
    }
    eq_generation_free(&plain);
}

static void what_is_recorded(void **state)
{
    eq_generate_options options = {.count = 6, .steps = 5, .method = "assign"};
    eq_generation g = generate(&options, &balanced);
    assert_true(g.count == 6 && g.width == TINY_SIDE && g.height == TINY_SIDE && g.steps == 5 && g.coupled == 6);
    assert_int_equal(g.attribute_count, 2);
    assert_int_equal(g.target_count, 1);
    for (int s = 0; s < 5; s++)
        assert_near(g.timesteps[s], 800 - 200 * s, 0);
    for (int a = 0; a < 2; a++) {
        int count, classes = eq_pipeline_attributes(pipeline, &count)[a].classes;
        for (int k = 0; k < classes; k++) {
            double mean = 0;
            for (int i = 0; i < 6; i++)
                mean += g.predictions[a][i * classes + k] / 6;
            assert_near(g.mean_per_step[a][4 * classes + k], mean, 1e-6);
        }
    }
    int women = 0;
    for (int i = 0; i < 6; i++)
        women += g.cells[i] == 0;
    assert_int_equal(women, 3);
    assert_near(g.strengths[1], eq_method_find("assign")->default_strength, 0); /* nobody said, nobody calibrated */
    assert_true(g.seconds > 0 && g.arena_bytes > 0);
    eq_generation_free(&g);
}

static int64_t last_done, last_total;
static void watch(void *user, int64_t done, int64_t total)
{
    assert_true(done > last_done && done <= total);
    last_done = done;
    last_total = total;
    if (user && done >= 9)
        eq_cancel(user);
}

static void progress_and_cancellation(void **state)
{
    eq_generate_options options = {.count = 5, .coupled = 2, .steps = 4, .progress = watch};
    last_done = 0;
    eq_generation g = generate(&options, &balanced);
    assert_int_equal(last_done, 20);
    assert_int_equal(last_total, 20);
    eq_generation_free(&g);

    eq_context *mine = eq_context_new();
    eq_pipeline *own;
    char *model = eq_path_join(folder, "model");
    assert_int_equal(eq_pipeline_open(mine, model, &own), EQ_OK);
    last_done = 0;
    options.progress_user = mine;
    assert_int_equal(eq_generate(own, &options, &balanced, &g), EQ_CANCELLED);
    assert_int_equal(last_done, 10);
    assert_null(g.pixels);
    eq_generation_free(&g);
    eq_pipeline_close(own);
    eq_context_free(mine);
    free(model);
}

static void presets(void **state)
{
    eq_generate_options options = {.count = 3, .steps = 5, .preset = "p2", .strength = 0.01};
    eq_generation p2 = generate(&options, &balanced);
    static const int paper[] = {999, 749, 499, 249, 0};
    for (int s = 0; s < 5; s++)
        assert_near(p2.timesteps[s], paper[s], 0);
    options.preset = "sd";
    options.strength = 1e-5;
    eq_generation sd = generate(&options, &balanced);
    for (int s = 0; s < 5; s++)
        assert_near(sd.timesteps[s], 800 - 200 * s, 0);
    assert_true(most_apart(&p2, 0, &sd, 0, 3) > 1);
    options.spacing = "trailing"; /* what is set overrides the preset */
    eq_generation trailing = generate(&options, &balanced);
    assert_near(trailing.timesteps[0], 999, 0);
    assert_near(trailing.timesteps[1], 799, 0);
    eq_generation_free(&p2);
    eq_generation_free(&sd);
    eq_generation_free(&trailing);

    /* p2 leaves the first step alone: a run of which only that is guided is an unguided one. */
    options = (eq_generate_options){.count = 3, .steps = 5, .preset = "p2", .strength = 0.01, .guide_last = 2};
    eq_generation second = generate(&options, &balanced);
    options.guide_first = options.guide_last = 1;
    eq_generation first = generate(&options, &balanced);
    options = (eq_generate_options){.count = 3, .steps = 5, .preset = "p2", .method = "none"};
    eq_generation plain = generate(&options, &balanced);
    for (int k = 0; k < 2; k++) { /* P of step 2 has not seen any guidance under p2 */
        int gender = 1;
        assert_near(second.mean_per_step[gender][2 + k], plain.mean_per_step[gender][2 + k], 0);
        assert_true(first.mean_per_step[gender][2 + k] != plain.mean_per_step[gender][2 + k]);
    }
    eq_generation_free(&second);
    eq_generation_free(&first);
    eq_generation_free(&plain);
}

/* DDIM adds noise unless told otherwise. */
static void noise_of_ddim(void **state)
{
    eq_generate_options options = {.count = 2, .steps = 5};
    eq_generation usual = generate(&options, &none);
    options.eta = 1;
    eq_generation one = generate(&options, &none);
    options.deterministic = 1;
    eq_generation still = generate(&options, &none);
    options = (eq_generate_options){.count = 2, .steps = 5, .preset = "sd"}; /* eta 0 */
    eq_generation sd = generate(&options, &none);
    assert_int_equal(most_apart(&usual, 0, &one, 0, 2), 0);
    assert_true(most_apart(&usual, 0, &still, 0, 2) > 10);
    assert_int_equal(most_apart(&still, 0, &sd, 0, 2), 0);
    eq_generation_free(&usual);
    eq_generation_free(&one);
    eq_generation_free(&still);
    eq_generation_free(&sd);
}

/* Runs shorter than a quarter of the steps still get their classes. */
static void assign_in_a_short_range(void **state)
{
    eq_generate_options options = {.count = 4, .steps = 12, .method = "assign", .guide_last = 2};
    eq_generation g = generate(&options, &balanced);
    int women = 0;
    for (int i = 0; i < 4; i++)
        women += g.cells[i] == 0;
    assert_int_equal(women, 2);
    eq_generation_free(&g);
}

static void refusals(void **state)
{
    static const struct {
        eq_generate_options options;
        const char *message;
    } cases[] = {
        {{.count = 0}, "must be 1 to 10000000, not 0"},
        {{.count = -3}, "not -3"},
        {{.count = 1, .steps = -1}, "1 to 1000"},
        {{.count = 1, .steps = 1001}, "not 1001"},
        {{.count = 1, .sampler = "heun9"}, "ddim"},
        {{.count = 1, .spacing = "random"}, "trailing"},
        {{.count = 1, .method = "magic"}, "there are none, distribution, sample, assign"},
        {{.count = 1, .loss = "l3"}, "there are chi2, kl and l2"},
        {{.count = 1, .preset = "p3"}, "there are p2 and sd"},
        {{.count = 1, .strength = -1}, "strength"},
        {{.count = 1, .strength = NAN}, "strength"},
        {{.count = 1, .temperature = -2}, "temperature"},
        {{.count = 1, .eta = 1.5}, "eta"},
        {{.count = 1, .eta = -0.5}, "eta"},
        {{.count = 1, .eta = NAN}, "eta"},
        {{.count = 1, .micro_batch = -1}, "micro-batch"},
        {{.count = 1, .coupled = -1}, "coupled"},
        {{.count = 1, .first_index = -1}, "first index"},
        {{.count = 1, .steps = 10, .guide_first = 6, .guide_last = 5}, "within 1..10, not 6..5"},
        {{.count = 1, .steps = 10, .guide_last = 11}, "within 1..10, not 1..11"},
        {{.count = 1, .steps = 10, .guide_first = -1}, "within 1..10"},
    };
    eq_generation g;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_fails(eq_generate(pipeline, &cases[i].options, &balanced, &g), EQ_BAD_USAGE, cases[i].message);
        assert_null(g.pixels);
    }
    eq_generate_options options = {.count = 1, .steps = 2, .method = "sample"};
    assert_fails(eq_generate(pipeline, &options, &none, &g), EQ_BAD_USAGE, "needs a target");

    static const char *const classes[] = {"no", "yes"};
    eq_attribute hat = {"hat", 2, classes};
    eq_targets hats = {0};
    assert_ok(eq_targets_add(ctx, &hats, "hat=no:0.5,yes:0.5", &hat, 1));
    options.method = NULL;
    assert_fails(eq_generate(pipeline, &options, &hats, &g), EQ_BAD_USAGE, "no attribute predictor for \"hat\"");
    eq_targets_free(&hats);
}

/* --- calibration --- */

static void calibration(void **state)
{
    eq_generate_options options = {.count = 1, .steps = 2, .temperature = 1};
    char *path = strdup(pipeline->adp_paths[1]);
    assert_ok(eq_calibrate(pipeline, &options, &balanced));
    double found = eq_adp_factor_of(&pipeline->adps[1], "distribution");
    assert_true(found >= 0.5 && found <= 8);
    eq_adp stored;
    assert_ok(eq_adp_read(ctx, path, &stored));
    assert_near(eq_adp_factor_of(&stored, "distribution"), found, 1e-6);
    assert_near(eq_adp_factor_of(&stored, "assign"), 0, 0); /* another method's is another */
    eq_adp_free(&stored);
    assert_ok(eq_calibrate(pipeline, &options, &balanced));
    assert_near(eq_adp_factor_of(&pipeline->adps[1], "distribution"), found,
                0); /* what was stored before does not matter */
    assert_fails(eq_calibrate(pipeline, &options, &none), EQ_BAD_USAGE, "needs a target");
    options.method = "none";
    assert_fails(eq_calibrate(pipeline, &options, &balanced), EQ_BAD_USAGE, "no strength");
    assert_ok(eq_adp_set_factor(ctx, &pipeline->adps[1], "distribution", 0));
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sampler_is_guided),
        cmocka_unit_test(the_models_own_sampler),
        cmocka_unit_test(methods_move_images),
        cmocka_unit_test(what_is_recorded),
        cmocka_unit_test(progress_and_cancellation),
        cmocka_unit_test(presets),
        cmocka_unit_test(noise_of_ddim),
        cmocka_unit_test(assign_in_a_short_range),
        cmocka_unit_test(refusals),
        cmocka_unit_test(calibration),
    };
    ctx = eq_context_new();
    omp_set_num_threads(1); /* the networks are tiny: threads would mostly wait for each other */
    int failed = cmocka_run_group_tests(tests, setup, teardown);
    eq_context_free(ctx);
    return failed;
}
