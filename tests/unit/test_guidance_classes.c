/* Guidance that gives every image a class of its own: the dealing of quotas, assignment and what it leaves alone, and
 * how far images are moved towards their class. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/guidance_bed.h"

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

/* Men are short by two of ten, so that seven images are drawn to be men until the last quarter, six when half of that
 * is left, and five in the end. Two images that are men by four to one are in doubt and count half: five women and
 * three men beside them make six to be drawn, where the mean of the predictions would ask for five. */
static void assign_keeps_reserves(void **state)
{
    enum { N = 10, LAST = 8 };
    static const struct {
        int step, women, doubtful, drawn; /* the others are men */
    } cases[] = {{0, 7, 0, 7}, {6, 7, 0, 7}, {7, 7, 0, 6}, {LAST, 7, 0, 5}, {0, 5, 2, 6}};
    eq_targets targets = parse("gender=female:0.5,male:0.5");
    eq_guidance_options options = {
        .method = &eq_method_assign, .loss = eq_loss_find("chi2"), .temperature = 1, .last_step = LAST};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        eq_guidance *run = start(&options, &targets, N);
        float h[N * H];
        int men = 0;
        for (int i = 0; i < N; i++)
            set_log_odds(h + i * H, i < cases[c].women ? 20 : i < cases[c].women + cases[c].doubtful ? -log(4) : -20);
        assert_ok(eq_guidance_apply(run, cases[c].step, 0, 0.01, h));
        for (int i = 0; i < N; i++)
            men += run->cell[i] == 1;
        assert_int_equal(men, cases[c].drawn);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sample_deals_the_quota), cmocka_unit_test(sample_pulls_to_the_class),
        cmocka_unit_test(assign_fills_the_quota), cmocka_unit_test(assign_keeps_reserves),
        cmocka_unit_test(moves_have_a_limit),     cmocka_unit_test(assign_leaves_settled_images),
        cmocka_unit_test(assign_is_stable),       cmocka_unit_test(latent_edit_adds_the_direction),
    };
    ctx = eq_context_new();
    int failed = cmocka_run_group_tests(tests, make_predictors, free_predictors);
    eq_context_free(ctx);
    return failed;
}
