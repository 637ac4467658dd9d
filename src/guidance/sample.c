/* Sample guidance: every image is given a class, in the target's exact proportions, and drawn to it whatever it already
 * is (the baseline of Parihar et al. 2024, section 5). */
#include "guidance/guidance.h"

/* Ours lowers -log p(cell), whose gradient is as strong for the images that are furthest away; the published code
 * lowers -p(cell), whose gradient is that times p(cell), so that those hardly move. */
static double pull_weight(const eq_guidance *run, int target, int64_t image, int cell)
{
    bool published = run->options.rule != EQ_STRENGTH_NORMALISED;
    return published ? eq_guidance_cell_probability(run, target, image, cell) : 1.0;
}

static eq_status sample_step(eq_guidance *run, int step)
{
    EQ_TRY(eq_guidance_deal(run));
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
