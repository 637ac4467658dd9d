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

enum { FIRST_SWEEP = 0, NEXT_SWEEP = 1 }; /* stages of the fine program */

struct eq_latent_decoder {
    eq_context *ctx;
    eq_vae_config config;
    eq_dtype dtype;
    int64_t h, w;                /* of the latent */
    int cut;                     /* up blocks that run whole */
    eq_tile_axis rows, columns;  /* of the coarse picture */
    eq_program *coarse;          /* with one tile: the whole decoder */
    eq_program *fine;            /* with one tile: NULL */
    eq_value z, features, image; /* of the coarse program; image: of the whole decoder */
    eq_value tile, tile_image;   /* of the fine program */
    int sweeps;                  /* that the last picture took */
    eq_norm_list norms[2];       /* of its stages */
    eq_tile_norms statistics;
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
    d->norms[FIRST_SWEEP] = (eq_norm_list){0};
    d->norms[NEXT_SWEEP] = (eq_norm_list){.given = true};
    d->tile = eq_graph_input(g, "tile", d->dtype, eq_shape_of(1, d->rows.tile, d->columns.tile, channels));
    eq_vae_decode_fine(&b, &d->config, d->tile, d->cut, &d->norms[FIRST_SWEEP]);
    eq_graph_next_stage(g);
    d->tile_image = eq_vae_decode_fine(&b, &d->config, d->tile, d->cut, &d->norms[NEXT_SWEEP]);
    eq_graph_output(g, d->tile_image, "image");
    return g;
}

typedef eq_graph *graph_maker(eq_latent_decoder *d, eq_params *params);

/* What a program of that graph would take for activations. */
static eq_status planned_bytes(eq_latent_decoder *d, eq_params *params, graph_maker *make, size_t *bytes)
{
    eq_memory_plan plan = {0};
    eq_graph *graph = make(d, params);
    if (!graph)
        return eq_fail_memory(d->ctx, "a graph");
    eq_status status = eq_graph_status(graph);
    if (status == EQ_OK)
        status = eq_memory_plan_make(graph, &plan);
    *bytes = plan.arena_bytes + plan.carry_bytes;
    eq_memory_plan_free(&plan);
    eq_graph_free(graph);
    return status;
}

static eq_status compile(eq_latent_decoder *d, eq_params *params, graph_maker *make, const eq_latent_options *options,
                         eq_program **out)
{
    eq_graph *graph = make(d, params);
    if (!graph)
        return eq_fail_memory(d->ctx, "a graph");
    return eq_program_compile(graph,
                              &(eq_program_options){.frozen_params = true,
                                                    .backend = options->backend,
                                                    .packed = options->packed,
                                                    .packed_user = options->packed_user},
                              out);
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
    return planned_bytes(a->decoder, a->params, fine_graph, bytes);
}

static eq_status choose_tiles(eq_latent_decoder *d, eq_params *params, size_t limit)
{
    int64_t scale = (int64_t)1 << (d->cut - 1), reach = eq_vae_decode_reach(&d->config, d->cut);
    d->rows = eq_tile_axis_of(d->h * scale, 1, reach);
    d->columns = eq_tile_axis_of(d->w * scale, 1, reach);
    return eq_tiles_choose(&d->rows, &d->columns, reach, limit, tile_bytes, &(asked){d, params});
}

/* The whole decoder if it fits; else as many up blocks whole as half the limit holds, and tiles in the rest of it. */
static eq_status choose(eq_latent_decoder *d, eq_params *params, size_t limit)
{
    size_t bytes = 0;
    d->rows = eq_tile_axis_of(d->h, 1, 0);
    d->columns = eq_tile_axis_of(d->w, 1, 0);
    EQ_TRY(planned_bytes(d, params, whole_graph, &bytes));
    if (bytes <= limit || d->config.levels == 1)
        return EQ_OK;
    for (d->cut = d->config.levels - 1;; d->cut--) {
        EQ_TRY(planned_bytes(d, params, coarse_graph, &bytes));
        if (bytes <= limit / 2 || d->cut == 1)
            break;
    }
    return choose_tiles(d, params, bytes < limit ? limit - bytes : 0);
}

static eq_status prepare(eq_latent_decoder *d, eq_params *params, const eq_latent_options *options)
{
    params->trainable = false;
    EQ_TRY(choose(d, params, options->memory_bytes));
    if (d->rows.count * d->columns.count == 1) {
        d->cut = d->config.levels;
        return compile(d, params, whole_graph, options, &d->coarse);
    }
    EQ_TRY(compile(d, params, coarse_graph, options, &d->coarse));
    EQ_TRY(compile(d, params, fine_graph, options, &d->fine));
    return eq_tile_norms_new(d->ctx, &d->norms[FIRST_SWEEP], d->config.norm_num_groups, &d->statistics);
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
    eq_program_free(d->fine);
    eq_tile_norms_free(&d->statistics);
    free(d);
}

/* --- running --- */

