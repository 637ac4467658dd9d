/* Euler's method on the probability-flow ODE in sigma (Karras et al. 2022, algorithm 1 without the second-order
 * correction and without churn):
 *     dx/dsigma = (x - x_0) / sigma,
 * where (x - x_0) / sigma is the predicted noise unless x_0 was clamped. On whole timesteps it is DDIM at eta 0, step
 * by step: x there is x_t / sqrt(abar) here. What differs is where the steps lie and that the last one ends at no
 * noise. */
#include "diffusion/euler.h"

#include "diffusion/prediction.h"
#include "diffusion/sigmas.h"

static eq_status prepare(eq_context *ctx, eq_plan *plan)
{
    return eq_plan_fill_sigmas(ctx, plan);
}

void eq_euler_move(const eq_plan *plan, int i, double sigma_next, double noise_scale, const eq_step *step)
{
    const eq_plan_call *call = &plan->call[i];
    eq_prediction p = eq_prediction_at(plan->schedule, call->alpha_cumprod);
    double ratio = sigma_next / eq_sigma_from_alpha(call->alpha_cumprod);
    size_t channels = (size_t)step->channels, output_channels = (size_t)step->output_channels;
    for (size_t n = 0; n < step->pixels; n++) {
        float *x = step->x + n * channels;
        const float *output = step->output + n * output_channels;
        for (size_t c = 0; c < channels; c++) {
            double x0, eps;
            eq_predict_value(&p, x[c] * call->input_scale, output[c], &x0, &eps);
            double value = x0 + ratio * (x[c] - x0);
            if (noise_scale > 0)
                value += noise_scale * step->noise[n * channels + c];
            x[c] = (float)value;
        }
    }
}

static void euler_step(const eq_plan *plan, int i, const eq_step *step)
{
    eq_euler_move(plan, i, eq_sigma_from_alpha(plan->call[i].alpha_cumprod_next), 0, step);
}

const eq_sampler eq_sampler_euler = {
    .name = "euler",
    .summary = "Euler's method in sigma (Karras et al. 2022): deterministic",
    .spacing = EQ_SPACING_LINSPACE,
    .order = 1,
    .history = 0,
    .uses_eta = false,
    .prepare = prepare,
    .step = euler_step,
};
