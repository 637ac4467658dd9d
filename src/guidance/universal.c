/* Universal guidance (Bansal et al., "Universal Guidance for Diffusion Models", CVPR 2023, section 3.1): a classifier
 * looks at the image that the network predicts, x0, and the noise that it predicts is changed by the gradient of a loss
 * of what the classifier says. A target that is one class takes the loss of each image, the cross-entropy; any other
 * the loss of the batch's mean, as `distribution` has it, with P from the classifier. The way from x0 to the noise is
 * the sampling loop's. */
#include "guidance/guidance.h"

/* The cell that the target asks of every image; -1 where it asks for a mixture. */
static int only_cell(const eq_target *target)
{
    for (int c = 0; c < target->cells; c++)
        if (target->p[c] >= 1)
            return c;
    return -1;
}

static eq_status universal_step(eq_guidance *run, int step)
{
    for (int t = 0; t < run->targets->count; t++) {
        int only = only_cell(&run->targets->items[t]);
        if (only < 0)
            eq_guidance_draw(run, t, (double)run->n); /* an image's own share of the mean's gradient is 1/n */
        for (int64_t i = 0; i < run->n && only >= 0; i++)
            eq_guidance_pull(run, t, i, only, 1.0);
    }
    return EQ_OK;
}

const eq_method eq_method_universal = {
    .name = "universal",
    .summary = "change the predicted noise by a classifier's gradient at the predicted image",
    .step = universal_step,
    .default_strength = 20,
    .normalised = true,
    .own_rule = true,
    .sees_images = true,
};
