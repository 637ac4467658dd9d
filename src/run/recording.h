/* What both ways of recording h share: the plan, the groups of images, and the network for each group. */
#ifndef EQ_RUN_RECORDING_H
#define EQ_RUN_RECORDING_H

#include "diffusion/latent.h"
#include "diffusion/sampling.h"
#include "run/prompts.h"
#include "run/record.h"
#include "train/h_store.h"

typedef struct eq_recording {
    eq_pipeline *pipeline;
    const eq_record_options *options;
    eq_plan plan;
    eq_prompts prompts;
    double cfg; /* scale of classifier-free guidance; 0: none */
    int heads;
    int64_t *timesteps; /* [heads] in the order of writing */
    int *steps;         /* [heads] */
    eq_h_writer writer;
    eq_latent_codec *codec; /* of latent models; NULL else */

    int64_t most;     /* images of the largest group */
    int64_t first, n; /* the current group's images */
    int64_t rows;     /* of its denoiser: n, or 2n with classifier-free guidance; 0: there is none yet */
    int *prompt_of;   /* [rows of the largest group] */
    eq_condition condition;
    eq_denoiser *denoiser;
} eq_recording;

/* pipeline and options are set, all else is zero. from_images: of images, without a prompt the empty one's and without
 * classifier-free guidance, and timesteps go from clean to noisy. eq_recording_close cleans up, also after a failure:
 * by the status of what was done it keeps or removes the file; it returns that of the whole. */
eq_status eq_recording_open(eq_recording *recording, const char *path, bool from_images);
eq_status eq_recording_close(eq_recording *recording, eq_status status);

/* Turns to the group that begins with image number `first`: sets first and n, readies network and file. */
eq_status eq_recording_begin(eq_recording *recording, int64_t first);

/* The sampling of the group, or of what inverts it, as it stands. */
eq_sampling eq_recording_sampling(eq_recording *recording);

/* Numbers of one image as the network sees it; pixels a side of what is seen, and the bytes of that. */
size_t eq_recording_count(const eq_recording *recording);
size_t eq_recording_bytes(const eq_recording *recording);

/* So many of the group's steps are done. */
void eq_recording_progress(const eq_recording *recording, int done);

#endif
