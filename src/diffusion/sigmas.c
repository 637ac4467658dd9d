#include "diffusion/sigmas.h"

#include <math.h>
#include <stdlib.h>

#include "diffusion/timesteps.h"

double eq_sigma_from_alpha(double alpha_cumprod)
{
    return sqrt((1 - alpha_cumprod) / alpha_cumprod);
}

double eq_alpha_from_sigma(double sigma)
{
    return 1 / (1 + sigma * sigma);
}

static double sigma_of(const eq_schedule *schedule, int t)
{
    return eq_sigma_from_alpha(schedule->alphas_cumprod[t]);
}

double eq_sigma_at(const eq_schedule *schedule, double timestep)
{
    int below = (int)timestep;
    double share = timestep - below;
    double sigma = sigma_of(schedule, below);
    return share > 0 ? sigma + share * (sigma_of(schedule, below + 1) - sigma) : sigma;
}

double eq_timestep_at(const eq_schedule *schedule, double sigma)
{
    int low = 0, high = schedule->config.num_train_timesteps - 1;
    if (sigma <= sigma_of(schedule, low))
        return low;
    if (sigma >= sigma_of(schedule, high))
        return high;
    while (high - low > 1) {
        int middle = low + (high - low) / 2;
        if (sigma_of(schedule, middle) <= sigma)
            low = middle;
        else
            high = middle;
    }
    double from = log(sigma_of(schedule, low)), to = log(sigma_of(schedule, high));
    return low + (log(sigma) - from) / (to - from);
}

double eq_karras_sigma(double highest, double lowest, int i, int n)
{
    const double rho = 7;
    if (i == 0 || i == n - 1) /* exactly */
        return i == 0 ? highest : lowest;
    double first = pow(highest, 1 / rho), last = pow(lowest, 1 / rho);
    return pow(first + (last - first) * i / (n - 1), rho);
}

/* The linspace spacing without rounding. */
static void spread_evenly(eq_plan *plan)
{
    int n = plan->calls, last = plan->schedule->config.num_train_timesteps - 1;
    for (int i = 1; i < n; i++) /* the first is at T - 1 as it is */
        plan->call[i].timestep = (n - 1 - i) * ((double)last / (n - 1));
}

static void set_level(eq_plan_call *call, double sigma)
{
    call->alpha_cumprod = eq_alpha_from_sigma(sigma);
    call->input_scale = sqrt(call->alpha_cumprod);
}

eq_status eq_plan_fill_sigmas(eq_context *ctx, eq_plan *plan)
{
    const eq_schedule *schedule = plan->schedule;
    EQ_TRY(eq_plan_fill(ctx, plan));
    if (plan->spacing == EQ_SPACING_LINSPACE)
        spread_evenly(plan);
    double highest = eq_sigma_at(schedule, plan->call[0].timestep);
    double lowest = eq_sigma_at(schedule, plan->call[plan->calls - 1].timestep);
    for (int i = 0; i < plan->calls; i++) {
        eq_plan_call *call = &plan->call[i];
        double sigma = eq_sigma_at(schedule, call->timestep);
        if (schedule->config.karras_sigmas) {
            sigma = eq_karras_sigma(highest, lowest, i, plan->calls);
            call->timestep = eq_timestep_at(schedule, sigma);
        }
        set_level(call, sigma);
        if (i > 0)
            plan->call[i - 1].alpha_cumprod_next = call->alpha_cumprod;
    }
    plan->call[plan->calls - 1].alpha_cumprod_next = 1;
    /* The leading spacing starts well below T - 1, where the image still counts: the first x then has its variance
     * too. (diffusers' rule.) */
    bool starts_low = plan->spacing == EQ_SPACING_LEADING;
    plan->init_noise_scale = starts_low ? sqrt(highest * highest + 1) : highest;
    return EQ_OK;
}
