#include "diffusion/sampler.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diffusion/timesteps.h"

static const eq_sampler *const samplers[] = {
    &eq_sampler_ddim, &eq_sampler_ddpm,      &eq_sampler_pndm, &eq_sampler_euler, &eq_sampler_euler_ancestral,
    &eq_sampler_heun, &eq_sampler_dpmsolver,
};
enum { SAMPLERS = sizeof samplers / sizeof samplers[0] };

const eq_sampler *eq_sampler_at(int index)
{
    return index >= 0 && index < SAMPLERS ? samplers[index] : NULL;
}

eq_status eq_sampler_find(eq_context *ctx, const char *name, const eq_sampler **out)
{
    for (int i = 0; i < SAMPLERS; i++) {
        if (strcmp(name, samplers[i]->name) == 0) {
            *out = samplers[i];
            return EQ_OK;
        }
    }
    char names[256] = "";
    size_t used = 0;
    for (int i = 0; i < SAMPLERS && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", samplers[i]->name);
    return eq_fail(ctx, EQ_BAD_USAGE, "sampler: expected one of %s, found \"%s\"", names, name);
}

eq_status eq_plan_allocate(eq_context *ctx, eq_plan *plan, int calls)
{
    plan->call = calloc((size_t)calls, sizeof *plan->call);
    if (!plan->call)
        return eq_fail_memory(ctx, "a sampling plan");
    plan->calls = calls;
    for (int i = 0; i < calls; i++)
        plan->call[i].input_scale = 1;
    return EQ_OK;
}

eq_status eq_plan_fill(eq_context *ctx, eq_plan *plan)
{
    int n = plan->steps;
    int *timesteps = malloc(2 * (size_t)n * sizeof *timesteps);
    if (!timesteps)
        return eq_fail_memory(ctx, "a sampling plan");
    int *previous = timesteps + n;
    eq_status status = eq_timesteps(ctx, plan->schedule, plan->spacing, n, timesteps, previous);
    EQ_TRY_GOTO(status, status, done);
    EQ_TRY_GOTO(status, eq_plan_allocate(ctx, plan, n), done);
    for (int i = 0; i < n; i++) {
        eq_plan_call *call = &plan->call[i];
        call->timestep = timesteps[i];
        call->alpha_cumprod = eq_schedule_alpha(plan->schedule, timesteps[i]);
        call->alpha_cumprod_next = eq_schedule_alpha(plan->schedule, previous[i]);
        call->step = i;
    }
done:
    free(timesteps);
    return status;
}

eq_status eq_plan_new(eq_context *ctx, const eq_plan_options *options, const eq_schedule *schedule, eq_plan *out)
{
    memset(out, 0, sizeof *out);
    const eq_sampler *sampler = options->sampler;
    int trained = schedule->config.num_train_timesteps;
    if (options->steps < 1 || options->steps > trained)
        return eq_fail(ctx, EQ_BAD_USAGE,
                       "steps: expected 1..%d, the number of timesteps the model was trained with, found %d", trained,
                       options->steps);
    if (sampler->uses_eta && !(options->eta >= 0 && options->eta <= 1))
        return eq_fail(ctx, EQ_BAD_USAGE, "eta: expected a number in 0..1, found %g", options->eta);
    eq_spacing spacing = options->spacing;
    if (spacing == EQ_SPACING_DEFAULT)
        spacing = schedule->config.spacing;
    if (spacing == EQ_SPACING_DEFAULT)
        spacing = sampler->spacing;

    eq_plan plan = {
        .sampler = sampler,
        .schedule = schedule,
        .steps = options->steps,
        .spacing = spacing,
        .eta = sampler->uses_eta ? options->eta : 0,
        .init_noise_scale = 1,
    };
    eq_status status = sampler->prepare(ctx, &plan);
    if (status != EQ_OK) {
        eq_plan_free(&plan);
        return status;
    }
    *out = plan;
    return EQ_OK;
}

void eq_plan_free(eq_plan *plan)
{
    if (!plan)
        return;
    free(plan->call);
    memset(plan, 0, sizeof *plan);
}

void eq_sampler_step(const eq_plan *plan, int i, const eq_step *step)
{
    plan->sampler->step(plan, i, step);
}
