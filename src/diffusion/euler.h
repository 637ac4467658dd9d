/* Euler's step in sigma, for the samplers made of it; the sampler itself is eq_sampler_euler in sampler.h. */
#ifndef EQ_DIFFUSION_EULER_H
#define EQ_DIFFUSION_EULER_H

#include "diffusion/sampler.h"

/* From call i's sigma to `sigma_next`, and noise times `noise_scale` on top:
 *     x' = x_0 + sigma' / sigma (x - x_0) + noise_scale z.
 * step->noise is read where noise_scale is not 0, history is not. */
void eq_euler_move(const eq_plan *plan, int i, double sigma_next, double noise_scale, const eq_step *step);

#endif
