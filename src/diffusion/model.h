/* A pixel diffusion model: U-Net and noise schedule, from and to a diffusers folder. */
#ifndef EQ_DIFFUSION_MODEL_H
#define EQ_DIFFUSION_MODEL_H

#include "diffusion/schedule.h"
#include "io/tensor_file.h"
#include "models/unet.h"

typedef struct eq_model {
    char *folder;
    eq_unet_config unet;
    eq_params *params; /* views of `weights` */
    eq_tensor_file weights;
    eq_schedule schedule;
    char hash[65];    /* SHA-256 of the weights file: what attribute predictors are bound to */
    eq_shape h_shape; /* [h', w', c] at the model's own sample_size */
} eq_model;

/* Reads model_index.json, unet/ and scheduler/ of a diffusers folder. Freed with eq_model_close. */
eq_status eq_model_open(eq_context *ctx, const char *folder, eq_model *out);
void eq_model_close(eq_model *model);

/* Writes such a folder. dtype: of the weights in the file. */
eq_status eq_model_save(eq_context *ctx, const char *folder, const eq_unet_config *unet, const eq_params *params,
                        const eq_schedule *schedule, eq_dtype dtype);

#endif
