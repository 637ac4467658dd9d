#include "run/group.h"

#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "diffusion/latent.h"
#include "guidance/quota.h"
#include "guidance/state.h"
#include "io/image.h"

struct eq_group {
    eq_pipeline *pipeline;
    const eq_run_settings *settings;
    int64_t n, first_index;
    int64_t guided; /* rows of h that guidance sees: n, or 2n with both halves of classifier-free guidance */
    eq_condition condition;
    int *prompt_of;        /* [rows of the network] */
    int32_t *class_labels; /* [rows of the network]; NULL: all 0 */
    uint8_t *pixels;       /* [n, side, side, 3] once sampled */
    eq_guidance *guidance;
    eq_denoiser *denoiser;    /* NULL once it had to make room */
    eq_program_memory memory; /* that it was planned */
    size_t carry_bytes, decoder_bytes;
    double passes;         /* of a denoiser that is gone */
    eq_jacobian *jacobian; /* NULL without */
    eq_group_state state;
    double guidance_seconds;
    const eq_group_watch *watch;
};

/* --- what sampling calls back --- */

static bool hook_active(const void *user, int step)
{
    return eq_guidance_active(((const eq_group *)user)->guidance, step);
}

static eq_status hook_apply(void *user, int step, double timestep, double beta, float *h)
{
    eq_group *group = user;
    double start = eq_seconds();
    eq_status status = eq_guidance_apply(group->guidance, step, timestep, beta, h);
    group->guidance_seconds += eq_seconds() - start;
    return status;
}

static bool x0_active(const void *user, int step)
{
    return eq_guidance_wants_x0(((const eq_group *)user)->guidance, step);
}

static eq_status x0_apply(void *user, int step, const float *x0, float *dx0)
{
    eq_group *group = user;
    double start = eq_seconds();
    eq_status status = eq_guidance_apply_x0(group->guidance, step, x0, dx0);
    group->guidance_seconds += eq_seconds() - start;
    return status;
}

/* A call that is broken off may have changed guidance already: its state is kept as it was before. */
static eq_status boundary(void *user, const eq_sampling_state *state)
{
    eq_group *group = user;
    eq_guidance_state_get(group->guidance, group->state.guidance);
    return group->watch->boundary ? group->watch->boundary(group->watch->user, group) : EQ_OK;
}

static int64_t row_count(const eq_group *group)
{
    return group->n * (group->settings->cfg != 0 ? 2 + group->settings->semantic.count : 1);
}

static eq_sampling sampling_of(eq_group *group)
{
    const eq_unet_config *unet = &group->pipeline->model.unet;
    return (eq_sampling){.denoiser = group->denoiser,
                         .cfg = group->settings->cfg,
                         .semantic = group->settings->semantic,
                         .plan = &group->settings->plan,
                         .n = group->n,
                         .height = unet->sample_size,
                         .width = unet->sample_size,
                         .channels = unet->in_channels,
                         .output_channels = unet->out_channels,
                         .seed = group->settings->options->seed,
                         .first_index = group->first_index,
                         .hook = {group, hook_active, hook_apply, group->guided > group->n},
                         .x0_hook = {group, x0_active, group->settings->guide ? x0_apply : NULL, group->jacobian},
                         .boundary = boundary,
                         .boundary_user = group};
}

/* --- a group's life --- */

static size_t image_bytes(const eq_group *group)
{
    size_t side = (size_t)eq_model_image_size(&group->pipeline->model);
    return 3 * side * side;
}

/* What the images of a group hold while they are sampled, results of the whole run included. */
static size_t held_bytes(const eq_group *group)
{
    const eq_model *model = &group->pipeline->model;
    const eq_unet_config *unet = &model->unet;
    size_t pixels = (size_t)unet->sample_size * (size_t)unet->sample_size;
    size_t in = (size_t)unet->in_channels, out = (size_t)unet->out_channels;
    /* where there is a momentum, it is no larger than one */
    size_t history = (size_t)group->settings->plan.sampler->history + (group->settings->semantic.count > 0);
    size_t seen = group->settings->guide ? 2 : 0;
    /* x, its scaled copy, noise and history; the predicted image and its gradient; the prediction; h */
    size_t image =
        (pixels * (in * (3 + history + seen) + out) + (size_t)eq_shape_count(&model->h_shape)) * sizeof(float);
    return (size_t)row_count(group) * image + (size_t)(group->settings->options->count + group->n) * image_bytes(group);
}

/* What a method takes that looks at predicted images, and at the network through its Jacobian. */
static size_t guidance_bytes(const eq_group *group)
{
    return (group->settings->guide ? eq_image_guide_bytes(group->settings->guide) : 0) +
           (group->jacobian ? eq_jacobian_bytes(group->jacobian) : 0);
}

