/* Names of guided-diffusion's UNetModel (ADM; the P2-weighting models are of the same code) for our parameters. */
#ifndef EQ_MODELS_NAMES_ADM_H
#define EQ_MODELS_NAMES_ADM_H

#include "models/unet.h"
#include "models/unet_names.h"
#include "models/weights.h"

typedef struct eq_adm_names {
    const eq_unet_config *unet;
    /* The rows of a fused qkv are [q, k, v][heads][channels of a head] in the new order (use_new_attention_order), and
     * [heads][q, k, v][channels of a head] in the legacy one, which nearly all checkpoints have. */
    bool new_attention_order;
} eq_adm_names;

/* Views `names`, and the configuration in it. */
eq_name_map eq_adm_name_map(const eq_adm_names *names);

/* The block that a part of our network is in: "input_blocks.3.1"; "" for EQ_PART_OTHER. */
eq_prefix eq_adm_block_of(const eq_unet_config *unet, const eq_unet_place *place);

#endif
