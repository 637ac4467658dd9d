/* DDIM inversion of images (Song et al. 2021, section 4.3): the sampling loop run upwards, from images to the noise
 * that leads to them at eta 0, as far as the steps are short. */
#ifndef EQ_DIFFUSION_INVERSION_H
#define EQ_DIFFUSION_INVERSION_H

#include "diffusion/sampling.h"

/* Both take the description of the run that samples: plan (of eq_sampler_ddim), denoiser, sizes and progress; seed,
 * hook and boundary are of no matter. An image counts as being at the noise level of the plan's last call. */

/* From the level of call `call` to that of the one before it. x: [n, height, width, channels], in place; prediction:
 * [n, height, width, output_channels], scratch. */
eq_status eq_invert_call(const eq_sampling *sampling, int call, float *x, float *prediction);
/* The same with the network's output for x there already. */
void eq_invert_step(const eq_sampling *sampling, int call, float *x, const float *prediction);

/* All the way. x: images in, the noise at the plan's first call out: what sampling goes down from again. A number that
 * is not finite stops it with EQ_FAILED. */
eq_status eq_invert(eq_context *ctx, const eq_sampling *sampling, float *x);

#endif
