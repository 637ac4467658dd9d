/* The encoder of images of one size, whole or in tiles; what eq_latent_codec is made of. */
#ifndef EQ_DIFFUSION_LATENT_ENCODER_H
#define EQ_DIFFUSION_LATENT_ENCODER_H

#include "diffusion/latent.h"

typedef struct eq_latent_encoder eq_latent_encoder;

/* For images of h x w, multiples of the autoencoder's scale; options->memory_bytes is the limit to keep to, if any tile
 * is small enough for it. */
eq_status eq_latent_encoder_new(eq_context *ctx, const eq_vae_config *config, eq_params *params,
                                const eq_latent_options *options, int64_t h, int64_t w, eq_latent_encoder **out);
void eq_latent_encoder_free(eq_latent_encoder *encoder);

/* image: [h, w, in_channels] -> *moments: [h / scale, w / scale, 2 * latent_channels], as eq_vae_encode gives them; the
 * encoder's, until its next run. */
eq_status eq_latent_encoder_run(eq_latent_encoder *encoder, const float *image, const float **moments);

eq_latent_use eq_latent_encoder_use(const eq_latent_encoder *encoder);

#endif
