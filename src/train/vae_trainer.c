#include "train/vae_trainer.h"

#include "ops/losses.h"

/* Substreams of a visit's randomness. */
enum { VISIT_FLIP, VISIT_NOISE };

/* Differences of neighbours along `axis`. x: [n, h, w, c] -> one shorter along it */
static eq_value neighbours(eq_graph *g, eq_value x, int axis)
{
    if (x == EQ_NONE)
        return EQ_NONE;
    int64_t length = eq_shape_at(g, x)->dim[axis] - 1;
    return eq_add(g, eq_slice(g, x, axis, 1, length), eq_scale(g, eq_slice(g, x, axis, 0, length), -1));
}

/* image, result: [n, h, w, c] f32 -> [1] */
static eq_value reconstruction_loss(eq_graph *g, const eq_vae_training *o, eq_value image, eq_value result)
{
    eq_value loss = o->loss == EQ_VAE_L1 ? eq_mae(g, result, image) : eq_mse(g, result, image, EQ_NONE);
    for (int axis = 1; axis <= 2 && o->edge_weight > 0; axis++) {
        eq_value edges = eq_mae(g, neighbours(g, result, axis), neighbours(g, image, axis));
        loss = eq_add(g, loss, eq_scale(g, edges, (float)o->edge_weight));
    }
    return loss;
}

static eq_status build(eq_vae_trainer *trainer, eq_context *ctx)
{
    const eq_vae_training *o = &trainer->options;
    eq_graph *g = eq_graph_new(ctx, o->dtype);
    if (!g)
        return eq_fail_memory(ctx, "a graph");
    trainer->params->trainable = true;
    eq_builder b = {g, trainer->params};
    int64_t n = o->batch, size = o->size, side = size / eq_vae_scale(&o->vae);
    trainer->image = eq_graph_input(g, "image", EQ_F32, eq_shape_of(n, size, size, o->vae.in_channels));
    trainer->noise = eq_graph_input(g, "noise", EQ_F32, eq_shape_of(n, side, side, o->vae.latent_channels));
    eq_value moments = eq_vae_encode(&b, &o->vae, trainer->image);
    eq_value z = eq_gaussian_sample(g, moments, trainer->noise);
    eq_value result = eq_vae_decode_fine(&b, &o->vae, eq_vae_decode_coarse(&b, &o->vae, z, 1), 1, NULL);
    eq_value loss = reconstruction_loss(g, o, trainer->image, result);
    if (o->kl_weight > 0)
        loss = eq_add(g, loss, eq_scale(g, eq_gaussian_kl(g, moments), (float)o->kl_weight));
    return eq_trainer_open(ctx, trainer->params, g, loss, &o->optimiser, &trainer->core);
}

static eq_status check(eq_context *ctx, const eq_vae_training *o)
{
    if (o->batch < 1 || o->batch > EQ_ORDER_MAX_BATCH)
        return eq_fail(ctx, EQ_BAD_USAGE, "--batch must be 1 to %d, not %d", EQ_ORDER_MAX_BATCH, o->batch);
    EQ_TRY(eq_vae_check(ctx, &o->vae, "the network's configuration"));
    if (o->vae.in_channels != 3 || o->vae.out_channels != 3)
        return eq_fail(ctx, EQ_BAD_USAGE, "an autoencoder to train on images has 3 channels in and out, not %d and %d",
                       o->vae.in_channels, o->vae.out_channels);
    int scale = eq_vae_scale(&o->vae);
    if (o->size < 2 || o->size % scale != 0)
        return eq_fail(ctx, EQ_BAD_USAGE, "--size must be a multiple of %d with %d levels of --channels, not %d", scale,
                       o->vae.levels, o->size);
    return EQ_OK;
}

eq_status eq_vae_trainer_open(eq_context *ctx, const eq_vae_training *options, const eq_dataset *data, int64_t count,
                              eq_vae_trainer *out)
{
    *out = (eq_vae_trainer){.options = *options, .data = data, .count = count};
    EQ_TRY(check(ctx, options));
    out->params = eq_params_new(ctx);
    eq_status status = out->params ? EQ_OK : eq_fail_memory(ctx, "parameters");
    if (status == EQ_OK)
        status = eq_vae_declare(out->params, &options->vae);
    if (status == EQ_OK)
        status = eq_params_start(out->params, options->initial, options->seed);
    if (status == EQ_OK)
        status = build(out, ctx);
    if (status == EQ_OK)
        status = eq_order_open(ctx, options->seed, count, &out->order);
    if (status != EQ_OK)
        eq_vae_trainer_close(out);
    return status;
}

void eq_vae_trainer_close(eq_vae_trainer *trainer)
{
    eq_trainer_close(&trainer->core);
    eq_params_free(trainer->params);
    eq_order_close(&trainer->order);
    *trainer = (eq_vae_trainer){0};
}

/* Fills row i of the inputs from visit number `visit` of image `index`. */
static void fill_row(void *user, int i, int64_t visit, int64_t index)
{
    eq_vae_trainer *trainer = user;
    eq_program *program = trainer->core.program;
    const eq_vae_training *o = &trainer->options;
    int64_t side = o->size / eq_vae_scale(&o->vae);
    size_t pixels = (size_t)o->size * (size_t)o->size * 3, latent = (size_t)(side * side * o->vae.latent_channels);
    eq_rng flips = eq_rng_make(o->seed, (uint64_t)visit, VISIT_FLIP);
    eq_rng noise = eq_rng_make(o->seed, (uint64_t)visit, VISIT_NOISE);
    eq_dataset_image(trainer->data, index, o->flip && (eq_rng_u32(&flips) & 1),
                     (float *)eq_program_data(program, trainer->image) + (size_t)i * pixels);
    eq_rng_normals(&noise, (float *)eq_program_data(program, trainer->noise) + (size_t)i * latent, latent);
}

eq_status eq_vae_trainer_step(eq_vae_trainer *trainer, double *loss, double *gradient_norm)
{
    int batch = trainer->options.batch;
    int64_t first = trainer->core.optimiser.step * batch;
    eq_order_fill(&trainer->order, first, batch, fill_row, trainer);
    return eq_trainer_step(&trainer->core, loss, gradient_norm);
}
