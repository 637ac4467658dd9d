/* Moving images between noise levels along DDIM's deterministic path (Song et al. 2021, "Denoising Diffusion Implicit
 * Models"); the sampler itself is eq_sampler_ddim in sampler.h. */
#ifndef EQ_DIFFUSION_DDIM_H
#define EQ_DIFFUSION_DDIM_H

#include "diffusion/sampler.h"

/* Inversion (Song et al. 2021, section 4.3): the step of eta 0 taken upwards, from noise level abar = alpha_cumprod to
 * alpha_cumprod_next < alpha_cumprod, with the noise predicted at the lower level kept:
 *     x' = sqrt(abar') x_0 + sqrt(1 - abar') eps.
 * step->x: the images at alpha_cumprod, replaced by those at alpha_cumprod_next; step->output: the network's output for
 * them; noise and history are not read. x_0 is not clamped: clamping could not be undone by sampling. To invert images
 * along a plan, take them as x at the plan's last call (an x_0 whose noise is yet too little to matter) and go from
 * each call's alpha_cumprod to that of the call before it. */
void eq_ddim_invert(const eq_schedule *schedule, double alpha_cumprod, double alpha_cumprod_next, const eq_step *step);

#endif
