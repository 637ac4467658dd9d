/* Pseudo-numerical methods (Liu et al. 2022, "Pseudo Numerical Methods for Diffusion Models on Manifolds"): DDIM's step
 * at eta 0, taken with a noise that a multistep or Runge-Kutta formula makes of several predictions.
 *
 * PLMS, as Stable Diffusion uses it (skip_prk_steps): Adams-Bashforth over the noises of the last four steps, fewer at
 * the start. Step 0 takes two calls, the second at the level where it ends, and is taken again from its start with the
 * mean of both: n steps are n + 1 calls, at t0, t1, t1, t2, ...
 *
 * With the schedule's prk_steps, steps 0 to 2 are the paper's pseudo Runge-Kutta steps of four calls each, at t, the
 * middle twice, and the end, and Adams-Bashforth starts with its full length.
 *
 * Predictions are turned into noise before they are mixed, whatever the network predicts. (diffusers mixes outputs; the
 * two differ for v-prediction, where outputs at different noise levels are no estimates of one thing.) */
#include <math.h>
#include <stdlib.h>

#include "diffusion/prediction.h"
#include "diffusion/sampler.h"

enum { PAST = 3, PRK_STEPS = 3, PRK_CALLS = 4 };

/* Buffers of the history. The noise of step k is at k % PAST until step k + PAST has read it. */
enum { HISTORY_START = PAST, HISTORY_SUM, HISTORY }; /* x where the step began; the Runge-Kutta sum so far */

/* Runge-Kutta needs a step for Adams-Bashforth to go on with. */
static bool uses_prk(const eq_plan *plan)
{
    return plan->schedule->config.prk_steps && plan->steps > PRK_STEPS;
}

/* Step 0's second call, between the calls of steps 0 and 1. */
static void fill_plms(eq_plan *plan, const eq_plan_call *single)
{
    plan->call[0] = single[0];
    for (int i = 1; i < plan->calls; i++)
        plan->call[i] = single[i - 1];
    if (plan->calls > 1) {
        plan->call[1] = single[1];
        plan->call[1].step = 0;
        plan->call[1].alpha_cumprod_next = single[1].alpha_cumprod;
    }
}

/* The middle of step k, in whole timesteps, as diffusers has it: half the distance, rounded down, above the end where
 * the network is called, and below the start where the first half-step ends. */
static void fill_prk_step(const eq_plan *plan, int k, const eq_plan_call *single, eq_plan_call *call)
{
    int start = (int)single[k].timestep, end = (int)single[k + 1].timestep, half = (start - end) / 2;
    for (int j = 0; j < PRK_CALLS; j++) {
        int t = j == 0 ? start : j == PRK_CALLS - 1 ? end : end + half;
        call[j] = single[k];
        call[j].timestep = t;
        call[j].alpha_cumprod = eq_schedule_alpha(plan->schedule, t);
        call[j].alpha_cumprod_next = single[k + 1].alpha_cumprod;
    }
    call[0].alpha_cumprod_next = eq_schedule_alpha(plan->schedule, start - half);
    call[1].alpha_cumprod_next = call[1].alpha_cumprod;
}

static void fill_prk(eq_plan *plan, const eq_plan_call *single)
{
    for (int k = 0; k < PRK_STEPS; k++)
        fill_prk_step(plan, k, single, plan->call + k * PRK_CALLS);
    for (int k = PRK_STEPS; k < plan->steps; k++)
        plan->call[PRK_STEPS * (PRK_CALLS - 1) + k] = single[k];
}

static eq_status prepare(eq_context *ctx, eq_plan *plan)
{
    EQ_TRY(eq_plan_fill(ctx, plan));
    int n = plan->calls;
    bool prk = uses_prk(plan);
    eq_plan_call *single = plan->call;
    eq_status status = eq_plan_allocate(ctx, plan, prk ? n + PRK_STEPS * (PRK_CALLS - 1) : n > 1 ? n + 1 : 1);
    if (status == EQ_OK && prk)
        fill_prk(plan, single);
    else if (status == EQ_OK)
        fill_plms(plan, single);
    free(single);
    return status;
}

