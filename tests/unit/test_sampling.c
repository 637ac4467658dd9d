/* The sampling loop: what an image's noise depends on, when the hook on h is called, and what stops a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <omp.h>

#include "diffusion/ddpm.h"
#include "diffusion/sampling.h"
#include "unit/tiny.h"

enum { IMAGES = 8, STEPS = 5 };

static eq_context *ctx;
static eq_unet_config unet;
static eq_params *params;
static eq_schedule schedule;
static const eq_sampler *sampler = &eq_sampler_ddim; /* of sample() */

static int setup(void **state)
{
    unet = tiny_unet();
    params = tiny_params(ctx, &unet, 1);
    eq_schedule_config config = eq_schedule_config_default();
    return params && eq_schedule_new(ctx, &config, NULL, &schedule) == EQ_OK ? 0 : -1;
}

static int teardown(void **state)
{
    eq_params_free(params);
    eq_schedule_free(&schedule);
    return 0;
}

/* One run of n images; `change` may alter what is passed. */
static eq_status sample(eq_context *c, eq_params *with, int64_t n, int64_t micro_batch, double eta,
                        void (*change)(eq_sampling *), float *x)
{
    eq_denoiser *denoiser;
    eq_plan plan;
    eq_denoiser_options options = {
        .count = n, .micro_batch = micro_batch, .height = TINY_SIDE, .width = TINY_SIDE, .dtype = EQ_F32};
    assert_ok(eq_denoiser_new(c, &unet, with, &options, &denoiser));
    assert_ok(eq_plan_new(c, &(eq_plan_options){.sampler = sampler, .steps = STEPS, .eta = eta}, &schedule, &plan));
    eq_sampling sampling = {.denoiser = denoiser,
                            .plan = &plan,
                            .n = n,
                            .height = TINY_SIDE,
                            .width = TINY_SIDE,
                            .channels = 3,
                            .output_channels = 3,
                            .seed = 11};
    if (change)
        change(&sampling);
    eq_status status = eq_sample(c, &sampling, x);
    eq_plan_free(&plan);
    eq_denoiser_free(denoiser);
    return status;
}

static int64_t chosen;
static void start_at_chosen(eq_sampling *s)
{
    s->first_index = chosen;
}

static void images_alone_and_together(void **state)
{
    float *together = calloc(IMAGES * TINY_PIXELS, sizeof *together), alone[TINY_PIXELS];
    static const double etas[] = {0, 1}; /* the first noise only, and that of every step too */
    for (int e = 0; e < 2; e++) {
        assert_ok(sample(ctx, params, IMAGES, 3, etas[e], NULL, together));
        for (chosen = 0; chosen < IMAGES; chosen++) {
            assert_ok(sample(ctx, params, 1, 0, etas[e], start_at_chosen, alone));
            double error = tiny_relative_error(alone, together + chosen * TINY_PIXELS, TINY_PIXELS);
            if (!(error < TINY_TRAJECTORY_ERROR))
                fail_msg("image %d alone differs by %g", (int)chosen, error);
            if (chosen > 0)
                assert_true(tiny_relative_error(alone, together, TINY_PIXELS) > 0.1);
        }
    }
    free(together);
}

/* Nor do those of samplers that remember what was, or that add noise. */
static void images_alone_and_together_whatever_the_sampler(void **state)
{
    float together[3 * TINY_PIXELS], alone[TINY_PIXELS];
    for (int k = 0; eq_sampler_at(k); k++) {
        sampler = eq_sampler_at(k);
        assert_ok(sample(ctx, params, 3, 2, 1, NULL, together));
        for (chosen = 0; chosen < 3; chosen++) {
            assert_ok(sample(ctx, params, 1, 0, 1, start_at_chosen, alone));
            assert_true(tiny_relative_error(alone, together + chosen * TINY_PIXELS, TINY_PIXELS) <
                        TINY_TRAJECTORY_ERROR);
        }
    }
    sampler = &eq_sampler_ddim;
}

static const int64_t listed[3] = {6, 0, 3};
static void use_list(eq_sampling *s)
{
    s->indices = listed;
}

static void listed_indices(void **state)
{
    float *all = calloc(IMAGES * TINY_PIXELS, sizeof *all), some[3 * TINY_PIXELS];
    assert_ok(sample(ctx, params, IMAGES, 0, 1, NULL, all));
    assert_ok(sample(ctx, params, 3, 0, 1, use_list, some));
    for (int i = 0; i < 3; i++)
        assert_true(tiny_relative_error(some + i * TINY_PIXELS, all + listed[i] * TINY_PIXELS, TINY_PIXELS) <
                    TINY_TRAJECTORY_ERROR);
    free(all);
}

