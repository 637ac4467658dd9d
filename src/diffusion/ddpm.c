/* DDPM's ancestral sampling (Ho et al. 2020, algorithm 2), on any subset of the timesteps: with respaced betas
 * (Nichol & Dhariwal 2021, section 4), beta = 1 - abar / abar', each step draws from the posterior of eqs. 6 and 7,
 *     mean = sqrt(abar') beta / (1 - abar) x_0 + sqrt(1 - beta) (1 - abar') / (1 - abar) x_t
 *     variance = beta-tilde = (1 - abar') / (1 - abar) beta.
 * "fixed_large" uses beta as the variance. A network with twice the channels predicts v, which interpolates between
 * the two in the logarithm (Nichol & Dhariwal 2021, eq. 15): from v = -1, beta-tilde, to v = 1, beta. */
#include "diffusion/ddpm.h"

#include <math.h>

#include "diffusion/prediction.h"

eq_posterior eq_posterior_at(double alpha_cumprod, double alpha_cumprod_next)
{
    double now = alpha_cumprod, next = alpha_cumprod_next;
    double beta = 1 - now / next;
    return (eq_posterior){
        .x0 = sqrt(next) * beta / (1 - now),
        .xt = sqrt(1 - beta) * (1 - next) / (1 - now),
        .variance = (1 - next) / (1 - now) * beta,
        .beta = beta,
    };
}

static eq_status prepare(eq_context *ctx, eq_plan *plan)
{
    EQ_TRY(eq_plan_fill(ctx, plan));
    /* The last step ends at x_0 and adds no noise, whatever abar other samplers end at. */
    plan->call[plan->calls - 1].alpha_cumprod_next = 1;
    for (int i = 0; i < plan->calls - 1; i++) {
        eq_plan_call *call = &plan->call[i];
        eq_posterior q = eq_posterior_at(call->alpha_cumprod, call->alpha_cumprod_next);
        call->noise_scale = sqrt(plan->schedule->config.variance == EQ_VARIANCE_LARGE ? q.beta : q.variance);
    }
    return EQ_OK;
}

static void ddpm_step(const eq_plan *plan, int i, const eq_step *step)
{
    const eq_plan_call *call = &plan->call[i];
    eq_prediction p = eq_prediction_at(plan->schedule, call->alpha_cumprod);
    eq_posterior q = eq_posterior_at(call->alpha_cumprod, call->alpha_cumprod_next);
    size_t channels = (size_t)step->channels, output_channels = (size_t)step->output_channels;
    bool noisy = call->noise_scale > 0;
    bool learned = noisy && output_channels == 2 * channels;
    double log_small = learned ? log(q.variance) : 0, log_large = learned ? log(q.beta) : 0;

    for (size_t n = 0; n < step->pixels; n++) {
        float *x = step->x + n * channels;
        const float *output = step->output + n * output_channels;
        for (size_t c = 0; c < channels; c++) {
            double x0, eps;
            eq_predict_value(&p, x[c], output[c], &x0, &eps);
            double value = q.x0 * x0 + q.xt * x[c];
            if (noisy) {
                double sigma = call->noise_scale;
                if (learned) {
                    double share = (output[channels + c] + 1.0) / 2;
                    sigma = exp(0.5 * (share * log_large + (1 - share) * log_small));
                }
                value += sigma * step->noise[n * channels + c];
            }
            x[c] = (float)value;
        }
    }
}

const eq_sampler eq_sampler_ddpm = {
    .name = "ddpm",
    .summary = "DDPM (Ho et al. 2020): ancestral sampling, with a learned variance where the model has one",
    .spacing = EQ_SPACING_LEADING,
    .order = 1,
    .history = 0,
    .uses_eta = false,
    .prepare = prepare,
    .step = ddpm_step,
};
