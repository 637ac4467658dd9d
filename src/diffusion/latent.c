#include "diffusion/latent.h"

#include <math.h>
#include <stdlib.h>

#include "base/process.h"
#include "base/rng.h"
#include "diffusion/latent_decoder.h"
#include "diffusion/latent_encoder.h"

/* Keeps draws of latents apart from those of sampling, which count substreams from 0. */
static const uint32_t encode_substream = 0xE0000000u;

struct eq_latent_codec {
    eq_context *ctx;
    eq_vae_config config;
    eq_params *params;
    eq_latent_options options;
    eq_latent_decoder *decoder; /* for latents of decoder_h x decoder_w; NULL: none yet */
    int64_t decoder_h, decoder_w;
    eq_latent_encoder *encoder; /* for images of encoder_h x encoder_w; NULL: none yet */
    int64_t encoder_h, encoder_w;
};

eq_status eq_latent_codec_new(eq_context *ctx, const eq_vae_config *config, eq_params *params,
                              const eq_latent_options *options, eq_latent_codec **out)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return eq_fail_memory(ctx, "an autoencoder");
    **out = (eq_latent_codec){.ctx = ctx, .config = *config, .params = params, .options = *options};
    if ((*out)->options.memory_bytes == 0)
        (*out)->options.memory_bytes = eq_machine_memory() / 4;
    return EQ_OK;
}

void eq_latent_codec_free(eq_latent_codec *codec)
{
    if (!codec)
        return;
    eq_latent_decoder_free(codec->decoder);
    eq_latent_encoder_free(codec->encoder);
    free(codec);
}

/* --- decoding --- */

static eq_status decoder_for(eq_latent_codec *c, int64_t h, int64_t w)
{
    if (c->decoder && c->decoder_h == h && c->decoder_w == w)
        return EQ_OK;
    if (h < 1 || w < 1 || h > 8192 || w > 8192)
        return eq_fail(c->ctx, EQ_BAD_USAGE, "latents must have 1 to 8192 numbers a side, not %lld x %lld",
                       (long long)w, (long long)h);
    eq_latent_decoder_free(c->decoder);
    c->decoder = NULL;
    EQ_TRY(eq_latent_decoder_new(c->ctx, &c->config, c->params, &c->options, h, w, &c->decoder));
    c->decoder_h = h;
    c->decoder_w = w;
    return EQ_OK;
}

eq_status eq_latent_decode(eq_latent_codec *c, const float *latents, int64_t n, int64_t h, int64_t w, float *images)
{
    EQ_TRY(decoder_for(c, h, w));
    int64_t scale = eq_vae_scale(&c->config);
    int64_t latent_count = h * w * c->config.latent_channels, count = h * scale * w * scale * c->config.out_channels;
    for (int64_t i = 0; i < n; i++) {
        if (eq_cancelled(c->ctx))
            return eq_fail(c->ctx, EQ_CANCELLED, "cancelled");
        EQ_TRY(eq_latent_decoder_run(c->decoder, latents + i * latent_count, images + i * count));
    }
    return EQ_OK;
}

eq_latent_use eq_latent_codec_use(const eq_latent_codec *c)
{
    return c->decoder ? eq_latent_decoder_use(c->decoder) : (eq_latent_use){0};
}

void eq_latent_codec_programs(eq_latent_codec *c, eq_program **coarse, eq_program **fine)
{
    *coarse = *fine = NULL;
    if (c->decoder)
        eq_latent_decoder_programs(c->decoder, coarse, fine);
}

/* --- encoding --- */

static eq_status encoder_for(eq_latent_codec *c, int64_t h, int64_t w)
{
    int scale = eq_vae_scale(&c->config);
    if (c->encoder && c->encoder_h == h && c->encoder_w == w)
        return EQ_OK;
    if (h < scale || w < scale || h % scale || w % scale || h > 65536 || w > 65536)
        return eq_fail(c->ctx, EQ_BAD_USAGE,
                       "the image size must be a multiple of %d for this autoencoder, at most 65536, not %lld x %lld",
                       scale, (long long)w, (long long)h);
    eq_latent_encoder_free(c->encoder);
    c->encoder = NULL;
    EQ_TRY(eq_latent_encoder_new(c->ctx, &c->config, c->params, &c->options, h, w, &c->encoder));
    c->encoder_h = h;
    c->encoder_w = w;
    return EQ_OK;
}

/* moments: [pixels, 2 * channels] -> mean, logvar: [pixels, channels] */
static void split_moments(const float *moments, int64_t pixels, int64_t channels, float *mean, float *logvar)
{
    for (int64_t p = 0; p < pixels; p++, moments += 2 * channels)
        for (int64_t k = 0; k < channels; k++) {
            mean[p * channels + k] = moments[k];
            if (logvar)
                logvar[p * channels + k] = fminf(fmaxf(moments[channels + k], -30.0f), 20.0f);
        }
}

eq_status eq_latent_moments(eq_latent_codec *c, const float *images, int64_t n, int64_t h, int64_t w, float *mean,
                            float *logvar)
{
    EQ_TRY(encoder_for(c, h, w));
    int64_t scale = eq_vae_scale(&c->config), channels = c->config.latent_channels;
    int64_t pixels = h / scale * (w / scale), image_count = h * w * c->config.in_channels;
    for (int64_t i = 0; i < n; i++) {
        if (eq_cancelled(c->ctx))
            return eq_fail(c->ctx, EQ_CANCELLED, "cancelled");
        const float *moments;
        EQ_TRY(eq_latent_encoder_run(c->encoder, images + i * image_count, &moments));
        split_moments(moments, pixels, channels, mean + i * pixels * channels,
                      logvar ? logvar + i * pixels * channels : NULL);
    }
    return EQ_OK;
}

eq_latent_use eq_latent_codec_encode_use(const eq_latent_codec *c)
{
    return c->encoder ? eq_latent_encoder_use(c->encoder) : (eq_latent_use){0};
}

eq_status eq_latent_encode(eq_latent_codec *c, const float *images, int64_t n, int64_t h, int64_t w,
                           const uint64_t *seed, int64_t first, float *latents)
{
    int64_t scale = eq_vae_scale(&c->config), count = h / scale * (w / scale) * c->config.latent_channels;
    float *logvar = NULL;
    if (seed && !(logvar = malloc((size_t)(n * count) * sizeof(float) + 1)))
        return eq_fail_memory(c->ctx, "the latents' variances");
    eq_status status = eq_latent_moments(c, images, n, h, w, latents, logvar);
    for (int64_t i = 0; status == EQ_OK && i < n; i++) {
        eq_rng rng = seed ? eq_rng_make(*seed, (uint64_t)(first + i), encode_substream) : (eq_rng){0};
        for (int64_t k = i * count; k < (i + 1) * count; k++) {
            if (seed)
                latents[k] += expf(0.5f * logvar[k]) * eq_rng_normal(&rng);
            latents[k] *= c->config.scaling_factor;
        }
    }
    free(logvar);
    return status;
}
