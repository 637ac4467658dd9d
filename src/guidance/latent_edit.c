/* Latent editing (Kwon et al., "Diffusion Models already have a Semantic Latent Space", ICLR 2023, with class means for
 * directions, as Parihar et al. 2024, section 5, have it for a baseline): every image is given a class, in the target's
 * exact proportions, and its h is moved along the direction of that class, at every step as far, whatever it already
 * shows. There is no loss and no gradient. */
#include "guidance/guidance.h"

static eq_status latent_edit_step(eq_guidance *run, int step)
{
    EQ_TRY(eq_guidance_deal(run));
    for (int t = 0; t < run->targets->count; t++) {
        const eq_target *target = &run->targets->items[t];
        for (int64_t i = 0; i < run->n; i++)
            for (int a = 0; a < target->attribute_count; a++) {
                int view = run->target_view[t * EQ_TARGET_ATTRIBUTES + a];
                int class = eq_target_cell_class(target, run->cell[t * run->n + i], a);
                run->dlogits[view][i * run->views[view].classes + class] -= 1; /* h moves against it */
            }
    }
    return EQ_OK;
}

const eq_method eq_method_latent_edit = {
    .name = "latent-edit",
    .summary = "add the direction of a class dealt to each image, the same at every step",
    .step = latent_edit_step,
    .default_strength = 1,
    .normalised = true,
    .own_rule = true,
    .needs_directions = true,
};
