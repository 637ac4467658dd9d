/* Images to latents and back, for models that diffuse in the latent space of an autoencoder. */
#ifndef EQ_DIFFUSION_LATENT_H
#define EQ_DIFFUSION_LATENT_H

#include "kernels/program.h"
#include "models/vae.h"

/* A codec runs one image at a time and keeps the programs of the last size it was asked for. Pictures that
 * would need more memory than allowed go in tiles, both ways: the coarse levels, with the attention, see the whole
 * picture; the fine ones run over overlapping tiles, several times, until their norms' statistics are those of the
 * picture. The result is that of the whole, but for a small part of a step of 255. */
typedef struct eq_latent_codec eq_latent_codec;

typedef struct eq_latent_options {
    eq_dtype dtype;      /* of activations: EQ_F32 or EQ_BF16 */
    size_t memory_bytes; /* for activations; 0: a quarter of the machine's memory */
    const char *backend; /* as in eq_program_options, and so: */
    void (*packed)(void *user);
    void *packed_user;
} eq_latent_options;

/* The loaded params (and what they point into) stay the caller's and must outlive the codec. */
eq_status eq_latent_codec_new(eq_context *ctx, const eq_vae_config *config, eq_params *params,
                              const eq_latent_options *options, eq_latent_codec **out);
void eq_latent_codec_free(eq_latent_codec *codec);

/* latents: [n, h, w, latent_channels], times scaling_factor as diffusion has them -> images: [n, h * scale, w * scale,
 * out_channels], nominally in [-1, 1], not clamped. EQ_CANCELLED between images. */
eq_status eq_latent_decode(eq_latent_codec *codec, const float *latents, int64_t n, int64_t h, int64_t w,
                           float *images);

/* images: [n, h, w, in_channels] in [-1, 1], sides multiples of the autoencoder's scale -> mean, logvar: [n, h / scale,
 * w / scale, latent_channels], not scaled, logvar clamped to [-30, 20] (may be NULL). */
eq_status eq_latent_moments(eq_latent_codec *codec, const float *images, int64_t n, int64_t h, int64_t w, float *mean,
                            float *logvar);

/* The same to latents times scaling_factor: the mean, or with `seed` a sample; image i draws from (seed, first + i). */
eq_status eq_latent_encode(eq_latent_codec *codec, const float *images, int64_t n, int64_t h, int64_t w,
                           const uint64_t *seed, int64_t first, float *latents);

/* How the last decode ran: what it planned for activations, and in how many tiles (1: whole) and sweeps over them. */
typedef struct eq_latent_use {
    size_t arena_bytes, packed_bytes;
    int tiles, sweeps;
    int cut; /* levels that saw the whole picture */
} eq_latent_use;
eq_latent_use eq_latent_codec_use(const eq_latent_codec *codec);
/* The same of the last encode. */
eq_latent_use eq_latent_codec_encode_use(const eq_latent_codec *codec);

/* The programs of the last decode, for the benchmarks: coarse and fine, or the whole decoder and NULL. */
void eq_latent_codec_programs(eq_latent_codec *codec, eq_program **coarse, eq_program **fine);

#endif
