/* Whole runs of samplers against tests/data/samplers.json: what scripts/sampler-numbers.py, in double precision, makes
 * of the published formulas with the same made-up network. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "diffusion/sampler.h"
#include "io/json.h"
#include "unit/samplers.h"

enum { STARTS = 6, HISTORY = 8 };

static eq_context *ctx;
static eq_json data;

static double number(const json_t *array, size_t i)
{
    const json_t *value = json_array_get(array, i);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

/* What the network says of x_t, as in the script. */
static float eps(double x, double timestep)
{
    return (float)(0.8 * sin(1.5 * x + timestep / 150) - 0.1 * x);
}

static void check_run(const char *name, const eq_sampler *sampler, eq_spacing spacing)
{
    const json_t *starts = json_object_get(data.object, "starts"), *run = json_object_get(data.object, name);
    const json_t *timesteps = json_object_get(run, "timesteps"), *rows = json_object_get(run, "x");
    eq_schedule schedule = make_schedule(EQ_PREDICT_EPSILON, true);
    schedule.config.prk_steps = true;
    eq_plan plan = make_plan(sampler, (int)json_integer_value(json_object_get(run, "steps")), spacing, 0, &schedule);
    float x[STARTS], output[STARTS], noise[STARTS], history[HISTORY * STARTS] = {0};
    double farthest = 0;
    assert_true(sampler->history <= HISTORY && json_array_size(starts) == STARTS);
    assert_int_equal(json_array_size(rows), plan.calls);
    for (size_t k = 0; k < STARTS; k++)
        x[k] = (float)(plan.init_noise_scale * number(starts, k));
    for (int i = 0; i < plan.calls; i++) {
        const eq_plan_call *call = &plan.call[i];
        assert_near(call->timestep, number(timesteps, (size_t)i), 1e-9);
        for (int k = 0; k < STARTS; k++) {
            output[k] = eps(x[k] * call->input_scale, call->timestep);
            noise[k] = (float)cos(2.3 * i + 1.1 * k);
        }
        eq_sampler_step(&plan, i,
                        &(eq_step){.pixels = STARTS,
                                   .channels = 1,
                                   .output_channels = 1,
                                   .x = x,
                                   .output = output,
                                   .noise = noise,
                                   .history = history});
        for (size_t k = 0; k < STARTS; k++) {
            double expected = number(json_array_get(rows, (size_t)i), k);
            double error = fabs(x[k] - expected) / (1 + fabs(expected));
            farthest = fmax(farthest, error);
            if (error > 2e-5)
                fail_msg("%s: x[%zu] after call %d is %.9g, expected %.9g", name, k, i, (double)x[k], expected);
        }
    }
    print_message("%s: largest relative difference %.2g\n", name, farthest);
    eq_plan_free(&plan);
    eq_schedule_free(&schedule);
}

static void pndm_with_runge_kutta(void **state)
{
    check_run("pndm", &eq_sampler_pndm, EQ_SPACING_LEADING);
}

static void heun(void **state)
{
    check_run("heun", &eq_sampler_heun, EQ_SPACING_LINSPACE);
}

static void euler_ancestral(void **state)
{
    check_run("euler-ancestral", &eq_sampler_euler_ancestral, EQ_SPACING_LINSPACE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pndm_with_runge_kutta),
        cmocka_unit_test(heun),
        cmocka_unit_test(euler_ancestral),
    };
    ctx = eq_context_new();
    if (!ctx || eq_json_read(ctx, EQUIPOISE_TEST_DATA "/samplers.json", &data) != EQ_OK)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_json_close(&data);
    eq_context_free(ctx);
    return failed;
}
