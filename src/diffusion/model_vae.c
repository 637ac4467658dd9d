/* Autoencoders: a model's own, in its folder, and others in its place. */
#include <math.h>
#include <stdlib.h>

#include "base/path.h"
#include "diffusion/model.h"
#include "models/names_diffusers.h"
#include "models/names_ldm_vae.h"
#include "models/weights.h"

static eq_status load(eq_context *ctx, eq_model_vae *vae, const eq_name_map *names)
{
    vae->params = eq_params_new(ctx);
    if (!vae->params)
        return eq_fail_memory(ctx, "an autoencoder");
    EQ_TRY(eq_vae_declare(vae->params, &vae->config));
    return eq_weights_load(ctx, vae->params, &vae->weights, names);
}

void eq_model_vae_close(eq_model_vae *vae)
{
    eq_params_free(vae->params);
    eq_tensor_file_close(&vae->weights);
    *vae = (eq_model_vae){0};
}

static eq_status closed_unless(eq_status status, eq_model_vae *vae)
{
    if (status != EQ_OK)
        eq_model_vae_close(vae);
    return status;
}

static eq_status open_folder(eq_context *ctx, const char *path, eq_model_vae *out)
{
    char *config = eq_path_join(path, "config.json");
    eq_status status = config ? eq_vae_config_read(ctx, config, &out->config) : eq_fail_memory(ctx, "a path");
    free(config);
    EQ_TRY(status);
    EQ_TRY(eq_model_weights_open(ctx, path, &out->weights));
    return load(ctx, out, &eq_names_diffusers);
}

eq_status eq_model_vae_open(eq_context *ctx, const char *path, eq_model_vae *out)
{
    *out = (eq_model_vae){0};
    return closed_unless(open_folder(ctx, path, out), out);
}

void eq_model_vae_give(eq_model_vae *vae, eq_model *model)
{
    eq_params_free(model->vae_params);
    eq_tensor_file_close(&model->vae_weights);
    model->vae = vae->config;
    model->vae_params = vae->params;
    model->vae_weights = vae->weights;
    model->latent = true;
    *vae = (eq_model_vae){0};
}

/* --- in place of a model's own --- */

/* Files say nothing of the scaling factor: it is the model's. */
static eq_status open_file(eq_context *ctx, const char *path, float scaling_factor, eq_model_vae *out)
{
    EQ_TRY(eq_tensor_file_open(ctx, path, &out->weights));
    if (eq_tensor_file_peek(&out->weights, "encoder.mid_block.resnets.0.conv1.weight"))
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: weights in diffusers' form need their config.json; give their folder",
                       path);
    bool bare = eq_tensor_file_peek(&out->weights, "encoder.conv_in.weight") != NULL;
    EQ_TRY(bare ? eq_ldm_vae_bare_config(ctx, &out->weights, &out->config)
                : eq_ldm_vae_config(ctx, &out->weights, &out->config));
    out->config.scaling_factor = scaling_factor;
    eq_name_map names = bare ? eq_ldm_vae_bare_names(&out->config) : eq_ldm_vae_names(&out->config);
    return load(ctx, out, &names);
}

static eq_status check_fit(eq_context *ctx, const char *path, const eq_vae_config *new, const eq_model *model)
{
    const eq_vae_config *own = &model->vae;
    if (new->latent_channels != own->latent_channels || eq_vae_scale(new) != eq_vae_scale(own))
        return eq_fail(ctx, EQ_BAD_INPUT,
                       "%s: codes %d x %d pixels into %d numbers, but %s is a model of latents of %d x %d pixels in %d",
                       path, eq_vae_scale(new), eq_vae_scale(new), new->latent_channels, model->folder,
                       eq_vae_scale(own), eq_vae_scale(own), own->latent_channels);
    if (new->in_channels != own->in_channels || new->out_channels != own->out_channels)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: is of images of %d channels in and %d out, expected %d and %d", path,
                       new->in_channels, new->out_channels, own->in_channels, own->out_channels);
    if (fabsf(new->scaling_factor - own->scaling_factor) > 1e-4f * own->scaling_factor)
        return eq_fail(ctx, EQ_BAD_INPUT,
                       "%s: its scaling_factor is %g, that of %s is %g: an autoencoder of another kind of latents",
                       path, (double)new->scaling_factor, model->folder, (double)own->scaling_factor);
    return EQ_OK;
}

eq_status eq_model_use_vae(eq_context *ctx, eq_model *model, const char *path)
{
    if (!model->latent)
        return eq_fail(ctx, EQ_BAD_USAGE, "%s: a model of pixels has no use for the autoencoder %s", model->folder,
                       path);
    eq_model_vae vae = {0};
    eq_status status =
        eq_path_is_folder(path) ? open_folder(ctx, path, &vae) : open_file(ctx, path, model->vae.scaling_factor, &vae);
    if (status == EQ_OK)
        status = check_fit(ctx, path, &vae.config, model);
    char *kept = status == EQ_OK ? strdup(path) : NULL;
    if (status == EQ_OK && !kept)
        status = eq_fail_memory(ctx, "a path");
    EQ_TRY(closed_unless(status, &vae));
    eq_model_vae_give(&vae, model);
    free(model->vae_path);
    model->vae_path = kept;
    return EQ_OK;
}
