/* The Jacobian of a U-Net's prediction with respect to its input, from the left: what a gradient at the prediction is
 * at x. A forward and a backward pass, of N images in micro-batches. */
#ifndef EQ_DIFFUSION_JACOBIAN_H
#define EQ_DIFFUSION_JACOBIAN_H

#include "diffusion/denoiser.h"

typedef struct eq_jacobian eq_jacobian;

/* Of options, count, micro_batch, height, width, dtype, backend, packed and the condition's class labels count, and the
 * memory: where no micro_batch is given it is at most 8, and fewer where the Jacobian would take more than half of what
 * total_bytes leave beside held_bytes; 1 is always taken. params: loaded, kept by the caller. EQ_BAD_USAGE: a network
 * with a context. Freed with eq_jacobian_free. */
eq_status eq_jacobian_new(eq_context *ctx, const eq_unet_config *config, eq_params *params,
                          const eq_denoiser_options *options, eq_jacobian **out);
void eq_jacobian_free(eq_jacobian *jacobian);

/* x: [N, height, width, in_channels], as the network is shown it; dprediction: [N, height, width, in_channels], of the
 * first channels that the network puts out (what follows, a learned variance, takes no part). dx: like x, out, which
 * may be dprediction. */
eq_status eq_jacobian_pull(eq_jacobian *jacobian, const float *x, float timestep, const float *dprediction, float *dx);

int64_t eq_jacobian_micro_batch(const eq_jacobian *jacobian);
/* Activations and packed weights. */
size_t eq_jacobian_bytes(const eq_jacobian *jacobian);

/* Passes of single images so far, a backward one counted as two. */
double eq_jacobian_passes(const eq_jacobian *jacobian);

#endif
