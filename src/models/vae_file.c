#include "models/vae_file.h"

#include <stdlib.h>

#include "base/path.h"
#include "models/names_diffusers.h"
#include "models/weights.h"

static const char config_name[] = "config.json", weights_name[] = "diffusion_pytorch_model.safetensors";

static eq_status load(eq_context *ctx, const char *config, const char *weights, eq_vae_file *out)
{
    EQ_TRY(eq_vae_config_read(ctx, config, &out->config));
    out->params = eq_params_new(ctx);
    if (!out->params)
        return eq_fail_memory(ctx, "an autoencoder");
    EQ_TRY(eq_vae_declare(out->params, &out->config));
    EQ_TRY(eq_tensor_file_open(ctx, weights, &out->weights));
    return eq_weights_load(ctx, out->params, &out->weights, &eq_names_diffusers);
}

eq_status eq_vae_file_open(eq_context *ctx, const char *folder, eq_vae_file *out)
{
    *out = (eq_vae_file){0};
    char *config = eq_path_join(folder, config_name), *weights = eq_path_join(folder, weights_name);
    eq_status status = config && weights ? load(ctx, config, weights, out) : eq_fail_memory(ctx, "a path");
    free(config);
    free(weights);
    if (status != EQ_OK)
        eq_vae_file_close(out);
    return status;
}

void eq_vae_file_close(eq_vae_file *file)
{
    eq_params_free(file->params);
    eq_tensor_file_close(&file->weights);
    *file = (eq_vae_file){0};
}

eq_status eq_vae_file_save(eq_context *ctx, const char *folder, const eq_vae_config *config, const eq_params *params,
                           int sample_size, eq_dtype dtype)
{
    char *json = eq_path_join(folder, config_name), *weights = eq_path_join(folder, weights_name);
    eq_status status = json && weights ? EQ_OK : eq_fail_memory(ctx, "a path");
    if (status == EQ_OK)
        status = eq_weights_save(ctx, params, weights, dtype, &(eq_metadata){"format", "pt"}, 1);
    if (status == EQ_OK)
        status = eq_vae_config_write(ctx, json, config, sample_size);
    free(json);
    free(weights);
    return status;
}
