#include "diffusion/checkpoint.h"

#include "models/adm_unet.h"
#include "models/ddpm_unet.h"
#include "models/names_adm.h"
#include "models/names_ddpm.h"

static eq_status load_adm(eq_context *ctx, const eq_checkpoint_source *source, eq_unet_config *unet, eq_params *params)
{
    eq_adm_config config;
    EQ_TRY(eq_adm_config_read(ctx, source, &config));
    *unet = config.unet;
    EQ_TRY(eq_unet_declare(params, unet));
    eq_adm_names names = {unet, config.new_attention_order};
    eq_name_map map = eq_adm_name_map(&names);
    return eq_weights_load(ctx, params, source->weights, &map);
}

static eq_status load_ddpm(eq_context *ctx, const eq_checkpoint_source *source, eq_unet_config *unet, eq_params *params)
{
    EQ_TRY(eq_ddpm_config_read(ctx, source, unet));
    EQ_TRY(eq_unet_declare(params, unet));
    eq_name_map map = eq_ddpm_name_map(unet);
    return eq_weights_load(ctx, params, source->weights, &map);
}

/* The first of both keys that is there; both families write the same things differently. */
static const char *either(const eq_checkpoint_source *source, const char *first, const char *second)
{
    return eq_checkpoint_says(source, first) ? first : second;
}

static eq_status read_schedule(eq_context *ctx, const eq_checkpoint_source *source, eq_schedule *out)
{
    eq_schedule_config config = eq_schedule_config_default();
    bool predicts_sample;
    EQ_TRY(eq_checkpoint_int(ctx, source, either(source, "diffusion_steps", "num_diffusion_timesteps"), 1000, 1,
                             EQ_MAX_TRAIN_TIMESTEPS, &config.num_train_timesteps));
    EQ_TRY(eq_checkpoint_bool(ctx, source, "predict_xstart", false, &predicts_sample));
    config.prediction = predicts_sample ? EQ_PREDICT_SAMPLE : EQ_PREDICT_EPSILON;

    /* guided-diffusion keeps the noise of 1000 steps at the end, whatever their number. */
    const char *kind = "linear", *key = either(source, "noise_schedule", "beta_schedule");
    double scale = 1000.0 / config.num_train_timesteps;
    config.beta_start *= scale;
    config.beta_end *= scale;
    if (source->settings.object) {
        EQ_TRY(eq_json_string_or(ctx, &source->settings, key, kind, &kind));
        EQ_TRY(eq_json_float_or(ctx, &source->settings, "beta_start", config.beta_start, 0, 1, &config.beta_start));
        EQ_TRY(eq_json_float_or(ctx, &source->settings, "beta_end", config.beta_end, 0, 1, &config.beta_end));
    }
    if (strcmp(kind, "cosine") == 0)
        config.beta_kind = EQ_BETA_COSINE;
    else if (strcmp(kind, "linear") != 0)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: %s is \"%s\"; known are linear and cosine", source->settings.where, key,
                       kind);
    eq_status status = eq_schedule_new(ctx, &config, NULL, out);
    /* A value that reads well but is out of range is the file's fault, not the caller's. */
    if (status == EQ_BAD_USAGE)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: %s", source->settings.where, eq_last_error(ctx));
    return status;
}

eq_status eq_checkpoint_load_source(eq_context *ctx, const eq_family *family, const eq_checkpoint_source *source,
                                    eq_unet_config *unet, eq_params *params, eq_schedule *schedule)
{
    *unet = (eq_unet_config){0};
    *schedule = (eq_schedule){0};
    switch (family->id) {
    case EQ_FAMILY_ADM: EQ_TRY(load_adm(ctx, source, unet, params)); break;
    case EQ_FAMILY_DDPM: EQ_TRY(load_ddpm(ctx, source, unet, params)); break;
    case EQ_FAMILY_LDM:
        return eq_fail(ctx, EQ_BAD_USAGE, "%s: a %s is not a model of pixels", source->weights->path, family->title);
    }
    return read_schedule(ctx, source, schedule);
}

eq_status eq_checkpoint_load(eq_context *ctx, const eq_family *family, const eq_tensor_file *weights,
                             eq_unet_config *unet, eq_params *params, eq_schedule *schedule)
{
    eq_checkpoint_source source;
    EQ_TRY(eq_checkpoint_source_open(ctx, weights, &source));
    eq_status status = eq_checkpoint_load_source(ctx, family, &source, unet, params, schedule);
    eq_checkpoint_source_close(&source);
    return status;
}
