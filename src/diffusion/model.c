#include "diffusion/model.h"

#include <stdlib.h>

#include "base/path.h"

static eq_status find_h_shape(eq_context *ctx, eq_model *model)
{
    eq_graph *graph = eq_graph_new(ctx, EQ_F32);
    if (!graph)
        return eq_fail_memory(ctx, "a graph");
    eq_unet unet;
    int side = model->unet.sample_size;
    eq_status status = eq_unet_build(&(eq_builder){graph, model->params}, &model->unet, 1, side, side, &unet);
    if (status == EQ_OK) {
        const int64_t *d = eq_shape_at(graph, unet.h)->dim;
        model->h_shape = eq_shape_of(d[1], d[2], d[3]);
    }
    eq_graph_free(graph);
    return status;
}

static eq_status check_parts(eq_context *ctx, const eq_model *model)
{
    if (model->latent && model->unet.in_channels != model->vae.latent_channels)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: its U-Net takes %d channels, its autoencoder's latents have %d",
                       model->folder, model->unet.in_channels, model->vae.latent_channels);
    return EQ_OK;
}

static eq_status open_parts(eq_context *ctx, const char *path, eq_model *out)
{
    out->folder = strdup(path);
    out->params = eq_params_new(ctx);
    if (!out->folder || !out->params)
        return eq_fail_memory(ctx, "a model");
    if (!eq_path_exists(path))
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: no such model folder", path);
    EQ_TRY(eq_path_is_folder(path) ? eq_model_open_folder(ctx, out) : eq_model_open_file(ctx, out));
    EQ_TRY(check_parts(ctx, out));
    return find_h_shape(ctx, out);
}

eq_status eq_model_open(eq_context *ctx, const char *path, eq_model *out)
{
    *out = (eq_model){0};
    eq_status status = open_parts(ctx, path, out);
    if (status != EQ_OK)
        eq_model_close(out);
    return status;
}

eq_status eq_model_hash(eq_context *ctx, eq_model *model, const char **out)
{
    *out = model->known_hash;
    return model->known_hash[0] ? EQ_OK : eq_tensor_file_hash(ctx, &model->weights, model->known_hash);
}

bool eq_model_prompted(const eq_model *model)
{
    return model->unet.cross_attention_dim > 0;
}

int eq_model_image_size(const eq_model *model)
{
    return model->unet.sample_size * (model->latent ? eq_vae_scale(&model->vae) : 1);
}

void eq_model_close(eq_model *model)
{
    eq_params_free(model->params);
    eq_params_free(model->vae_params);
    eq_tensor_file_close(&model->weights);
    eq_tensor_file_close(&model->vae_weights);
    eq_schedule_free(&model->schedule);
    free(model->folder);
    free(model->vae_path);
    *model = (eq_model){0};
}
