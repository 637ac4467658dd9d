/* The text transformer's names in single-file Stable Diffusion checkpoints. */
#ifndef EQ_MODELS_NAMES_CLIP_H
#define EQ_MODELS_NAMES_CLIP_H

#include "models/clip_text.h"
#include "models/weights.h"

/* transformers' own names in a folder. Old files hold tensors beside the weights (position_ids). */
extern const eq_name_map eq_names_clip;

/* Stable Diffusion 1.x: "cond_stage_model.transformer." before transformers' names. */
extern const eq_name_map eq_names_clip_ldm;

/* Stable Diffusion 2.x: OpenCLIP's names after "cond_stage_model.model.", queries, keys and values in one tensor. The
 * map reads `config`, which must stay as long as it is used. */
eq_name_map eq_names_open_clip(const eq_clip_text_config *config);

#endif