/* One call: the noise to step with is
 *     sum_k past[k] e_k + now e + sum S,
 * e_k the noise of the k-th step before, e this call's, S the Runge-Kutta sum. */
typedef struct formula {
    double past[PAST], now, sum;
    double add;   /* e times this is added to the Runge-Kutta sum */
    bool begins;  /* the step's first call: x is where it starts, e its noise */
    double alpha; /* abar where the step starts */
} formula;

static formula adams_bashforth(int step)
{
    switch (step) {
    case 0: return (formula){.now = 1};
    case 1: return (formula){.now = 3 / 2.0, .past = {-1 / 2.0}};
    case 2: return (formula){.now = 23 / 12.0, .past = {-16 / 12.0, 5 / 12.0}};
    default: return (formula){.now = 55 / 24.0, .past = {-59 / 24.0, 37 / 24.0, -9 / 24.0}};
    }
}

static formula formula_at(const eq_plan *plan, int i)
{
    int step = plan->call[i].step;
    bool runge_kutta = uses_prk(plan) && step < PRK_STEPS;
    int first = i;
    while (first > 0 && plan->call[first - 1].step == step)
        first--;
    formula f = {.now = 1};
    if (runge_kutta) {
        static const double weights[PRK_CALLS] = {1 / 6.0, 1 / 3.0, 1 / 3.0, 1 / 6.0};
        f.add = weights[i - first];
        if (i - first == PRK_CALLS - 1)
            f = (formula){.now = weights[PRK_CALLS - 1], .sum = 1};
    } else if (i > first) { /* step 0 of PLMS again */
        f = (formula){.now = 0.5, .past = {0.5}};
    } else {
        f = adams_bashforth(step);
    }
    f.begins = i == first;
    f.alpha = plan->call[first].alpha_cumprod;
    return f;
}

static void pndm_step(const eq_plan *plan, int i, const eq_step *step)
{
    const eq_plan_call *call = &plan->call[i];
    formula f = formula_at(plan, i);
    eq_prediction p = eq_prediction_at(plan->schedule, call->alpha_cumprod);
    double signal = sqrt(f.alpha), noise = sqrt(1 - f.alpha);
    double signal_next = sqrt(call->alpha_cumprod_next), noise_next = sqrt(1 - call->alpha_cumprod_next);
    size_t channels = (size_t)step->channels, output_channels = (size_t)step->output_channels;
    size_t count = step->pixels * channels;
    float *start = step->history + HISTORY_START * count, *sum = step->history + HISTORY_SUM * count;
    /* past[k]: of the k-th step before, counted from the call's own step, or from the one after it for the repeat. */
    int newest = call->step - (f.begins ? 1 : 0);
    float *past[PAST];
    for (int k = 0; k < PAST; k++)
        past[k] = step->history + (size_t)((newest - k + PAST) % PAST) * count;
    float *own = step->history + (size_t)(call->step % PAST) * count;

    for (size_t at = 0; at < count; at++) {
        float output = step->output[at / channels * output_channels + at % channels];
        double x0, e;
        eq_predict_value(&p, step->x[at], output, &x0, &e);
        double mixed = f.now * e + f.sum * sum[at];
        for (int k = 0; k < PAST; k++)
            mixed += f.past[k] * past[k][at];
        if (f.begins) {
            start[at] = step->x[at];
            own[at] = (float)e;
            sum[at] = 0;
        }
        sum[at] += (float)(f.add * e);
        x0 = (start[at] - noise * mixed) / signal;
        x0 = fmin(fmax(x0, -p.clip), p.clip);
        step->x[at] = (float)(signal_next * x0 + noise_next * mixed);
    }
}

const eq_sampler eq_sampler_pndm = {
    .name = "pndm",
    .summary = "PNDM (Liu et al. 2022): linear multistep on the predicted noise, Stable Diffusion 1's own",
    .spacing = EQ_SPACING_LEADING,
    .order = 2,
    .history = HISTORY,
    .uses_eta = false,
    .prepare = prepare,
    .step = pndm_step,
};