static void another_seed(eq_sampling *s)
{
    s->seed = 12;
}

static void runs_repeat_and_seeds_differ(void **state)
{
    float a[2 * TINY_PIXELS], b[2 * TINY_PIXELS];
    assert_ok(sample(ctx, params, 2, 0, 1, NULL, a));
    assert_ok(sample(ctx, params, 2, 0, 1, NULL, b));
    assert_memory_equal(a, b, sizeof a);
    assert_ok(sample(ctx, params, 2, 0, 1, another_seed, b));
    assert_true(tiny_relative_error(a, b, 2 * TINY_PIXELS) > 0.1);
    assert_ok(sample(ctx, params, 2, 0, 0, NULL, b)); /* eta */
    assert_true(tiny_relative_error(a, b, 2 * TINY_PIXELS) > 0.01);
}

static void first_noise(void **state)
{
    enum { COUNT = 20000 };
    float *a = malloc(COUNT * sizeof *a), *b = malloc(COUNT * sizeof *b);
    eq_initial_noise(5, 2, a, COUNT);
    eq_initial_noise(5, 2, b, COUNT / 2); /* a smaller image has the first of the same numbers */
    assert_memory_equal(a, b, COUNT / 2 * sizeof *a);
    eq_initial_noise(5, 3, b, COUNT);
    double mean = 0, square = 0, product = 0;
    for (int i = 0; i < COUNT; i++) {
        mean += a[i] / (double)COUNT;
        square += (double)a[i] * a[i] / COUNT;
        product += (double)a[i] * b[i] / COUNT;
    }
    assert_near(mean, 0, 5 / sqrt(COUNT));
    assert_near(square, 1, 5 * sqrt(2.0 / COUNT));
    assert_near(product, 0, 5 / sqrt(COUNT));
    free(a);
    free(b);
}

/* --- the hook --- */

typedef struct watcher {
    int active_calls, applied[STEPS], count;
    double timestep[STEPS], beta[STEPS];
    float push;
    int fail_at;
} watcher;

static bool odd_steps(const void *user, int step)
{
    ((watcher *)(uintptr_t)user)->active_calls++;
    return step % 2 == 1;
}

static eq_status watch(void *user, int step, double timestep, double beta, float *h)
{
    watcher *w = user;
    if (step == w->fail_at)
        return EQ_FAILED;
    w->applied[w->count] = step;
    w->timestep[w->count] = timestep;
    w->beta[w->count++] = beta;
    for (int i = 0; i < 2 * TINY_H; i++)
        h[i] += w->push;
    return EQ_OK;
}

static watcher watching;
static int progress_calls, last_done;

static void count_progress(void *user, int done, int steps)
{
    assert_int_equal(steps, STEPS);
    assert_int_equal(done, last_done + 1);
    last_done = done;
    progress_calls++;
}

static void hook(eq_sampling *s)
{
    s->hook = (eq_h_hook){&watching, odd_steps, watch, false};
    s->progress = count_progress;
}

static void hook_is_called_at_its_steps(void **state)
{
    float plain[2 * TINY_PIXELS], hooked[2 * TINY_PIXELS];
    assert_ok(sample(ctx, params, 2, 1, 0, NULL, plain));
    watching = (watcher){.fail_at = -1};
    progress_calls = last_done = 0;
    assert_ok(sample(ctx, params, 2, 1, 0, hook, hooked));
    assert_int_equal(progress_calls, STEPS);
    assert_int_equal(watching.active_calls, STEPS);
    assert_int_equal(watching.count, 2);
    assert_true(watching.applied[0] == 1 && watching.applied[1] == 3);
    assert_near(watching.timestep[0], 600, 0); /* of 800, 600, 400, 200, 0 */
    assert_near(watching.timestep[1], 200, 0);
    assert_near(watching.beta[0], schedule.betas[600], 0);
    assert_near(watching.beta[1], schedule.betas[200], 0);
    assert_memory_equal(plain, hooked, sizeof plain); /* it only watched */
    watching = (watcher){.push = 0.5f, .fail_at = -1};
    last_done = 0;
    assert_ok(sample(ctx, params, 2, 1, 0, hook, hooked));
    assert_true(tiny_relative_error(hooked, plain, 2 * TINY_PIXELS) > 1e-3);
    watching = (watcher){.fail_at = 3};
    last_done = 0;
    assert_int_equal(sample(ctx, params, 2, 1, 0, hook, hooked), EQ_FAILED);
    assert_int_equal(last_done, 3); /* steps 0, 1, 2 were done */
}

