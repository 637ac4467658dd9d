#include "train/latent_set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/path.h"
#include "io/captions.h"
#include "io/safetensors.h"
#include "kernels/program.h"
#include "train/dataset.h"

enum { ENCODE_BATCH = 32 };

static int64_t numbers_of(const eq_latent_set *set)
{
    return (int64_t)set->side * set->side * set->channels;
}

/* --- latents --- */

typedef struct encoder {
    eq_program *program;
    eq_value image, moments; /* [ENCODE_BATCH, size, size, 3], [ENCODE_BATCH, side, side, 2 * channels] */
} encoder;

static eq_status open_encoder(eq_context *ctx, const eq_latent_source *source, encoder *out)
{
    eq_graph *g = eq_graph_new(ctx, source->dtype);
    if (!g)
        return eq_fail_memory(ctx, "a graph");
    const eq_vae_config *vae = &source->vae->config;
    source->vae->params->trainable = false;
    eq_shape shape = eq_shape_of(ENCODE_BATCH, source->size, source->size, vae->in_channels);
    out->image = eq_graph_input(g, "image", EQ_F32, shape);
    out->moments = eq_vae_encode(&(eq_builder){g, source->vae->params}, vae, out->image);
    eq_graph_output(g, out->moments, "moments");
    return eq_program_compile(g, &(eq_program_options){.frozen_params = true}, &out->program);
}

/* The means of rows of moments. moments: [rows, 2 c] -> latents: [rows, c] */
static void keep_means(const float *moments, int64_t rows, int64_t c, float factor, uint16_t *latents)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t k = 0; k < c; k++)
            latents[i * c + k] = eq_f32_to_f16(factor * moments[2 * i * c + k]);
}

/* latents: [data->count, 2, side, side, channels] out */
static eq_status encode(eq_context *ctx, const eq_latent_source *source, const eq_latent_set *set,
                        const eq_dataset *data, encoder *e, uint16_t *latents)
{
    int64_t total = 2 * data->count, pixels = (int64_t)source->size * source->size * 3;
    for (int64_t first = 0; first < total; first += ENCODE_BATCH) {
        if (eq_cancelled(ctx))
            return eq_fail(ctx, EQ_CANCELLED, "stopped while encoding images");
        int64_t here = total - first < ENCODE_BATCH ? total - first : ENCODE_BATCH;
        float *image = eq_program_data(e->program, e->image);
        for (int64_t i = 0; i < here; i++)
            eq_dataset_image(data, (first + i) / 2, (first + i) % 2, image + i * pixels);
        EQ_TRY(eq_program_run(e->program));
        keep_means(eq_program_data(e->program, e->moments), here * set->side * set->side, set->channels,
                   source->vae->config.scaling_factor, latents + first * numbers_of(set));
    }
    return EQ_OK;
}

static eq_shape cache_shape(const eq_latent_set *set, int64_t images)
{
    return eq_shape_of(images, 2, set->side, set->side, set->channels);
}

/* key: what the latents were made from. */
static eq_status write_cache(eq_context *ctx, const eq_latent_source *source, const eq_latent_set *set,
                             const eq_dataset *data, const char *key)
{
    encoder e = {0};
    uint16_t *latents = malloc((size_t)(data->count * 2 * numbers_of(set)) * sizeof *latents);
    eq_status status = latents ? open_encoder(ctx, source, &e) : eq_fail_memory(ctx, "latents");
    eq_log(ctx, EQ_LOG_INFO, "encoding %lld images", (long long)data->count);
    if (status == EQ_OK)
        status = encode(ctx, source, set, data, &e, latents);
    if (status == EQ_OK) {
        eq_named_tensor tensor = {"latents", {EQ_F16, cache_shape(set, data->count), latents}};
        status = eq_safetensors_write(ctx, source->cache, &tensor, 1, &(eq_metadata){"made_from", key}, 1);
    }
    eq_program_free(e.program);
    free(latents);
    return status;
}

static eq_status open_cache(eq_context *ctx, const eq_latent_source *source, int64_t images, const char *key,
                            eq_latent_set *set)
{
    EQ_TRY(eq_tensor_file_open(ctx, source->cache, &set->cache));
    const char *made_from = eq_tensor_file_metadata(&set->cache, "made_from");
    if (!made_from || strcmp(made_from, key) != 0)
        return eq_fail(ctx, EQ_BAD_INPUT,
                       "%s: latents of other images or of another autoencoder; remove it to have "
                       "them made again",
                       source->cache);
    eq_tensor found;
    EQ_TRY(eq_tensor_file_get(ctx, &set->cache, "latents", cache_shape(set, images), &found));
    if (found.dtype != EQ_F16)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: latents are %s, expected f16", source->cache,
                       eq_dtype_name(found.dtype));
    set->latents = found.data;
    return EQ_OK;
}

/* A digest of all that decides the latents. */
static eq_status describe(eq_context *ctx, const eq_latent_source *source, const eq_dataset *data,
                          char hex[EQ_SHA256_HEX])
{
    char weights[65], settings[96];
    uint8_t digest[EQ_SHA256_BYTES];
    EQ_TRY(eq_tensor_file_hash(ctx, &source->vae->weights, weights));
    snprintf(settings, sizeof settings, "size %d, dtype %s, factor %.9g", source->size, eq_dtype_name(source->dtype),
             (double)source->vae->config.scaling_factor);
    eq_sha256 hash = eq_sha256_start();
    eq_sha256_update(&hash, weights, strlen(weights));
    eq_sha256_update(&hash, settings, strlen(settings));
    for (int64_t i = 0; i < data->count; i++)
        eq_sha256_update(&hash, data->names[i], strlen(data->names[i]) + 1);
    eq_sha256_update(&hash, data->pixels, (size_t)data->count * (size_t)source->size * (size_t)source->size * 3);
    eq_sha256_finish(&hash, digest);
    eq_sha256_to_hex(digest, hex);
    return EQ_OK;
}

