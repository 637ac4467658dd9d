/* What the tests of samplers share: small plans, and single steps of them. */
#ifndef EQ_TESTS_UNIT_SAMPLERS_H
#define EQ_TESTS_UNIT_SAMPLERS_H

#include "diffusion/sampler.h"
#include "unit/schedules.h"

enum { PIXELS = 4, CHANNELS = 3, COUNT = PIXELS * CHANNELS };

static inline eq_schedule make_schedule(eq_prediction_type prediction, bool set_alpha_to_one)
{
    eq_schedule_config config = eq_schedule_config_default();
    config.prediction = prediction;
    config.clip_sample = false;
    config.set_alpha_to_one = set_alpha_to_one;
    eq_schedule schedule;
    assert_int_equal(eq_schedule_new(NULL, &config, NULL, &schedule), EQ_OK);
    return schedule;
}

static inline eq_plan make_plan(const eq_sampler *sampler, int steps, eq_spacing spacing, double eta,
                                const eq_schedule *schedule)
{
    eq_plan plan;
    eq_plan_options options = {.sampler = sampler, .steps = steps, .spacing = spacing, .eta = eta};
    assert_int_equal(eq_plan_new(NULL, &options, schedule, &plan), EQ_OK);
    return plan;
}

static inline double sigma_of(double alpha)
{
    return sqrt((1 - alpha) / alpha);
}

static inline float one_step(const eq_plan *plan, int i, float x, float output, float noise)
{
    eq_sampler_step(
        plan, i,
        &(eq_step){.pixels = 1, .channels = 1, .output_channels = 1, .x = &x, .output = &output, .noise = &noise});
    return x;
}

#endif
