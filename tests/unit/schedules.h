/* What the tests of noise schedules and samplers share. */
#ifndef EQ_TESTS_UNIT_SCHEDULES_H
#define EQ_TESTS_UNIT_SCHEDULES_H

#include <math.h>

#include "diffusion/schedule.h"

static inline void assert_near(double found, double expected, double tolerance)
{
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("expected %.12g, found %.12g, further apart than %g", expected, found, tolerance);
}

static inline eq_schedule make_betas(eq_beta_kind kind, int count, double start, double end)
{
    eq_schedule_config config = eq_schedule_config_default();
    config.num_train_timesteps = count;
    config.beta_kind = kind;
    config.beta_start = start;
    config.beta_end = end;
    eq_schedule schedule;
    assert_int_equal(eq_schedule_new(NULL, &config, NULL, &schedule), EQ_OK);
    return schedule;
}

#endif
