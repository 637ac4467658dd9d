/* Guidance: the gradient of distribution guidance against finite differences of the loss of the mean prediction, step
 * sizes, and what runs of every method record and refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/guidance_bed.h"

/* --- distribution --- */

static const eq_adp *adp_named(const char *name)
{
    return strcmp(name, "gender") == 0 ? &gender : strcmp(name, "age") == 0 ? &age : &glasses;
}

/* The sum over targets of D(mean over images of the product of the attributes' probabilities, target), for h [n, H]. */
static double total_loss(const eq_loss *loss, const eq_targets *targets, double tau, const float *h, int64_t n)
{
    double total = 0;
    for (int t = 0; t < targets->count; t++) {
        const eq_target *target = &targets->items[t];
        double mean[64] = {0};
        for (int64_t i = 0; i < n; i++) {
            float p[EQ_TARGET_ATTRIBUTES][8], work[64];
            for (int a = 0; a < target->attribute_count; a++)
                eq_adp_predict(adp_named(target->attributes[a].name), 1, tau, h + i * H, 1, p[a], work);
            for (int c = 0; c < target->cells; c++) {
                double product = 1;
                for (int a = 0; a < target->attribute_count; a++)
                    product *= p[a][eq_target_cell_class(target, c, a)];
                mean[c] += product / (double)n;
            }
        }
        total += loss->evaluate(mean, target->p, target->cells, NULL);
    }
    return total;
}

/* Under the SD rule h must move by -300000 strength dL/dh. */
static void check_gradient(const char *loss_name, const char *texts)
{
    const double strength = 1e-6, tau = 2, factor = strength * 500 * 600;
    eq_targets targets = parse(texts);
    const eq_loss *loss = eq_loss_find(loss_name);
    eq_guidance_options options = {.method = &eq_method_distribution,
                                   .loss = loss,
                                   .rule = EQ_STRENGTH_SD,
                                   .strength = strength,
                                   .temperature = tau,
                                   .last_step = 9};
    eq_guidance *run = start(&options, &targets, IMAGES);
    float *h = tiny_normals(9, IMAGES * H), *moved = tiny_normals(9, IMAGES * H);
    assert_ok(eq_guidance_apply(run, 0, 100, 0.01, moved));
    double error = 0, size = 0;
    for (int i = 0; i < IMAGES * H; i++) {
        const float epsilon = 0x1p-6f;
        float at = h[i];
        h[i] = at + epsilon;
        double above = total_loss(loss, &targets, tau, h, IMAGES);
        h[i] = at - epsilon;
        double below = total_loss(loss, &targets, tau, h, IMAGES);
        h[i] = at;
        double expected = -factor * (above - below) / (2 * epsilon), found = (double)moved[i] - h[i];
        error += (found - expected) * (found - expected);
        size += expected * expected;
    }
    assert_true(size > 0);
    if (!(sqrt(error / size) < 2e-3))
        fail_msg("%s, %s: relative error of the gradient %g", loss_name, texts, sqrt(error / size));
    for (int i = 0; i < IMAGES; i++) {
        assert_true(run->moved[i]);
        for (int t = 0; t < targets.count; t++)
            assert_int_equal(run->cell[t * IMAGES + i], -1);
    }
    free(h);
    free(moved);
    eq_guidance_free(run);
    eq_targets_free(&targets);
}

static void distribution_gradients(void **state)
{
    static const char *const losses[] = {"chi2", "kl", "l2"};
    for (int i = 0; i < 3; i++) {
        check_gradient(losses[i], "gender=female:0.9,male:0.1");
        check_gradient(losses[i], "age=young:0.2,middle:0.3,old:0.5");
        check_gradient(losses[i], "gender=female:0.9,male:0.1 age=young:0.2,middle:0.3,old:0.5");
        check_gradient(losses[i], "gender*glasses=female/no:0.1,female/yes:0.4,male/no:0.3,male/yes:0.2");
        check_gradient(losses[i],
                       "age*gender=young/female:0.3,young/male:0.1,middle/female:0.1,middle/male:0.2,old/female:0.05,"
                       "old/male:0.25 glasses=no:0.3,yes:0.7");
    }
}

/* Over many steps the mean prediction reaches the target. */
static void distribution_reaches_its_target(void **state)
{
    eq_targets targets = parse("gender=female:0.8,male:0.2");
    eq_guidance_options options = {
        .method = &eq_method_distribution, .loss = eq_loss_find("chi2"), .last_step = 9, .strength = 1};
    eq_guidance *run = start(&options, &targets, 20);
    float *h = tiny_normals(3, 20 * H);
    double first = 0, last = 0;
    for (int k = 0; k < 200; k++) {
        assert_ok(eq_guidance_apply(run, k % 10, 0, 0.01, h));
        last = run->cell_mean[0][(k % 10) * 2];
        first = k == 0 ? last : first;
    }
    assert_true(fabs(first - 0.8) > 0.2);
    assert_near(last, 0.8, 0.01);
    free(h);
    eq_guidance_free(run);
    eq_targets_free(&targets);
}

