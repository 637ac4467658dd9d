/* Tiles, as in the decoder (latent_decoder.c), the other way round: the fine levels come first and run over tiles, in
 * sweeps until their norms' statistics are those of the picture; what they make of it is put together, and the coarse
 * levels, with the attention, see the whole. Places are in pixels of what the fine levels give, so that tiles begin
 * where halvings keep step. */
#include "diffusion/latent_encoder.h"

#include <stdlib.h>

#include "diffusion/latent_tiles.h"
#include "tensor/plan.h"

struct eq_latent_encoder {
    eq_context *ctx;
    eq_vae_config config;
    eq_dtype dtype;
    int64_t h, w;                      /* of the image */
    int cut;                           /* levels that run in tiles; 0: none */
    eq_tiling tiling;                  /* of the fine program */
    eq_program *coarse;                /* with one tile: the whole encoder */
    eq_value tile, tile_features;      /* of the fine program */
    eq_value image, features, moments; /* of the coarse program; image: of the whole encoder */
};

/* --- the networks --- */

static eq_graph *whole_graph(eq_latent_encoder *e, eq_params *params)
{
    eq_graph *g = eq_graph_new(e->ctx, e->dtype);
    if (!g)
        return NULL;
    e->image = eq_graph_input(g, "image", EQ_F32, eq_shape_of(1, e->h, e->w, e->config.in_channels));
    e->moments = eq_vae_encode(&(eq_builder){g, params}, &e->config, e->image);
    eq_graph_output(g, e->moments, "moments");
    return g;
}

/* The fine part twice, sharing one arena: with norms that use what they see, then with norms that are told. */
static eq_graph *fine_graph(eq_latent_encoder *e, eq_params *params)
{
    eq_graph *g = eq_graph_new(e->ctx, e->dtype);
    if (!g)
        return NULL;
    eq_builder b = {g, params};
    int64_t scale = (int64_t)1 << e->cut;
    e->tiling.norms[EQ_TILE_FIRST_SWEEP] = (eq_norm_list){0};
    e->tiling.norms[EQ_TILE_NEXT_SWEEP] = (eq_norm_list){.given = true};
    e->tile = eq_graph_input(
        g, "tile", EQ_F32,
        eq_shape_of(1, e->tiling.rows.tile * scale, e->tiling.columns.tile * scale, e->config.in_channels));
    eq_vae_encode_fine(&b, &e->config, e->tile, e->cut, &e->tiling.norms[EQ_TILE_FIRST_SWEEP]);
    eq_graph_next_stage(g);
    e->tile_features = eq_vae_encode_fine(&b, &e->config, e->tile, e->cut, &e->tiling.norms[EQ_TILE_NEXT_SWEEP]);
    eq_graph_output(g, e->tile_features, "features");
    return g;
}

static eq_graph *coarse_graph(eq_latent_encoder *e, eq_params *params)
{
    eq_graph *g = eq_graph_new(e->ctx, e->dtype);
    if (!g)
        return NULL;
    int64_t rows = e->h >> e->cut, columns = e->w >> e->cut;
    e->features = eq_graph_input(g, "features", e->dtype,
                                 eq_shape_of(1, rows, columns, e->config.block_out_channels[e->cut - 1]));
    e->moments = eq_vae_encode_coarse(&(eq_builder){g, params}, &e->config, e->features, e->cut);
    eq_graph_output(g, e->moments, "moments");
    return g;
}

/* --- the choice of tiles --- */

/* What eq_tiles_choose asks of an encoder. */
typedef struct asked {
    eq_latent_encoder *encoder;
    eq_params *params;
} asked;

static eq_status tile_bytes(void *user, size_t *bytes)
{
    const asked *a = user;
    return eq_graph_foresee_bytes(a->encoder->ctx, fine_graph(a->encoder, a->params), bytes);
}

/* The whole encoder if it fits; else as few levels in tiles as leave a rest that half the limit holds. */
static eq_status choose(eq_latent_encoder *e, eq_params *params, size_t limit)
{
    size_t bytes = 0;
    e->tiling.rows = eq_tile_axis_of(e->h, 1, 0);
    e->tiling.columns = eq_tile_axis_of(e->w, 1, 0);
    EQ_TRY(eq_graph_foresee_bytes(e->ctx, whole_graph(e, params), &bytes));
    if (bytes <= limit || e->config.levels == 1)
        return EQ_OK;
    for (e->cut = 1;; e->cut++) {
        EQ_TRY(eq_graph_foresee_bytes(e->ctx, coarse_graph(e, params), &bytes));
        if (bytes <= limit / 2 || e->cut == e->config.levels - 1)
            break;
    }
    int64_t reach = eq_vae_encode_reach(&e->config, e->cut);
    e->tiling.rows = eq_tile_axis_of(e->h >> e->cut, 1, reach);
    e->tiling.columns = eq_tile_axis_of(e->w >> e->cut, 1, reach);
    return eq_tiles_choose(&e->tiling.rows, &e->tiling.columns, reach, bytes < limit ? limit - bytes : 0, tile_bytes,
                           &(asked){e, params});
}

