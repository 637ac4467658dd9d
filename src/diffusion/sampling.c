#include "diffusion/sampling.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/rng.h"
#include "diffusion/prediction.h"

typedef struct buffers {
    float *input;      /* [rows, count] x scaled for the network */
    float *prediction; /* [rows, output count]; of which [n, output count] after classifier-free guidance */
    float *noise;      /* [n, count] */
    float *h;          /* [rows, h count]; NULL without a hook */
    float *scratch;    /* [n, pixels] of semantic guidance; else NULL */
    float *x0, *dx0;   /* [n, count]; NULL without a hook on x_0 */
} buffers;

static size_t pixel_count(const eq_sampling *s)
{
    return (size_t)s->height * (size_t)s->width;
}

static size_t image_count(const eq_sampling *s)
{
    return pixel_count(s) * (size_t)s->channels;
}

/* Of the network's batch. */
static size_t row_count(const eq_sampling *s)
{
    return (size_t)s->n * (s->cfg != 0 ? 2 + (size_t)s->semantic.count : 1);
}

static size_t output_count(const eq_sampling *s)
{
    return pixel_count(s) * (size_t)s->output_channels;
}

static int64_t image_index(const eq_sampling *s, int64_t i)
{
    return s->indices ? s->indices[i] : s->first_index + i;
}

/* Substream 0 is the first noise, 1 + i the noise of call i. */
void eq_initial_noise(uint64_t seed, int64_t index, float *noise, size_t count)
{
    eq_rng rng = eq_rng_make(seed, (uint64_t)index, 0);
    eq_rng_normals(&rng, noise, count);
}

static void free_buffers(buffers *b)
{
    eq_buffer_free(b->input);
    eq_buffer_free(b->prediction);
    eq_buffer_free(b->noise);
    eq_buffer_free(b->h);
    eq_buffer_free(b->scratch);
    eq_buffer_free(b->x0);
    eq_buffer_free(b->dx0);
}

static eq_status allocate_buffers(eq_context *ctx, const eq_sampling *s, buffers *b)
{
    size_t rows = row_count(s), count = image_count(s);
    *b = (buffers){0};
    b->input = eq_buffer_new(rows * count * sizeof(float));
    b->prediction = eq_buffer_new(rows * output_count(s) * sizeof(float));
    b->noise = eq_buffer_new((size_t)s->n * count * sizeof(float));
    bool complete = b->input && b->prediction && b->noise;
    if (s->hook.apply) {
        b->h = eq_buffer_new(rows * (size_t)eq_denoiser_h_count(s->denoiser) * sizeof(float));
        complete = complete && b->h;
    }
    if (s->semantic.count > 0) {
        b->scratch = eq_buffer_new((size_t)s->n * pixel_count(s) * sizeof(float));
        complete = complete && b->scratch;
    }
    if (s->x0_hook.apply) {
        b->x0 = eq_buffer_new((size_t)s->n * count * sizeof(float));
        b->dx0 = eq_buffer_new((size_t)s->n * count * sizeof(float));
        complete = complete && b->x0 && b->dx0;
    }
    if (complete)
        return EQ_OK;
    free_buffers(b);
    return eq_fail_memory(ctx, "the images being sampled");
}

static bool all_finite(const float *x, size_t count)
{
    /* x - x is 0 for finite numbers only; summed, it vectorises. */
    float sum = 0;
#pragma omp parallel for simd reduction(+ : sum) schedule(static)
    for (size_t i = 0; i < count; i++)
        sum += x[i] - x[i];
    return sum == 0;
}

/* The network at call i, through the hook if it is active. */
static eq_status run_network(const eq_sampling *s, int i, const float *input, buffers *b)
{
    const eq_plan_call *call = &s->plan->call[i];
    float timestep = (float)call->timestep;
    if (!s->hook.apply || !s->hook.active(s->hook.user, call->step))
        return eq_denoiser_run(s->denoiser, input, timestep, b->prediction);
    int t = (int)call->timestep;
    size_t unseen = s->cfg != 0 && !s->hook.both_halves ? (size_t)s->n : 0;
    float *h = b->h + unseen * (size_t)eq_denoiser_h_count(s->denoiser);
    EQ_TRY(eq_denoiser_encode(s->denoiser, input, timestep, b->h));
    EQ_TRY(s->hook.apply(s->hook.user, call->step, call->timestep, s->plan->schedule->betas[t], h));
    return eq_denoiser_decode(s->denoiser, input, timestep, b->h, b->prediction);
}