/* Copies the tile's part of the features, with its margins, into the fine program. */
static void fill_features(eq_latent_decoder *d, int64_t top, int64_t left)
{
    const eq_shape *shape = eq_shape_at(eq_program_graph(d->coarse), d->features);
    size_t pixel = (size_t)shape->dim[3] * eq_dtype_size(d->dtype);
    size_t line = (size_t)d->columns.tile * pixel;
    const char *features = eq_program_data(d->coarse, d->features);
    char *tile = eq_program_data(d->fine, d->tile);
    for (int64_t y = 0; y < d->rows.tile; y++)
        memcpy(tile + (size_t)y * line, features + (size_t)((top + y) * d->columns.size + left) * pixel, line);
}

/* All inputs of one tile's run. */
static void fill_tile(eq_latent_decoder *d, const eq_norm_list *norms, int64_t row, int64_t column)
{
    int64_t top = eq_tile_start(&d->rows, row), left = eq_tile_start(&d->columns, column);
    eq_tile_core core = eq_tile_core_of(&d->rows, &d->columns, row, column);
    eq_tile_core within = {core.top - top, core.left - left, core.bottom - top, core.right - left};
    fill_features(d, top, left);
    eq_tile_norms_fill(&d->statistics, d->fine, norms, within, d->rows.tile);
}

/* Copies the tile's core into the picture. */
static void write_core(eq_latent_decoder *d, int64_t row, int64_t column, float *image)
{
    int64_t scale = (int64_t)1 << (d->config.levels - d->cut), channels = d->config.out_channels;
    eq_tile_core core = eq_tile_core_of(&d->rows, &d->columns, row, column);
    int64_t top = eq_tile_start(&d->rows, row) * scale, left = core.left - eq_tile_start(&d->columns, column);
    const float *tile = eq_program_data(d->fine, d->tile_image);
    size_t line = (size_t)((core.right - core.left) * scale * channels) * sizeof(float);
    for (int64_t y = core.top * scale; y < core.bottom * scale; y++)
        memcpy(image + (y * d->columns.size + core.left) * scale * channels,
               tile + ((y - top) * d->columns.tile + left) * scale * channels, line);
}

/* Runs all tiles; from the second sweep on with the statistics of the sweep before, which move by `moved`. */
static eq_status sweep(eq_latent_decoder *d, int stage, float *image, double *moved)
{
    const eq_norm_list *norms = &d->norms[stage];
    eq_tile_norms_begin(&d->statistics);
    for (int64_t row = 0; row < d->rows.count; row++)
        for (int64_t column = 0; column < d->columns.count; column++) {
            if (eq_cancelled(d->ctx))
                return eq_fail(d->ctx, EQ_CANCELLED, "cancelled");
            fill_tile(d, norms, row, column);
            EQ_TRY(eq_program_run_stage(d->fine, stage));
            eq_tile_core core = eq_tile_core_of(&d->rows, &d->columns, row, column);
            int64_t pixels = (core.bottom - core.top) * (core.right - core.left);
            eq_tile_norms_add(&d->statistics, d->fine, norms,
                              (double)pixels / (double)(d->rows.size * d->columns.size));
            if (stage == NEXT_SWEEP)
                write_core(d, row, column, image);
        }
    *moved = eq_tile_norms_finish(&d->statistics);
    return EQ_OK;
}

eq_status eq_latent_decoder_run(eq_latent_decoder *d, const float *latent, float *image)
{
    float *z = eq_program_data(d->coarse, d->z);
    int64_t count = d->h * d->w * d->config.latent_channels;
    for (int64_t i = 0; i < count; i++)
        z[i] = latent[i] / d->config.scaling_factor;
    EQ_TRY(eq_program_run(d->coarse));
    if (!d->fine) {
        const eq_shape *shape = eq_shape_at(eq_program_graph(d->coarse), d->image);
        memcpy(image, eq_program_data(d->coarse, d->image), (size_t)eq_shape_count(shape) * sizeof(float));
        return EQ_OK;
    }
    double moved = 0;
    EQ_TRY(sweep(d, FIRST_SWEEP, image, &moved));
    d->sweeps = 1;
    do {
        EQ_TRY(sweep(d, NEXT_SWEEP, image, &moved));
        d->sweeps++;
    } while (moved > EQ_TILE_SETTLED && d->sweeps < EQ_TILE_MAX_SWEEPS);
    return EQ_OK;
}

eq_latent_use eq_latent_decoder_use(const eq_latent_decoder *d)
{
    eq_latent_use use = {.tiles = (int)(d->rows.count * d->columns.count), .cut = d->cut, .sweeps = d->sweeps};
    const eq_program *programs[] = {d->coarse, d->fine};
    for (int i = 0; i < 2; i++) {
        if (!programs[i])
            continue;
        eq_program_memory memory = eq_program_memory_use(programs[i]);
        use.arena_bytes += memory.arena_bytes + memory.carry_bytes;
        use.packed_bytes += memory.packed_bytes;
    }
    return use;
}

void eq_latent_decoder_programs(eq_latent_decoder *d, eq_program **coarse, eq_program **fine)
{
    *coarse = d->coarse;
    *fine = d->fine;
}