/* A batch of copies of itself is the same problem: with the normalised rule every image moves as before. */
static void strength_does_not_depend_on_the_batch(void **state)
{
    eq_targets targets = parse("gender=female:0.8,male:0.2");
    eq_guidance_options options = {
        .method = &eq_method_distribution, .loss = eq_loss_find("chi2"), .strength = 1.5, .last_step = 9};
    eq_guidance *small = start(&options, &targets, 3), *large = start(&options, &targets, 9);
    float *h = tiny_normals(4, 3 * H), copies[9 * H];
    for (int i = 0; i < 9; i++)
        memcpy(copies + i * H, h + i % 3 * H, H * sizeof *h);
    assert_ok(eq_guidance_apply(small, 0, 0, 0.01, h));
    assert_ok(eq_guidance_apply(large, 0, 0, 0.01, copies));
    for (int i = 0; i < 9; i++)
        assert_true(tiny_relative_error(copies + i * H, h + i % 3 * H, H) < 1e-6);
    free(h);
    eq_guidance_free(small);
    eq_guidance_free(large);
    eq_targets_free(&targets);
}

/* --- step sizes --- */

/* |change of h| of one step. */
static double distance_moved(const eq_guidance_options *options, const eq_targets *targets, double beta)
{
    eq_guidance *run = start(options, targets, IMAGES);
    float *h = tiny_normals(8, IMAGES * H), *before = tiny_normals(8, IMAGES * H);
    assert_ok(eq_guidance_apply(run, 0, 100, beta, h));
    double square = 0;
    for (int i = 0; i < IMAGES * H; i++)
        square += ((double)h[i] - before[i]) * ((double)h[i] - before[i]);
    free(h);
    free(before);
    eq_guidance_free(run);
    return sqrt(square);
}

static void published_step_sizes(void **state)
{
    eq_targets targets = parse("gender=female:0.8,male:0.2");
    eq_guidance_options options = {
        .method = &eq_method_distribution, .loss = eq_loss_find("l2"), .last_step = 9, .strength = 1e-3};
    options.rule = EQ_STRENGTH_SD;
    double unit = distance_moved(&options, &targets, 0.01) / (1e-3 * 500 * 600);
    options.rule = EQ_STRENGTH_P2;
    static const double betas[] = {1e-4, 0.005, 0.02};
    for (int i = 0; i < 3; i++) {
        double expected = 1e-3 * 300 * 1.5 * pow(betas[i], 0.05);
        assert_near(distance_moved(&options, &targets, betas[i]) / unit, expected, 1e-3 * expected);
    }
    options.rule = EQ_STRENGTH_NORMALISED;
    double expected = 1e-3 * 8 * IMAGES / eq_adp_gain(&gender, 1, 0); /* heads without directions */
    assert_near(distance_moved(&options, &targets, 0.01) / unit, expected, 1e-3 * expected);
    eq_targets_free(&targets);
}

/* The factor that calibration found belongs to our scale: the published rules know nothing of it. */
static void calibrated_strength(void **state)
{
    eq_targets targets = parse("gender=female:0.8,male:0.2");
    eq_guidance_options options = {.method = &eq_method_distribution, .loss = eq_loss_find("l2"), .last_step = 9};
    options.strength = eq_method_distribution.default_strength;
    double named = distance_moved(&options, &targets, 0.01), plain = named / eq_method_distribution.default_strength;
    options.strength = 0;
    assert_near(distance_moved(&options, &targets, 0.01), named, 1e-6 * named);
    options.rule = EQ_STRENGTH_P2;
    double published = distance_moved(&options, &targets, 0.01);
    gender.strength = 3;
    assert_near(distance_moved(&options, &targets, 0.01), published, 1e-6 * published);
    options.rule = EQ_STRENGTH_NORMALISED;
    assert_near(distance_moved(&options, &targets, 0.01), 3 * named, 1e-3 * named);
    options.strength = 2;
    assert_near(distance_moved(&options, &targets, 0.01), 6 * plain, 1e-3 * plain);
    options.strength = 0;
    assert_ok(eq_adp_set_factor(ctx, &gender, "assign", 5));
    assert_near(distance_moved(&options, &targets, 0.01), 3 * named, 1e-3 * named);
    assert_ok(eq_adp_set_factor(ctx, &gender, "distribution", 0.5)); /* goes before the one of all methods */
    assert_near(distance_moved(&options, &targets, 0.01), 0.5 * named, 1e-3 * named);
    assert_ok(eq_adp_set_factor(ctx, &gender, "distribution", 0));
    assert_ok(eq_adp_set_factor(ctx, &gender, "assign", 0));
    gender.strength = 0;
    eq_targets_free(&targets);
}

