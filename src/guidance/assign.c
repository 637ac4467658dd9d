/* Assign: each image gets its class by minimum-cost assignment on the predictors' log-odds under the exact quota, so
 * that as many as can stay what they are becoming; only images that are not (yet) clearly of their class are drawn.
 * The assignment is renewed at every step: early predictions are unsure, and an image that is on its way keeps its
 * class because being there is cheap. */
#include <math.h>

#include "guidance/assignment.h"
#include "guidance/guidance.h"
#include "guidance/target.h"

/* An image this sure of its cell is left alone. At 0.9, images stayed at the border between two classes. */
static const double settled = 0.97;
/* The cost of taking an image's class away again, in nats: more than noise between two steps, less than a clear view.
 */
static const double keep_bonus = 0.5;

/* The part of the batch that is to be expected in each cell, expected: [cells]: every image in equal parts in the cells
 * that it is not ruled out of, which is a single one where it is settled. The mean of the predictions would be too
 * hopeful: at the border between two classes, where drawn images linger, predictors flatter them. */
static void expected_share(const eq_guidance *run, int target, double *expected)
{
    int cells = run->targets->items[target].cells;
    for (int c = 0; c < cells; c++)
        expected[c] = 0;
    for (int64_t i = 0; i < run->n; i++) {
        double p[EQ_TARGET_CELLS], most = 0;
        for (int c = 0; c < cells; c++) {
            p[c] = eq_guidance_cell_probability(run, target, i, c);
            most = fmax(most, p[c]);
        }
        double least = fmin(most, 1 - settled);
        int open = 0;
        for (int c = 0; c < cells; c++)
            open += p[c] >= least;
        for (int c = 0; c < cells; c++)
            if (p[c] >= least)
                expected[c] += 1.0 / open / (double)run->n;
    }
}

/* How many images are drawn to each cell at this step: the quota, and reserves for those that are to be expected not to
 * arrive. Some images will not turn, and which ones shows on the way; so a cell that the batch falls short of takes as
 * many again as it lacks. In the last quarter reserves dwindle, and the last guided step knows the exact quota only. */
static void wanted_images(const eq_guidance *run, int target, int step, int *wanted)
{
    const eq_target *t = &run->targets->items[target];
    int last = run->options.last_step;
    double left = last > 0 ? (double)(last - step) / last : 0, reserves = fmin(1, 4 * left);
    double expected[EQ_TARGET_CELLS], share[EQ_TARGET_CELLS], sum = 0;
    expected_share(run, target, expected);
    for (int c = 0; c < t->cells; c++) {
        share[c] = fmax(0, t->p[c] + reserves * (t->p[c] - expected[c]));
        sum += share[c];
    }
    for (int c = 0; c < t->cells; c++)
        share[c] /= sum;
    eq_quota(share, t->cells, (int)run->n, wanted);
}

static eq_status assign_cells(eq_guidance *run, int target, int step)
{
    const eq_target *t = &run->targets->items[target];
    int *cell = run->cell + target * run->n;
    int wanted[EQ_TARGET_CELLS];
    wanted_images(run, target, step, wanted);
    for (int64_t i = 0; i < run->n; i++)
        for (int c = 0; c < t->cells; c++) {
            double p = eq_guidance_cell_probability(run, target, i, c);
            double bonus = cell[i] == c ? keep_bonus : 0.0;
            run->cost[i * t->cells + c] = -log(p > 1e-12 ? p : 1e-12) - bonus;
        }
    return eq_assign(run->ctx, run->cost, (int)run->n, t->cells, wanted, cell);
}

static eq_status assign_step(eq_guidance *run, int step)
{
    if (step < run->options.assign_step)
        return EQ_OK;
    for (int t = 0; t < run->targets->count; t++) {
        EQ_TRY(assign_cells(run, t, step));
        for (int64_t i = 0; i < run->n; i++) {
            int cell = run->cell[t * run->n + i];
            if (eq_guidance_cell_probability(run, t, i, cell) < settled)
                eq_guidance_pull(run, t, i, cell, 1.0);
        }
    }
    return EQ_OK;
}

const eq_method eq_method_assign = {
    .name = "assign",
    .summary = "give each image the class it is closest to under exact quotas, draw only those not there",
    .step = assign_step,
    .default_strength = 6,
    .normalised = true,
};
