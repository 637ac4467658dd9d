/* DDIM (Song et al. 2021), eq. 12:
 *     x' = sqrt(abar') x_0 + sqrt(1 - abar' - sigma^2) eps + sigma z,   z ~ N(0, 1),
 * with x_0 and eps as predicted, and sigma from eq. 16:
 *     sigma = eta sqrt((1 - abar') / (1 - abar)) sqrt(1 - abar / abar').
 * eta 0 is deterministic; eta 1 adds as much noise as DDPM on the same timesteps. */
#include "diffusion/ddim.h"

#include <math.h>

#include "diffusion/prediction.h"

static eq_status prepare(eq_context *ctx, eq_plan *plan)
{
    EQ_TRY(eq_plan_fill(ctx, plan));
    for (int i = 0; i < plan->calls; i++) {
        eq_plan_call *call = &plan->call[i];
        double now = call->alpha_cumprod, next = call->alpha_cumprod_next;
        call->noise_scale = plan->eta * sqrt((1 - next) / (1 - now) * (1 - now / next));
    }
    return EQ_OK;
}

/* x' = signal x_0 + direction eps + sigma z over the step's buffers. */
static void combine(const eq_prediction *p, double signal, double direction, double sigma, const eq_step *step)
{
    size_t channels = (size_t)step->channels, output_channels = (size_t)step->output_channels;
    for (size_t i = 0; i < step->pixels; i++) {
        float *x = step->x + i * channels;
        const float *output = step->output + i * output_channels;
        const float *noise = sigma > 0 ? step->noise + i * channels : NULL;
        for (size_t c = 0; c < channels; c++) {
            double x0, eps;
            eq_predict_value(p, x[c], output[c], &x0, &eps);
            double value = signal * x0 + direction * eps;
            x[c] = (float)(noise ? value + sigma * noise[c] : value);
        }
    }
}

static void ddim_step(const eq_plan *plan, int i, const eq_step *step)
{
    const eq_plan_call *call = &plan->call[i];
    eq_prediction p = eq_prediction_at(plan->schedule, call->alpha_cumprod);
    double next = call->alpha_cumprod_next, sigma = call->noise_scale;
    /* At eta 1 and abar' near 1 the difference may round below 0. */
    double direction = sqrt(fmax(1 - next - sigma * sigma, 0));
    combine(&p, sqrt(next), direction, sigma, step);
}

void eq_ddim_invert(const eq_schedule *schedule, double alpha_cumprod, double alpha_cumprod_next, const eq_step *step)
{
    eq_prediction p = eq_prediction_at(schedule, alpha_cumprod);
    p.clip = INFINITY;
    combine(&p, sqrt(alpha_cumprod_next), sqrt(1 - alpha_cumprod_next), 0, step);
}

const eq_sampler eq_sampler_ddim = {
    .name = "ddim",
    .summary = "DDIM (Song et al. 2021): deterministic at eta 0, as noisy as DDPM at eta 1",
    .spacing = EQ_SPACING_LEADING,
    .order = 1,
    .history = 0,
    .uses_eta = true,
    .prepare = prepare,
    .step = ddim_step,
};