/* Text methods give out cells before anything is sampled. */
static eq_status deal_cells(eq_group *group, const eq_targets *targets)
{
    eq_guidance *g = group->guidance;
    if (g->options.method->text == EQ_TEXT_NONE)
        return EQ_OK;
    for (int t = 0; t < targets->count; t++)
        EQ_TRY(eq_quota_deal(group->pipeline->ctx, &targets->items[t], t, g->options.seed, g->n, g->cell + t * g->n));
    for (int64_t i = 0; i < g->n; i++)
        g->moved[i] = true;
    return EQ_OK;
}

/* The unconditional rows, where there are any, come first, those of edit prompts last. */
static void tell_prompts(eq_group *group, const eq_targets *targets)
{
    const eq_run_settings *s = group->settings;
    const eq_prompts *p = &s->prompts;
    int *conditional = group->prompt_of + (s->cfg != 0 ? group->n : 0);
    for (int64_t i = 0; i < group->n && p->count > 0; i++) {
        const int *cells = group->guidance->cell + i;
        int edits[EQ_SEMANTIC_PROMPTS];
        conditional[i] =
            1 + eq_prompts_text_of(p, group->first_index - s->options->first_index, targets, cells, group->n);
        if (s->semantic.count > 0)
            eq_wording_edits(targets, cells, group->n, edits, NULL);
        for (int e = 0; e < s->semantic.count; e++)
            conditional[(e + 1) * group->n + i] = 1 + p->wording.prompts * p->wording.variants + edits[e];
    }
}

static eq_status open_condition(eq_group *group, const eq_targets *targets)
{
    const eq_run_settings *s = group->settings;
    float side = (float)eq_model_image_size(&group->pipeline->model);
    int64_t rows = row_count(group);
    group->prompt_of = calloc((size_t)rows, sizeof *group->prompt_of);
    if (s->options->class_label > 0)
        group->class_labels = malloc((size_t)rows * sizeof *group->class_labels);
    if (!group->prompt_of || (s->options->class_label > 0 && !group->class_labels))
        return eq_fail_memory(group->pipeline->ctx, "a group of images");
    tell_prompts(group, targets);
    for (int64_t i = 0; i < rows && group->class_labels; i++)
        group->class_labels[i] = s->options->class_label;
    group->condition = (eq_condition){.context = s->prompts.context,
                                      .text = s->prompts.text,
                                      .prompt_of = group->prompt_of,
                                      .time_ids = {side, side, 0, 0, side, side},
                                      .class_labels = group->class_labels};
    return EQ_OK;
}

/* The Jacobian comes first: the denoiser makes do with what is left. */
static eq_status open_networks(eq_group *group)
{
    eq_pipeline *pipeline = group->pipeline;
    const eq_generate_options *o = group->settings->options;
    const eq_unet_config *unet = &pipeline->model.unet;
    eq_denoiser_options options = {.count = row_count(group),
                                   .condition = &group->condition,
                                   .micro_batch = o->micro_batch,
                                   .total_bytes = o->memory_bytes,
                                   .held_bytes = held_bytes(group) + guidance_bytes(group),
                                   .height = unet->sample_size,
                                   .width = unet->sample_size,
                                   .dtype = o->bf16 ? EQ_BF16 : EQ_F32};
    if (o->jacobian)
        EQ_TRY(
            eq_networks_new_jacobian(pipeline->ctx, &pipeline->networks, &pipeline->model, &options, &group->jacobian));
    options.held_bytes = held_bytes(group) + guidance_bytes(group);
    eq_status status =
        eq_networks_take_denoiser(pipeline->ctx, &pipeline->networks, &pipeline->model, &options, &group->denoiser);
    if (status == EQ_BAD_USAGE && guidance_bytes(group) > 0)
        return eq_fail(pipeline->ctx, status, "%s; of what is held, %.0f MB are the guiding classifier%s",
                       eq_last_error(pipeline->ctx), ceil((double)guidance_bytes(group) / (1 << 20)),
                       group->jacobian ? " and the network's Jacobian" : "");
    EQ_TRY(status);
    group->memory = eq_program_memory_use(eq_denoiser_program(group->denoiser));
    group->carry_bytes = eq_denoiser_carry_bytes(group->denoiser);
    return EQ_OK;
}

