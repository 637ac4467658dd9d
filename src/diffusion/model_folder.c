/* Models from diffusers folders. */
#include <stdlib.h>

#include "base/path.h"
#include "diffusion/model.h"
#include "models/clip_text.h"
#include "models/diffusers_unet.h"
#include "models/names_diffusers.h"
#include "models/weights.h"

/* What diffusers has called weights files, the safest first. */
static const char *const weights_names[] = {
    "diffusion_pytorch_model.safetensors",      "diffusion_pytorch_model.safetensors.index.json",
    "diffusion_pytorch_model.fp16.safetensors", "diffusion_pytorch_model.bin",
    "diffusion_pytorch_model.fp16.bin",
};

eq_status eq_model_weights_open(eq_context *ctx, const char *folder, eq_tensor_file *out)
{
    for (size_t i = 0; i < sizeof weights_names / sizeof weights_names[0]; i++) {
        char *path = eq_path_join(folder, weights_names[i]);
        if (!path)
            return eq_fail_memory(ctx, "a path");
        bool there = eq_path_exists(path);
        eq_status status = there ? eq_tensor_file_open(ctx, path, out) : EQ_OK;
        free(path);
        if (there)
            return status;
    }
    return eq_fail(ctx, EQ_BAD_INPUT, "%s/%s: no such file, nor an index of shards or a .bin in its place", folder,
                   weights_names[0]);
}

/* The text encoder decides how many tokens the U-Net attends to. */
static eq_status read_context_length(eq_context *ctx, const char *folder, eq_unet_config *unet)
{
    char *path = eq_path_join(folder, "text_encoder/config.json");
    eq_clip_text_config text;
    eq_status status = path ? EQ_OK : eq_fail_memory(ctx, "a path");
    if (status == EQ_OK && eq_path_exists(path)) {
        status = eq_clip_text_config_read(ctx, path, &text);
        if (status == EQ_OK)
            unet->context_length = text.max_position_embeddings;
    }
    free(path);
    return status;
}

static eq_status open_unet(eq_context *ctx, eq_model *model)
{
    char *config = eq_path_join(model->folder, "unet/config.json"), *unet = eq_path_join(model->folder, "unet");
    char *scheduler = eq_path_join(model->folder, "scheduler/scheduler_config.json");
    eq_status status = config && unet && scheduler ? EQ_OK : eq_fail_memory(ctx, "a path");
    if (status == EQ_OK)
        status = eq_unet_config_read(ctx, config, &model->unet);
    if (status == EQ_OK)
        status = eq_schedule_read(ctx, scheduler, &model->schedule);
    if (status == EQ_OK && eq_model_prompted(model))
        status = read_context_length(ctx, model->folder, &model->unet);
    if (status == EQ_OK)
        status = eq_unet_declare(model->params, &model->unet);
    if (status == EQ_OK)
        status = eq_model_weights_open(ctx, unet, &model->weights);
    if (status == EQ_OK)
        status = eq_weights_load(ctx, model->params, &model->weights, &eq_names_diffusers);
    free(config);
    free(unet);
    free(scheduler);
    return status;
}

/* Of Stable Diffusion XL's two models only one has both text encoders. */
static eq_status refuse_refiner(eq_context *ctx, const char *folder)
{
    char *first = eq_path_join(folder, "text_encoder"), *second = eq_path_join(folder, "text_encoder_2");
    bool refiner = first && second && !eq_path_exists(first) && eq_path_exists(second);
    free(first);
    free(second);
    return refiner ? eq_refiner_refused(ctx, folder, "text_encoder_2 without text_encoder") : EQ_OK;
}

eq_status eq_refiner_refused(eq_context *ctx, const char *path, const char *sign)
{
    return eq_fail(
        ctx, EQ_BAD_INPUT,
        "%s: this is Stable Diffusion XL's refiner (%s), which only finishes what the base model began; give "
        "the base model",
        path, sign);
}

eq_status eq_model_open_folder(eq_context *ctx, eq_model *model)
{
    EQ_TRY(refuse_refiner(ctx, model->folder));
    EQ_TRY(open_unet(ctx, model));
    char *vae = eq_path_join(model->folder, "vae"), *config = eq_path_join(model->folder, "vae/config.json");
    eq_status status = vae && config ? EQ_OK : eq_fail_memory(ctx, "a path");
    if (status == EQ_OK && eq_path_exists(config)) {
        eq_model_vae opened;
        status = eq_model_vae_open(ctx, vae, &opened);
        if (status == EQ_OK)
            eq_model_vae_give(&opened, model);
    }
    free(vae);
    free(config);
    return status;
}
