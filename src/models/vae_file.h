/* An autoencoder's folder in diffusers' format. */
#ifndef EQ_MODELS_VAE_FILE_H
#define EQ_MODELS_VAE_FILE_H

#include "io/tensor_file.h"
#include "models/vae.h"

typedef struct eq_vae_file {
    eq_vae_config config;
    eq_params *params; /* views of `weights` */
    eq_tensor_file weights;
} eq_vae_file;

/* Opens "config.json" and "diffusion_pytorch_model.safetensors" of a folder. Freed with eq_vae_file_close. EQ_BAD_INPUT
 * names the file and the fault. */
eq_status eq_vae_file_open(eq_context *ctx, const char *folder, eq_vae_file *out);
void eq_vae_file_close(eq_vae_file *file);

/* Writes such a folder, which must be there. sample_size: as in eq_vae_config_write; dtype: of the weights. */
eq_status eq_vae_file_save(eq_context *ctx, const char *folder, const eq_vae_config *config, const eq_params *params,
                           int sample_size, eq_dtype dtype);

#endif