/* --- the run --- */

static void only_the_guided_steps_move(void **state)
{
    eq_targets targets = parse("gender=female:0.8,male:0.2");
    eq_guidance_options options = {.method = &eq_method_distribution,
                                   .loss = eq_loss_find("chi2"),
                                   .first_step = 3,
                                   .last_step = 5,
                                   .strength = 1};
    eq_guidance *run = start(&options, &targets, IMAGES);
    float *h = tiny_normals(8, IMAGES * H), before[IMAGES * H];
    for (int step = 0; step < 10; step++) {
        memcpy(before, h, sizeof before);
        assert_true(eq_guidance_active(run, step));
        assert_ok(eq_guidance_apply(run, step, 0, 0.01, h));
        assert_int_equal(memcmp(before, h, sizeof before) != 0, step >= 3 && step <= 5);
        double sum = run->cell_mean[0][2 * step] + run->cell_mean[0][2 * step + 1];
        assert_near(sum, 1, 1e-6); /* P is recorded at every step */
    }
    free(h);
    eq_guidance_free(run);
    eq_targets_free(&targets);
}

static void none_records_and_leaves_alone(void **state)
{
    eq_targets targets = parse("age=young:0.2,middle:0.3,old:0.5");
    eq_guidance_options options = {.method = &eq_method_none, .loss = eq_loss_find("chi2"), .last_step = 9};
    const eq_adp *adps[] = {&gender}; /* no predictor for age is needed */
    eq_guidance *run;
    assert_ok(eq_guidance_new(ctx, &options, adps, 1, &targets, IMAGES, 10, &run));
    float *h = tiny_normals(8, IMAGES * H), *before = tiny_normals(8, IMAGES * H);
    assert_ok(eq_guidance_apply(run, 4, 0, 0.01, h));
    assert_memory_equal(h, before, IMAGES * H * sizeof *h);
    assert_near(run->cell_mean[0][8] + run->cell_mean[0][9], 1, 1e-6);
    free(h);
    free(before);
    eq_guidance_free(run);
    eq_targets_free(&targets);
}

static void faults(void **state)
{
    eq_targets targets = parse("age=young:0.2,middle:0.3,old:0.5");
    eq_guidance_options options = {.method = &eq_method_distribution, .loss = eq_loss_find("chi2"), .last_step = 9};
    const eq_adp *adps[9] = {&gender, &glasses};
    eq_guidance *run;
    assert_fails(eq_guidance_new(ctx, &options, adps, 2, &targets, 4, 10, &run), EQ_BAD_USAGE,
                 "no attribute predictor for \"age\"");
    assert_null(run);
    assert_fails(eq_guidance_new(ctx, &options, adps, 9, &targets, 4, 10, &run), EQ_BAD_USAGE, "at most 8");
    eq_targets_free(&targets);

    /* The same classes in another order, or others: the probabilities would be those of somebody else. */
    static const char *const turned[] = {"male", "female"};
    static const char *const more[] = {"female", "male", "other"};
    eq_attribute other = {"gender", 2, turned};
    assert_ok(eq_targets_add(ctx, &targets, "gender=male:0.8,female:0.2", &other, 1));
    assert_fails(eq_guidance_new(ctx, &options, adps, 2, &targets, 4, 10, &run), EQ_BAD_USAGE,
                 "\"female\" to its predictor, \"male\" to the target");
    eq_targets_free(&targets);
    other = (eq_attribute){"gender", 3, more};
    assert_ok(eq_targets_add(ctx, &targets, "gender=male:0.8,female:0.2", &other, 1));
    assert_fails(eq_guidance_new(ctx, &options, adps, 2, &targets, 4, 10, &run), EQ_BAD_USAGE,
                 "knows 2 classes, the target 3");
    eq_targets_free(&targets);
}

static void method_table(void **state)
{
    static const char *const names[] = {"none",        "distribution", "sample",   "assign",
                                        "latent-edit", "universal",    "rejection"};
    for (int i = 0; i < 7; i++) {
        assert_non_null(eq_method_find(names[i]));
        assert_string_equal(eq_method_find(names[i])->name, names[i]);
    }
    assert_null(eq_method_find("distributio"));
    assert_null(eq_method_at(-1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distribution_gradients),
        cmocka_unit_test(distribution_reaches_its_target),
        cmocka_unit_test(strength_does_not_depend_on_the_batch),
        cmocka_unit_test(published_step_sizes),
        cmocka_unit_test(calibrated_strength),
        cmocka_unit_test(only_the_guided_steps_move),
        cmocka_unit_test(none_records_and_leaves_alone),
        cmocka_unit_test(faults),
        cmocka_unit_test(method_table),
    };
    ctx = eq_context_new();
    int failed = cmocka_run_group_tests(tests, make_predictors, free_predictors);
    eq_context_free(ctx);
    return failed;
}