static eq_status open_group(eq_group *group, const eq_targets *targets)
{
    eq_pipeline *pipeline = group->pipeline;
    const eq_run_settings *s = group->settings;
    const eq_unet_config *unet = &pipeline->model.unet;
    const eq_adp *adps[EQ_MAX_ADPS];
    for (int a = 0; a < pipeline->adp_count; a++)
        adps[a] = &pipeline->adps[a];
    bool both = s->guidance.rule == EQ_STRENGTH_SD && s->guidance.method == &eq_method_distribution;
    group->guided = both ? row_count(group) : group->n;
    EQ_TRY(eq_guidance_new(pipeline->ctx, &s->guidance, adps, pipeline->adp_count, targets, group->guided,
                           s->plan.steps, &group->guidance));
    EQ_TRY(deal_cells(group, targets));
    EQ_TRY(open_condition(group, targets));
    EQ_TRY(open_networks(group));
    eq_sampling sampling = sampling_of(group);
    eq_group_state *state = &group->state;
    state->x_count =
        (size_t)group->n * (size_t)unet->sample_size * (size_t)unet->sample_size * (size_t)unet->in_channels;
    state->history_count = eq_sampling_history_count(&sampling);
    state->guidance_size = eq_guidance_state_size(group->guidance);
    state->sampling.x = eq_buffer_new(state->x_count * sizeof(float));
    state->sampling.history = eq_buffer_new(state->history_count * sizeof(float));
    state->guidance = malloc(state->guidance_size + 1);
    group->pixels = malloc((size_t)group->n * image_bytes(group));
    if (!state->sampling.x || !state->sampling.history || !state->guidance || !group->pixels)
        return eq_fail_memory(pipeline->ctx, "the images being sampled");
    eq_guidance_state_get(group->guidance, state->guidance);
    eq_sampling_start(&sampling, &state->sampling);
    return EQ_OK;
}

eq_status eq_group_new(eq_pipeline *pipeline, const eq_run_settings *settings, const eq_targets *targets,
                       int64_t first_index, int64_t n, eq_group **out)
{
    *out = NULL;
    eq_group *group = calloc(1, sizeof *group);
    if (!group)
        return eq_fail_memory(pipeline->ctx, "a group of images");
    *group = (eq_group){.pipeline = pipeline, .settings = settings, .n = n, .first_index = first_index};
    eq_status status = open_group(group, targets);
    if (status != EQ_OK) {
        eq_group_free(group);
        return status;
    }
    *out = group;
    return EQ_OK;
}

void eq_group_free(eq_group *group)
{
    if (!group)
        return;
    eq_networks_give_denoiser(&group->pipeline->networks, group->denoiser, group->settings->options->memory_bytes > 0);
    eq_guidance_free(group->guidance);
    eq_jacobian_free(group->jacobian);
    eq_buffer_free(group->state.sampling.x);
    eq_buffer_free(group->state.sampling.history);
    free(group->state.guidance);
    free(group->prompt_of);
    free(group->class_labels);
    free(group->pixels);
    free(group);
}

eq_group_state *eq_group_state_of(eq_group *group)
{
    return &group->state;
}

static size_t network_bytes(const eq_group *group)
{
    const eq_program_memory *memory = &group->memory;
    return memory->arena_bytes + memory->carry_bytes + memory->packed_bytes + group->carry_bytes;
}

/* What decoding took beside the network, or beyond it where that has made room. */
static void account_decoder(eq_group *group, const eq_latent_codec *codec)
{
    eq_latent_use use = eq_latent_codec_use(codec);
    size_t bytes = use.arena_bytes + use.packed_bytes + image_bytes(group) * sizeof(float);
    size_t instead = group->denoiser ? 0 : network_bytes(group);
    group->decoder_bytes = bytes > instead ? bytes - instead : 0;
}

/* What the decoder's activations may take; 0: not bounded. Where the network leaves little, it makes room: it is done.
 */
static size_t decoder_bytes(eq_group *group)
{
    const eq_pipeline *pipeline = group->pipeline;
    size_t total = group->settings->options->memory_bytes;
    size_t element = group->settings->options->bf16 ? sizeof(uint16_t) : sizeof(float);
    size_t held =
        pipeline->networks.process_bytes + held_bytes(group) + (size_t)pipeline->model.vae_params->total * element;
    if (total == 0)
        return 0;
    size_t network = network_bytes(group);
    if (held + network + total / 8 > total) {
        group->passes = eq_denoiser_passes(group->denoiser);
        eq_denoiser_free(group->denoiser);
        group->denoiser = NULL;
        network = 0;
    }
    return held + network < total ? total - held - network : 1;
}

