/* Tiles. The decoder's convolutions look a few pixels far, so a tile with a margin as wide as they reach gives in its
 * core what the whole picture would, were it not for the attention and the group norms, which see everything. The
 * attention is at the coarsest level, where memory is small: that part runs whole. The norms of the fine part take
 * sweeps over all tiles. In the first each tile normalises by its own core, and the statistics of all cores are put
 * together to those of the picture. From then on all tiles use these, and what the norms see corrects them: each norm
 * is exact once those before it were, and near enough after three or four sweeps. As all tiles use the same
 * statistics, neighbours agree where they meet, and need no blending. */
#include "diffusion/latent_decoder.h"

#include <stdlib.h>

#include "diffusion/latent_tiles.h"
#include "tensor/plan.h"

struct eq_latent_decoder {
    eq_context *ctx;
    eq_vae_config config;
    eq_dtype dtype;
    int64_t h, w;                /* of the latent */
    int cut;                     /* up blocks that run whole */
    eq_tiling tiling;            /* of the coarse picture, through the fine program */
    eq_program *coarse;          /* with one tile: the whole decoder */
    eq_value z, features, image; /* of the coarse program; image: of the whole decoder */
    eq_value tile, tile_image;   /* of the fine program */
};

/* --- the networks --- */

static eq_graph *whole_graph(eq_latent_decoder *d, eq_params *params)
{
    eq_graph *g = eq_graph_new(d->ctx, d->dtype);
    if (!g)
        return NULL;
    eq_builder b = {g, params};
    d->z = eq_graph_input(g, "z", EQ_F32, eq_shape_of(1, d->h, d->w, d->config.latent_channels));
    eq_value x = eq_vae_decode_coarse(&b, &d->config, d->z, d->config.levels);
    d->image = eq_vae_decode_fine(&b, &d->config, x, d->config.levels, NULL);
    eq_graph_output(g, d->image, "image");
    return g;
}

static eq_graph *coarse_graph(eq_latent_decoder *d, eq_params *params)
{
    eq_graph *g = eq_graph_new(d->ctx, d->dtype);
    if (!g)
        return NULL;
    d->z = eq_graph_input(g, "z", EQ_F32, eq_shape_of(1, d->h, d->w, d->config.latent_channels));
    d->features = eq_vae_decode_coarse(&(eq_builder){g, params}, &d->config, d->z, d->cut);
    eq_graph_output(g, d->features, "features");
    return g;
}

/* The fine part twice, sharing one arena: with norms that use what they see, then with norms that are told. */
static eq_graph *fine_graph(eq_latent_decoder *d, eq_params *params)
{
    eq_graph *g = eq_graph_new(d->ctx, d->dtype);
    if (!g)
        return NULL;
    eq_builder b = {g, params};
    int channels = d->config.block_out_channels[d->config.levels - d->cut];
    d->tiling.norms[EQ_TILE_FIRST_SWEEP] = (eq_norm_list){0};
    d->tiling.norms[EQ_TILE_NEXT_SWEEP] = (eq_norm_list){.given = true};
    d->tile =
        eq_graph_input(g, "tile", d->dtype, eq_shape_of(1, d->tiling.rows.tile, d->tiling.columns.tile, channels));
    eq_vae_decode_fine(&b, &d->config, d->tile, d->cut, &d->tiling.norms[EQ_TILE_FIRST_SWEEP]);
    eq_graph_next_stage(g);
    d->tile_image = eq_vae_decode_fine(&b, &d->config, d->tile, d->cut, &d->tiling.norms[EQ_TILE_NEXT_SWEEP]);
    eq_graph_output(g, d->tile_image, "image");
    return g;
}

/* --- the choice of tiles --- */

/* What eq_tiles_choose asks of a decoder. */
typedef struct asked {
    eq_latent_decoder *decoder;
    eq_params *params;
} asked;

static eq_status tile_bytes(void *user, size_t *bytes)
{
    const asked *a = user;
    return eq_graph_foresee_bytes(a->decoder->ctx, fine_graph(a->decoder, a->params), bytes);
}

static eq_status choose_tiles(eq_latent_decoder *d, eq_params *params, size_t limit)
{
    int64_t scale = (int64_t)1 << (d->cut - 1), reach = eq_vae_decode_reach(&d->config, d->cut);
    d->tiling.rows = eq_tile_axis_of(d->h * scale, 1, reach);
    d->tiling.columns = eq_tile_axis_of(d->w * scale, 1, reach);
    return eq_tiles_choose(&d->tiling.rows, &d->tiling.columns, reach, limit, tile_bytes, &(asked){d, params});
}

/* The whole decoder if it fits; else as many up blocks whole as half the limit holds, and tiles in the rest of it. */
static eq_status choose(eq_latent_decoder *d, eq_params *params, size_t limit)
{
    size_t bytes = 0;
    d->tiling.rows = eq_tile_axis_of(d->h, 1, 0);
    d->tiling.columns = eq_tile_axis_of(d->w, 1, 0);
    EQ_TRY(eq_graph_foresee_bytes(d->ctx, whole_graph(d, params), &bytes));
    if (bytes <= limit || d->config.levels == 1)
        return EQ_OK;
    for (d->cut = d->config.levels - 1;; d->cut--) {
        EQ_TRY(eq_graph_foresee_bytes(d->ctx, coarse_graph(d, params), &bytes));
        if (bytes <= limit / 2 || d->cut == 1)
            break;
    }
    return choose_tiles(d, params, bytes < limit ? limit - bytes : 0);
}