/* gamma of all images, in the rows of the first edit prompt. */
static void gather_edits(const eq_sampling *s, float *nu, buffers *b)
{
    size_t count = output_count(s), total = (size_t)s->n * count;
#pragma omp parallel for schedule(static)
    for (int64_t k = 0; k < s->n; k++) {
        size_t at = (size_t)k * count;
        eq_semantic_gamma(&s->semantic, pixel_count(s), (size_t)s->output_channels, b->prediction + at,
                          b->prediction + 2 * total + at, total, nu + at, b->scratch + (size_t)k * pixel_count(s));
    }
}

static void add_edits(const eq_sampling *s, buffers *b)
{
    size_t total = (size_t)s->n * output_count(s);
    const float *gamma = b->prediction + 2 * total;
#pragma omp parallel for simd schedule(static)
    for (size_t k = 0; k < total; k++)
        b->prediction[k] += gamma[k];
}

/* Both halves of the prediction to one, in the first. */
static void combine_halves(const eq_sampling *s, buffers *b)
{
    size_t total = (size_t)s->n * output_count(s);
    float scale = (float)s->cfg;
    const float *conditional = b->prediction + total;
#pragma omp parallel for simd schedule(static)
    for (size_t k = 0; k < total; k++)
        b->prediction[k] += scale * (conditional[k] - b->prediction[k]);
}

/* dx0 -> (dx_0/dx_t)^T dx0, in place. x: [n, count] as the network saw it */
static eq_status pull_to_x(const eq_sampling *s, int i, const eq_prediction *p, const float *x, buffers *b)
{
    const eq_plan_call *call = &s->plan->call[i];
    size_t total = (size_t)s->n * image_count(s);
    for (size_t k = 0; k < total; k++)
        if (fabs((double)b->x0[k]) >= p->clip)
            b->dx0[k] = 0;
    if (!s->x0_hook.jacobian) {
        float factor = (float)sqrt(call->alpha_cumprod);
        for (size_t k = 0; k < total; k++)
            b->dx0[k] *= factor;
        return EQ_OK;
    }
    EQ_TRY(eq_jacobian_pull(s->x0_hook.jacobian, x, (float)call->timestep, b->dx0, b->x0));
    for (size_t k = 0; k < total; k++)
        b->dx0[k] = (float)(p->x0_x * b->dx0[k] + p->x0_m * b->x0[k]);
    return EQ_OK;
}

/* Changes the prediction by what the hook on x_0 says. x: [n, count] as the network saw it */
static eq_status guide_prediction(const eq_sampling *s, int i, const float *x, buffers *b)
{
    const eq_plan_call *call = &s->plan->call[i];
    size_t pixels = (size_t)s->n * (size_t)s->height * (size_t)s->width;
    size_t channels = (size_t)s->channels, outputs = (size_t)s->output_channels;
    eq_prediction p = eq_prediction_at(s->plan->schedule, call->alpha_cumprod);
    if (!s->x0_hook.apply || !s->x0_hook.active(s->x0_hook.user, call->step) || p.eps_m == 0)
        return EQ_OK;
    eq_predict(s->plan->schedule, call->alpha_cumprod, pixels, s->channels, s->output_channels, x, b->prediction, b->x0,
               NULL);
    EQ_TRY(s->x0_hook.apply(s->x0_hook.user, call->step, b->x0, b->dx0));
    EQ_TRY(pull_to_x(s, i, &p, x, b));
    float factor = (float)(sqrt(1 - call->alpha_cumprod) / p.eps_m); /* of the noise's share in the output */
    for (size_t k = 0; k < pixels; k++)
        for (size_t c = 0; c < channels; c++)
            b->prediction[k * outputs + c] += factor * b->dx0[k * channels + c];
    return EQ_OK;
}

static size_t sampler_history_count(const eq_sampling *s)
{
    return (size_t)s->n * (size_t)s->plan->sampler->history * image_count(s);
}

