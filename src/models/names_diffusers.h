/* Names that diffusers itself has changed over time. */
#ifndef EQ_MODELS_NAMES_DIFFUSERS_H
#define EQ_MODELS_NAMES_DIFFUSERS_H

#include "models/weights.h"

/* Attention blocks (U-Nets of pixels, autoencoders): ours are the older names, query, key, value and proj_attn; since
 * 0.15 files say to_q, to_k, to_v and to_out.0. */
extern const eq_name_map eq_names_diffusers;

#endif