static eq_status find_latents(eq_context *ctx, const eq_latent_source *source, const eq_dataset *data,
                              eq_latent_set *set)
{
    char key[EQ_SHA256_HEX];
    EQ_TRY(describe(ctx, source, data, key));
    if (!eq_path_exists(source->cache))
        EQ_TRY(write_cache(ctx, source, set, data, key));
    return open_cache(ctx, source, data->count, key, set);
}

/* --- captions --- */

/* A table beside a folder "images" may say "images/a.png" for what is "a.png" in that folder. */
static size_t find_captions(const eq_captions *captions, const char *folder, const char *name, size_t *first)
{
    size_t count = eq_captions_find(captions, name, first);
    if (count)
        return count;
    char *longer = eq_format("%s/%s", eq_path_name(folder), name);
    count = longer ? eq_captions_find(captions, longer, first) : 0;
    free(longer);
    return count;
}

static eq_status take_captions(eq_context *ctx, const eq_latent_source *source, const eq_captions *captions,
                               const eq_dataset *data, eq_latent_set *set)
{
    int64_t used = 0, missing = 0;
    size_t length = (size_t)set->length;
    for (int64_t i = 0; i < data->count; i++) {
        size_t first = 0, count = find_captions(captions, source->images, data->names[i], &first);
        if (!count && source->strict)
            return eq_fail(ctx, EQ_BAD_INPUT, "%s: no caption for %s", source->captions, data->names[i]);
        missing += !count;
        if (!count)
            continue;
        set->image[set->count] = i;
        set->first[set->count++] = used;
        for (size_t k = 0; k < count; k++, used++) {
            const char *text = captions->items[first + k].text;
            EQ_TRY(eq_tokenizer_encode(ctx, source->tokenizer, text, set->length, set->tokens + (size_t)used * length,
                                       NULL));
            set->caption[used] = strdup(text);
            if (!set->caption[used])
                return eq_fail_memory(ctx, "captions");
        }
    }
    set->first[set->count] = used;
    if (missing)
        eq_log(ctx, EQ_LOG_WARNING, "%lld images without a caption are left out", (long long)missing);
    return set->count
               ? EQ_OK
               : eq_fail(ctx, EQ_BAD_INPUT, "%s: no caption for any image in %s: file_name must be relative to it",
                         source->captions, source->images);
}

static eq_status read_captions(eq_context *ctx, const eq_latent_source *source, const eq_dataset *data,
                               eq_latent_set *set)
{
    eq_captions captions;
    EQ_TRY(eq_captions_read(ctx, source->captions, &captions));
    size_t images = (size_t)data->count, length = (size_t)set->length;
    set->image = calloc(images, sizeof *set->image);
    set->first = calloc(images + 1, sizeof *set->first);
    set->caption = calloc(captions.count + 1, sizeof *set->caption);
    set->tokens = calloc(captions.count * length, sizeof *set->tokens);
    set->empty = calloc(length, sizeof *set->empty);
    eq_status status = set->image && set->first && set->caption && set->tokens && set->empty
                           ? eq_tokenizer_encode(ctx, source->tokenizer, "", set->length, set->empty, NULL)
                           : eq_fail_memory(ctx, "captions");
    if (status == EQ_OK)
        status = take_captions(ctx, source, &captions, data, set);
    eq_captions_free(&captions);
    return status;
}

/* --- both --- */

eq_status eq_latent_set_open(eq_context *ctx, const eq_latent_source *source, eq_latent_set *out)
{
    const eq_vae_config *vae = &source->vae->config;
    int scale = eq_vae_scale(vae);
    *out = (eq_latent_set){.side = source->size / scale, .channels = vae->latent_channels, .length = source->length};
    if (source->size % scale != 0 || vae->in_channels != 3)
        return eq_fail(ctx, EQ_BAD_USAGE,
                       "images of %d pixels a side and 3 channels do not fit the autoencoder, which takes multiples of "
                       "%d and %d channels",
                       source->size, scale, vae->in_channels);
    eq_dataset data;
    EQ_TRY(eq_dataset_open(ctx, source->images, source->size, source->strict, &data));
    if (data.skipped)
        eq_log(ctx, EQ_LOG_WARNING, "%lld unreadable files skipped", (long long)data.skipped);
    eq_status status = read_captions(ctx, source, &data, out);
    if (status == EQ_OK)
        status = find_latents(ctx, source, &data, out);
    eq_dataset_close(&data);
    if (status != EQ_OK)
        eq_latent_set_close(out);
    return status;
}

void eq_latent_set_close(eq_latent_set *set)
{
    for (int64_t i = 0; set->caption && set->caption[i]; i++) /* there is a NULL after the last */
        free(set->caption[i]);
    free(set->caption);
    free(set->image);
    free(set->first);
    free(set->tokens);
    free(set->empty);
    eq_tensor_file_close(&set->cache);
    *set = (eq_latent_set){0};
}

void eq_latent_set_latent(const eq_latent_set *set, int64_t index, bool flip, float *latent)
{
    int64_t numbers = numbers_of(set);
    eq_f16_row_to_f32(set->latents + (2 * set->image[index] + flip) * numbers, (size_t)numbers, latent);
}
