/* Tiles. The decoder's convolutions look a few pixels far, so a tile with a margin as wide as they reach gives in its
 * core what the whole picture would, were it not for the attention and the group norms, which see everything. The
 * attention is at the coarsest level, where memory is small: that part runs whole. The norms of the fine part take
 * sweeps over all tiles. In the first each tile normalises by its own core, and the statistics of all cores are put
 * together to those of the picture. From then on all tiles use these, and what the norms see corrects them: each norm
 * is exact once those before it were, and near enough after three or four sweeps. As all tiles use the same
 * statistics, neighbours agree where they meet, and need no blending. */
#include "diffusion/latent_decoder.h"

#include <math.h>
#include <stdlib.h>

#include "tensor/plan.h"

enum { FIRST_SWEEP = 0, NEXT_SWEEP = 1 }; /* stages of the fine program */
enum { MAX_SWEEPS = 8 };
static const double settled = 0.01; /* of a norm's deviation: what statistics may still move when sweeps end */

/* Tiles along one side of the coarse picture: evenly spread, overlapping by at least twice the reach. */
typedef struct axis {
    int64_t size, tile, count;
} axis;

struct eq_latent_decoder {
    eq_context *ctx;
    eq_vae_config config;
    eq_dtype dtype;
    int64_t h, w; /* of the latent */
    int cut;      /* up blocks that run whole */
    axis rows, columns;
    eq_program *coarse;          /* with one tile: the whole decoder */
    eq_program *fine;            /* with one tile: NULL */
    eq_value z, features, image; /* of the coarse program; image: of the whole decoder */
    eq_value tile, tile_image;   /* of the fine program */
    int sweeps;                  /* that the last picture took */
    eq_norm_list norms[2];       /* of its stages */
    double *moments;             /* [norms, groups, 2] sums over tiles of mean and mean square */
    float *statistics;           /* [norms, groups, 2] mean and 1 / std of the whole picture */
};

/* Norms of the fine program times their groups: pairs of mean and deviation. */
static size_t norm_pairs(const eq_latent_decoder *d)
{
    return (size_t)d->norms[0].count * (size_t)d->config.norm_num_groups;
}

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

/* The smallest tile with which `count` of them cover the side. */
static axis axis_of(int64_t size, int64_t count, int64_t reach)
{
    return (axis){size, (size + (count - 1) * 2 * reach + count - 1) / count, count};
}

/* First pixel of tile i. */
static int64_t tile_start(const axis *a, int64_t i)
{
    return a->count == 1 ? 0 : i * (a->size - a->tile) / (a->count - 1);
}

/* First pixel that tile i answers for: the middle of its overlap with the one before. */
static int64_t core_start(const axis *a, int64_t i)
{
    if (i == 0 || i == a->count)
        return i == 0 ? 0 : a->size;
    return (tile_start(a, i) + tile_start(a, i - 1) + a->tile) / 2;
}

/* More and more tiles until one fits, but none smaller than twice its margins. */
static eq_status choose_tiles(eq_latent_decoder *d, eq_params *params, size_t limit)
{
    int64_t scale = (int64_t)1 << (d->cut - 1), reach = eq_vae_decode_reach(&d->config, d->cut), least = 4 * reach;
    d->rows = axis_of(d->h * scale, 1, reach);
    d->columns = axis_of(d->w * scale, 1, reach);
    for (;;) {
        size_t bytes = 0;
        EQ_TRY(planned_bytes(d, params, fine_graph, &bytes));
        axis rows = axis_of(d->rows.size, d->rows.count + 1, reach);
        axis columns = axis_of(d->columns.size, d->columns.count + 1, reach);
        if (bytes <= limit || (rows.tile < least && columns.tile < least))
            return EQ_OK;
        if (columns.tile < least || (rows.tile >= least && d->rows.tile >= d->columns.tile))
            d->rows = rows;
        else
            d->columns = columns;
    }
}

/* The whole decoder if it fits; else as many up blocks whole as half the limit holds, and tiles in the rest of it. */
static eq_status choose(eq_latent_decoder *d, eq_params *params, size_t limit)
{
    size_t bytes = 0;
    d->rows = axis_of(d->h, 1, 0);
    d->columns = axis_of(d->w, 1, 0);
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
    size_t numbers = 2 * norm_pairs(d);
    d->moments = calloc(numbers, sizeof *d->moments);
    d->statistics = calloc(numbers, sizeof *d->statistics);
    return d->moments && d->statistics ? EQ_OK : eq_fail_memory(d->ctx, "a decoder");
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
    free(d->moments);
    free(d->statistics);
    free(d);
}