static eq_status prepare(eq_latent_decoder *d, eq_params *params, const eq_latent_options *options)
{
    params->trainable = false;
    EQ_TRY(choose(d, params, options->memory_bytes));
    if (d->tiling.rows.count * d->tiling.columns.count == 1) {
        d->cut = d->config.levels;
        return eq_tiles_compile(d->ctx, whole_graph(d, params), options, &d->coarse);
    }
    EQ_TRY(eq_tiles_compile(d->ctx, coarse_graph(d, params), options, &d->coarse));
    EQ_TRY(eq_tiles_compile(d->ctx, fine_graph(d, params), options, &d->tiling.program));
    return eq_tile_norms_new(d->ctx, &d->tiling.norms[EQ_TILE_FIRST_SWEEP], d->config.norm_num_groups,
                             &d->tiling.statistics);
}

eq_status eq_latent_decoder_new(eq_context *ctx, const eq_vae_config *config, eq_params *params,
                                const eq_latent_options *options, int64_t h, int64_t w, eq_latent_decoder **out)
{
    *out = NULL;
    eq_latent_decoder *d = calloc(1, sizeof *d);
    if (!d)
        return eq_fail_memory(ctx, "a decoder");
    d->ctx = ctx;
    d->config = *config;
    d->dtype = options->dtype;
    d->h = h;
    d->w = w;
    eq_status status = prepare(d, params, options);
    if (status != EQ_OK) {
        eq_latent_decoder_free(d);
        return status;
    }
    *out = d;
    return EQ_OK;
}

void eq_latent_decoder_free(eq_latent_decoder *d)
{
    if (!d)
        return;
    eq_program_free(d->coarse);
    eq_tiling_free(&d->tiling);
    free(d);
}

/* --- running --- */

/* The picture that is decoded. */
typedef struct decoding {
    eq_latent_decoder *decoder;
    float *image; /* [h * scale, w * scale, out_channels] */
} decoding;

/* Copies the tile's part of the features, with its margins, into the fine program. */
static void fill_features(void *user, int64_t top, int64_t left)
{
    eq_latent_decoder *d = ((const decoding *)user)->decoder;
    const eq_tiling *t = &d->tiling;
    const eq_shape *shape = eq_shape_at(eq_program_graph(d->coarse), d->features);
    size_t pixel = (size_t)shape->dim[3] * eq_dtype_size(d->dtype);
    size_t line = (size_t)t->columns.tile * pixel;
    const char *features = eq_program_data(d->coarse, d->features);
    char *tile = eq_program_data(t->program, d->tile);
    for (int64_t y = 0; y < t->rows.tile; y++)
        memcpy(tile + (size_t)y * line, features + (size_t)((top + y) * t->columns.size + left) * pixel, line);
}

/* Copies the tile's core into the picture. */
static void write_core(void *user, eq_tile_core core, int64_t top, int64_t left)
{
    const decoding *a = user;
    eq_latent_decoder *d = a->decoder;
    const eq_tiling *t = &d->tiling;
    int64_t scale = (int64_t)1 << (d->config.levels - d->cut), channels = d->config.out_channels;
    const float *tile = eq_program_data(t->program, d->tile_image);
    size_t line = (size_t)((core.right - core.left) * scale * channels) * sizeof(float);
    for (int64_t y = core.top * scale; y < core.bottom * scale; y++)
        memcpy(a->image + (y * t->columns.size + core.left) * scale * channels,
               tile + ((y - top * scale) * t->columns.tile + core.left - left) * scale * channels, line);
}

eq_status eq_latent_decoder_run(eq_latent_decoder *d, const float *latent, float *image)
{
    float *z = eq_program_data(d->coarse, d->z);
    int64_t count = d->h * d->w * d->config.latent_channels;
    for (int64_t i = 0; i < count; i++)
        z[i] = latent[i] / d->config.scaling_factor;
    EQ_TRY(eq_program_run(d->coarse));
    if (d->tiling.program)
        return eq_tiling_run(d->ctx, &d->tiling, &(eq_tile_flow){&(decoding){d, image}, fill_features, write_core});
    const eq_shape *shape = eq_shape_at(eq_program_graph(d->coarse), d->image);
    memcpy(image, eq_program_data(d->coarse, d->image), (size_t)eq_shape_count(shape) * sizeof(float));
    return EQ_OK;
}

eq_latent_use eq_latent_decoder_use(const eq_latent_decoder *d)
{
    eq_latent_use use = eq_tiling_use(&d->tiling, d->coarse);
    use.cut = d->cut;
    return use;
}

void eq_latent_decoder_programs(eq_latent_decoder *d, eq_program **coarse, eq_program **fine)
{
    *coarse = d->coarse;
    *fine = d->tiling.program;
}
