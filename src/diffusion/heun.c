/* Heun's method in sigma (Karras et al. 2022, algorithm 1 without churn): Euler's step to the next level, the slope
 * there, and the step again with the mean of both slopes. Two calls a step but the last, which ends at no noise, where
 * there is no slope: steps 0, 1, 2 of a plan are calls 0 and 1, 2 and 3, and 4. The second call is at the level the
 * step ends at, which is that of the next step's first. */
#include <stdlib.h>

#include "diffusion/prediction.h"
#include "diffusion/sigmas.h"

enum { HISTORY_START, HISTORY_SLOPE, HISTORY }; /* x where the step began, and the slope there */

static eq_status prepare(eq_context *ctx, eq_plan *plan)
{
    EQ_TRY(eq_plan_fill_sigmas(ctx, plan));
    eq_plan_call *single = plan->call;
    int steps = plan->calls;
    eq_status status = eq_plan_allocate(ctx, plan, 2 * steps - 1);
    if (status == EQ_OK) {
        for (int i = 0; i < plan->calls; i++) {
            plan->call[i] = single[(i + 1) / 2];
            plan->call[i].step = i / 2;
            if (i % 2 == 1)
                plan->call[i].alpha_cumprod_next = plan->call[i].alpha_cumprod;
        }
    }
    free(single);
    return status;
}

static void heun_step(const eq_plan *plan, int i, const eq_step *step)
{
    bool corrects = i % 2 == 1;
    const eq_plan_call *call = &plan->call[i], *first = corrects ? call - 1 : call;
    eq_prediction p = eq_prediction_at(plan->schedule, call->alpha_cumprod);
    double sigma = eq_sigma_from_alpha(call->alpha_cumprod);
    double distance = eq_sigma_from_alpha(call->alpha_cumprod_next) - eq_sigma_from_alpha(first->alpha_cumprod);
    size_t channels = (size_t)step->channels, output_channels = (size_t)step->output_channels;
    float *start = step->history + HISTORY_START * step->pixels * channels;
    float *slope = step->history + HISTORY_SLOPE * step->pixels * channels;
    for (size_t n = 0; n < step->pixels; n++) {
        for (size_t c = 0; c < channels; c++) {
            size_t at = n * channels + c;
            double x0, eps, x = step->x[at];
            eq_predict_value(&p, x * call->input_scale, step->output[n * output_channels + c], &x0, &eps);
            double here = (x - x0) / sigma;
            if (corrects) {
                step->x[at] = (float)(start[at] + distance * 0.5 * (slope[at] + here));
            } else {
                start[at] = (float)x;
                slope[at] = (float)here;
                step->x[at] = (float)(x + distance * here);
            }
        }
    }
}

const eq_sampler eq_sampler_heun = {
    .name = "heun",
    .summary = "Heun's method in sigma (Karras et al. 2022): second order, two network calls a step",
    .spacing = EQ_SPACING_LINSPACE,
    .order = 2,
    .history = HISTORY,
    .uses_eta = false,
    .prepare = prepare,
    .step = heun_step,
};
