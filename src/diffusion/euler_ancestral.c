/* Ancestral sampling with Euler's method in sigma (Crowson, k-diffusion 2022): a deterministic step to sigma_down,
 * below the level aimed at, and noise back up to it. With sigma_up^2 = sigma'^2 (sigma^2 - sigma'^2) / sigma^2,
 * sigma_down^2 = sigma'^2 - sigma_up^2, sigma_up is the deviation of the forward process's posterior (DDPM's beta-tilde
 * on this scale), and sigma_down = sigma'^2 / sigma. */
#include <math.h>

#include "diffusion/euler.h"
#include "diffusion/sigmas.h"

static eq_status prepare(eq_context *ctx, eq_plan *plan)
{
    EQ_TRY(eq_plan_fill_sigmas(ctx, plan));
    for (int i = 0; i < plan->calls; i++) {
        eq_plan_call *call = &plan->call[i];
        double sigma = eq_sigma_from_alpha(call->alpha_cumprod), next = eq_sigma_from_alpha(call->alpha_cumprod_next);
        call->noise_scale = next * sqrt((sigma - next) * (sigma + next)) / sigma;
    }
    return EQ_OK;
}

static void ancestral_step(const eq_plan *plan, int i, const eq_step *step)
{
    const eq_plan_call *call = &plan->call[i];
    double sigma = eq_sigma_from_alpha(call->alpha_cumprod), next = eq_sigma_from_alpha(call->alpha_cumprod_next);
    eq_euler_move(plan, i, next * next / sigma, call->noise_scale, step);
}

const eq_sampler eq_sampler_euler_ancestral = {
    .name = "euler-ancestral",
    .summary = "Euler's method with fresh noise at each step, as much as DDPM adds",
    .spacing = EQ_SPACING_LINSPACE,
    .order = 1,
    .history = 0,
    .uses_eta = false,
    .prepare = prepare,
    .step = ancestral_step,
};
