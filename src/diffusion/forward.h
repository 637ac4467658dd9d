/* The forward process for training: noising in closed form, what the network is to predict, and how much the loss at
 * each timestep weighs. */
#ifndef EQ_DIFFUSION_FORWARD_H
#define EQ_DIFFUSION_FORWARD_H

#include <stddef.h>

#include "diffusion/schedule.h"

/* q(x_t | x_0) (Ho et al. 2020, eq. 4): x_t = sqrt(abar) x_0 + sqrt(1 - abar) noise. All buffers: [count]; x_t may be
 * x0 or noise. */
void eq_add_noise(double alpha_cumprod, size_t count, const float *x0, const float *noise, float *x_t);

/* What the network should put out for that x_t: the noise, v (Salimans & Ho 2022, appendix D:
 * v = sqrt(abar) noise - sqrt(1 - abar) x_0) or x_0. All buffers: [count]; target may be x0 or noise. */
void eq_prediction_target(eq_prediction_type type, double alpha_cumprod, size_t count, const float *x0,
                          const float *noise, float *target);

typedef enum eq_loss_weighting {
    EQ_WEIGHT_UNIFORM, /* 1 on the squared error of whatever is predicted (Ho et al. 2020, eq. 14) */
    EQ_WEIGHT_MIN_SNR, /* min(snr, gamma) on that of x_0, gamma = 5 (Hang et al. 2023, section 3.4) */
    EQ_WEIGHT_P2,      /* 1 / (k + snr)^gamma on that of the noise, k = gamma = 1 (Choi et al. 2022, eq. 8) */
} eq_loss_weighting;

/* "uniform", "min-snr" or "p2". */
const char *eq_loss_weighting_name(eq_loss_weighting weighting);
/* EQ_BAD_USAGE lists the names. */
eq_status eq_loss_weighting_find(eq_context *ctx, const char *name, eq_loss_weighting *out);

/* The factor on the squared error in what the network predicts. Errors in the three predictions of one x_t are
 * proportional, |noise|^2 = snr |x_0|^2 and |v|^2 = (snr + 1) |x_0|^2, so a weighting defined on one of them follows
 * for the others. alpha_cumprod in (0, 1). */
double eq_loss_weight(eq_loss_weighting weighting, eq_prediction_type type, double alpha_cumprod);

#endif
