#include "diffusion/latent_tiles.h"

#include <math.h>
#include <stdlib.h>

enum { MAX_SWEEPS = 8 };
/* What statistics may still move when sweeps end, of a norm's deviation. */
static const double settled = 0.01;

eq_tile_axis eq_tile_axis_of(int64_t size, int64_t count, int64_t reach)
{
    return (eq_tile_axis){size, (size + (count - 1) * 2 * reach + count - 1) / count, count};
}

int64_t eq_tile_start(const eq_tile_axis *a, int64_t i)
{
    return a->count == 1 ? 0 : i * (a->size - a->tile) / (a->count - 1);
}

/* First pixel that tile i answers for: the middle of its overlap with the one before. */
static int64_t core_start(const eq_tile_axis *a, int64_t i)
{
    if (i == 0 || i == a->count)
        return i == 0 ? 0 : a->size;
    return (eq_tile_start(a, i) + eq_tile_start(a, i - 1) + a->tile) / 2;
}

eq_tile_core eq_tile_core_of(const eq_tile_axis *rows, const eq_tile_axis *columns, int64_t row, int64_t column)
{
    return (eq_tile_core){core_start(rows, row), core_start(columns, column), core_start(rows, row + 1),
                          core_start(columns, column + 1)};
}

eq_status eq_tiles_choose(eq_tile_axis *rows, eq_tile_axis *columns, int64_t reach, size_t limit, eq_tile_bytes *bytes,
                          void *user)
{
    int64_t least = 4 * reach;
    for (;;) {
        size_t needed = 0;
        EQ_TRY(bytes(user, &needed));
        eq_tile_axis more_rows = eq_tile_axis_of(rows->size, rows->count + 1, reach);
        eq_tile_axis more_columns = eq_tile_axis_of(columns->size, columns->count + 1, reach);
        if (needed <= limit || (more_rows.tile < least && more_columns.tile < least))
            return EQ_OK;
        if (more_columns.tile < least || (more_rows.tile >= least && rows->tile >= columns->tile))
            *rows = more_rows;
        else
            *columns = more_columns;
    }
}

/* Pairs of mean and deviation. */
static size_t pairs(const eq_tile_norms *norms)
{
    return (size_t)norms->count * (size_t)norms->groups;
}

eq_status eq_tile_norms_new(eq_context *ctx, const eq_norm_list *list, int groups, eq_tile_norms *out)
{
    *out = (eq_tile_norms){.count = list->count, .groups = groups, .epsilon = list->epsilon};
    out->moments = calloc(2 * pairs(out) + 1, sizeof *out->moments);
    out->statistics = calloc(2 * pairs(out) + 1, sizeof *out->statistics);
    return out->moments && out->statistics ? EQ_OK : eq_fail_memory(ctx, "an autoencoder's norms");
}

void eq_tile_norms_free(eq_tile_norms *norms)
{
    free(norms->moments);
    free(norms->statistics);
    *norms = (eq_tile_norms){0};
}

void eq_tile_norms_begin(eq_tile_norms *norms)
{
    memset(norms->moments, 0, 2 * pairs(norms) * sizeof *norms->moments);
}

void eq_tile_norms_fill(const eq_tile_norms *norms, eq_program *program, const eq_norm_list *list, eq_tile_core core,
                        int64_t tile_rows)
{
    const eq_graph *graph = eq_program_graph(program);
    size_t numbers = 2 * (size_t)norms->groups;
    for (int k = 0; k < list->count; k++) {
        const eq_value_info *seen = eq_info(graph, list->seen[k]);
        int64_t rows = eq_shape_at(graph, graph->nodes[seen->node].in[0])->dim[1];
        int32_t *window = eq_program_data(program, list->window[k]);
        window[0] = (int32_t)(core.top * rows / tile_rows);
        window[1] = (int32_t)(core.left * rows / tile_rows);
        window[2] = (int32_t)(core.bottom * rows / tile_rows);
        window[3] = (int32_t)(core.right * rows / tile_rows);
        if (list->given)
            memcpy(eq_program_data(program, list->used[k]), norms->statistics + (size_t)k * numbers,
                   numbers * sizeof(float));
    }
}

