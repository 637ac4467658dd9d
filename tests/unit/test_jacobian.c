/* What the sampling loop makes of a gradient at predicted images, in closed form, and the U-Net's Jacobian against
 * finite differences. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <omp.h>

#include "diffusion/jacobian.h"
#include "diffusion/sampling.h"
#include "unit/tiny.h"

enum { SMALL = 3 }; /* images */

static eq_context *ctx;

/* --- the loop --- */

typedef struct constant {
    float gradient[SMALL * TINY_PIXELS];
    float seen[SMALL * TINY_PIXELS];
    int calls;
} constant;

static bool always(const void *user, int step)
{
    return true;
}

static eq_status give_constant(void *user, int step, const float *x0, float *dx0)
{
    constant *c = user;
    memcpy(c->seen, x0, sizeof c->seen);
    memcpy(dx0, c->gradient, sizeof c->gradient);
    c->calls++;
    return EQ_OK;
}

typedef struct network {
    eq_unet_config config;
    eq_params *params;
    eq_schedule schedule;
    eq_denoiser *denoiser;
    eq_jacobian *jacobian;
} network;

static network open_network(eq_prediction_type prediction, double clip, int64_t micro_batch)
{
    network n = {.config = tiny_unet()};
    eq_schedule_config schedule = eq_schedule_config_default();
    eq_denoiser_options options = {
        .count = SMALL, .micro_batch = micro_batch, .height = TINY_SIDE, .width = TINY_SIDE, .dtype = EQ_F32};
    schedule.prediction = prediction;
    schedule.clip_sample = clip > 0;
    schedule.clip_sample_range = clip > 0 ? clip : 1;
    n.params = tiny_params(ctx, &n.config, 4);
    assert_non_null(n.params);
    assert_ok(eq_schedule_new(ctx, &schedule, NULL, &n.schedule));
    assert_ok(eq_denoiser_new(ctx, &n.config, n.params, &options, &n.denoiser));
    assert_ok(eq_jacobian_new(ctx, &n.config, n.params, &options, &n.jacobian));
    return n;
}

static void close_network(network *n)
{
    eq_jacobian_free(n->jacobian);
    eq_denoiser_free(n->denoiser);
    eq_schedule_free(&n->schedule);
    eq_params_free(n->params);
}

/* A single step of DDIM from timestep 400 to x_0 itself. */
static void plan_once(network *n, eq_plan *plan)
{
    eq_plan_options options = {.sampler = &eq_sampler_ddim, .steps = 1};
    assert_ok(eq_plan_new(ctx, &options, &n->schedule, plan));
    plan->call[0].timestep = 400;
    plan->call[0].alpha_cumprod = n->schedule.alphas_cumprod[400];
    plan->call[0].alpha_cumprod_next = 1;
    plan->call[0].noise_scale = 0;
}

/* c: NULL: without the hook. x: [SMALL, TINY_PIXELS] out. Returns abar. */
static double sample_once(network *n, constant *c, eq_jacobian *jacobian, float *x)
{
    eq_plan plan;
    plan_once(n, &plan);
    eq_sampling sampling = {.denoiser = n->denoiser,
                            .plan = &plan,
                            .n = SMALL,
                            .height = TINY_SIDE,
                            .width = TINY_SIDE,
                            .channels = 3,
                            .output_channels = 3};
    if (c)
        sampling.x0_hook = (eq_x0_hook){c, always, give_constant, jacobian};
    eq_sampling_state state = {.x = x};
    float *start = tiny_normals(8, SMALL * TINY_PIXELS);
    memcpy(x, start, SMALL * TINY_PIXELS * sizeof *x);
    assert_ok(eq_sampling_continue(ctx, &sampling, &state));
    free(start);
    eq_plan_free(&plan);
    return n->schedule.alphas_cumprod[400];
}

static constant random_constant(void)
{
    constant c = {0};
    float *values = tiny_normals(6, SMALL * TINY_PIXELS);
    memcpy(c.gradient, values, sizeof c.gradient);
    free(values);
    return c;
}

/* x_0 moves by -(1 - abar) times the gradient, whatever the network predicts. */
static void images_move_against_the_gradient(void **state)
{
    static const eq_prediction_type types[] = {EQ_PREDICT_EPSILON, EQ_PREDICT_V, EQ_PREDICT_SAMPLE};
    static float plain[SMALL * TINY_PIXELS], guided[SMALL * TINY_PIXELS], expected[SMALL * TINY_PIXELS];
    for (int t = 0; t < 3; t++) {
        network n = open_network(types[t], 0, 2);
        constant c = random_constant();
        double alpha = sample_once(&n, NULL, NULL, plain);
        sample_once(&n, &c, NULL, guided);
        assert_int_equal(c.calls, 1);
        for (int k = 0; k < SMALL * TINY_PIXELS; k++) {
            guided[k] -= plain[k];
            expected[k] = (float)(-(1 - alpha) * c.gradient[k]);
        }
        assert_true(tiny_relative_error(guided, expected, SMALL * TINY_PIXELS) < 1e-4);
        close_network(&n);
    }
}

