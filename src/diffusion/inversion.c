#include "diffusion/inversion.h"

#include <math.h>

#include "base/memory.h"
#include "diffusion/ddim.h"

void eq_invert_step(const eq_sampling *s, int call, float *x, const float *prediction)
{
    const eq_plan_call *now = &s->plan->call[call];
    eq_ddim_invert(s->plan->schedule, now->alpha_cumprod, now[-1].alpha_cumprod,
                   &(eq_step){.pixels = (size_t)s->n * (size_t)s->height * (size_t)s->width,
                              .channels = s->channels,
                              .output_channels = s->output_channels,
                              .x = x,
                              .output = prediction});
}

eq_status eq_invert_call(const eq_sampling *s, int call, float *x, float *prediction)
{
    EQ_TRY(eq_denoiser_run(s->denoiser, x, (float)s->plan->call[call].timestep, prediction));
    eq_invert_step(s, call, x, prediction);
    return EQ_OK;
}

static bool all_finite(const float *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(x[i]))
            return false;
    return true;
}

static eq_status invert_all(eq_context *ctx, const eq_sampling *s, float *x, float *prediction)
{
    size_t count = (size_t)s->n * (size_t)s->height * (size_t)s->width * (size_t)s->channels;
    for (int i = s->plan->calls - 1; i > 0; i--) {
        EQ_TRY(eq_invert_call(s, i, x, prediction));
        if (!all_finite(x, count))
            return eq_fail(ctx, EQ_FAILED, "inversion met a number that is not finite at timestep %g; try --dtype f32",
                           s->plan->call[i].timestep);
        if (s->progress)
            s->progress(s->progress_user, s->plan->calls - i, s->plan->calls - 1);
    }
    return EQ_OK;
}

eq_status eq_invert(eq_context *ctx, const eq_sampling *s, float *x)
{
    size_t outputs = (size_t)s->n * (size_t)s->height * (size_t)s->width * (size_t)s->output_channels;
    float *prediction = eq_buffer_new(outputs * sizeof *prediction);
    if (!prediction)
        return eq_fail_memory(ctx, "the images being inverted");
    eq_status status = invert_all(ctx, s, x, prediction);
    eq_buffer_free(prediction);
    return status;
}
