/* The compiled networks of a pipeline, kept for the groups and runs that follow: compiling packs all weights anew. */
#ifndef EQ_RUN_NETWORKS_H
#define EQ_RUN_NETWORKS_H

#include "diffusion/denoiser.h"
#include "diffusion/jacobian.h"
#include "diffusion/latent.h"
#include "diffusion/model.h"

enum { EQ_NETWORKS_KEPT = 4 };

typedef struct eq_networks {
    eq_denoiser *denoisers[EQ_NETWORKS_KEPT]; /* given back, the last one first; NULL: a free place */
    eq_latent_codec *codec;                   /* given back, or NULL */
    eq_latent_options codec_options;          /* what it was made with */
    int denoisers_compiled, codecs_compiled;  /* so far */
    size_t process_bytes; /* what was resident before the first network, and what compiling left beside its plan */
} eq_networks;

/* Lends a denoiser of the model for these rows: one that was given back and fits them, or a new one. The memory that
 * the process had before is part of what options->total_bytes bounds. */
eq_status eq_networks_take_denoiser(eq_context *ctx, eq_networks *networks, eq_model *model,
                                    const eq_denoiser_options *options, eq_denoiser **out);
/* Keeps it, beside others of other sizes while all take less than a quarter of the machine's memory; `alone`: beside
 * none. NULL is allowed. */
void eq_networks_give_denoiser(eq_networks *networks, eq_denoiser *denoiser, bool alone);

/* A Jacobian of the model for these rows, which the caller frees. Of options->total_bytes the process's memory is taken
 * as above, and kept denoisers make room. */
eq_status eq_networks_new_jacobian(eq_context *ctx, eq_networks *networks, eq_model *model,
                                   const eq_denoiser_options *options, eq_jacobian **out);

eq_status eq_networks_take_codec(eq_context *ctx, eq_networks *networks, eq_model *model,
                                 const eq_latent_options *options, eq_latent_codec **out);
void eq_networks_give_codec(eq_networks *networks, eq_latent_codec *codec);

/* Frees what is kept. */
void eq_networks_clear(eq_networks *networks);

#endif
