#include "train/diffusion_trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Substreams of a visit's randomness. */
enum { VISIT_TIMESTEP, VISIT_NOISE, VISIT_FLIP, VISIT_SKIPS, VISIT_CAPTION };

static bool has_text(const eq_diffusion_trainer *trainer)
{
    return trainer->options.unet.cross_attention_dim > 0;
}

/* The text transformer's states, or EQ_NONE for networks without a context. */
static eq_value build_text(eq_diffusion_trainer *trainer, const eq_builder *b)
{
    const eq_diffusion_training *o = &trainer->options;
    if (!has_text(trainer))
        return EQ_NONE;
    eq_clip_text_build(b, &o->text, o->batch, o->unet.context_length, &trainer->text);
    return trainer->text.last;
}

static eq_status build(eq_diffusion_trainer *trainer, eq_context *ctx)
{
    const eq_diffusion_training *o = &trainer->options;
    eq_graph *graph = eq_graph_new(ctx, o->dtype);
    if (!graph)
        return eq_fail_memory(ctx, "a graph");
    trainer->params->trainable = true;
    eq_builder builder = {graph, trainer->params};
    int size = o->unet.sample_size;
    eq_value loss = EQ_NONE;
    eq_unet_config unet = o->unet;
    unet.skip_switches = o->skip_dropout > 0;
    eq_value context = build_text(trainer, &builder);
    if (eq_unet_build_on(&builder, &unet, o->batch, size, size, context, &trainer->unet) == EQ_OK) {
        eq_value prediction = trainer->unet.prediction;
        trainer->target = eq_graph_input(graph, "target", EQ_F32, *eq_shape_at(graph, trainer->unet.sample));
        trainer->weight = eq_graph_input(graph, "weight", EQ_F32, eq_shape_of(o->batch));
        loss = eq_mse(graph, prediction, trainer->target, trainer->weight);
    }
    return eq_trainer_open(ctx, trainer->params, graph, loss, &o->optimiser, &trainer->core);
}

/* What the networks are to each other and to the data. */
static eq_status check_parts(eq_context *ctx, const eq_diffusion_training *o, const eq_diffusion_data *data)
{
    const eq_unet_config *u = &o->unet;
    int channels = data->latents ? data->latents->channels : 3;
    if (u->out_channels != u->in_channels || u->in_channels != channels)
        return eq_fail(ctx, EQ_BAD_USAGE, "a U-Net to train on %s has %d channels in and out, not %d and %d",
                       data->latents ? "these latents" : "images", channels, u->in_channels, u->out_channels);
    if (!data->latents != !u->cross_attention_dim)
        return eq_fail(ctx, EQ_BAD_USAGE, "latents with captions want a U-Net with a context, images one without");
    if (!data->latents)
        return EQ_OK;
    EQ_TRY(eq_clip_text_check(ctx, &o->text, "the text transformer's configuration"));
    if (o->text.hidden_size != u->cross_attention_dim || o->text.max_position_embeddings != u->context_length ||
        data->latents->length != u->context_length || data->latents->side != u->sample_size)
        return eq_fail(ctx, EQ_BAD_USAGE, "U-Net, text transformer and data do not fit each other");
    if (!(o->caption_dropout >= 0 && o->caption_dropout <= 1))
        return eq_fail(ctx, EQ_BAD_USAGE, "--caption-dropout must be 0 to 1, not %g", o->caption_dropout);
    return EQ_OK;
}

static eq_status check(eq_context *ctx, const eq_diffusion_training *options, const eq_diffusion_data *data)
{
    if (options->batch < 1 || options->batch > EQ_ORDER_MAX_BATCH)
        return eq_fail(ctx, EQ_BAD_USAGE, "--batch must be 1 to %d, not %d", EQ_ORDER_MAX_BATCH, options->batch);
    if (!(options->skip_dropout >= 0 && options->skip_dropout < 1))
        return eq_fail(ctx, EQ_BAD_USAGE, "--skip-dropout must be at least 0 and below 1, not %g",
                       options->skip_dropout);
    if (!(options->timestep_power >= 1 && options->timestep_power <= EQ_TIMESTEP_POWER_MAX))
        return eq_fail(ctx, EQ_BAD_USAGE, "--timestep-power must be 1 to %d, not %g", EQ_TIMESTEP_POWER_MAX,
                       options->timestep_power);
    EQ_TRY(eq_unet_check(ctx, &options->unet, "the network's configuration"));
    return check_parts(ctx, options, data);
}

