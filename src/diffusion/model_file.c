/* Models from single checkpoint files. */
#include "diffusion/checkpoint.h"
#include "diffusion/model.h"
#include "models/ldm_unet.h"
#include "models/names_ldm.h"
#include "models/names_ldm_vae.h"
#include "models/weights.h"

/* The noise schedule of all Stable Diffusion releases. What a network predicts cannot be seen from its weights:
 * "prediction_type" in a model_config.json beside the file says so where it is not the noise. */
static eq_status ldm_schedule(eq_context *ctx, const eq_checkpoint_source *source, eq_schedule *out)
{
    eq_schedule_config config = eq_schedule_config_default();
    const char *prediction = "epsilon";
    config.beta_kind = EQ_BETA_SCALED_LINEAR;
    config.beta_start = 0.00085;
    config.beta_end = 0.012;
    config.clip_sample = false;
    config.set_alpha_to_one = false;
    config.steps_offset = 1;
    if (source->settings.object)
        EQ_TRY(eq_json_string_or(ctx, &source->settings, "prediction_type", prediction, &prediction));
    if (strcmp(prediction, "v_prediction") == 0)
        config.prediction = EQ_PREDICT_V;
    else if (strcmp(prediction, "epsilon") != 0)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: prediction_type is \"%s\"; known are epsilon and v_prediction",
                       source->settings.where, prediction);
    return eq_schedule_new(ctx, &config, NULL, out);
}

static eq_status load_ldm_unet(eq_context *ctx, eq_model *model)
{
    EQ_TRY(eq_ldm_unet_config(ctx, &model->weights, EQ_LDM_UNET_PREFIX, &model->unet));
    EQ_TRY(eq_unet_declare(model->params, &model->unet));
    eq_ldm_names names = {&model->unet, EQ_LDM_UNET_PREFIX};
    eq_name_map map = eq_ldm_name_map(&names);
    return eq_weights_load(ctx, model->params, &model->weights, &map);
}

static eq_status load_ldm_vae(eq_context *ctx, eq_model *model)
{
    EQ_TRY(eq_ldm_vae_config(ctx, &model->weights, &model->vae));
    model->vae_params = eq_params_new(ctx);
    if (!model->vae_params)
        return eq_fail_memory(ctx, "an autoencoder");
    EQ_TRY(eq_vae_declare(model->vae_params, &model->vae));
    eq_name_map map = eq_ldm_vae_names(&model->vae);
    EQ_TRY(eq_weights_load(ctx, model->vae_params, &model->weights, &map));
    model->latent = true;
    return EQ_OK;
}

/* In its file OpenCLIP's text model stands where the base model has CLIP's. */
static eq_status refuse_refiner(eq_context *ctx, const eq_tensor_file *file)
{
    static const char sign[] = "conditioner.embedders.0.model.ln_final.weight";
    return eq_tensor_file_peek(file, sign) ? eq_refiner_refused(ctx, file->path, sign) : EQ_OK;
}

static eq_status load_network(eq_context *ctx, eq_model *model, const eq_family *family,
                              const eq_checkpoint_source *source)
{
    if (family->id != EQ_FAMILY_LDM)
        return eq_checkpoint_load_source(ctx, family, source, &model->unet, model->params, &model->schedule);
    EQ_TRY(refuse_refiner(ctx, &model->weights));
    EQ_TRY(load_ldm_unet(ctx, model));
    EQ_TRY(load_ldm_vae(ctx, model));
    return ldm_schedule(ctx, source, &model->schedule);
}

eq_status eq_model_open_file(eq_context *ctx, eq_model *model)
{
    const eq_family *family;
    eq_checkpoint_source source;
    EQ_TRY(eq_tensor_file_open(ctx, model->folder, &model->weights));
    EQ_TRY(eq_checkpoint_family(ctx, &model->weights, &family));
    EQ_TRY(eq_checkpoint_source_open(ctx, &model->weights, &source));
    eq_status status = load_network(ctx, model, family, &source);
    eq_checkpoint_source_close(&source);
    return status;
}