static eq_status prepare(eq_latent_encoder *e, eq_params *params, const eq_latent_options *options)
{
    params->trainable = false;
    EQ_TRY(choose(e, params, options->memory_bytes));
    if (e->tiling.rows.count * e->tiling.columns.count == 1) {
        e->cut = 0;
        return eq_tiles_compile(e->ctx, whole_graph(e, params), options, &e->coarse);
    }
    EQ_TRY(eq_tiles_compile(e->ctx, fine_graph(e, params), options, &e->tiling.program));
    EQ_TRY(eq_tiles_compile(e->ctx, coarse_graph(e, params), options, &e->coarse));
    return eq_tile_norms_new(e->ctx, &e->tiling.norms[EQ_TILE_FIRST_SWEEP], e->config.norm_num_groups,
                             &e->tiling.statistics);
}

eq_status eq_latent_encoder_new(eq_context *ctx, const eq_vae_config *config, eq_params *params,
                                const eq_latent_options *options, int64_t h, int64_t w, eq_latent_encoder **out)
{
    *out = NULL;
    eq_latent_encoder *e = calloc(1, sizeof *e);
    if (!e)
        return eq_fail_memory(ctx, "an encoder");
    e->ctx = ctx;
    e->config = *config;
    e->dtype = options->dtype;
    e->h = h;
    e->w = w;
    eq_status status = prepare(e, params, options);
    if (status != EQ_OK) {
        eq_latent_encoder_free(e);
        return status;
    }
    *out = e;
    return EQ_OK;
}

void eq_latent_encoder_free(eq_latent_encoder *e)
{
    if (!e)
        return;
    eq_program_free(e->coarse);
    eq_tiling_free(&e->tiling);
    free(e);
}

/* --- running --- */

/* The image that is encoded. */
typedef struct encoding {
    eq_latent_encoder *encoder;
    const float *image; /* [h, w, in_channels] */
} encoding;

/* Copies the tile's part of the image, with its margins, into the fine program. */
static void fill_pixels(void *user, int64_t top, int64_t left)
{
    const encoding *a = user;
    eq_latent_encoder *e = a->encoder;
    const eq_tiling *t = &e->tiling;
    int64_t scale = (int64_t)1 << e->cut, channels = e->config.in_channels, line = t->columns.tile * scale * channels;
    float *tile = eq_program_data(t->program, e->tile);
    for (int64_t y = 0; y < t->rows.tile * scale; y++)
        memcpy(tile + y * line, a->image + ((top * scale + y) * e->w + left * scale) * channels,
               (size_t)line * sizeof *tile);
}

/* Copies the tile's core into what the coarse levels begin with. */
static void put_core(void *user, eq_tile_core core, int64_t top, int64_t left)
{
    const encoding *a = user;
    eq_latent_encoder *e = a->encoder;
    const eq_tiling *t = &e->tiling;
    size_t pixel = (size_t)e->config.block_out_channels[e->cut - 1] * eq_dtype_size(e->dtype);
    size_t line = (size_t)(core.right - core.left) * pixel;
    char *features = eq_program_data(e->coarse, e->features);
    const char *tile = eq_program_data(t->program, e->tile_features);
    for (int64_t y = core.top; y < core.bottom; y++)
        memcpy(features + (size_t)(y * t->columns.size + core.left) * pixel,
               tile + (size_t)((y - top) * t->columns.tile + core.left - left) * pixel, line);
}

eq_status eq_latent_encoder_run(eq_latent_encoder *e, const float *image, const float **moments)
{
    if (e->tiling.program)
        EQ_TRY(eq_tiling_run(e->ctx, &e->tiling, &(eq_tile_flow){&(encoding){e, image}, fill_pixels, put_core}));
    else
        memcpy(eq_program_data(e->coarse, e->image), image,
               (size_t)(e->h * e->w * e->config.in_channels) * sizeof *image);
    EQ_TRY(eq_program_run(e->coarse));
    *moments = eq_program_data(e->coarse, e->moments);
    return EQ_OK;
}

eq_latent_use eq_latent_encoder_use(const eq_latent_encoder *e)
{
    eq_latent_use use = eq_tiling_use(&e->tiling, e->coarse);
    use.cut = e->config.levels - e->cut;
    return use;
}
