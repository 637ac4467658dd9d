/* Guidance methods: the gradient of distribution guidance against finite differences of the loss of the mean
 * prediction, the dealing of classes, assignment, and step sizes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "guidance/guidance.h"
#include "unit/tiny.h"

static eq_context *ctx;
static eq_adp gender, age, glasses;

enum { IMAGES = 6, H = 12 };

static int make_predictors(void **state)
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

static int free_predictors(void **state)
{
    eq_adp_free(&gender);
    eq_adp_free(&age);
    eq_adp_free(&glasses);
    return 0;
}

/* Adds targets, separated by blanks, over the attributes of the three predictors. */
static eq_targets parse(const char *texts)
{
    const eq_attribute known[3] = {gender.attribute, age.attribute, glasses.attribute};
    eq_targets targets = {0};
    char *copy = strdup(texts), *rest = copy, *text;
    while ((text = strsep(&rest, " ")))
        assert_ok(eq_targets_add(ctx, &targets, text, known, 3));
    free(copy);
    return targets;
}

static eq_guidance *start(const eq_guidance_options *options, const eq_targets *targets, int64_t n)
{
    const eq_adp *adps[3] = {&gender, &age, &glasses};
    eq_guidance *run;
    assert_ok(eq_guidance_new(ctx, options, adps, 3, targets, n, 10, &run));
    return run;
}

static const eq_adp *adp_named(const char *name)
{
    return strcmp(name, "gender") == 0 ? &gender : strcmp(name, "age") == 0 ? &age : &glasses;
}

/* --- distribution --- */

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

/* --- sample --- */

static void sample_deals_the_quota(void **state)
{
    eq_targets targets = parse("gender=female:0.3,male:0.7 age=young:0.2,middle:0.3,old:0.5");
    eq_guidance_options options = {
        .method = &eq_method_sample, .loss = eq_loss_find("chi2"), .last_step = 9, .seed = 7};
    int first[2 * 11];
    for (int round = 0; round < 3; round++) {
        options.seed = round == 2 ? 8 : 7;
        eq_guidance *run = start(&options, &targets, 11);
        float *h = tiny_normals((uint64_t)round, 11 * H);
        assert_ok(eq_guidance_apply(run, round, 0, 0.01, h));
        int quota[3], count[3] = {0};
        for (int t = 0; t < 2; t++) {
            memset(count, 0, sizeof count);
            eq_target_quota(&targets.items[t], 11, quota);
            for (int i = 0; i < 11; i++)
                count[run->cell[t * 11 + i]]++;
            assert_memory_equal(count, quota, (size_t)targets.items[t].cells * sizeof *quota);
        }
        if (round == 0)
            memcpy(first, run->cell, sizeof first);
        else if (round == 1) /* other images, another step: the seed decides */
            assert_memory_equal(first, run->cell, sizeof first);
        else
            assert_memory_not_equal(first, run->cell, sizeof first);
        int before[2 * 11];
        memcpy(before, run->cell, sizeof before);
        assert_ok(eq_guidance_apply(run, 9, 0, 0.01, h));
        assert_memory_equal(before, run->cell, sizeof before);
        free(h);
        eq_guidance_free(run);
    }
    eq_targets_free(&targets);
}

/* Every image comes closer to the class dealt to it. */
static void sample_pulls_to_the_class(void **state)
{
    eq_targets targets = parse("gender=female:0.5,male:0.5");
    eq_guidance_options options = {
        .method = &eq_method_sample, .loss = eq_loss_find("chi2"), .last_step = 9, .strength = 0.3};
    eq_guidance *run = start(&options, &targets, 10);
    float *h = tiny_normals(5, 10 * H), before[20];
    assert_ok(eq_guidance_apply(run, 0, 0, 0.01, h));
    memcpy(before, run->p[0], sizeof before);
    assert_ok(eq_guidance_apply(run, 1, 0, 0.01, h));
    for (int i = 0; i < 10; i++)
        assert_true(run->p[0][2 * i + run->cell[i]] > before[2 * i + run->cell[i]]);
    free(h);
    eq_guidance_free(run);
    eq_targets_free(&targets);
}

/* --- assign --- */

