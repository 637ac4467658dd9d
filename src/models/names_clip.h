/* The text transformer's names in single-file Stable Diffusion checkpoints. */
#ifndef EQ_MODELS_NAMES_CLIP_H
#define EQ_MODELS_NAMES_CLIP_H

#include "models/clip_text.h"
#include "models/weights.h"

/* transformers' own names in a folder. Old files hold tensors beside the weights (position_ids). */
extern const eq_name_map eq_names_clip;

/* Transformers' names after a prefix: "cond_stage_model.transformer." in files of Stable Diffusion 1.x,
 * "conditioner.embedders.0.transformer." in those of XL. */
#define EQ_CLIP_PREFIX_SD1 "cond_stage_model.transformer."
#define EQ_CLIP_PREFIX_XL  "conditioner.embedders.0.transformer."
extern const eq_name_map eq_names_clip_ldm, eq_names_clip_xl;

/* OpenCLIP's names after a prefix, of 2.x and of XL's second model; queries, keys and values in one tensor, the
 * projection transposed. The map reads `names` and its config, which must stay as long as it is used. */
#define EQ_OPEN_CLIP_PREFIX_SD2 "cond_stage_model.model."
#define EQ_OPEN_CLIP_PREFIX_XL  "conditioner.embedders.1.model."
typedef struct eq_open_clip_names {
    const eq_clip_text_config *config;
    const char *prefix;
} eq_open_clip_names;
eq_name_map eq_names_open_clip(const eq_open_clip_names *names);

#endif
