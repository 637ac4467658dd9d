/* What the images of a generation do not depend on: how the work is cut, threads, other images, kept networks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <omp.h>

#include "unit/generation_bed.h"

static void micro_batches_do_not_matter(void **state)
{
    static const char *const methods[] = {"distribution", "sample", "assign"};
    for (int m = 0; m < 3; m++) {
        eq_generate_options options = {.count = 10, .steps = 5, .method = methods[m], .strength = 2};
        options.micro_batch = 4;
        eq_generation small = generate(&options, &balanced);
        options.micro_batch = 64;
        eq_generation large = generate(&options, &balanced);
        options.micro_batch = 4;
        eq_generation again;
        options.memory_bytes = 1;
        assert_fails(eq_generate(pipeline, &options, &balanced, &again), EQ_BAD_USAGE, "too few");
        options.memory_bytes = small.process_bytes + small.held_bytes;
        while (eq_generate(pipeline, &options, &balanced, &again) != EQ_OK) /* encoded again instead of kept */
            options.memory_bytes += 20000;
        assert_int_equal(again.carry_bytes, 0);
        assert_true(again.process_bytes + again.arena_bytes + again.weight_bytes + again.held_bytes <=
                    options.memory_bytes);
        options.memory_bytes = 0;
        assert_true(most_apart(&small, 0, &large, 0, 10) <= 1);
        assert_int_equal(most_apart(&small, 0, &again, 0, 10), 0);
        assert_true(again.unet_passes > small.unet_passes);
        assert_near(small.unet_passes, 50, 0);
        eq_generation_free(&small);
        eq_generation_free(&large);
        eq_generation_free(&again);
    }
}

static void threads_do_not_matter(void **state)
{
    int threads = omp_get_max_threads();
    eq_generate_options options = {.count = 6, .steps = 6, .eta = 1, .strength = 2};
    omp_set_num_threads(1);
    eq_generation one = generate(&options, &balanced);
    omp_set_num_threads(3);
    eq_generation three = generate(&options, &balanced);
    omp_set_num_threads(threads);
    assert_true(most_apart(&one, 0, &three, 0, 6) <= 1);
    eq_generation_free(&one);
    eq_generation_free(&three);
}

/* Without guidance, an image is the same whatever it is made with. */
static void unguided_images_stand_alone(void **state)
{
    eq_generate_options options = {.count = 5, .steps = 6, .eta = 0.5, .seed = 3};
    eq_generation all = generate(&options, &none);
    options.count = 2;
    options.first_index = 2;
    eq_generation some = generate(&options, &none);
    assert_true(most_apart(&all, 2, &some, 0, 2) <= 1);
    assert_true(most_apart(&all, 0, &some, 0, 2) > 50);
    for (int i = 0; i < 5; i++)
        assert_false(all.moved[i]);
    options.seed = 4;
    eq_generation other = generate(&options, &none);
    assert_true(most_apart(&other, 0, &some, 0, 2) > 50);
    eq_generation_free(&all);
    eq_generation_free(&some);
    eq_generation_free(&other);
}

/* Method none with targets, as the baseline has it, makes the same images. */
static void method_none_ignores_targets(void **state)
{
    eq_generate_options options = {.count = 3, .steps = 5};
    eq_generation plain = generate(&options, &none);
    options.method = "none";
    eq_generation with = generate(&options, &balanced);
    assert_int_equal(most_apart(&plain, 0, &with, 0, 3), 0);
    assert_near(with.strengths[1], 0, 0);
    eq_generation_free(&plain);
    eq_generation_free(&with);
}

static void coupled_groups_are_runs_of_their_own(void **state)
{
    eq_generate_options options = {.count = 7, .steps = 5, .coupled = 3, .strength = 2};
    eq_generation whole = generate(&options, &balanced);
    assert_int_equal(whole.coupled, 3);
    static const int64_t firsts[] = {0, 3, 6}, counts[] = {3, 3, 1};
    for (int g = 0; g < 3; g++) {
        options = (eq_generate_options){.count = counts[g], .first_index = firsts[g], .steps = 5, .strength = 2};
        eq_generation group = generate(&options, &balanced);
        assert_int_equal(most_apart(&whole, firsts[g], &group, 0, counts[g]), 0);
        int gender = 1; /* after age, by file name */
        assert_memory_equal(whole.predictions[gender] + 2 * firsts[g], group.predictions[gender],
                            (size_t)counts[g] * 2 * sizeof(float));
        eq_generation_free(&group);
    }
    eq_generation_free(&whole);
}

/* Compiled networks serve the groups and runs that follow, and make the same images as fresh ones. */
static void networks_are_kept(void **state)
{
    eq_pipeline *fresh;
    char *model = eq_path_join(folder, "model");
    assert_ok(eq_pipeline_open(ctx, model, &fresh));
    eq_networks *networks = &fresh->networks;
    static const struct {
        int64_t count, coupled, micro_batch;
        int bf16, compiled; /* compiled: so far */
    } runs[] = {
        {4, 0, 0, 0, 1}, {4, 0, 0, 0, 1}, {20, 4, 0, 0, 1}, {6, 0, 0, 0, 2}, {4, 0, 0, 0, 2},
        {8, 0, 4, 0, 2}, {4, 0, 0, 1, 3}, {4, 0, 0, 0, 3},  {7, 4, 0, 0, 4}, /* 4 and 3 */
    };
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        eq_generate_options options = {.count = runs[i].count,
                                       .coupled = runs[i].coupled,
                                       .micro_batch = runs[i].micro_batch,
                                       .bf16 = runs[i].bf16,
                                       .steps = 3,
                                       .strength = 2};
        eq_generation kept, own;
        eq_pipeline *alone;
        assert_ok(eq_generate(fresh, &options, &balanced, &kept));
        assert_int_equal(networks->denoisers_compiled, runs[i].compiled);
        assert_ok(eq_pipeline_open(ctx, model, &alone));
        assert_ok(eq_generate(alone, &options, &balanced, &own));
        assert_int_equal(most_apart(&kept, 0, &own, 0, runs[i].count), 0);
        assert_near(kept.unet_passes, own.unet_passes, 0);
        eq_generation_free(&kept);
        eq_generation_free(&own);
        eq_pipeline_close(alone);
    }
    /* Within bounds, what is kept does not stand beside what is needed. */
    eq_generate_options bounded = {.count = 4, .steps = 3, .strength = 2, .memory_bytes = (size_t)1 << 40};
    eq_generation out;
    assert_ok(eq_generate(fresh, &bounded, &balanced, &out));
    assert_int_equal(networks->denoisers_compiled, 4);
    assert_non_null(networks->denoisers[0]);
    assert_null(networks->denoisers[1]);
    eq_generation_free(&out);
    eq_pipeline_close(fresh);
    free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(micro_batches_do_not_matter),          cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(unguided_images_stand_alone),          cmocka_unit_test(method_none_ignores_targets),
        cmocka_unit_test(coupled_groups_are_runs_of_their_own), cmocka_unit_test(networks_are_kept),
    };
    ctx = eq_context_new();
    omp_set_num_threads(1); /* the networks are tiny: threads would mostly wait for each other */
    int failed = cmocka_run_group_tests(tests, setup, teardown);
    eq_context_free(ctx);
    return failed;
}
