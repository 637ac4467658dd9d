/* The predictors of the published code (Parihar et al. 2024): a PyTorch state dict of one linear head a timestep,
 * "linears.{i}.weight" [classes, c * h * w] and "linears.{i}.bias" [classes]. Such files do not say what they tell
 * apart, nor at which timesteps. */
#ifndef EQ_GUIDANCE_ADP_IMPORT_H
#define EQ_GUIDANCE_ADP_IMPORT_H

#include "guidance/adp.h"
#include "io/tensor_file.h"

enum {
    EQ_ADP_IMPORT_HEADS = 1000,
    /* The published CelebA-HQ heads: of a run of 50 steps ("paper" spacing), whose first, t = 999, has none. */
    EQ_ADP_PUBLISHED_HEADS = 49,
    EQ_ADP_PUBLISHED_STEPS = 50
};

/* The number of heads in an open file; 0 when it is something else. */
int eq_adp_import_heads(const eq_tensor_file *file);

/* attribute: its name, and the classes in the order of the heads' outputs. h_shape: [h, w, c] of the model that the
 * heads are for. timesteps: [count] ascending, of the run that the heads were trained for: head i belongs to the i-th
 * smallest; the last, at which there is little but noise, may go without. The temperature is 8, as published; the
 * heads are not bound to a model's hash. EQ_BAD_INPUT names the tensor, what was expected and what was found.
 * Freed with eq_adp_free. */
eq_status eq_adp_import(eq_context *ctx, const char *path, const eq_attribute *attribute, eq_shape h_shape,
                        const int64_t *timesteps, int count, eq_adp *out);

#endif