static eq_status predict(const eq_sampling *s, int i, eq_sampling_state *state, buffers *b)
{
    const float *x = state->x;
    float scale = (float)s->plan->call[i].input_scale;
    size_t total = (size_t)s->n * image_count(s);
    const float *input = x;
    if (scale != 1.0f || s->cfg != 0) {
        for (size_t k = 0; k < total; k++)
            b->input[k] = x[k] * scale;
        for (size_t row = (size_t)s->n; row < row_count(s); row += (size_t)s->n)
            memcpy(b->input + row * image_count(s), b->input, total * sizeof(float));
        input = b->input;
    }
    EQ_TRY(run_network(s, i, input, b));
    if (s->semantic.count > 0)
        gather_edits(s, state->history + sampler_history_count(s), b);
    if (s->cfg != 0)
        combine_halves(s, b);
    if (eq_semantic_active(&s->semantic, s->plan->call[i].step))
        add_edits(s, b);
    return guide_prediction(s, i, input, b);
}

static void step_images(const eq_sampling *s, int i, eq_sampling_state *state, buffers *b)
{
    size_t count = image_count(s), outputs = output_count(s);
    size_t history = (size_t)s->plan->sampler->history;
    bool noisy = s->plan->call[i].noise_scale != 0;
#pragma omp parallel for schedule(static)
    for (int64_t k = 0; k < s->n; k++) {
        float *noise = b->noise + (size_t)k * count;
        if (noisy) {
            eq_rng rng = eq_rng_make(s->seed, (uint64_t)image_index(s, k), (uint32_t)i + 1);
            eq_rng_normals(&rng, noise, count);
        }
        eq_sampler_step(s->plan, i,
                        &(eq_step){.pixels = count / (size_t)s->channels,
                                   .channels = s->channels,
                                   .output_channels = s->output_channels,
                                   .x = state->x + (size_t)k * count,
                                   .output = b->prediction + (size_t)k * outputs,
                                   .noise = noisy ? noise : NULL,
                                   .history = history ? state->history + (size_t)k * history * count : NULL});
    }
}

static eq_status run_calls(eq_context *ctx, const eq_sampling *s, eq_sampling_state *state, buffers *b)
{
    for (; state->next_call < s->plan->calls; state->next_call++) {
        int i = state->next_call;
        if (s->boundary)
            EQ_TRY(s->boundary(s->boundary_user, state));
        EQ_TRY(predict(s, i, state, b));
        step_images(s, i, state, b);
        if (!all_finite(state->x, (size_t)s->n * image_count(s)))
            return eq_fail(
                ctx, EQ_FAILED,
                "sampling met a number that is not finite at step %d of %d (timestep %g); try --dtype f32 or "
                "a lower --strength",
                s->plan->call[i].step + 1, s->plan->steps, s->plan->call[i].timestep);
        bool ends = i + 1 == s->plan->calls || s->plan->call[i + 1].step != s->plan->call[i].step;
        if (s->progress && ends)
            s->progress(s->progress_user, s->plan->call[i].step + 1, s->plan->steps);
    }
    return EQ_OK;
}

size_t eq_sampling_history_count(const eq_sampling *s)
{
    return sampler_history_count(s) + (s->semantic.count > 0 ? (size_t)s->n * output_count(s) : 0);
}

void eq_sampling_start(const eq_sampling *s, eq_sampling_state *state)
{
    size_t count = image_count(s), history = eq_sampling_history_count(s);
    float scale = (float)s->plan->init_noise_scale;
    state->next_call = 0;
#pragma omp parallel for schedule(static)
    for (int64_t k = 0; k < s->n; k++) {
        float *image = state->x + (size_t)k * count;
        eq_initial_noise(s->seed, image_index(s, k), image, count);
        for (size_t j = 0; j < count; j++)
            image[j] *= scale;
    }
    if (history)
        memset(state->history, 0, history * sizeof(float));
}

eq_status eq_sampling_continue(eq_context *ctx, const eq_sampling *s, eq_sampling_state *state)
{
    buffers b;
    EQ_TRY(allocate_buffers(ctx, s, &b));
    eq_status status = run_calls(ctx, s, state, &b);
    free_buffers(&b);
    return status;
}

eq_status eq_sample(eq_context *ctx, const eq_sampling *s, float *x)
{
    eq_sampling_state state = {.x = x, .history = eq_buffer_new(eq_sampling_history_count(s) * sizeof(float))};
    if (!state.history)
        return eq_fail_memory(ctx, "the images being sampled");
    eq_sampling_start(s, &state);
    eq_status status = eq_sampling_continue(ctx, s, &state);
    eq_buffer_free(state.history);
    return status;
}
