#include "run/networks.h"

#include "base/process.h"

/* --- denoisers --- */

static size_t bytes_of(eq_denoiser *denoiser)
{
    return eq_program_bytes(eq_denoiser_program(denoiser)) + eq_denoiser_carry_bytes(denoiser);
}

static void unload_weights(void *model)
{
    eq_tensor_file_unload(&((const eq_model *)model)->weights);
}

/* The autoencoder's, too, which may be in the same file. */
static void unload_all_weights(void *model)
{
    unload_weights(model);
    eq_tensor_file_unload(&((const eq_model *)model)->vae_weights);
}

/* Takes place i out of the list, and closes the gap. */
static eq_denoiser *take_place(eq_networks *networks, int i)
{
    eq_denoiser *denoiser = networks->denoisers[i];
    for (; i + 1 < EQ_NETWORKS_KEPT; i++)
        networks->denoisers[i] = networks->denoisers[i + 1];
    networks->denoisers[i] = NULL;
    return denoiser;
}

static void free_denoisers_from(eq_networks *networks, int first)
{
    for (int i = first; i < EQ_NETWORKS_KEPT; i++) {
        eq_denoiser_free(networks->denoisers[i]);
        networks->denoisers[i] = NULL;
    }
}

/* Once, before the first network. */
static void measure_process(eq_networks *networks, eq_model *model)
{
    if (networks->process_bytes > 0)
        return;
    unload_all_weights(model);
    eq_process_trim();
    networks->process_bytes = eq_process_resident();
}

static eq_status compile(eq_context *ctx, eq_networks *networks, eq_model *model, const eq_denoiser_options *options,
                         eq_denoiser **out)
{
    eq_denoiser_options all = *options;
    if (options->total_bytes > 0) /* what is kept must not stand beside it */
        eq_networks_clear(networks);
    eq_process_trim();
    all.held_bytes += networks->process_bytes;
    all.packed = unload_weights;
    all.packed_user = model;
    size_t before = eq_process_resident();
    EQ_TRY(eq_denoiser_new(ctx, &model->unet, model->params, &all, out));
    size_t after = eq_process_resident(), planned = bytes_of(*out);
    if (networks->denoisers_compiled++ == 0 && after > before + planned)
        networks->process_bytes += after - before - planned; /* generated code, descriptors */
    return EQ_OK;
}

eq_status eq_networks_take_denoiser(eq_context *ctx, eq_networks *networks, eq_model *model,
                                    const eq_denoiser_options *options, eq_denoiser **out)
{
    *out = NULL;
    measure_process(networks, model);
    eq_denoiser_options all = *options;
    all.held_bytes += networks->process_bytes;
    for (int i = 0; i < EQ_NETWORKS_KEPT && networks->denoisers[i]; i++)
        if (eq_denoiser_fits(networks->denoisers[i], &all)) {
            *out = take_place(networks, i);
            eq_status status = eq_denoiser_restart(*out, &all);
            if (status != EQ_OK) {
                eq_denoiser_free(*out);
                *out = NULL;
            }
            return status;
        }
    return compile(ctx, networks, model, options, out);
}

void eq_networks_give_denoiser(eq_networks *networks, eq_denoiser *denoiser, bool alone)
{
    if (!denoiser)
        return;
    eq_denoiser_free(networks->denoisers[EQ_NETWORKS_KEPT - 1]);
    for (int i = EQ_NETWORKS_KEPT - 1; i > 0; i--)
        networks->denoisers[i] = networks->denoisers[i - 1];
    networks->denoisers[0] = denoiser;
    size_t bytes = bytes_of(denoiser), limit = alone ? 0 : eq_machine_memory() / 4;
    for (int i = 1; i < EQ_NETWORKS_KEPT && networks->denoisers[i]; i++) {
        bytes += bytes_of(networks->denoisers[i]);
        if (bytes > limit)
            free_denoisers_from(networks, i);
    }
}

eq_status eq_networks_new_jacobian(eq_context *ctx, eq_networks *networks, eq_model *model,
                                   const eq_denoiser_options *options, eq_jacobian **out)
{
    eq_denoiser_options all = *options;
    measure_process(networks, model);
    if (options->total_bytes > 0)
        eq_networks_clear(networks);
    all.held_bytes += networks->process_bytes;
    all.packed = unload_weights;
    all.packed_user = model;
    return eq_jacobian_new(ctx, &model->unet, model->params, &all, out);
}

/* --- the autoencoder --- */

eq_status eq_networks_take_codec(eq_context *ctx, eq_networks *networks, eq_model *model,
                                 const eq_latent_options *options, eq_latent_codec **out)
{
    *out = networks->codec;
    networks->codec = NULL;
    if (*out && networks->codec_options.dtype == options->dtype &&
        networks->codec_options.memory_bytes == options->memory_bytes)
        return EQ_OK;
    eq_latent_codec_free(*out);
    networks->codec_options = *options;
    networks->codecs_compiled++;
    eq_latent_options all = *options;
    all.packed = unload_all_weights;
    all.packed_user = model;
    return eq_latent_codec_new(ctx, &model->vae, model->vae_params, &all, out);
}

void eq_networks_give_codec(eq_networks *networks, eq_latent_codec *codec)
{
    eq_latent_codec_free(networks->codec);
    networks->codec = codec;
}

void eq_networks_clear(eq_networks *networks)
{
    free_denoisers_from(networks, 0);
    eq_latent_codec_free(networks->codec);
    networks->codec = NULL;
}
