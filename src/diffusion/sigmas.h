/* Noise levels written as sigma = sqrt((1 - abar) / abar), the noise beside an undiminished image (Karras et al. 2022,
 * "Elucidating the Design Space of Diffusion-Based Generative Models"): what samplers of that family, whose x is
 * x_t / sqrt(abar), and DPM-Solver choose their steps in. */
#ifndef EQ_DIFFUSION_SIGMAS_H
#define EQ_DIFFUSION_SIGMAS_H

#include "diffusion/sampler.h"

double eq_sigma_from_alpha(double alpha_cumprod);
double eq_alpha_from_sigma(double sigma);

/* sigma at a timestep in 0..T - 1 that need not be whole: linear between the two about it. */
double eq_sigma_at(const eq_schedule *schedule, double timestep);
/* The timestep, not whole in general, of a sigma: linear in log sigma between the two about it, and the first or last
 * timestep beyond them. */
double eq_timestep_at(const eq_schedule *schedule, double sigma);

/* The i-th of n levels from `highest` down to `lowest` in equal steps of sigma^(1/7) (Karras et al. 2022, eq. 5). */
double eq_karras_sigma(double highest, double lowest, int i, int n);

/* As eq_plan_fill, for x on the scale of sigma: one call a step, the last of which ends at sigma 0; timesteps of the
 * linspace spacing are not rounded, and with the schedule's karras_sigmas the levels between the first and the last are
 * spaced by those. Sets input_scale, alphas, step and the plan's init_noise_scale. */
eq_status eq_plan_fill_sigmas(eq_context *ctx, eq_plan *plan);

#endif
