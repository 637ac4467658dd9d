/* Attribute predictors in files: safetensors with the tensors "weight" [heads, outputs, c, h, w] and "bias" [heads,
 * outputs], optionally "direction" [heads, classes, c, h, w] (for MLP heads also "weight2" [heads, classes, hidden] and
 * "bias2" [heads, classes]), and in the metadata what they belong to: attribute, classes, timesteps, h_shape, model,
 * temperature, accuracy, strength, labeller. */
#ifndef EQ_GUIDANCE_ADP_FILE_H
#define EQ_GUIDANCE_ADP_FILE_H

#include "guidance/adp.h"

/* Freed with eq_adp_free. EQ_BAD_INPUT names the file and what is wrong. */
eq_status eq_adp_read(eq_context *ctx, const char *path, eq_adp *out);
/* The same from memory; `name` stands for the file in messages. */
eq_status eq_adp_from_memory(eq_context *ctx, const uint8_t *bytes, size_t size, const char *name, eq_adp *out);

/* Weights are stored as f16: their rounding is far below the heads' own uncertainty. */
eq_status eq_adp_write(eq_context *ctx, const char *path, const eq_adp *adp);

/* One row of weights, [c, h, w] in files, [h, w, c] in use. h_shape: [h, w, c]. */
void eq_adp_to_channels_last(const float *from, const eq_shape *h_shape, float *to);

/* Refuses heads of another model or another h, naming both sides. An empty model hash in the heads matches any. */
eq_status eq_adp_check_model(eq_context *ctx, const eq_adp *adp, const char *path, const char *model_hash,
                             const eq_shape *h_shape);

#endif
