/* The decoder of latents of one size, whole or in tiles; what eq_latent_codec is made of. */
#ifndef EQ_DIFFUSION_LATENT_DECODER_H
#define EQ_DIFFUSION_LATENT_DECODER_H

#include "diffusion/latent.h"

typedef struct eq_latent_decoder eq_latent_decoder;

/* For latents of h x w; options->memory_bytes is the limit to keep to, if any tile is small enough for it. */
eq_status eq_latent_decoder_new(eq_context *ctx, const eq_vae_config *config, eq_params *params,
                                const eq_latent_options *options, int64_t h, int64_t w, eq_latent_decoder **out);
void eq_latent_decoder_free(eq_latent_decoder *decoder);

/* latent: [h, w, latent_channels], times scaling_factor -> image: [h * scale, w * scale, out_channels] */
eq_status eq_latent_decoder_run(eq_latent_decoder *decoder, const float *latent, float *image);

eq_latent_use eq_latent_decoder_use(const eq_latent_decoder *decoder);

/* The programs, for the benchmarks: the coarse levels and the fine ones, or the whole decoder and NULL. */
void eq_latent_decoder_programs(eq_latent_decoder *decoder, eq_program **coarse, eq_program **fine);

#endif