/* Where x_0 is clamped it does not react, and so neither does the noise. */
static void clamped_pixels_stay(void **state)
{
    static float plain[SMALL * TINY_PIXELS], guided[SMALL * TINY_PIXELS];
    network n = open_network(EQ_PREDICT_EPSILON, 0.5, 2);
    constant c = random_constant();
    sample_once(&n, NULL, NULL, plain);
    sample_once(&n, &c, NULL, guided);
    int clamped = 0;
    for (int k = 0; k < SMALL * TINY_PIXELS; k++) {
        bool is_clamped = fabsf(c.seen[k]) >= 0.5f;
        clamped += is_clamped;
        assert_int_equal(guided[k] == plain[k], is_clamped || c.gradient[k] == 0);
    }
    assert_true(clamped > 0 && clamped < SMALL * TINY_PIXELS);
    close_network(&n);
}

/* --- the Jacobian --- */

/* <u, J v> by finite differences is <J^T u, v>, for several v; and micro-batches do not matter. */
static void jacobian_against_finite_differences(void **state)
{
    enum { TOTAL = SMALL * TINY_PIXELS };
    const double epsilon = 2e-3, timestep = 300;
    network n = open_network(EQ_PREDICT_EPSILON, 0, 2), whole = open_network(EQ_PREDICT_EPSILON, 0, SMALL);
    float *x = tiny_normals(1, TOTAL), *u = tiny_normals(2, TOTAL), *moved = malloc(TOTAL * sizeof *moved);
    float *above = malloc(TOTAL * sizeof *above), *below = malloc(TOTAL * sizeof *below);
    float *pulled = malloc(TOTAL * sizeof *pulled), *again = malloc(TOTAL * sizeof *again);
    assert_ok(eq_jacobian_pull(n.jacobian, x, (float)timestep, u, pulled));
    assert_ok(eq_jacobian_pull(whole.jacobian, x, (float)timestep, u, again));
    assert_true(tiny_relative_error(pulled, again, TOTAL) < 1e-5);
    assert_near(eq_jacobian_passes(n.jacobian), 3 * SMALL, 0);
    for (uint64_t seed = 10; seed < 14; seed++) {
        float *v = tiny_normals(seed, TOTAL);
        for (int k = 0; k < TOTAL && seed == 13; k++)
            v[k] = k / TINY_PIXELS == 1 ? pulled[k] : 0; /* a direction in which there is much to see, of one image */
        double length = 0, expected = 0, found = 0;
        for (int k = 0; k < TOTAL; k++)
            length += (double)v[k] * v[k];
        double step = epsilon * sqrt(TOTAL / length);
        for (int k = 0; k < TOTAL; k++)
            moved[k] = (float)(x[k] + step * v[k]);
        assert_ok(eq_denoiser_run(n.denoiser, moved, (float)timestep, above));
        for (int k = 0; k < TOTAL; k++)
            moved[k] = (float)(x[k] - step * v[k]);
        assert_ok(eq_denoiser_run(n.denoiser, moved, (float)timestep, below));
        for (int k = 0; k < TOTAL; k++) {
            expected += u[k] * ((double)above[k] - below[k]) / (2 * step);
            found += (double)pulled[k] * v[k];
        }
        double scale = 0;
        for (int k = 0; k < TOTAL; k++)
            scale += (double)pulled[k] * pulled[k];
        assert_near(found, expected, 2e-3 * sqrt(scale * length / TOTAL) + 2e-3 * fabs(expected));
        free(v);
    }
    free(x);
    free(u);
    free(moved);
    free(above);
    free(below);
    free(pulled);
    free(again);
    close_network(&n);
    close_network(&whole);
}

