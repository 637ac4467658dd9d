/* DPM-Solver++(2M) (Lu et al. 2022, "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models",
 * algorithm 2), a second-order multistep method on the predicted x_0. With alpha = sqrt(abar), s = sqrt(1 - abar) and
 * lambda = log(alpha / s), the step from lambda_i over h = lambda' - lambda_i after one over h_before is
 *     D = x0_i + h / (2 h_before) (x0_i - x0_before),
 *     x' = s' / s x_t - alpha' (exp(-h) - 1) D.
 * The first step, the last where there are fewer than 15, and one to no noise (where h is infinite) take D = x0_i: that
 * is DDIM. As in diffusers, the linspace spacing here is of n + 1 levels down to timestep 0, where the last step ends
 * (beyond it where the schedule says so with set_alpha_to_one). */
#include <math.h>

#include "diffusion/prediction.h"
#include "diffusion/sigmas.h"

enum { FEW_STEPS = 15 };

static double half_log_snr(double alpha_cumprod)
{
    return -log(eq_sigma_from_alpha(alpha_cumprod));
}

/* With n = T the levels would be too many: there the timesteps are all of them. */
static void use_one_level_more(eq_plan *plan)
{
    int n = plan->calls, last = plan->schedule->config.num_train_timesteps - 1;
    if (n > last)
        return;
    for (int i = 0; i < n; i++)
        plan->call[i].timestep = i == 0 ? last : nearbyint((n - i) * ((double)last / n));
}

static void use_karras_levels(eq_plan *plan)
{
    const eq_schedule *schedule = plan->schedule;
    double highest = eq_sigma_at(schedule, schedule->config.num_train_timesteps - 1), lowest = eq_sigma_at(schedule, 0);
    for (int i = 0; i < plan->calls; i++) {
        double sigma = eq_karras_sigma(highest, lowest, i, plan->calls);
        plan->call[i].timestep = nearbyint(eq_timestep_at(schedule, sigma));
        plan->call[i].alpha_cumprod = eq_alpha_from_sigma(sigma);
    }
}

static eq_status prepare(eq_context *ctx, eq_plan *plan)
{
    const eq_schedule *schedule = plan->schedule;
    EQ_TRY(eq_plan_fill(ctx, plan));
    int last = plan->calls - 1;
    if (schedule->config.karras_sigmas) {
        use_karras_levels(plan);
        plan->call[last].alpha_cumprod_next = schedule->final_alpha_cumprod;
    } else if (plan->spacing == EQ_SPACING_LINSPACE) {
        use_one_level_more(plan);
        for (int i = 0; i <= last; i++)
            plan->call[i].alpha_cumprod = eq_schedule_alpha(schedule, (int)plan->call[i].timestep);
    }
    for (int i = 0; i < last; i++)
        plan->call[i].alpha_cumprod_next = plan->call[i + 1].alpha_cumprod;
    return EQ_OK;
}

/* What the difference of the last two x_0 weighs in D. */
static double slope_weight(const eq_plan *plan, int i)
{
    const eq_plan_call *call = &plan->call[i];
    bool last_of_few = i == plan->calls - 1 && plan->calls < FEW_STEPS;
    if (i == 0 || last_of_few || call->alpha_cumprod_next == 1)
        return 0;
    double here = half_log_snr(call->alpha_cumprod);
    double h = half_log_snr(call->alpha_cumprod_next) - here;
    return h / (2 * (here - half_log_snr(call[-1].alpha_cumprod)));
}

/* history: the x_0 of the call before. */
static void dpmsolver_step(const eq_plan *plan, int i, const eq_step *step)
{
    const eq_plan_call *call = &plan->call[i];
    double now = call->alpha_cumprod, next = call->alpha_cumprod_next;
    eq_prediction p = eq_prediction_at(plan->schedule, now);
    double slope = slope_weight(plan, i);
    double keep = sqrt((1 - next) / (1 - now));
    double take = sqrt(next) - keep * sqrt(now); /* -alpha' (exp(-h) - 1) */
    size_t channels = (size_t)step->channels, output_channels = (size_t)step->output_channels;
    for (size_t n = 0; n < step->pixels; n++) {
        for (size_t c = 0; c < channels; c++) {
            size_t at = n * channels + c;
            double x0, eps, x = step->x[at];
            eq_predict_value(&p, x, step->output[n * output_channels + c], &x0, &eps);
            double d = x0 + slope * (x0 - step->history[at]);
            step->history[at] = (float)x0;
            step->x[at] = (float)(keep * x + take * d);
        }
    }
}

const eq_sampler eq_sampler_dpmsolver = {
    .name = "dpmsolver++",
    .summary = "DPM-Solver++ 2M (Lu et al. 2022): second order at one network call a step",
    .spacing = EQ_SPACING_LINSPACE,
    .order = 2,
    .history = 1,
    .uses_eta = false,
    .prepare = prepare,
    .step = dpmsolver_step,
};
