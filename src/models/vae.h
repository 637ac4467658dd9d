/* The autoencoder of latent diffusion models (diffusers' AutoencoderKL): images to the mean and log variance of
 * latents, latents to images. Rombach et al., CVPR 2022, section 3.1. */
#ifndef EQ_MODELS_VAE_H
#define EQ_MODELS_VAE_H

#include "models/blocks.h"

enum { EQ_VAE_MAX_LEVELS = 8 };

/* Field names follow vae/config.json. */
typedef struct eq_vae_config {
    int in_channels, out_channels;
    int latent_channels;
    int levels;
    int block_out_channels[EQ_VAE_MAX_LEVELS]; /* finest first */
    int layers_per_block;                      /* of the encoder; the decoder has one more */
    int norm_num_groups;
    float scaling_factor; /* diffusion works on latents times this */
} eq_vae_config;

/* Reads vae/config.json; EQ_BAD_INPUT names the key that is wrong or that the network does not know. */
eq_status eq_vae_config_read(eq_context *ctx, const char *path, eq_vae_config *out);
/* The same from memory; `name` stands for the file in messages. */
eq_status eq_vae_config_parse(eq_context *ctx, const char *text, size_t size, const char *name, eq_vae_config *out);
/* Writes it so that diffusers loads the folder: the same keys. sample_size: pixels a side it was trained at. */
eq_status eq_vae_config_write(eq_context *ctx, const char *path, const eq_vae_config *config, int sample_size);
/* Checks ranges and divisibility; the message names the field. `file` is named in it. */
eq_status eq_vae_check(eq_context *ctx, const eq_vae_config *config, const char *file);

/* Declares the parameters of encoder and decoder into an empty list. */
eq_status eq_vae_declare(eq_params *params, const eq_vae_config *config);

/* Pixels a side of a latent. */
int eq_vae_scale(const eq_vae_config *config);

/* image: [n, h, w, in_channels] in [-1, 1] -> [n, h / scale, w / scale, 2 * latent_channels] f32: the mean of the
 * latent, then its log variance, not clamped. */
eq_value eq_vae_encode(const eq_builder *b, const eq_vae_config *config, eq_value image);

/* The encoder in two parts, so that large pictures can take the first in tiles: the first `cut` levels, 0 to levels -
 * 1, have only norms that look further than a few pixels; the rest sees the whole picture. */
/* image: [n, h, w, in_channels] -> [n, h / 2^cut, w / 2^cut, c]. norms: as in eq_block_style. */
eq_value eq_vae_encode_fine(const eq_builder *b, const eq_vae_config *config, eq_value image, int cut,
                            eq_norm_list *norms);
/* fine: what eq_vae_encode_fine gives -> what eq_vae_encode does */
eq_value eq_vae_encode_coarse(const eq_builder *b, const eq_vae_config *config, eq_value fine, int cut);
/* How far, in pixels of its result, a pixel of eq_vae_encode_fine's looks besides through norms. */
int eq_vae_encode_reach(const eq_vae_config *config, int cut);

/* The decoder in two parts, so that large pictures can take the second in tiles: the first `cut` up blocks, 1 to
 * levels, without the last one's upsampling, see the whole picture; the rest has only norms that look further than a
 * few pixels. */
/* z: [n, h, w, latent_channels], not scaled -> [n, h', w', c], h' = h * 2^(cut - 1) */
eq_value eq_vae_decode_coarse(const eq_builder *b, const eq_vae_config *config, eq_value z, int cut);
/* coarse: [n, h', w', c] -> image [n, h * scale, w * scale, out_channels] f32. norms: as in eq_block_style. */
eq_value eq_vae_decode_fine(const eq_builder *b, const eq_vae_config *config, eq_value coarse, int cut,
                            eq_norm_list *norms);
/* How far, in pixels of `coarse`, a pixel of eq_vae_decode_fine's result looks besides through norms. */
int eq_vae_decode_reach(const eq_vae_config *config, int cut);

#endif