static eq_status declare(eq_diffusion_trainer *trainer)
{
    EQ_TRY(eq_unet_declare(trainer->params, &trainer->options.unet));
    trainer->unet_params = trainer->params->count;
    return has_text(trainer) ? eq_clip_text_declare(trainer->params, &trainer->options.text) : EQ_OK;
}

static eq_status open_parts(eq_context *ctx, eq_diffusion_trainer *trainer)
{
    const eq_diffusion_training *o = &trainer->options;
    const eq_latent_set *latents = trainer->data.latents;
    trainer->params = eq_params_new(ctx);
    if (!trainer->params)
        return eq_fail_memory(ctx, "parameters");
    EQ_TRY(declare(trainer));
    EQ_TRY(eq_params_start(trainer->params, o->initial, o->seed));
    EQ_TRY(build(trainer, ctx));
    if (latents && !(trainer->ids = calloc((size_t)o->batch * (size_t)latents->length, sizeof *trainer->ids)))
        return eq_fail_memory(ctx, "captions");
    return eq_order_open(ctx, o->seed, latents ? latents->count : trainer->data.images->count, &trainer->order);
}

eq_status eq_diffusion_trainer_open(eq_context *ctx, const eq_diffusion_training *options, const eq_schedule *schedule,
                                    eq_diffusion_data data, eq_diffusion_trainer *out)
{
    *out = (eq_diffusion_trainer){.options = *options, .schedule = schedule, .data = data};
    EQ_TRY(check(ctx, options, &data));
    eq_status status = open_parts(ctx, out);
    if (status != EQ_OK)
        eq_diffusion_trainer_close(out);
    return status;
}

void eq_diffusion_trainer_close(eq_diffusion_trainer *trainer)
{
    eq_trainer_close(&trainer->core);
    eq_params_free(trainer->params);
    eq_order_close(&trainer->order);
    free(trainer->ids);
    *trainer = (eq_diffusion_trainer){0};
}

/* Parameters first..first + count - 1. */
static eq_params view(const eq_diffusion_trainer *trainer, int first, int count)
{
    eq_params part = *trainer->params;
    part.items += first;
    part.count = part.capacity = count;
    return part;
}

eq_params eq_diffusion_trainer_unet(const eq_diffusion_trainer *trainer)
{
    return view(trainer, 0, trainer->unet_params);
}

eq_params eq_diffusion_trainer_text(const eq_diffusion_trainer *trainer)
{
    return view(trainer, trainer->unet_params, trainer->params->count - trainer->unet_params);
}

int eq_diffusion_training_timestep(const eq_diffusion_training *o, int64_t visit, int timesteps)
{
    eq_rng rng = eq_rng_make(o->seed, (uint64_t)visit, VISIT_TIMESTEP);
    if (o->timestep_power == 1)
        return (int)eq_rng_below(&rng, (uint32_t)timesteps);
    int t = (int)(timesteps * pow(eq_rng_uniform(&rng), 1 / o->timestep_power));
    return t < timesteps ? t : timesteps - 1;
}

/* Sets row i of the switches for an image at alpha = alphas_cumprod[t]. */
static void switch_skips(eq_diffusion_trainer *trainer, int i, int64_t visit, double alpha)
{
    const eq_diffusion_training *o = &trainer->options;
    int levels = o->unet.levels, dropped = 0;
    eq_rng rng = eq_rng_make(o->seed, (uint64_t)visit, VISIT_SKIPS);
    if (alpha < 0.5 && levels > 1 && eq_rng_uniform(&rng) < o->skip_dropout)
        dropped = 1 + (int)eq_rng_below(&rng, (uint32_t)levels - 1);
    for (int level = 0; level < levels; level++)
        ((float *)eq_program_data(trainer->core.program, trainer->unet.skip_switch[level]))[i] =
            level < levels - dropped ? 1.0f : 0.0f;
}