/* --- running --- */

/* The pixels that a tile answers for, in the coarse picture. */
typedef struct tile_core {
    int64_t top, left, bottom, right;
} tile_core;

static tile_core core_of(const eq_latent_decoder *d, int64_t row, int64_t column)
{
    return (tile_core){core_start(&d->rows, row), core_start(&d->columns, column), core_start(&d->rows, row + 1),
                       core_start(&d->columns, column + 1)};
}

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
    const eq_graph *graph = eq_program_graph(d->fine);
    int64_t top = tile_start(&d->rows, row), left = tile_start(&d->columns, column);
    tile_core core = core_of(d, row, column);
    size_t numbers = 2 * (size_t)d->config.norm_num_groups;
    fill_features(d, top, left);
    for (int k = 0; k < norms->count; k++) {
        const eq_value_info *seen = eq_info(graph, norms->seen[k]);
        int64_t scale = eq_shape_at(graph, graph->nodes[seen->node].in[0])->dim[1] / d->rows.tile;
        int32_t *window = eq_program_data(d->fine, norms->window[k]);
        window[0] = (int32_t)((core.top - top) * scale);
        window[1] = (int32_t)((core.left - left) * scale);
        window[2] = (int32_t)((core.bottom - top) * scale);
        window[3] = (int32_t)((core.right - left) * scale);
        if (norms->given)
            memcpy(eq_program_data(d->fine, norms->used[k]), d->statistics + (size_t)k * numbers,
                   numbers * sizeof(float));
    }
}

/* Adds what the tile's norms saw of its core, by the share of the picture that this is. */
static void add_moments(eq_latent_decoder *d, const eq_norm_list *norms, double share)
{
    int groups = d->config.norm_num_groups;
    for (int k = 0; k < norms->count; k++) {
        const float *seen = eq_program_data(d->fine, norms->seen[k]);
        double *sums = d->moments + (size_t)k * (size_t)groups * 2;
        for (int g = 0; g < groups; g++) {
            double mean = seen[2 * g], inverse = seen[2 * g + 1];
            sums[2 * g] += share * mean;
            sums[2 * g + 1] += share * (1 / (inverse * inverse) - (double)norms->epsilon + mean * mean);
        }
    }
}

/* The picture's statistics from the sums over its tiles. Returns how far they moved from those before, the farthest,
 * in deviations. */
static double finish_statistics(eq_latent_decoder *d)
{
    double farthest = 0;
    for (size_t i = 0; i < norm_pairs(d); i++) {
        double mean = d->moments[2 * i], variance = fmax(d->moments[2 * i + 1] - mean * mean, 0.0);
        double inverse = 1 / sqrt(variance + (double)d->norms[0].epsilon);
        farthest = fmax(farthest, fabs(mean - (double)d->statistics[2 * i]) * inverse);
        farthest = fmax(farthest, fabs((double)d->statistics[2 * i + 1] / inverse - 1));
        d->statistics[2 * i] = (float)mean;
        d->statistics[2 * i + 1] = (float)inverse;
    }
    return farthest;
}

/* Copies the tile's core into the picture. */
static void write_core(eq_latent_decoder *d, int64_t row, int64_t column, float *image)
{
    int64_t scale = (int64_t)1 << (d->config.levels - d->cut), channels = d->config.out_channels;
    tile_core core = core_of(d, row, column);
    int64_t top = tile_start(&d->rows, row) * scale, left = core.left - tile_start(&d->columns, column);
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
    memset(d->moments, 0, 2 * norm_pairs(d) * sizeof *d->moments);
    for (int64_t row = 0; row < d->rows.count; row++)
        for (int64_t column = 0; column < d->columns.count; column++) {
            if (eq_cancelled(d->ctx))
                return eq_fail(d->ctx, EQ_CANCELLED, "cancelled");
            fill_tile(d, norms, row, column);
            EQ_TRY(eq_program_run_stage(d->fine, stage));
            tile_core core = core_of(d, row, column);
            int64_t pixels = (core.bottom - core.top) * (core.right - core.left);
            add_moments(d, norms, (double)pixels / (double)(d->rows.size * d->columns.size));
            if (stage == NEXT_SWEEP)
                write_core(d, row, column, image);
        }
    *moved = finish_statistics(d);
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
    } while (moved > settled && d->sweeps < MAX_SWEEPS);
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
