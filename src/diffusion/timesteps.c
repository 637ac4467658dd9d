#include "diffusion/timesteps.h"

#include <math.h>
#include <string.h>

static const char *const spacing_names[] = {
    [EQ_SPACING_DEFAULT] = "default",   [EQ_SPACING_LEADING] = "leading", [EQ_SPACING_TRAILING] = "trailing",
    [EQ_SPACING_LINSPACE] = "linspace", [EQ_SPACING_PAPER] = "paper",
};
enum { SPACINGS = sizeof spacing_names / sizeof spacing_names[0] };

const char *eq_spacing_name(eq_spacing spacing)
{
    return spacing_names[spacing];
}

eq_status eq_spacing_find(eq_context *ctx, const char *name, eq_spacing *out)
{
    for (int i = 0; i < SPACINGS; i++) {
        if (strcmp(name, spacing_names[i]) == 0) {
            *out = (eq_spacing)i;
            return EQ_OK;
        }
    }
    return eq_fail(ctx, EQ_BAD_USAGE,
                   "timestep spacing: expected default, leading, trailing, linspace or paper, found \"%s\"", name);
}

/* The i-th timestep from below, of n out of count. Ties round to even, as the reference's do. */
static int timestep(eq_spacing spacing, int offset, int count, int n, int i)
{
    switch (spacing) {
    case EQ_SPACING_TRAILING: return (int)nearbyint(count - (n - 1 - i) * ((double)count / n)) - 1;
    case EQ_SPACING_LINSPACE: return n == 1 ? count - 1 : (int)nearbyint(i * ((double)(count - 1) / (n - 1)));
    case EQ_SPACING_PAPER:
        /* In double and in this order, so that a product which falls just short of a whole number is cut as it was
         * for published heads. The last is exact, and with n = T so are all: cutting would repeat timesteps. */
        if (i == n - 1)
            return count - 1;
        return n == count ? i : (int)(i * (1.0 / (n - 1)) * (count - 1));
    case EQ_SPACING_DEFAULT:
    case EQ_SPACING_LEADING: break;
    }
    return i * (count / n) + offset;
}

eq_status eq_timesteps(eq_context *ctx, const eq_schedule *schedule, eq_spacing spacing, int n, int *timesteps,
                       int *previous)
{
    int count = schedule->config.num_train_timesteps;
    if (n < 1 || n > count)
        return eq_fail(ctx, EQ_BAD_USAGE,
                       "steps: expected 1..%d, the number of timesteps the model was trained with, found %d", count, n);
    for (int i = 0; i < n; i++)
        timesteps[i] = timestep(spacing, schedule->config.steps_offset, count, n, n - 1 - i);
    if (timesteps[0] >= count)
        return eq_fail(
            ctx, EQ_BAD_USAGE,
            "%d steps of leading spacing with steps_offset %d start at timestep %d, beyond the last, %d: use "
            "fewer steps or trailing spacing",
            n, schedule->config.steps_offset, timesteps[0], count - 1);
    for (int i = 0; i < n - 1; i++)
        previous[i] = timesteps[i + 1];
    previous[n - 1] = -1;
    bool leading = spacing == EQ_SPACING_LEADING || spacing == EQ_SPACING_DEFAULT;
    if (leading && timesteps[n - 1] - count / n > -1)
        previous[n - 1] = timesteps[n - 1] - count / n;
    return EQ_OK;
}
