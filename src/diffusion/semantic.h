/* Semantic guidance (SEGA; Brack et al., NeurIPS 2023): the noise that the network predicts under short edit prompts
 * moves that of classifier-free guidance,
 *
 *     eps = eps_u + cfg (eps_c - eps_u) + gamma,
 *     gamma = sum over edit prompts e of mask_e(sign_e scale (eps_e - eps_u)) + momentum nu,
 *     nu <- decay nu + (1 - decay) gamma,
 *
 * where mask_e keeps, channel by channel, the numbers whose magnitude reaches the quantile `threshold` of all pixels.
 */
#ifndef EQ_DIFFUSION_SEMANTIC_H
#define EQ_DIFFUSION_SEMANTIC_H

#include <stdbool.h>
#include <stddef.h>

enum { EQ_SEMANTIC_PROMPTS = 64 };

typedef struct eq_semantic {
    int count;                       /* edit prompts of an image, each a row of the network; 0: no semantic guidance */
    float sign[EQ_SEMANTIC_PROMPTS]; /* [count] 1: towards, -1: away */
    double scale;
    double threshold; /* 0 to less than 1 */
    double momentum, decay;
    int first_step, last_step; /* steps, from 0, at which gamma counts; nu gathers at all */
} eq_semantic;

bool eq_semantic_active(const eq_semantic *semantic, int step);

/* gamma of one image. uncond: [pixels, channels] eps_u. edits: [count] rows of [pixels, channels] that are `stride`
 * numbers apart, eps_e; overwritten, the first with gamma. nu: [pixels, channels], 0 before the first call; brought up
 * to date. scratch: [pixels]. */
void eq_semantic_gamma(const eq_semantic *semantic, size_t pixels, size_t channels, const float *uncond, float *edits,
                       size_t stride, float *nu, float *scratch);

/* The q-quantile of x [n], n >= 1, q in [0, 1], linear between order statistics. Reorders x. */
float eq_quantile(float *x, size_t n, double q);

#endif
