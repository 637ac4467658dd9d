/* From what a network puts out to the two quantities samplers work with, the predicted x_0 and the predicted noise,
 * which always satisfy x_t = sqrt(abar) x_0 + sqrt(1 - abar) eps (unless x_0 is clamped). */
#ifndef EQ_DIFFUSION_PREDICTION_H
#define EQ_DIFFUSION_PREDICTION_H

#include <stddef.h>

#include "diffusion/schedule.h"

/* "epsilon", "v_prediction" or "sample", the words of diffusers' files. */
const char *eq_prediction_name(eq_prediction_type type);

/* x_0 and eps as linear maps of x_t and the output m: x_0 = x0_x x_t + x0_m m, eps = eps_x x_t + eps_m m. */
typedef struct eq_prediction {
    double x0_x, x0_m;
    double eps_x, eps_m;
    double clip; /* x_0 is clamped to +-clip; infinity where it is not */
} eq_prediction;

/* The maps at the noise level abar = alpha_cumprod in (0, 1]. At 1, where there is no noise, x_0 is x_t; there the
 * noise that a sample prediction implies is 0.
 *     epsilon:  x_0 = (x_t - sqrt(1 - abar) m) / sqrt(abar)                      (Ho et al. 2020, eq. 15)
 *     v:        x_0 = sqrt(abar) x_t - sqrt(1 - abar) m
 *               eps = sqrt(1 - abar) x_t + sqrt(abar) m                          (Salimans & Ho 2022, appendix D)
 *     sample:   eps = (x_t - sqrt(abar) m) / sqrt(1 - abar) */
eq_prediction eq_prediction_at(const eq_schedule *schedule, double alpha_cumprod);

/* The predicted x_0 and noise of one value. Clamping x_0 leaves the noise as predicted (diffusers' rule, with
 * use_clipped_model_output false). */
static inline void eq_predict_value(const eq_prediction *p, double x, double m, double *x0, double *eps)
{
    double value = p->x0_x * x + p->x0_m * m;
    *eps = p->eps_x * x + p->eps_m * m;
    *x0 = value > p->clip ? p->clip : value < -p->clip ? -p->clip : value;
}

/* Whole buffers. x, x0, eps: [pixels, channels]; output: [pixels, output_channels], of which the first `channels` are
 * the prediction (what follows, a learned variance, is not read). x0 or eps may be NULL, and either may be x. */
void eq_predict(const eq_schedule *schedule, double alpha_cumprod, size_t pixels, int channels, int output_channels,
                const float *x, const float *output, float *x0, float *eps);

#endif
