/* Sample guidance: every image is given a class, in the target's exact proportions, and drawn to it whatever it already
 * is (the baseline of Parihar et al. 2024, section 5). */
#include <stdlib.h>

#include "base/rng.h"
#include "guidance/guidance.h"

/* Deals the cells of the quota over images in an order that depends on the seed alone. */
static eq_status deal_cells(eq_guidance *run)
{
    uint32_t *order = malloc((size_t)run->n * sizeof *order);
    if (!order)
        return eq_fail_memory(run->ctx, "sample guidance");
    for (int t = 0; t < run->targets->count; t++) {
        const eq_target *target = &run->targets->items[t];
        int quota[EQ_TARGET_CELLS];
        eq_target_quota(target, (int)run->n, quota);
        eq_rng rng = eq_rng_make(run->options.seed, (uint64_t)t, 0xDEA1u);
        eq_rng_permutation(&rng, order, (uint32_t)run->n);
        int64_t next = 0;
        for (int c = 0; c < target->cells; c++)
            for (int k = 0; k < quota[c]; k++)
                run->cell[t * run->n + order[next++]] = c;
    }
    free(order);
    return EQ_OK;
}

/* Ours lowers -log p(cell), whose gradient is as strong for the images that are furthest away; the published code
 * lowers -p(cell), whose gradient is that times p(cell), so that those hardly move. */
static double pull_weight(const eq_guidance *run, int target, int64_t image, int cell)
{
    bool published = run->options.rule != EQ_STRENGTH_NORMALISED;
    return published ? eq_guidance_cell_probability(run, target, image, cell) : 1.0;
}

static eq_status sample_step(eq_guidance *run, int step)
{
    if (run->targets->count > 0 && run->cell[0] < 0)
        EQ_TRY(deal_cells(run));
    for (int t = 0; t < run->targets->count; t++)
        for (int64_t i = 0; i < run->n; i++) {
            int cell = run->cell[t * run->n + i];
            eq_guidance_pull(run, t, i, cell, pull_weight(run, t, i, cell));
        }
    return EQ_OK;
}

const eq_method eq_method_sample = {
    .name = "sample",
    .summary = "draw each image to a class dealt to it in the target's proportions",
    .step = sample_step,
    .default_strength = 2,
    .normalised = true,
};
