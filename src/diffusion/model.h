/* A diffusion model, of pixels or of latents, with what it needs to be sampled: U-Net, noise schedule, autoencoder.
 * From a diffusers folder, or from a single checkpoint file of a family that models/family.h knows. */
#ifndef EQ_DIFFUSION_MODEL_H
#define EQ_DIFFUSION_MODEL_H

#include "diffusion/schedule.h"
#include "io/tensor_file.h"
#include "models/clip_text.h"
#include "models/unet.h"
#include "models/vae.h"

typedef struct eq_model {
    char *folder; /* or file: as it was given */
    eq_unet_config unet;
    eq_params *params; /* views of `weights` */
    eq_tensor_file weights;
    eq_schedule schedule;
    char known_hash[65]; /* "" until eq_model_hash was asked */
    eq_shape h_shape;    /* [h', w', c] at the model's own sample_size */

    bool latent; /* the U-Net works on latents, and what follows is there */
    eq_vae_config vae;
    eq_params *vae_params; /* views of `vae_weights`, or of `weights` where one file holds both */
    eq_tensor_file vae_weights;
    char *vae_path; /* NULL: it is the model's own, and not what eq_model_use_vae put in its place */
} eq_model;

/* A folder: model_index.json, unet/ and scheduler/, of latent models also vae/. A file: whatever eq_tensor_file_open
 * reads. Freed with eq_model_close. EQ_BAD_INPUT names the file and the fault. */
eq_status eq_model_open(eq_context *ctx, const char *path, eq_model *out);
void eq_model_close(eq_model *model);

/* SHA-256 of the U-Net's weights file: what attribute predictors are bound to, and what run.json records. Computed when
 * it is asked for, as it takes seconds for gigabytes; see eq_tensor_file_hash. *out belongs to the model. */
eq_status eq_model_hash(eq_context *ctx, eq_model *model, const char **out);

/* Puts another autoencoder in place of a latent model's own: a diffusers folder (with config.json), or a file of any
 * container with latent diffusion's names, bare or under "first_stage_model.". It must code as many pixels into a
 * latent of as many channels, and its scaling_factor, where it says one, must be the model's. Before the model is used
 * for anything. EQ_BAD_USAGE for models of pixels. On failure the model keeps its own. */
eq_status eq_model_use_vae(eq_context *ctx, eq_model *model, const char *path);

/* Whether it is told by a prompt what to show. */
bool eq_model_prompted(const eq_model *model);
/* Pixels a side of an image of the size it was trained at; of what the U-Net works on, see unet.sample_size. */
int eq_model_image_size(const eq_model *model);

/* Writes a pixel model as a diffusers folder. dtype: of the weights in the file. */
eq_status eq_model_save(eq_context *ctx, const char *folder, const eq_unet_config *unet, const eq_params *params,
                        const eq_schedule *schedule, eq_dtype dtype);

/* Writes an autoencoder as such a folder's "vae", which must be there. sample_size: pixels a side of what it was
 * trained on; dtype: of the weights. */
eq_status eq_vae_save(eq_context *ctx, const char *folder, const eq_vae_config *config, const eq_params *params,
                      int sample_size, eq_dtype dtype);

/* A model of latents and text, as it is written. */
typedef struct eq_text_model {
    const eq_unet_config *unet;
    const eq_params *unet_params;
    const eq_clip_text_config *text;
    const eq_params *text_params;
    int bos, eos, pad; /* the tokenizer's ids */
    const eq_schedule *schedule;
    const char *vae, *tokenizer; /* folders, whose files are copied */
} eq_text_model;

/* Writes it as a folder that diffusers' StableDiffusionPipeline loads. dtype: of the U-Net's and the text transformer's
 * weights. */
eq_status eq_text_model_save(eq_context *ctx, const char *folder, const eq_text_model *model, eq_dtype dtype);

/* Parts of eq_model_open: fill a zeroed model, with `params` and `folder` there; on failure eq_model_close cleans up.
 */
eq_status eq_model_open_folder(eq_context *ctx, eq_model *model);
eq_status eq_model_open_file(eq_context *ctx, eq_model *model);

/* The weights in a folder of diffusers', under the first of their usual names that is there. */
eq_status eq_model_weights_open(eq_context *ctx, const char *folder, eq_tensor_file *out);

/* An autoencoder by itself, or on its way into a model. */
typedef struct eq_model_vae {
    eq_vae_config config;
    eq_params *params;
    eq_tensor_file weights;
} eq_model_vae;
/* path: a folder of diffusers'. Nothing is left open after a failure. */
eq_status eq_model_vae_open(eq_context *ctx, const char *path, eq_model_vae *out);
void eq_model_vae_close(eq_model_vae *vae);
/* The model takes it over, and lets go of the one it had. */
void eq_model_vae_give(eq_model_vae *vae, eq_model *model);
/* EQ_BAD_INPUT for a model of Stable Diffusion XL that is not one by itself; sign: what shows it. */
eq_status eq_refiner_refused(eq_context *ctx, const char *path, const char *sign);

#endif
