/* One generation: settings resolved, images sampled in groups that share one P, everything recorded. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "diffusion/sampling.h"
#include "diffusion/timesteps.h"
#include "io/image.h"
#include "kernels/onednn/onednn.h"
#include "run/pipeline.h"

enum { DEFAULT_STEPS = 50, P2_GROUP = 100 };

/* The options with nothing left open. */
typedef struct settings {
    const eq_generate_options *options;
    eq_plan_options plan;
    eq_guidance_options guidance;
    int64_t group;
} settings;

/* What a preset stands for (the published settings of the two systems in Parihar et al. 2024). */
typedef struct preset {
    const char *name, *loss, *spacing;
    double eta;
    eq_strength_rule rule;
    int first_step; /* guided, from 0 */
    int64_t group;
} preset;

static const preset presets[] = {
    {"p2", "chi2", "paper", 1.0, EQ_STRENGTH_P2, 1, P2_GROUP},
    {"sd", "kl", "leading", 0.0, EQ_STRENGTH_SD, 0, 0},
};

static eq_status find_preset(eq_context *ctx, const char *name, const preset **out)
{
    *out = NULL;
    for (size_t i = 0; name && i < sizeof presets / sizeof presets[0]; i++)
        if (strcmp(presets[i].name, name) == 0)
            *out = &presets[i];
    return name && !*out ? eq_fail(ctx, EQ_BAD_USAGE, "no preset \"%s\"; there are p2 and sd", name) : EQ_OK;
}

static eq_status find_method(eq_context *ctx, const char *name, const eq_method **out)
{
    *out = eq_method_find(name);
    if (*out)
        return EQ_OK;
    char names[256] = "";
    for (int i = 0; eq_method_at(i); i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? ", " : "", eq_method_at(i)->name);
    return eq_fail(ctx, EQ_BAD_USAGE, "no method \"%s\"; there are %s", name, names);
}

static eq_status resolve_guidance(eq_context *ctx, const preset *p, const eq_generate_options *o,
                                  const eq_targets *targets, int steps, eq_guidance_options *out)
{
    const char *method = o->method ? o->method : targets->count > 0 ? "distribution" : "none";
    const char *loss = o->loss ? o->loss : p ? p->loss : "chi2";
    *out = (eq_guidance_options){.rule = p ? p->rule : EQ_STRENGTH_NORMALISED,
                                 .strength = o->strength,
                                 .temperature = o->temperature,
                                 .seed = o->seed,
                                 .first_step = o->guide_first ? o->guide_first - 1
                                               : p            ? p->first_step
                                                              : 0,
                                 .last_step = o->guide_last ? o->guide_last - 1 : steps - 1,
                                 .loss = eq_loss_find(loss)};
    EQ_TRY(find_method(ctx, method, &out->method));
    if (!out->loss)
        return eq_fail(ctx, EQ_BAD_USAGE, "no loss \"%s\"; there are chi2, kl and l2", loss);
    if (o->strength < 0 || !isfinite(o->strength))
        return eq_fail(ctx, EQ_BAD_USAGE, "the strength must be 0 or more, not %g", o->strength);
    if (o->temperature < 0 || !isfinite(o->temperature))
        return eq_fail(ctx, EQ_BAD_USAGE, "the temperature must be 0 (the predictor's) or more, not %g",
                       o->temperature);
    if (out->first_step < 0 || out->last_step < out->first_step || out->last_step >= steps)
        return eq_fail(ctx, EQ_BAD_USAGE, "the guided steps must be a range within 1..%d, not %d..%d", steps,
                       out->first_step + 1, out->last_step + 1);
    if (out->method->step && targets->count == 0)
        return eq_fail(ctx, EQ_BAD_USAGE, "method %s needs a target, such as gender=female:0.5,male:0.5", method);
    /* At the very first steps predictions say too little to deal out classes by. */
    out->assign_step = out->first_step > steps / 16 || out->last_step < steps / 16 ? out->first_step : steps / 16;
    return EQ_OK;
}

