/* A U-Net over N images in lock-step: all N are encoded, h of all N is there to be changed, all N are decoded. The N
 * images go through in micro-batches that fit memory; the result does not depend on how they are cut. */
#ifndef EQ_DIFFUSION_DENOISER_H
#define EQ_DIFFUSION_DENOISER_H

#include "kernels/program.h"
#include "models/unet.h"

typedef struct eq_denoiser eq_denoiser;

/* What networks that take more than x and a timestep are told. Not owned: as long-lived as the denoiser, and the
 * context unchanged until eq_denoiser_restart: what the network makes of it is computed once. */
typedef struct eq_condition {
    const float *context; /* [prompts, context_length, cross_attention_dim] of the distinct prompts */
    const float *text;    /* [prompts, pooled] their pooled states (Stable Diffusion XL); NULL without */
    const int *prompt_of; /* [count] the prompt of each row */
    float time_ids[EQ_UNET_TIME_IDS];
    const int32_t *class_labels; /* [count] 0 to num_class_embeds - 1, of networks with classes; NULL: all 0 */
} eq_condition;

typedef struct eq_denoiser_options {
    int64_t count;       /* N, 1 or more: rows, where an image takes several */
    int64_t micro_batch; /* images at a time; 0: chosen */
    size_t memory_bytes; /* what carry buffers may take; beyond it the encoder is run again. 0: a quarter of the
                            machine's memory */
    size_t
        total_bytes;     /* what weights packed for the kernels, activations, carry buffers and `held_bytes` may take
                            together; 0: not bounded. Images at a time, where they are chosen, and carry buffers follow */
    size_t held_bytes;   /* what the caller holds besides, of `total_bytes` */
    int height, width;   /* of the U-Net's input */
    eq_dtype dtype;      /* of activations: EQ_F32 or EQ_BF16 */
    const char *backend; /* NULL: the fastest */
    const eq_condition *condition; /* needed by networks with a context; else may be NULL */
    void (*packed)(void *user);    /* see eq_program_options; may be NULL */
    void *packed_user;
} eq_denoiser_options;

/* params: loaded, kept by the caller. Free with eq_denoiser_free. EQ_BAD_USAGE: `total_bytes` are too few, even for one
 * image at a time; the message says how many would do. */
eq_status eq_denoiser_new(eq_context *ctx, const eq_unet_config *config, eq_params *params,
                          const eq_denoiser_options *options, eq_denoiser **out);
void eq_denoiser_free(eq_denoiser *denoiser);

/* Whether a denoiser of the same network and parameters can serve these rows as it was compiled: in as many at a time
 * as would be chosen for them, or as `total_bytes` allow. */
bool eq_denoiser_fits(const eq_denoiser *denoiser, const eq_denoiser_options *options);
/* Takes other rows, which it fits, with their condition; its passes count from 0. After a failure it can only be freed.
 */
eq_status eq_denoiser_restart(eq_denoiser *denoiser, const eq_denoiser_options *options);

/* Numbers in one image's h: [h', w', c]. */
int64_t eq_denoiser_h_count(const eq_denoiser *denoiser);
/* [h', w', c] of h. */
eq_shape eq_denoiser_h_shape(const eq_denoiser *denoiser);
int64_t eq_denoiser_micro_batch(const eq_denoiser *denoiser);
/* Bytes of the carry buffers, beside the program's own. */
size_t eq_denoiser_carry_bytes(const eq_denoiser *denoiser);
/* The compiled network, for memory reports and timings. */
eq_program *eq_denoiser_program(eq_denoiser *denoiser);

/* x: [N, height, width, in_channels]; h: [N, h', w', c] out. */
eq_status eq_denoiser_encode(eq_denoiser *denoiser, const float *x, float timestep, float *h);
/* Continues the encode before it with h, changed or not. prediction: [N, height, width, out_channels] out. x and
 * timestep as in that encode: it is run again for what the memory did not hold. */
eq_status eq_denoiser_decode(eq_denoiser *denoiser, const float *x, float timestep, const float *h, float *prediction);
/* Both, with h left alone. */
eq_status eq_denoiser_run(eq_denoiser *denoiser, const float *x, float timestep, float *prediction);

/* Forward passes of single images so far: encodes and decodes count half each. */
double eq_denoiser_passes(const eq_denoiser *denoiser);

#endif