/* With it the loop takes the gradient of x_0(x): x0_x g + x0_m J^T g. */
static void loop_uses_the_jacobian(void **state)
{
    enum { TOTAL = SMALL * TINY_PIXELS };
    static float plain[TOTAL], guided[TOTAL], expected[TOTAL];
    network n = open_network(EQ_PREDICT_EPSILON, 0, 2);
    constant c = random_constant();
    double alpha = sample_once(&n, NULL, NULL, plain);
    sample_once(&n, &c, n.jacobian, guided);
    float *x = tiny_normals(8, TOTAL), *pulled = malloc(TOTAL * sizeof *pulled);
    assert_ok(eq_jacobian_pull(n.jacobian, x, 400, c.gradient, pulled));
    for (int k = 0; k < TOTAL; k++) {
        double dx = (c.gradient[k] - sqrt(1 - alpha) * pulled[k]) / sqrt(alpha);
        expected[k] = (float)(-(1 - alpha) / sqrt(alpha) * dx); /* of the noise times -sqrt(1 - abar) / sqrt(abar) */
        guided[k] -= plain[k];
    }
    assert_true(tiny_relative_error(guided, expected, TOTAL) < 1e-4);
    free(x);
    free(pulled);
    close_network(&n);
}

/* A fault in the network's description comes out, whether memory is foreseen before or not. */
static void odd_sizes_are_refused(void **state)
{
    network n = open_network(EQ_PREDICT_EPSILON, 0, 0);
    for (int bounded = 0; bounded < 2; bounded++) {
        eq_denoiser_options options = {
            .count = 4, .height = TINY_SIDE + 1, .width = TINY_SIDE, .total_bytes = bounded ? 1 << 30 : 0};
        eq_jacobian *j;
        assert_fails(eq_jacobian_new(ctx, &n.config, n.params, &options, &j), EQ_FAILED, "concat");
        assert_null(j);
    }
    close_network(&n);
}

static void prompts_are_refused(void **state)
{
    eq_unet_config config = tiny_unet();
    eq_jacobian *jacobian;
    config.cross_attention_dim = 8;
    eq_denoiser_options options = {.count = 1, .height = TINY_SIDE, .width = TINY_SIDE};
    assert_fails(eq_jacobian_new(ctx, &config, NULL, &options, &jacobian), EQ_BAD_USAGE, "without prompts");
}

/* Fewer images at a time where the Jacobian would leave the denoiser less than it takes itself; never fewer than one,
 * nor another number than is asked for. */
static void memory_bounds_the_images_at_a_time(void **state)
{
    enum { COUNT = 10, HELD = 1000 };
    network n = open_network(EQ_PREDICT_EPSILON, 0, 0);
    eq_denoiser_options options = {
        .count = COUNT, .held_bytes = HELD, .height = TINY_SIDE, .width = TINY_SIDE, .dtype = EQ_F32};
    float *x = tiny_normals(1, COUNT * TINY_PIXELS), *u = tiny_normals(2, COUNT * TINY_PIXELS);
    float *pulled = malloc(COUNT * TINY_PIXELS * sizeof *pulled), *again = malloc(COUNT * TINY_PIXELS * sizeof *again);
    eq_jacobian *j;
    assert_ok(eq_jacobian_new(ctx, &n.config, n.params, &options, &j));
    assert_int_equal(eq_jacobian_micro_batch(j), 8);
    assert_ok(eq_jacobian_pull(j, x, 300, u, pulled));
    size_t whole = eq_jacobian_bytes(j), before = whole;
    eq_jacobian_free(j);
    const struct {
        size_t total;
        int64_t micro_batch, expected;
    } cases[] = {{HELD + 2 * whole, 0, 8}, {HELD + 2 * whole - 1, 0, 4}, {1, 0, 1}, {1, 5, 5}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        options.total_bytes = cases[i].total;
        options.micro_batch = cases[i].micro_batch;
        assert_ok(eq_jacobian_new(ctx, &n.config, n.params, &options, &j));
        assert_int_equal(eq_jacobian_micro_batch(j), cases[i].expected);
        assert_true(options.micro_batch > 0 || (eq_jacobian_bytes(j) < before) == (i > 0));
        assert_ok(eq_jacobian_pull(j, x, 300, u, again));
        assert_true(tiny_relative_error(again, pulled, COUNT * TINY_PIXELS) < 1e-5);
        before = eq_jacobian_bytes(j);
        eq_jacobian_free(j);
    }
    free(x);
    free(u);
    free(pulled);
    free(again);
    close_network(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_move_against_the_gradient),
        cmocka_unit_test(clamped_pixels_stay),
        cmocka_unit_test(jacobian_against_finite_differences),
        cmocka_unit_test(loop_uses_the_jacobian),
        cmocka_unit_test(memory_bounds_the_images_at_a_time),
        cmocka_unit_test(prompts_are_refused),
        cmocka_unit_test(odd_sizes_are_refused),
    };
    ctx = eq_context_new();
    omp_set_num_threads(1);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failed;
}