static eq_status resolve(eq_pipeline *pipeline, const eq_generate_options *o, const eq_targets *targets, settings *out)
{
    eq_context *ctx = pipeline->ctx;
    const preset *p;
    EQ_TRY(find_preset(ctx, o->preset, &p));
    *out = (settings){.options = o};
    if (o->count < 1 || o->count > 10000000)
        return eq_fail(ctx, EQ_BAD_USAGE, "the count of images must be 1 to 10000000, not %lld", (long long)o->count);
    if (o->first_index < 0 || o->micro_batch < 0 || o->coupled < 0)
        return eq_fail(ctx, EQ_BAD_USAGE,
                       "first index, micro-batch and coupled images must be 0 or more, not %lld, %lld and %lld",
                       (long long)o->first_index, (long long)o->micro_batch, (long long)o->coupled);
    int most = pipeline->model.schedule.config.num_train_timesteps;
    out->plan.steps = o->steps ? o->steps : most < DEFAULT_STEPS ? most : DEFAULT_STEPS;
    if (out->plan.steps < 1 || out->plan.steps > most)
        return eq_fail(ctx, EQ_BAD_USAGE, "the steps must be 1 to %d, which this model was trained with, not %d", most,
                       out->plan.steps);
    out->plan.eta = o->deterministic ? 0 : o->eta != 0 ? o->eta : p ? p->eta : 1;
    EQ_TRY(eq_sampler_find(ctx, o->sampler ? o->sampler : "ddim", &out->plan.sampler));
    const char *spacing = o->spacing ? o->spacing : p ? p->spacing : "default";
    EQ_TRY(eq_spacing_find(ctx, spacing, &out->plan.spacing));
    EQ_TRY(resolve_guidance(ctx, p, o, targets, out->plan.steps, &out->guidance));
    out->group = o->coupled > 0 ? o->coupled : p && p->group ? p->group : o->count;
    if (out->group > o->count)
        out->group = o->count;
    return EQ_OK;
}

/* --- the hook between guidance and sampling --- */

typedef struct guided {
    eq_guidance *guidance;
    double seconds;
} guided;

static bool hook_active(const void *user, int step)
{
    return eq_guidance_active(((const guided *)user)->guidance, step);
}

static eq_status hook_apply(void *user, int step, double timestep, double beta, float *h)
{
    guided *g = user;
    double start = eq_seconds();
    eq_status status = eq_guidance_apply(g->guidance, step, timestep, beta, h);
    g->seconds += eq_seconds() - start;
    return status;
}

/* --- results --- */

static eq_status allocate_result(eq_pipeline *pipeline, const settings *s, const eq_targets *targets,
                                 eq_generation *out)
{
    int side = pipeline->model.unet.sample_size;
    *out = (eq_generation){.count = s->options->count,
                           .width = side,
                           .height = side,
                           .coupled = s->group,
                           .steps = s->plan.steps,
                           .attribute_count = pipeline->adp_count,
                           .target_count = targets->count};
    size_t n = (size_t)out->count, steps = (size_t)out->steps, attributes = (size_t)pipeline->adp_count;
    out->pixels = malloc(n * (size_t)side * (size_t)side * 3);
    out->timesteps = calloc(steps, sizeof *out->timesteps);
    out->predictions = calloc(attributes + 1, sizeof *out->predictions);
    out->mean_per_step = calloc(attributes + 1, sizeof *out->mean_per_step);
    out->cells = malloc((n * (size_t)targets->count + 1) * sizeof *out->cells);
    out->moved = calloc(n, 1);
    bool complete = out->pixels && out->timesteps && out->predictions && out->mean_per_step && out->cells && out->moved;
    for (size_t a = 0; complete && a < attributes; a++) {
        size_t classes = (size_t)pipeline->attributes[a].classes;
        out->predictions[a] = calloc(n * classes, sizeof(float));
        out->mean_per_step[a] = calloc(steps * classes, sizeof(double));
        complete = out->predictions[a] && out->mean_per_step[a];
    }
    return complete ? EQ_OK : eq_fail_memory(pipeline->ctx, "the generated images");
}

void eq_generation_free(eq_generation *generation)
{
    for (int a = 0; a < generation->attribute_count; a++) {
        if (generation->predictions)
            free(generation->predictions[a]);
        if (generation->mean_per_step)
            free(generation->mean_per_step[a]);
    }
    free(generation->predictions);
    free(generation->mean_per_step);
    free(generation->pixels);
    free(generation->timesteps);
    free(generation->cells);
    free(generation->moved);
    *generation = (eq_generation){0};
}

/* Copies what guidance saw of images first..first + n - 1. */
static void store_guidance(const eq_guidance *g, int64_t first, eq_generation *out)
{
    double share = (double)g->n / (double)out->count;
    for (int a = 0; a < g->adp_count; a++) {
        int classes = g->adps[a]->attribute.classes;
        memcpy(out->predictions[a] + first * classes, g->p[a], (size_t)(g->n * classes) * sizeof(float));
        for (int k = 0; k < out->steps * classes; k++)
            out->mean_per_step[a][k] += share * g->cell_mean[a][k];
    }
    for (int t = 0; t < out->target_count; t++)
        memcpy(out->cells + t * out->count + first, g->cell + t * g->n, (size_t)g->n * sizeof *out->cells);
    for (int64_t i = 0; i < g->n; i++)
        out->moved[first + i] = g->moved[i];
    if (g->options.method->step)
        out->strength = eq_guidance_strength(g, g->target_adp[0]);
}

