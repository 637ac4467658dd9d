/* Tiles, as in the decoder (latent_decoder.c), the other way round: the fine levels come first and run over tiles, in
 * sweeps until their norms' statistics are those of the picture; what they make of it is put together, and the coarse
 * levels, with the attention, see the whole. Places are in pixels of what the fine levels give, so that tiles begin
 * where halvings keep step. */
#include "diffusion/latent_encoder.h"

#include <stdlib.h>

#include "diffusion/latent_tiles.h"
#include "tensor/plan.h"

enum { FIRST_SWEEP = 0, NEXT_SWEEP = 1 }; /* stages of the fine program */

struct eq_latent_encoder {
    eq_context *ctx;
    eq_vae_config config;
    eq_dtype dtype;
    int64_t h, w; /* of the image */
    int cut;      /* levels that run in tiles; 0: none */
    eq_tile_axis rows, columns;
    eq_program *fine;                  /* with one tile: NULL */
    eq_program *coarse;                /* with one tile: the whole encoder */
    eq_value tile, tile_features;      /* of the fine program */
    eq_value image, features, moments; /* of the coarse program; image: of the whole encoder */
    int sweeps;                        /* that the last picture took */
    eq_norm_list norms[2];             /* of the fine program's stages */
    eq_tile_norms statistics;
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
    e->norms[FIRST_SWEEP] = (eq_norm_list){0};
    e->norms[NEXT_SWEEP] = (eq_norm_list){.given = true};
    e->tile = eq_graph_input(g, "tile", EQ_F32,
                             eq_shape_of(1, e->rows.tile * scale, e->columns.tile * scale, e->config.in_channels));
    eq_vae_encode_fine(&b, &e->config, e->tile, e->cut, &e->norms[FIRST_SWEEP]);
    eq_graph_next_stage(g);
    e->tile_features = eq_vae_encode_fine(&b, &e->config, e->tile, e->cut, &e->norms[NEXT_SWEEP]);
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

typedef eq_graph *graph_maker(eq_latent_encoder *e, eq_params *params);

/* What a program of that graph would take for activations. */
static eq_status planned_bytes(eq_latent_encoder *e, eq_params *params, graph_maker *make, size_t *bytes)
{
    eq_memory_plan plan = {0};
    eq_graph *graph = make(e, params);
    if (!graph)
        return eq_fail_memory(e->ctx, "a graph");
    eq_status status = eq_graph_status(graph);
    if (status == EQ_OK)
        status = eq_memory_plan_make(graph, &plan);
    *bytes = plan.arena_bytes + plan.carry_bytes;
    eq_memory_plan_free(&plan);
    eq_graph_free(graph);
    return status;
}

static eq_status compile(eq_latent_encoder *e, eq_params *params, graph_maker *make, const eq_latent_options *options,
                         eq_program **out)
{
    eq_graph *graph = make(e, params);
    if (!graph)
        return eq_fail_memory(e->ctx, "a graph");
    return eq_program_compile(graph,
                              &(eq_program_options){.frozen_params = true,
                                                    .backend = options->backend,
                                                    .packed = options->packed,
                                                    .packed_user = options->packed_user},
                              out);
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
    return planned_bytes(a->encoder, a->params, fine_graph, bytes);
}

/* The whole encoder if it fits; else as few levels in tiles as leave a rest that half the limit holds. */
static eq_status choose(eq_latent_encoder *e, eq_params *params, size_t limit)
{
    size_t bytes = 0;
    e->rows = eq_tile_axis_of(e->h, 1, 0);
    e->columns = eq_tile_axis_of(e->w, 1, 0);
    EQ_TRY(planned_bytes(e, params, whole_graph, &bytes));
    if (bytes <= limit || e->config.levels == 1)
        return EQ_OK;
    for (e->cut = 1;; e->cut++) {
        EQ_TRY(planned_bytes(e, params, coarse_graph, &bytes));
        if (bytes <= limit / 2 || e->cut == e->config.levels - 1)
            break;
    }
    int64_t reach = eq_vae_encode_reach(&e->config, e->cut);
    e->rows = eq_tile_axis_of(e->h >> e->cut, 1, reach);
    e->columns = eq_tile_axis_of(e->w >> e->cut, 1, reach);
    return eq_tiles_choose(&e->rows, &e->columns, reach, bytes < limit ? limit - bytes : 0, tile_bytes,
                           &(asked){e, params});
}

static eq_status prepare(eq_latent_encoder *e, eq_params *params, const eq_latent_options *options)
{
    params->trainable = false;
    EQ_TRY(choose(e, params, options->memory_bytes));
    if (e->rows.count * e->columns.count == 1) {
        e->cut = 0;
        return compile(e, params, whole_graph, options, &e->coarse);
    }
    EQ_TRY(compile(e, params, fine_graph, options, &e->fine));
    EQ_TRY(compile(e, params, coarse_graph, options, &e->coarse));
    return eq_tile_norms_new(e->ctx, &e->norms[FIRST_SWEEP], e->config.norm_num_groups, &e->statistics);
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
    eq_program_free(e->fine);
    eq_program_free(e->coarse);
    eq_tile_norms_free(&e->statistics);
    free(e);
}

/* --- running --- */

/* Copies the tile's part of the image, with its margins, into the fine program. */
static void fill_pixels(eq_latent_encoder *e, const float *image, int64_t top, int64_t left)
{
    int64_t scale = (int64_t)1 << e->cut, channels = e->config.in_channels, line = e->columns.tile * scale * channels;
    float *tile = eq_program_data(e->fine, e->tile);
    for (int64_t y = 0; y < e->rows.tile * scale; y++)
        memcpy(tile + y * line, image + ((top * scale + y) * e->w + left * scale) * channels,
               (size_t)line * sizeof *tile);
}

/* Copies the tile's core into what the coarse levels begin with. */
static void put_core(eq_latent_encoder *e, eq_tile_core core, int64_t top, int64_t left)
{
    size_t pixel = (size_t)e->config.block_out_channels[e->cut - 1] * eq_dtype_size(e->dtype);
    size_t line = (size_t)(core.right - core.left) * pixel;
    char *features = eq_program_data(e->coarse, e->features);
    const char *tile = eq_program_data(e->fine, e->tile_features);
    for (int64_t y = core.top; y < core.bottom; y++)
        memcpy(features + (size_t)(y * e->columns.size + core.left) * pixel,
               tile + (size_t)((y - top) * e->columns.tile + core.left - left) * pixel, line);
}

/* Runs all tiles; from the second sweep on with the statistics of the sweep before, which move by `moved`. */
static eq_status sweep(eq_latent_encoder *e, int stage, const float *image, double *moved)
{
    const eq_norm_list *norms = &e->norms[stage];
    eq_tile_norms_begin(&e->statistics);
    for (int64_t row = 0; row < e->rows.count; row++)
        for (int64_t column = 0; column < e->columns.count; column++) {
            if (eq_cancelled(e->ctx))
                return eq_fail(e->ctx, EQ_CANCELLED, "cancelled");
            int64_t top = eq_tile_start(&e->rows, row), left = eq_tile_start(&e->columns, column);
            eq_tile_core core = eq_tile_core_of(&e->rows, &e->columns, row, column);
            eq_tile_core within = {core.top - top, core.left - left, core.bottom - top, core.right - left};
            fill_pixels(e, image, top, left);
            eq_tile_norms_fill(&e->statistics, e->fine, norms, within, e->rows.tile);
            EQ_TRY(eq_program_run_stage(e->fine, stage));
            int64_t pixels = (core.bottom - core.top) * (core.right - core.left);
            eq_tile_norms_add(&e->statistics, e->fine, norms,
                              (double)pixels / (double)(e->rows.size * e->columns.size));
            if (stage == NEXT_SWEEP)
                put_core(e, core, top, left);
        }
    *moved = eq_tile_norms_finish(&e->statistics);
    return EQ_OK;
}

static eq_status run_tiles(eq_latent_encoder *e, const float *image)
{
    double moved = 0;
    EQ_TRY(sweep(e, FIRST_SWEEP, image, &moved));
    e->sweeps = 1;
    do {
        EQ_TRY(sweep(e, NEXT_SWEEP, image, &moved));
        e->sweeps++;
    } while (moved > EQ_TILE_SETTLED && e->sweeps < EQ_TILE_MAX_SWEEPS);
    return EQ_OK;
}

eq_status eq_latent_encoder_run(eq_latent_encoder *e, const float *image, const float **moments)
{
    if (e->fine)
        EQ_TRY(run_tiles(e, image));
    else
        memcpy(eq_program_data(e->coarse, e->image), image,
               (size_t)(e->h * e->w * e->config.in_channels) * sizeof *image);
    EQ_TRY(eq_program_run(e->coarse));
    *moments = eq_program_data(e->coarse, e->moments);
    return EQ_OK;
}

eq_latent_use eq_latent_encoder_use(const eq_latent_encoder *e)
{
    eq_latent_use use = {
        .tiles = (int)(e->rows.count * e->columns.count), .cut = e->config.levels - e->cut, .sweeps = e->sweeps};
    const eq_program *programs[] = {e->coarse, e->fine};
    for (int i = 0; i < 2; i++) {
        if (!programs[i])
            continue;
        eq_program_memory memory = eq_program_memory_use(programs[i]);
        use.arena_bytes += memory.arena_bytes + memory.carry_bytes;
        use.packed_bytes += memory.packed_bytes;
    }
    return use;
}
