#include "train/diffusion_trainer.h"

/* Substreams of a visit's randomness. */
enum { VISIT_TIMESTEP, VISIT_NOISE, VISIT_FLIP, VISIT_SKIPS };

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
    if (eq_unet_build(&builder, &unet, o->batch, size, size, &trainer->unet) == EQ_OK) {
        eq_value prediction = trainer->unet.prediction;
        trainer->target = eq_graph_input(graph, "target", EQ_F32, *eq_shape_at(graph, trainer->unet.sample));
        trainer->weight = eq_graph_input(graph, "weight", EQ_F32, eq_shape_of(o->batch));
        loss = eq_mse(graph, prediction, trainer->target, trainer->weight);
    }
    return eq_trainer_open(ctx, trainer->params, graph, loss, &o->optimiser, &trainer->core);
}

/* Views, which eq_params_allocate copies. */
static eq_status start_from(eq_context *ctx, eq_params *params, const eq_params *initial)
{
    if (initial->count != params->count)
        return eq_fail(ctx, EQ_BAD_USAGE, "the network has %d parameters, the one to start from %d", params->count,
                       initial->count);
    for (int i = 0; i < params->count; i++) {
        const eq_param *from = &initial->items[i];
        if (!eq_shape_equal(&from->tensor.shape, &params->items[i].tensor.shape))
            return eq_fail(ctx, EQ_BAD_USAGE, "%s is not of the shape that it has in the model to start from",
                           params->items[i].name);
        params->items[i].tensor = from->tensor;
    }
    return EQ_OK;
}

eq_status eq_diffusion_trainer_open(eq_context *ctx, const eq_diffusion_training *options, const eq_schedule *schedule,
                                    const eq_dataset *data, eq_diffusion_trainer *out)
{
    *out = (eq_diffusion_trainer){.options = *options, .schedule = schedule, .data = data};
    if (options->batch < 1 || options->batch > 4096)
        return eq_fail(ctx, EQ_BAD_USAGE, "--batch must be 1 to 4096, not %d", options->batch);
    if (!(options->skip_dropout >= 0 && options->skip_dropout < 1))
        return eq_fail(ctx, EQ_BAD_USAGE, "--skip-dropout must be at least 0 and below 1, not %g",
                       options->skip_dropout);
    EQ_TRY(eq_unet_check(ctx, &options->unet, "the network's configuration"));
    if (options->unet.out_channels != options->unet.in_channels || options->unet.in_channels != 3)
        return eq_fail(ctx, EQ_BAD_USAGE, "a U-Net to train on images has 3 channels in and out, not %d and %d",
                       options->unet.in_channels, options->unet.out_channels);
    out->params = eq_params_new(ctx);
    eq_status status = out->params ? EQ_OK : eq_fail_memory(ctx, "parameters");
    if (status == EQ_OK)
        status = eq_unet_declare(out->params, &options->unet);
    if (status == EQ_OK && options->initial)
        status = start_from(ctx, out->params, options->initial);
    if (status == EQ_OK)
        status = eq_params_allocate(out->params);
    if (status == EQ_OK) {
        if (!options->initial)
            eq_params_initialise(out->params, options->seed);
        status = build(out, ctx);
    }
    if (status == EQ_OK)
        status = eq_order_open(ctx, options->seed, data->count, &out->order);
    if (status != EQ_OK)
        eq_diffusion_trainer_close(out);
    return status;
}

void eq_diffusion_trainer_close(eq_diffusion_trainer *trainer)
{
    eq_trainer_close(&trainer->core);
    eq_params_free(trainer->params);
    eq_order_close(&trainer->order);
    *trainer = (eq_diffusion_trainer){0};
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

/* Fills row i of the inputs from visit number `visit` of image `index`. */
static void fill_row(eq_diffusion_trainer *trainer, int i, int64_t visit, int64_t index)
{
    eq_program *program = trainer->core.program;
    const eq_diffusion_training *o = &trainer->options;
    const eq_schedule *schedule = trainer->schedule;
    size_t count = (size_t)o->unet.sample_size * (size_t)o->unet.sample_size * 3;
    float *x = (float *)eq_program_data(program, trainer->unet.sample) + (size_t)i * count;
    float *target = (float *)eq_program_data(program, trainer->target) + (size_t)i * count;

    eq_rng flips = eq_rng_make(o->seed, (uint64_t)visit, VISIT_FLIP);
    eq_rng times = eq_rng_make(o->seed, (uint64_t)visit, VISIT_TIMESTEP);
    eq_rng noise = eq_rng_make(o->seed, (uint64_t)visit, VISIT_NOISE);
    uint32_t t = eq_rng_below(&times, (uint32_t)schedule->config.num_train_timesteps);
    double alpha = schedule->alphas_cumprod[t];
    eq_dataset_image(trainer->data, index, o->flip && (eq_rng_u32(&flips) & 1), x);
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
    int64_t index[4096];
    for (int i = 0; i < batch; i++)
        index[i] = eq_order_at(&trainer->order, first + i);
#pragma omp parallel for schedule(static)
    for (int i = 0; i < batch; i++)
        fill_row(trainer, i, first + i, index[i]);
    return eq_trainer_step(&trainer->core, loss, gradient_norm);
}
