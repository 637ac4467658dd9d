/* Which of the T training timesteps a run of n steps visits, highest first, and where each step ends.
 *
 *   leading   i * (T / n) + steps_offset for i < n, whole division: diffusers' default for DDIM, DDPM and PNDM
 *   trailing  round(T - i * T / n) - 1: starts at T - 1
 *   linspace  round of n equal steps over 0..T - 1, both ends included
 *   paper     int(linspace(0, 1, n) * (T - 1)), as the distribution guidance and h-space editing papers' code has it
 *
 * (Names but the last: Lin et al. 2023, "Common Diffusion Noise Schedules and Sample Steps Are Flawed", table 2.) */
#ifndef EQ_DIFFUSION_TIMESTEPS_H
#define EQ_DIFFUSION_TIMESTEPS_H

#include "diffusion/schedule.h"

/* "leading", ...; "default" for EQ_SPACING_DEFAULT. */
const char *eq_spacing_name(eq_spacing spacing);
/* EQ_BAD_USAGE lists the names. */
eq_status eq_spacing_find(eq_context *ctx, const char *name, eq_spacing *out);

/* Fills timesteps[n], strictly falling, and previous[n]: the timestep whose abar step i ends at, -1 for the end of
 * sampling. That is the next in the list; after the last it is -1, but t - T / n where the leading spacing leaves that
 * above -1 (diffusers' rule, which the two agree on everywhere else). EQ_BAD_USAGE unless n is in 1..T and the offset
 * keeps the first below T. One step starts at T - 1 for trailing, linspace and paper. */
eq_status eq_timesteps(eq_context *ctx, const eq_schedule *schedule, eq_spacing spacing, int n, int *timesteps,
                       int *previous);

#endif
