/* Pictures in overlapping tiles, and the statistics of norms over all of them: what the decoder and the encoder of
 * latents share when the whole does not fit. Places are in pixels of some picture, the caller's choice. */
#ifndef EQ_DIFFUSION_LATENT_TILES_H
#define EQ_DIFFUSION_LATENT_TILES_H

#include "diffusion/latent.h"
#include "models/blocks.h"

/* Tiles along one side: evenly spread, overlapping by at least twice the reach. */
typedef struct eq_tile_axis {
    int64_t size, tile, count;
} eq_tile_axis;

/* The smallest tile with which `count` of them cover the side. */
eq_tile_axis eq_tile_axis_of(int64_t size, int64_t count, int64_t reach);
/* First pixel of tile i. */
int64_t eq_tile_start(const eq_tile_axis *axis, int64_t i);

/* The pixels that a tile answers for: up to the middles of its overlaps. */
typedef struct eq_tile_core {
    int64_t top, left, bottom, right;
} eq_tile_core;
eq_tile_core eq_tile_core_of(const eq_tile_axis *rows, const eq_tile_axis *columns, int64_t row, int64_t column);

/* Makes more and more tiles, of sides that start with one, until what `bytes` says of them is at most `limit`, but none
 * smaller than twice its margins. */
typedef eq_status eq_tile_bytes(void *user, size_t *bytes);
eq_status eq_tiles_choose(eq_tile_axis *rows, eq_tile_axis *columns, int64_t reach, size_t limit, eq_tile_bytes *bytes,
                          void *user);

/* The norms of a picture in tiles. */
typedef struct eq_tile_norms {
    int count, groups;
    float epsilon;
    double *moments;   /* [count, groups, 2] sums over tiles of mean and mean square */
    float *statistics; /* [count, groups, 2] mean and 1 / std of the whole picture */
} eq_tile_norms;

/* list: of the tile's program. Freed with eq_tile_norms_free. */
eq_status eq_tile_norms_new(eq_context *ctx, const eq_norm_list *list, int groups, eq_tile_norms *out);
void eq_tile_norms_free(eq_tile_norms *norms);

/* Before a sweep over all tiles: sums start at none. */
void eq_tile_norms_begin(eq_tile_norms *norms);
/* Before a tile's run: where its core is in it, core and tile_rows in the same pixels, and the picture's statistics
 * where the list's are given. */
void eq_tile_norms_fill(const eq_tile_norms *norms, eq_program *program, const eq_norm_list *list, eq_tile_core core,
                        int64_t tile_rows);
/* After it: adds what its norms saw of the core, by the share of the picture that this is. */
void eq_tile_norms_add(eq_tile_norms *norms, eq_program *program, const eq_norm_list *list, double share);
/* After the sweep: the picture's statistics from the sums. Returns how far they moved from those before, the farthest,
 * in deviations. */
double eq_tile_norms_finish(eq_tile_norms *norms);

/* The stages of a program of tiles: with norms that use what they see, then with norms that are told. */
enum { EQ_TILE_FIRST_SWEEP = 0, EQ_TILE_NEXT_SWEEP = 1 };

/* A picture in tiles through a program of one of them. Zeroed: the picture is one tile, and there is no program. */
typedef struct eq_tiling {
    eq_tile_axis rows, columns;
    eq_program *program;   /* owned */
    eq_norm_list norms[2]; /* of its stages */
    eq_tile_norms statistics;
    int sweeps; /* that the last picture took */
} eq_tiling;

/* How a tile's pixels come into the program, and its core out of it: core in the picture's pixels, top and left the
 * tile's first ones there. */
typedef struct eq_tile_flow {
    void *user;
    void (*fill)(void *user, int64_t top, int64_t left);
    void (*take)(void *user, eq_tile_core core, int64_t top, int64_t left);
} eq_tile_flow;

/* Sweeps over all tiles until the norms' statistics are those of the picture; cores are taken from the second sweep on,
 * every time. EQ_CANCELLED between tiles. */
eq_status eq_tiling_run(eq_context *ctx, eq_tiling *tiling, const eq_tile_flow *flow);
void eq_tiling_free(eq_tiling *tiling);
/* Of the last picture, and of both programs; but for `cut`. */
eq_latent_use eq_tiling_use(const eq_tiling *tiling, const eq_program *coarse);

/* Takes the graph over, also on failure; NULL where memory was short. */
eq_status eq_tiles_compile(eq_context *ctx, eq_graph *graph, const eq_latent_options *options, eq_program **out);

#endif
