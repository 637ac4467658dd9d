/* The one sampling loop: from noise to images, all N in lock-step, with a hook on h between encode and decode. */
#ifndef EQ_DIFFUSION_SAMPLING_H
#define EQ_DIFFUSION_SAMPLING_H

#include "diffusion/denoiser.h"
#include "diffusion/jacobian.h"
#include "diffusion/sampler.h"
#include "diffusion/semantic.h"

/* What guidance plugs in. `user` is passed through. A step that takes several calls of the network asks at each: h is
 * changed at all of them alike, with that call's timestep (for Heun's second call, that of the level the step ends at).
 */
typedef struct eq_h_hook {
    void *user;
    /* Whether h is wanted at this step; where it is not, encode and decode run without a stop. */
    bool (*active)(const void *user, int step);
    /* h: [n, h', w', c], to read and to change; [2n, h', w', c] with `both_halves`. timestep: not whole for some
     * samplers. beta: of the timestep, rounded down. */
    eq_status (*apply)(void *user, int step, double timestep, double beta, float *h);
    bool both_halves; /* with classifier-free guidance: h of the unconditional rows, then of the conditional; else of
                         the conditional alone */
} eq_h_hook;

/* What plugs in after the network: universal guidance (Bansal et al., CVPR 2023, section 3.1). From the gradient of a
 * loss at the predicted x_0 the predicted noise becomes
 *     eps + sqrt(1 - abar) (dx_0/dx_t)^T dx0,
 * so that x_0 moves against it. With a Jacobian, dx_0/dx_t goes through the network. Without one it is taken as
 * sqrt(abar), as of the best linear estimate of images of variance 1; to hold the noise fixed instead would make it
 * 1/sqrt(abar), which at the first steps is above 100. Where x_0 is clamped, its derivative is 0. */
typedef struct eq_x0_hook {
    void *user;
    bool (*active)(const void *user, int step);
    /* x0: [n, height, width, channels]; dx0: the gradient, like x0, out. */
    eq_status (*apply)(void *user, int step, const float *x0, float *dx0);
    eq_jacobian *jacobian; /* of n images; may be NULL */
} eq_x0_hook;

/* Called when a step is done, after its last call. */
typedef void (*eq_step_fn)(void *user, int steps_done, int steps);

/* Where a sampling stands between two calls of the network: all that is needed to go on from there. The buffers belong
 * to the caller. */
typedef struct eq_sampling_state {
    int next_call;  /* of the plan's */
    float *x;       /* [n, height, width, channels] */
    float *history; /* [n, sampler->history, height, width, channels], then the momentum of semantic guidance, where
                       there is any, [n, height, width, output channels] */
} eq_sampling_state;

/* Called before each call of the network, with the state up to date; a failure ends the sampling. */
typedef eq_status (*eq_boundary_fn)(void *user, const eq_sampling_state *state);

typedef struct eq_sampling {
    eq_denoiser *denoiser; /* of n images; of 2n with classifier-free guidance, the unconditional first, and of n more
                              for each edit prompt of semantic guidance */
    double
        cfg; /* scale of classifier-free guidance (Ho & Salimans 2022): out = uncond + cfg (cond - uncond); 0: none */
    eq_semantic semantic; /* count above 0 needs a cfg */
    const eq_plan *plan;
    int64_t n;
    int height, width, channels;
    int output_channels; /* of the network */
    uint64_t seed;
    const int64_t *indices; /* [n] image numbers that key the noise; NULL: first_index, first_index + 1, ... */
    int64_t first_index;
    eq_h_hook hook;      /* apply NULL: none */
    eq_x0_hook x0_hook;  /* apply NULL: none */
    eq_step_fn progress; /* may be NULL */
    void *progress_user;
    eq_boundary_fn boundary; /* may be NULL */
    void *boundary_user;
} eq_sampling;

/* x: [n, height, width, channels] out. A number that is not finite stops the run with EQ_FAILED and names the step. */
eq_status eq_sample(eq_context *ctx, const eq_sampling *sampling, float *x);

/* The same in two: start puts the first noise into x and clears the history, continue goes on from the state to the
 * end. Cancelled in the middle of a call, the state is as it was before that call. */
size_t eq_sampling_history_count(const eq_sampling *sampling); /* numbers in the history, 0 for none */
void eq_sampling_start(const eq_sampling *sampling, eq_sampling_state *state);
eq_status eq_sampling_continue(eq_context *ctx, const eq_sampling *sampling, eq_sampling_state *state);

/* The first noise of image number `index`. noise: [count] out. */
void eq_initial_noise(uint64_t seed, int64_t index, float *noise, size_t count);

#endif