/* What is to be learnt: x0 of image `index`, and row i of the captions. */
static void load(eq_diffusion_trainer *trainer, int i, int64_t visit, int64_t index, float *x0)
{
    const eq_diffusion_training *o = &trainer->options;
    const eq_latent_set *latents = trainer->data.latents;
    eq_rng flips = eq_rng_make(o->seed, (uint64_t)visit, VISIT_FLIP);
    bool flip = o->flip && (eq_rng_u32(&flips) & 1);
    if (!latents) {
        eq_dataset_image(trainer->data.images, index, flip, x0);
        return;
    }
    eq_latent_set_latent(latents, index, flip, x0);
    eq_rng rng = eq_rng_make(o->seed, (uint64_t)visit, VISIT_CAPTION);
    bool dropped = eq_rng_uniform(&rng) < o->caption_dropout;
    int64_t first = latents->first[index], captions = latents->first[index + 1] - first;
    size_t length = (size_t)latents->length;
    const int32_t *tokens = latents->tokens + (size_t)(first + eq_rng_below(&rng, (uint32_t)captions)) * length;
    memcpy(trainer->ids + (size_t)i * length, dropped ? latents->empty : tokens, length * sizeof *tokens);
}

/* Fills row i of the inputs from visit number `visit` of image `index`. */
static void fill_row(void *user, int i, int64_t visit, int64_t index)
{
    eq_diffusion_trainer *trainer = user;
    eq_program *program = trainer->core.program;
    const eq_diffusion_training *o = &trainer->options;
    const eq_schedule *schedule = trainer->schedule;
    size_t count = (size_t)o->unet.sample_size * (size_t)o->unet.sample_size * (size_t)o->unet.in_channels;
    float *x = (float *)eq_program_data(program, trainer->unet.sample) + (size_t)i * count;
    float *target = (float *)eq_program_data(program, trainer->target) + (size_t)i * count;

    eq_rng noise = eq_rng_make(o->seed, (uint64_t)visit, VISIT_NOISE);
    int t = eq_diffusion_training_timestep(o, visit, schedule->config.num_train_timesteps);
    double alpha = schedule->alphas_cumprod[t];
    load(trainer, i, visit, index, x);
    eq_rng_normals(&noise, target, count);
    eq_prediction_type type = schedule->config.prediction;
    /* In blocks that stay in the cache: both results are made from x_0 and the noise, in whose place they go. */
    enum { BLOCK = 1024 };
    for (size_t k = 0; k < count; k += BLOCK) {
        float x0[BLOCK], eps[BLOCK];
        size_t here = count - k < BLOCK ? count - k : BLOCK;
        memcpy(x0, x + k, here * sizeof(float));
        memcpy(eps, target + k, here * sizeof(float));
        eq_add_noise(alpha, here, x0, eps, x + k);
        eq_prediction_target(type, alpha, here, x0, eps, target + k);
    }
    if (o->skip_dropout > 0)
        switch_skips(trainer, i, visit, alpha);
    ((float *)eq_program_data(program, trainer->unet.timestep))[i] = (float)t;
    ((float *)eq_program_data(program, trainer->weight))[i] = (float)eq_loss_weight(o->weighting, type, alpha);
}

eq_status eq_diffusion_trainer_step(eq_diffusion_trainer *trainer, double *loss, double *gradient_norm)
{
    int batch = trainer->options.batch;
    int64_t first = trainer->core.optimiser.step * batch;
    eq_order_fill(&trainer->order, first, batch, fill_row, trainer);
    if (has_text(trainer))
        eq_clip_text_fill(trainer->core.program, &trainer->text, trainer->ids, 0); /* nothing is pooled: no end */
    return eq_trainer_step(&trainer->core, loss, gradient_norm);
}
