/* One generation: images sampled in groups that share one P, everything recorded. */
#include <stdlib.h>

#include "base/clock.h"
#include "diffusion/sampling.h"
#include "io/image.h"
#include "kernels/onednn/onednn.h"
#include "run/settings.h"

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

static eq_status allocate_result(eq_pipeline *pipeline, const eq_run_settings *s, const eq_targets *targets,
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
    out->strengths = calloc(attributes + 1, sizeof *out->strengths);
    bool complete = out->strengths && out->pixels && out->timesteps && out->predictions && out->mean_per_step &&
                    out->cells && out->moved;
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
    free(generation->strengths);
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
    for (int t = 0; t < out->target_count && g->options.method->step; t++)
        for (int a = 0; a < g->targets->items[t].attribute_count; a++) {
            int adp = g->target_adp[t * EQ_TARGET_ATTRIBUTES + a];
            out->strengths[adp] = eq_guidance_strength(g, adp);
        }
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

static eq_status sample_group(eq_pipeline *pipeline, const eq_run_settings *s, const eq_targets *targets, int64_t first,
                              int64_t n, float *x, eq_generation *out)
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
                                          .plan = &s->plan,
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

static eq_status sample_all(eq_pipeline *pipeline, const eq_run_settings *s, const eq_targets *targets,
                            eq_generation *out)
{
    for (int i = 0; i < s->plan.calls; i++)
        out->timesteps[s->plan.call[i].step] = s->plan.call[i].timestep;
    size_t image = (size_t)out->width * (size_t)out->height * 3;
    float *x = malloc((size_t)s->group * image * sizeof *x);
    eq_status status = x ? EQ_OK : eq_fail_memory(pipeline->ctx, "the images being sampled");
    for (int64_t first = 0; first < out->count && status == EQ_OK; first += s->group) {
        int64_t n = out->count - first < s->group ? out->count - first : s->group;
        status = sample_group(pipeline, s, targets, first, n, x, out);
    }
    free(x);
    return status;
}

eq_status eq_generate(eq_pipeline *pipeline, const eq_generate_options *options, const eq_targets *targets,
                      eq_generation *out)
{
    eq_run_settings s;
    double start = eq_seconds();
    *out = (eq_generation){0};
    EQ_TRY(eq_run_settings_resolve(pipeline, options, targets, &s));
    eq_status status = allocate_result(pipeline, &s, targets, out);
    if (status == EQ_OK)
        status = sample_all(pipeline, &s, targets, out);
    eq_run_settings_free(&s);
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