/* A step of several calls asks at each, under the step's number and with the call's own timestep. */
static void check_calls(const eq_sampler *of, int count, const int *steps)
{
    float plain[2 * TINY_PIXELS], hooked[2 * TINY_PIXELS];
    eq_plan plan;
    sampler = of;
    assert_ok(eq_plan_new(ctx, &(eq_plan_options){.sampler = of, .steps = STEPS}, &schedule, &plan));
    assert_ok(sample(ctx, params, 2, 1, 0, NULL, plain));
    watching = (watcher){.fail_at = -1};
    last_done = 0;
    assert_ok(sample(ctx, params, 2, 1, 0, hook, hooked));
    assert_int_equal(last_done, STEPS);
    assert_int_equal(watching.active_calls, plan.calls);
    assert_int_equal(watching.count, count);
    for (int i = 0, call = 0; i < count; i++, call++) {
        while (plan.call[call].step % 2 == 0)
            call++;
        assert_int_equal(watching.applied[i], steps[i]);
        assert_int_equal(watching.applied[i], plan.call[call].step);
        assert_near(watching.timestep[i], plan.call[call].timestep, 0);
        assert_near(watching.beta[i], schedule.betas[(int)plan.call[call].timestep], 0);
    }
    assert_memory_equal(plain, hooked, sizeof plain);
    watching = (watcher){.push = 0.5f, .fail_at = -1};
    last_done = 0;
    assert_ok(sample(ctx, params, 2, 1, 0, hook, hooked));
    assert_true(tiny_relative_error(hooked, plain, 2 * TINY_PIXELS) > 1e-3);
    eq_plan_free(&plan);
    sampler = &eq_sampler_ddim;
}

static void hook_sees_every_call_of_a_step(void **state)
{
    check_calls(&eq_sampler_heun, 4, (int[]){1, 1, 3, 3});
    check_calls(&eq_sampler_pndm, 2, (int[]){1, 3}); /* step 0 has two */
    check_calls(&eq_sampler_dpmsolver, 2, (int[]){1, 3});
    schedule.config.prk_steps = true;
    check_calls(&eq_sampler_pndm, 5, (int[]){1, 1, 1, 1, 3});
    schedule.config.prk_steps = false;
}

/* --- what stops a run --- */

static void not_a_number_stops_the_run(void **state)
{
    float x[TINY_PIXELS];
    eq_params *broken = tiny_params(ctx, &unet, 1);
    static const float numbers[] = {NAN, INFINITY};
    for (int i = 0; i < 2; i++) {
        *(float *)eq_params_find(broken, "conv_out.bias")->tensor.data = numbers[i];
        assert_fails(sample(ctx, broken, 1, 0, 0, NULL, x), EQ_FAILED, "step 1 of 5 (timestep 800)");
    }
    eq_params_free(broken);
}

static bool step_three(const void *user, int step)
{
    return step == 3;
}

static eq_status spoil(void *user, int step, double timestep, double beta, float *h)
{
    h[TINY_H + 5] = NAN; /* of the second image */
    return EQ_OK;
}

static void spoil_step_three(eq_sampling *s)
{
    s->hook = (eq_h_hook){NULL, step_three, spoil, false};
}

static void the_step_is_named(void **state)
{
    float x[2 * TINY_PIXELS];
    assert_fails(sample(ctx, params, 2, 1, 0, spoil_step_three, x), EQ_FAILED, "step 4 of 5 (timestep 200)");
}

static eq_context *stopped;
static void stop(void *user, int done, int steps)
{
    last_done = done;
    if (done == 2)
        eq_cancel(stopped);
}

static void stop_at_two(eq_sampling *s)
{
    s->progress = stop;
}

static void cancellation(void **state)
{
    float x[2 * TINY_PIXELS];
    stopped = eq_context_new();
    assert_int_equal(sample(stopped, params, 2, 1, 0, stop_at_two, x), EQ_CANCELLED);
    assert_int_equal(last_done, 2);
    eq_context_free(stopped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_alone_and_together),
        cmocka_unit_test(images_alone_and_together_whatever_the_sampler),
        cmocka_unit_test(listed_indices),
        cmocka_unit_test(runs_repeat_and_seeds_differ),
        cmocka_unit_test(first_noise),
        cmocka_unit_test(hook_is_called_at_its_steps),
        cmocka_unit_test(hook_sees_every_call_of_a_step),
        cmocka_unit_test(not_a_number_stops_the_run),
        cmocka_unit_test(the_step_is_named),
        cmocka_unit_test(cancellation),
    };
    ctx = eq_context_new();
    omp_set_num_threads(1); /* the networks are tiny: threads would mostly wait for each other */
    int failed = cmocka_run_group_tests(tests, setup, teardown);
    eq_context_free(ctx);
    return failed;
}