static void assign_fills_the_quota(void **state)
{
    eq_targets targets = parse("gender*age=female/young:0.1,female/middle:0.1,female/old:0.3,male/young:0.2,"
                               "male/middle:0.2,male/old:0.1 glasses=no:0.25,yes:0.75");
    eq_guidance_options options = {
        .method = &eq_method_assign, .loss = eq_loss_find("chi2"), .last_step = 2, .assign_step = 2};
    eq_guidance *run = start(&options, &targets, 23);
    float *h = tiny_normals(6, 23 * H), *before = tiny_normals(6, 23 * H);
    assert_ok(eq_guidance_apply(run, 1, 0, 0.01, h));
    assert_memory_equal(h, before, 23 * H * sizeof *h); /* too early */
    assert_int_equal(run->cell[0], -1);
    assert_ok(eq_guidance_apply(run, 2, 0, 0.01, h));
    for (int t = 0; t < 2; t++) {
        int quota[6], count[6] = {0};
        eq_target_quota(&targets.items[t], 23, quota);
        for (int i = 0; i < 23; i++)
            count[run->cell[t * 23 + i]]++;
        assert_memory_equal(count, quota, (size_t)targets.items[t].cells * sizeof *quota);
    }
    free(h);
    free(before);
    eq_guidance_free(run);
    eq_targets_free(&targets);
}

/* h whose log-odds of "female" at temperature 1 is `odds`. */
static void set_log_odds(float *h, double odds)
{
    double square = 0, offset = gender.bias[0] - (double)gender.bias[1];
    for (int j = 0; j < H; j++)
        square += pow((double)gender.weight[j] - gender.weight[H + j], 2);
    for (int j = 0; j < H; j++)
        h[j] = (float)((odds - offset) / square * ((double)gender.weight[j] - gender.weight[H + j]));
}

/* Eight women and two men: men are short by three of ten, so that at first eight images are drawn to be men, six when a
 * quarter of the run is left, and five in the end. */
static void assign_keeps_reserves(void **state)
{
    enum { N = 10, LAST = 8 };
    static const struct {
        int step, men;
    } cases[] = {{0, 8}, {6, 6}, {LAST, 5}}; /* 0.5 + left * (0.5 - 0.2) of ten, by the largest remainder */
    eq_targets targets = parse("gender=female:0.5,male:0.5");
    eq_guidance_options options = {
        .method = &eq_method_assign, .loss = eq_loss_find("chi2"), .temperature = 1, .last_step = LAST};
    for (int c = 0; c < 3; c++) {
        eq_guidance *run = start(&options, &targets, N);
        float h[N * H];
        int men = 0;
        for (int i = 0; i < N; i++)
            set_log_odds(h + i * H, i < 8 ? 20 : -20);
        assert_ok(eq_guidance_apply(run, cases[c].step, 0, 0.01, h));
        for (int i = 0; i < N; i++)
            men += run->cell[i] == 1;
        assert_int_equal(men, cases[c].men);
        eq_guidance_free(run);
    }
    eq_targets_free(&targets);
}

/* Along directions, an image moves by at most 4.5 distances between the classes, however strong the guidance, and by as
 * much less as its head knows less: a head that is right three times of four is halfway between guessing and knowing.
 */
static void moves_have_a_limit(void **state)
{
    enum { HEADS = 3, WOMAN = 20 };
    float direction[HEADS * 2 * H], accuracy[HEADS] = {0.75f, 1, 1};
    double distance = 0;
    for (int j = 0; j < HEADS * 2 * H; j++)
        direction[j] = (j / H % 2 ? -0.5f : 0.5f) * (float)(1 + j % H);
    for (int j = 0; j < H; j++)
        distance += pow(1 + j, 2);
    eq_targets targets = parse("gender=female:0,male:1");
    eq_guidance_options options = {
        .method = &eq_method_assign, .loss = eq_loss_find("chi2"), .temperature = 1, .strength = 1000};
    gender.direction = direction;
    gender.accuracy = accuracy;
    for (int head = 0; head < 2; head++) {
        eq_guidance *run = start(&options, &targets, 1);
        float h[H], before[H];
        double moved = 0;
        set_log_odds(h, WOMAN);
        memcpy(before, h, sizeof h);
        assert_ok(eq_guidance_apply(run, 0, (double)gender.timesteps[head], 0.01, h));
        for (int j = 0; j < H; j++)
            moved += pow((double)h[j] - before[j], 2);
        assert_near(sqrt(moved), (head == 0 ? 0.5 : 1) * 4.5 * sqrt(distance), 1e-4 * sqrt(distance));
        eq_guidance_free(run);
    }
    gender.direction = gender.accuracy = NULL;
    eq_targets_free(&targets);
}

