/* Pictures in overlapping tiles, and the statistics of norms over all of them: what the decoder and the encoder of
 * latents share when the whole does not fit. Places are in pixels of some picture, the caller's choice. */
#ifndef EQ_DIFFUSION_LATENT_TILES_H
#define EQ_DIFFUSION_LATENT_TILES_H

#include "kernels/program.h"
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

enum { EQ_TILE_MAX_SWEEPS = 8 };
/* What statistics may still move when sweeps end, of a norm's deviation. */
#define EQ_TILE_SETTLED 0.01

#endif