/* Latents to pixels, one image at a time. */
static eq_status decode(eq_group *group)
{
    eq_context *ctx = group->pipeline->ctx;
    const eq_model *model = &group->pipeline->model;
    const eq_generate_options *o = group->settings->options;
    int64_t side = model->unet.sample_size;
    size_t image = image_bytes(group), latent = group->state.x_count / (size_t)group->n;
    eq_latent_codec *codec = NULL;
    eq_latent_options options = {.dtype = o->bf16 ? EQ_BF16 : EQ_F32, .memory_bytes = decoder_bytes(group)};
    float *x = eq_buffer_new(image * sizeof *x);
    eq_status status = x ? EQ_OK : eq_fail_memory(ctx, "an image");
    if (status == EQ_OK)
        status = eq_networks_take_codec(ctx, &group->pipeline->networks, &group->pipeline->model, &options, &codec);
    for (int64_t i = 0; i < group->n && status == EQ_OK; i++) {
        status = eq_latent_decode(codec, group->state.sampling.x + (size_t)i * latent, 1, side, side, x);
        if (status == EQ_OK)
            eq_pixels_from_float(x, image, group->pixels + (size_t)i * image);
    }
    if (codec)
        account_decoder(group, codec);
    if (o->memory_bytes > 0)
        eq_latent_codec_free(codec);
    else
        eq_networks_give_codec(&group->pipeline->networks, codec);
    eq_buffer_free(x);
    return status;
}

eq_status eq_group_sample(eq_group *group, const eq_group_watch *watch)
{
    eq_context *ctx = group->pipeline->ctx;
    eq_group_state *state = &group->state;
    int next = state->sampling.next_call;
    if (next < 0 || next > group->settings->plan.calls ||
        !eq_guidance_state_set(group->guidance, state->guidance, state->guidance_size))
        return eq_fail(ctx, EQ_BAD_INPUT, "the state to continue from is not that of these images");
    eq_sampling sampling = sampling_of(group);
    sampling.progress = watch->progress;
    sampling.progress_user = watch->user;
    group->watch = watch;
    EQ_TRY(eq_sampling_continue(ctx, &sampling, &state->sampling));
    if (group->pipeline->model.latent)
        return decode(group);
    eq_pixels_from_float(state->sampling.x, (size_t)group->n * image_bytes(group), group->pixels);
    return EQ_OK;
}

/* --- results --- */

void eq_group_store(const eq_group *group, int64_t first, eq_generation *out)
{
    const eq_guidance *g = group->guidance;
    size_t image = eq_generation_image_bytes(out);
    int64_t unconditional = group->guided - group->n; /* rows to leave out */
    memcpy(out->pixels + (size_t)first * image, group->pixels, (size_t)group->n * image);
    for (int a = 0; a < g->adp_count; a++) {
        int classes = g->adps[a]->attribute.classes;
        memcpy(out->predictions[a] + first * classes, g->p[a] + unconditional * classes,
               (size_t)(group->n * classes) * sizeof(float));
    }
    for (int t = 0; t < out->target_count; t++)
        memcpy(out->cells + t * out->count + first, g->cell + t * g->n + unconditional,
               (size_t)group->n * sizeof *out->cells);
    for (int64_t i = 0; i < group->n; i++)
        out->moved[first + i] = g->moved[unconditional + i];
    for (int t = 0; t < out->target_count && g->options.method->step; t++)
        for (int a = 0; a < g->targets->items[t].attribute_count; a++) {
            int view = g->target_view[t * EQ_TARGET_ATTRIBUTES + a];
            if (g->view_adp[view] >= 0)
                out->strengths[g->view_adp[view]] = eq_guidance_strength(g, view);
        }
}

double eq_group_passes(const eq_group *group)
{
    double passes = group->denoiser ? eq_denoiser_passes(group->denoiser) : group->passes;
    return passes + (group->jacobian ? eq_jacobian_passes(group->jacobian) : 0);
}

double eq_group_guidance_seconds(const eq_group *group)
{
    return group->guidance_seconds;
}

void eq_group_account(const eq_group *group, eq_generation *out)
{
    const eq_guidance *g = group->guidance;
    double share = (double)group->n / (double)out->count;
    for (int a = 0; a < g->adp_count; a++)
        for (int k = 0; k < out->steps * g->adps[a]->attribute.classes; k++)
            out->mean_per_step[a][k] += share * g->cell_mean[a][k];
    out->guidance_seconds += group->guidance_seconds;
    out->unet_passes += eq_group_passes(group);
    out->process_bytes = group->pipeline->networks.process_bytes;
    out->arena_bytes = group->memory.arena_bytes + group->memory.carry_bytes;
    out->weight_bytes = group->memory.packed_bytes;
    out->carry_bytes = group->carry_bytes;
    out->decoder_bytes = group->decoder_bytes;
    out->held_bytes = held_bytes(group);
    out->guidance_bytes = guidance_bytes(group);
}