static void assign_leaves_settled_images(void **state)
{
    static const double odds[4] = {5, 4, 0.5, 0.2}; /* two sure women, and two whom little keeps from being men */
    eq_targets targets = parse("gender=female:0.5,male:0.5");
    eq_guidance_options options = {
        .method = &eq_method_assign, .loss = eq_loss_find("chi2"), .temperature = 1, .strength = 0.1};
    eq_guidance *run = start(&options, &targets, 4);
    float h[4 * H], before[4 * H];
    for (int i = 0; i < 4; i++)
        set_log_odds(h + i * H, odds[i]);
    memcpy(before, h, sizeof h);
    assert_ok(eq_guidance_apply(run, 0, 0, 0.01, h));
    assert_int_equal(run->cell[0], 0);
    assert_int_equal(run->cell[1], 0);
    assert_int_equal(run->cell[2], 1);
    assert_int_equal(run->cell[3], 1);
    assert_memory_equal(h, before, 2 * H * sizeof *h);
    assert_memory_not_equal(h + 2 * H, before + 2 * H, H * sizeof *h);
    assert_memory_not_equal(h + 3 * H, before + 3 * H, H * sizeof *h);
    assert_true(!run->moved[0] && !run->moved[1] && run->moved[2] && run->moved[3]);
    eq_guidance_free(run);
    eq_targets_free(&targets);
}

/* A small change of mind between two steps does not exchange classes, a large one does. */
static void assign_is_stable(void **state)
{
    eq_targets targets = parse("gender=female:0.5,male:0.5");
    eq_guidance_options options = {
        .method = &eq_method_assign, .loss = eq_loss_find("chi2"), .temperature = 1, .last_step = 9, .strength = 1e-6};
    eq_guidance *run = start(&options, &targets, 2);
    float h[2 * H];
    set_log_odds(h, 0.2);
    set_log_odds(h + H, 0.1);
    assert_ok(eq_guidance_apply(run, 0, 0, 0.01, h));
    assert_true(run->cell[0] == 0 && run->cell[1] == 1);
    set_log_odds(h, 0.1);
    set_log_odds(h + H, 0.2);
    assert_ok(eq_guidance_apply(run, 1, 0, 0.01, h));
    assert_true(run->cell[0] == 0 && run->cell[1] == 1);
    set_log_odds(h, -2);
    set_log_odds(h + H, 2);
    assert_ok(eq_guidance_apply(run, 2, 0, 0.01, h));
    assert_true(run->cell[0] == 1 && run->cell[1] == 0);
    eq_guidance_free(run);
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

/* --- latent-edit --- */

/* Every image's h moves by the strength times the direction of its class, joint targets by those of both classes. */
static void latent_edit_adds_the_direction(void **state)
{
    eq_targets targets = parse("gender*glasses=female/no:0.1,female/yes:0.4,male/no:0.3,male/yes:0.2");
    eq_guidance_options options = {
        .method = &eq_method_latent_edit, .loss = eq_loss_find("chi2"), .last_step = 9, .strength = 0.7, .seed = 3};
    eq_guidance *run = NULL;
    const eq_adp *adps[3] = {&gender, &age, &glasses};
    assert_fails(eq_guidance_new(ctx, &options, adps, 3, &targets, 10, 10, &run), EQ_BAD_USAGE, "no class directions");
    gender.direction = tiny_normals(21, 3 * 2 * H);
    glasses.direction = tiny_normals(22, 3 * 2 * H);
    run = start(&options, &targets, 10);
    float *h = tiny_normals(6, 10 * H), *before = tiny_normals(6, 10 * H);
    int quota[4], count[4] = {0};
    for (int step = 0; step < 2; step++) {
        memcpy(before, h, 10 * H * sizeof *h);
        assert_ok(eq_guidance_apply(run, step, 100, 0.01, h)); /* the second head */
        for (int i = 0; i < 10; i++)
            for (int j = 0; j < H; j++) {
                float move = gender.direction[(2 + run->cell[i] / 2) * H + j] +
                             glasses.direction[(2 + run->cell[i] % 2) * H + j];
                assert_near(h[i * H + j], before[i * H + j] + 0.7 * move, 1e-5);
            }
    }
    eq_target_quota(&targets.items[0], 10, quota);
    for (int i = 0; i < 10; i++)
        count[run->cell[i]]++;
    assert_memory_equal(count, quota, sizeof quota);
    free(gender.direction);
    free(glasses.direction);
    gender.direction = glasses.direction = NULL;
    free(h);
    free(before);
    eq_guidance_free(run);
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
        cmocka_unit_test(sample_deals_the_quota),
        cmocka_unit_test(sample_pulls_to_the_class),
        cmocka_unit_test(assign_fills_the_quota),
        cmocka_unit_test(assign_keeps_reserves),
        cmocka_unit_test(moves_have_a_limit),
        cmocka_unit_test(assign_leaves_settled_images),
        cmocka_unit_test(assign_is_stable),
        cmocka_unit_test(published_step_sizes),
        cmocka_unit_test(calibrated_strength),
        cmocka_unit_test(latent_edit_adds_the_direction),
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