/* --- a group --- */

typedef struct group_progress {
    const eq_generate_options *options;
    int64_t done_before, group;
    int64_t total;
} group_progress;

static void forward_progress(void *user, int steps_done, int steps)
{
    group_progress *p = user;
    if (p->options->progress)
        p->options->progress(p->options->progress_user, p->done_before + p->group * steps_done, p->total);
}

static eq_status sample_group(eq_pipeline *pipeline, const settings *s, const eq_targets *targets, const eq_plan *plan,
                              int64_t first, int64_t n, float *x, eq_generation *out)
{
    eq_context *ctx = pipeline->ctx;
    const eq_unet_config *unet = &pipeline->model.unet;
    const eq_adp *adps[EQ_MAX_ADPS];
    for (int a = 0; a < pipeline->adp_count; a++)
        adps[a] = &pipeline->adps[a];
    guided g = {0};
    eq_denoiser *denoiser = NULL;
    eq_denoiser_options options = {.count = n,
                                   .micro_batch = s->options->micro_batch,
                                   .memory_bytes = s->options->memory_bytes,
                                   .height = unet->sample_size,
                                   .width = unet->sample_size,
                                   .dtype = s->options->bf16 ? EQ_BF16 : EQ_F32};
    group_progress progress = {.options = s->options,
                               .done_before = first * s->plan.steps,
                               .group = n,
                               .total = s->options->count * s->plan.steps};
    eq_status status =
        eq_guidance_new(ctx, &s->guidance, adps, pipeline->adp_count, targets, n, s->plan.steps, &g.guidance);
    if (status == EQ_OK)
        status = eq_denoiser_new(ctx, unet, pipeline->model.params, &options, &denoiser);
    if (status == EQ_OK)
        status = eq_sample(ctx,
                           &(eq_sampling){.denoiser = denoiser,
                                          .plan = plan,
                                          .n = n,
                                          .height = unet->sample_size,
                                          .width = unet->sample_size,
                                          .channels = unet->in_channels,
                                          .output_channels = unet->out_channels,
                                          .seed = s->options->seed,
                                          .first_index = s->options->first_index + first,
                                          .hook = {&g, hook_active, hook_apply},
                                          .progress = forward_progress,
                                          .progress_user = &progress},
                           x);
    if (status == EQ_OK) {
        eq_program_memory memory = eq_program_memory_use(eq_denoiser_program(denoiser));
        size_t image = (size_t)out->width * (size_t)out->height * 3;
        eq_pixels_from_float(x, (size_t)n * image, out->pixels + (size_t)first * image);
        store_guidance(g.guidance, first, out);
        out->guidance_seconds += g.seconds;
        out->unet_passes += eq_denoiser_passes(denoiser);
        out->arena_bytes = memory.arena_bytes + memory.carry_bytes;
        out->weight_bytes = memory.packed_bytes;
    }
    eq_denoiser_free(denoiser);
    eq_guidance_free(g.guidance);
    return status;
}

static eq_status sample_all(eq_pipeline *pipeline, const settings *s, const eq_targets *targets, eq_generation *out)
{
    eq_plan plan;
    EQ_TRY(eq_plan_new(pipeline->ctx, &s->plan, &pipeline->model.schedule, &plan));
    for (int i = 0; i < plan.calls; i++)
        out->timesteps[plan.call[i].step] = plan.call[i].timestep;
    size_t image = (size_t)out->width * (size_t)out->height * 3;
    float *x = malloc((size_t)s->group * image * sizeof *x);
    eq_status status = x ? EQ_OK : eq_fail_memory(pipeline->ctx, "the images being sampled");
    for (int64_t first = 0; first < out->count && status == EQ_OK; first += s->group) {
        int64_t n = out->count - first < s->group ? out->count - first : s->group;
        status = sample_group(pipeline, s, targets, &plan, first, n, x, out);
    }
    free(x);
    eq_plan_free(&plan);
    return status;
}

eq_status eq_generate(eq_pipeline *pipeline, const eq_generate_options *options, const eq_targets *targets,
                      eq_generation *out)
{
    settings s;
    double start = eq_seconds();
    *out = (eq_generation){0};
    EQ_TRY(resolve(pipeline, options, targets, &s));
    eq_status status = allocate_result(pipeline, &s, targets, out);
    if (status == EQ_OK)
        status = sample_all(pipeline, &s, targets, out);
    if (status != EQ_OK) {
        eq_generation_free(out);
        return status;
    }
    out->seconds = eq_seconds() - start;
    return EQ_OK;
}

int eq_bf16_is_fast(void)
{
    return eq_onednn_bf16_is_fast();
}
