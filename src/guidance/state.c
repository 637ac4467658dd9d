#include "guidance/state.h"

#include <string.h>

/* The layout: cell, moved as bytes of 0 and 1, then the means a predictor. */
typedef struct layout {
    size_t cells, moved, means[EQ_MAX_ADPS], total; /* bytes */
} layout;

static layout layout_of(const eq_guidance *run)
{
    layout l = {.cells = (size_t)run->targets->count * (size_t)run->n * sizeof *run->cell, .moved = (size_t)run->n};
    l.total = l.cells + l.moved;
    for (int a = 0; a < run->adp_count; a++) {
        l.means[a] = (size_t)run->steps * (size_t)run->adps[a]->attribute.classes * sizeof(double);
        l.total += l.means[a];
    }
    return l;
}

size_t eq_guidance_state_size(const eq_guidance *run)
{
    return layout_of(run).total;
}

void eq_guidance_state_get(const eq_guidance *run, uint8_t *bytes)
{
    layout l = layout_of(run);
    memcpy(bytes, run->cell, l.cells);
    bytes += l.cells;
    for (int64_t i = 0; i < run->n; i++)
        bytes[i] = run->moved[i];
    bytes += l.moved;
    for (int a = 0; a < run->adp_count; bytes += l.means[a++])
        memcpy(bytes, run->cell_mean[a], l.means[a]);
}

static bool is_valid(const eq_guidance *run, const layout *l, const uint8_t *bytes)
{
    for (int t = 0; t < run->targets->count; t++)
        for (int64_t i = 0; i < run->n; i++) {
            int cell;
            memcpy(&cell, bytes + ((size_t)t * (size_t)run->n + (size_t)i) * sizeof cell, sizeof cell);
            if (cell < -1 || cell >= run->targets->items[t].cells)
                return false;
        }
    for (int64_t i = 0; i < run->n; i++)
        if (bytes[l->cells + (size_t)i] > 1)
            return false;
    return true;
}

bool eq_guidance_state_set(eq_guidance *run, const uint8_t *bytes, size_t size)
{
    layout l = layout_of(run);
    if (size != l.total || !is_valid(run, &l, bytes))
        return false;
    memcpy(run->cell, bytes, l.cells);
    bytes += l.cells;
    for (int64_t i = 0; i < run->n; i++)
        run->moved[i] = bytes[i] != 0;
    bytes += l.moved;
    for (int a = 0; a < run->adp_count; bytes += l.means[a++])
        memcpy(run->cell_mean[a], bytes, l.means[a]);
    return true;
}