void eq_tile_norms_add(eq_tile_norms *norms, eq_program *program, const eq_norm_list *list, double share)
{
    int groups = norms->groups;
    for (int k = 0; k < list->count; k++) {
        const float *seen = eq_program_data(program, list->seen[k]);
        double *sums = norms->moments + (size_t)k * (size_t)groups * 2;
        for (int g = 0; g < groups; g++) {
            double mean = seen[2 * g], inverse = seen[2 * g + 1];
            sums[2 * g] += share * mean;
            sums[2 * g + 1] += share * (1 / (inverse * inverse) - (double)norms->epsilon + mean * mean);
        }
    }
}

double eq_tile_norms_finish(eq_tile_norms *norms)
{
    double farthest = 0;
    for (size_t i = 0; i < pairs(norms); i++) {
        double mean = norms->moments[2 * i], variance = fmax(norms->moments[2 * i + 1] - mean * mean, 0.0);
        double inverse = 1 / sqrt(variance + (double)norms->epsilon);
        farthest = fmax(farthest, fabs(mean - (double)norms->statistics[2 * i]) * inverse);
        farthest = fmax(farthest, fabs((double)norms->statistics[2 * i + 1] / inverse - 1));
        norms->statistics[2 * i] = (float)mean;
        norms->statistics[2 * i + 1] = (float)inverse;
    }
    return farthest;
}

/* Runs all tiles; from the second sweep on with the statistics of the sweep before, which move by `moved`. */
static eq_status sweep(eq_context *ctx, eq_tiling *t, int stage, const eq_tile_flow *flow, double *moved)
{
    const eq_norm_list *norms = &t->norms[stage];
    eq_tile_norms_begin(&t->statistics);
    for (int64_t row = 0; row < t->rows.count; row++)
        for (int64_t column = 0; column < t->columns.count; column++) {
            if (eq_cancelled(ctx))
                return eq_fail(ctx, EQ_CANCELLED, "cancelled");
            int64_t top = eq_tile_start(&t->rows, row), left = eq_tile_start(&t->columns, column);
            eq_tile_core core = eq_tile_core_of(&t->rows, &t->columns, row, column);
            eq_tile_core within = {core.top - top, core.left - left, core.bottom - top, core.right - left};
            flow->fill(flow->user, top, left);
            eq_tile_norms_fill(&t->statistics, t->program, norms, within, t->rows.tile);
            EQ_TRY(eq_program_run_stage(t->program, stage));
            int64_t pixels = (core.bottom - core.top) * (core.right - core.left);
            eq_tile_norms_add(&t->statistics, t->program, norms,
                              (double)pixels / (double)(t->rows.size * t->columns.size));
            if (stage == EQ_TILE_NEXT_SWEEP)
                flow->take(flow->user, core, top, left);
        }
    *moved = eq_tile_norms_finish(&t->statistics);
    return EQ_OK;
}

eq_status eq_tiling_run(eq_context *ctx, eq_tiling *t, const eq_tile_flow *flow)
{
    double moved = 0;
    EQ_TRY(sweep(ctx, t, EQ_TILE_FIRST_SWEEP, flow, &moved));
    t->sweeps = 1;
    do {
        EQ_TRY(sweep(ctx, t, EQ_TILE_NEXT_SWEEP, flow, &moved));
        t->sweeps++;
    } while (moved > settled && t->sweeps < MAX_SWEEPS);
    return EQ_OK;
}

void eq_tiling_free(eq_tiling *t)
{
    eq_program_free(t->program);
    eq_tile_norms_free(&t->statistics);
    *t = (eq_tiling){0};
}

eq_latent_use eq_tiling_use(const eq_tiling *t, const eq_program *coarse)
{
    eq_latent_use use = {.tiles = (int)(t->rows.count * t->columns.count), .sweeps = t->sweeps};
    const eq_program *programs[] = {coarse, t->program};
    for (int i = 0; i < 2; i++) {
        if (!programs[i])
            continue;
        eq_program_memory memory = eq_program_memory_use(programs[i]);
        use.arena_bytes += memory.arena_bytes + memory.carry_bytes;
        use.packed_bytes += memory.packed_bytes;
    }
    return use;
}

eq_status eq_tiles_compile(eq_context *ctx, eq_graph *graph, const eq_latent_options *options, eq_program **out)
{
    if (!graph)
        return eq_fail_memory(ctx, "a graph");
    return eq_program_compile(graph,
                              &(eq_program_options){.frozen_params = true,
                                                    .backend = options->backend,
                                                    .packed = options->packed,
                                                    .packed_user = options->packed_user},
                              out);
}
