/* The forward process's posterior; the sampler itself is eq_sampler_ddpm in sampler.h. */
#ifndef EQ_DIFFUSION_DDPM_H
#define EQ_DIFFUSION_DDPM_H

#include "diffusion/sampler.h"

/* q(x_{t'} | x_t, x_0) for t' < t (Ho et al. 2020, eqs. 6 and 7): a normal with mean `x0` x_0 + `xt` x_t. */
typedef struct eq_posterior {
    double x0, xt;
    double variance; /* beta-tilde */
    double beta;     /* of going from t' to t in one step of noise: 1 - abar / abar' */
} eq_posterior;

/* abar at t, in (0, 1), and at t' < t, in (alpha_cumprod, 1]. */
eq_posterior eq_posterior_at(double alpha_cumprod, double alpha_cumprod_next);

#endif
