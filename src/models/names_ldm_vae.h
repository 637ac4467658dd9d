/* The autoencoder inside single files of latent diffusion (Rombach et al.'s code, original Stable Diffusion releases):
 * its names, under "first_stage_model.", and its configuration, which such files leave out. */
#ifndef EQ_MODELS_NAMES_LDM_VAE_H
#define EQ_MODELS_NAMES_LDM_VAE_H

#include "models/vae.h"
#include "models/weights.h"

/* The map of an autoencoder of that configuration, which is kept. */
eq_name_map eq_ldm_vae_names(const eq_vae_config *config);

/* The same names without a prefix, in files of an autoencoder alone. */
eq_name_map eq_ldm_vae_bare_names(const eq_vae_config *config);

/* From the shapes of the file's tensors. What they cannot tell is as in all releases: norms of 32 groups, and a
 * scaling_factor of 0.13025 beside the two text encoders of SDXL ("conditioner."), else of 0.18215. */
eq_status eq_ldm_vae_config(eq_context *ctx, const eq_tensor_file *file, eq_vae_config *out);
/* The same without a prefix, scaling_factor 0.18215. */
eq_status eq_ldm_vae_bare_config(eq_context *ctx, const eq_tensor_file *file, eq_vae_config *out);

#endif
