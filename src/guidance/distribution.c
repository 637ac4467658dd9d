/* Distribution guidance (Parihar et al. 2024, section 4.2): the batch's mean prediction is drawn to the target, and
 * every image moves by its own share of that gradient. A joint target takes an image's attributes as independent given
 * its h: p(cell) = prod_a p_a. */
#include "guidance/guidance.h"

/* dp [classes] = dL/dp_i of attribute `a` of image i, from g [cells] = dL/dP. */
static void image_gradient(const eq_guidance *run, int target, int64_t image, int a, const double *g, double *dp)
{
    const eq_target *t = &run->targets->items[target];
    for (int c = 0; c < t->cells; c++) {
        double others = 1;
        for (int b = 0; b < t->attribute_count; b++) {
            int view = run->target_view[target * EQ_TARGET_ATTRIBUTES + b];
            int classes = run->views[view].classes;
            if (b != a)
                others *= run->p[view][image * classes + eq_target_cell_class(t, c, b)];
        }
        dp[eq_target_cell_class(t, c, a)] += g[c] * others / (double)run->n;
    }
}

/* Through the softmax: dz_k = p_k (dp_k - sum_j p_j dp_j), times `weight`. */
static void add_logit_gradient(const float *p, const double *dp, int classes, double weight, float *dz)
{
    double mean = 0;
    for (int k = 0; k < classes; k++)
        mean += p[k] * dp[k];
    for (int k = 0; k < classes; k++)
        dz[k] += (float)(weight * p[k] * (dp[k] - mean));
}

void eq_guidance_draw(eq_guidance *run, int target, double weight)
{
    const eq_target *t = &run->targets->items[target];
    double mean[EQ_TARGET_CELLS], g[EQ_TARGET_CELLS];
    eq_guidance_mean_cells(run, target, mean);
    run->options.loss->evaluate(mean, t->p, t->cells, g);
    for (int64_t i = 0; i < run->n; i++)
        for (int a = 0; a < t->attribute_count; a++) {
            int view = run->target_view[target * EQ_TARGET_ATTRIBUTES + a];
            int classes = run->views[view].classes;
            double dp[EQ_ADP_CLASSES] = {0};
            image_gradient(run, target, i, a, g, dp);
            add_logit_gradient(run->p[view] + i * classes, dp, classes, weight, run->dlogits[view] + i * classes);
        }
}

static eq_status distribution_step(eq_guidance *run, int step)
{
    for (int t = 0; t < run->targets->count; t++)
        eq_guidance_draw(run, t, 1.0);
    return EQ_OK;
}

const eq_method eq_method_distribution = {
    .name = "distribution",
    .summary = "draw the batch's mean prediction to the target (the paper's method)",
    .step = distribution_step,
    .default_strength = 8,
};
