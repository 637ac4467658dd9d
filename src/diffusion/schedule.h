/* Noise schedules: how much of the image is left at each training timestep.
 *
 * The forward process (Ho et al. 2020, "Denoising Diffusion Probabilistic Models", eqs. 2 and 4) adds noise with
 * variance beta_t at timestep t, so that
 *     x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps,   eps ~ N(0, 1),   abar_t = prod_{s <= t} (1 - beta_s).
 * Timesteps count from 0 (little noise) to T - 1 (nearly none of the image left). abar is `alphas_cumprod` here, as in
 * diffusers' files; the paper writes it with a bar over alpha. */
#ifndef EQ_DIFFUSION_SCHEDULE_H
#define EQ_DIFFUSION_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum { EQ_MAX_TRAIN_TIMESTEPS = 100000 };

typedef enum eq_beta_kind {
    EQ_BETA_LINEAR,        /* beta from start to end in equal steps (Ho et al. 2020, section 4) */
    EQ_BETA_SCALED_LINEAR, /* sqrt(beta) in equal steps (latent diffusion, Rombach et al. 2022) */
    EQ_BETA_COSINE,        /* "squaredcos_cap_v2": Nichol & Dhariwal 2021, eq. 17, beta capped at 0.999 */
    EQ_BETA_TRAINED,       /* given one by one */
} eq_beta_kind;

/* What the network's output is. */
typedef enum eq_prediction_type {
    EQ_PREDICT_EPSILON, /* the noise (Ho et al. 2020, section 3.2) */
    EQ_PREDICT_V,       /* v = sqrt(abar) eps - sqrt(1 - abar) x_0 (Salimans & Ho 2022, appendix D) */
    EQ_PREDICT_SAMPLE,  /* x_0 itself */
} eq_prediction_type;

/* Variance of the ancestral step where the network does not predict it (Ho et al. 2020, section 3.2). */
typedef enum eq_variance_kind {
    EQ_VARIANCE_SMALL, /* the posterior's, beta-tilde: "fixed_small" */
    EQ_VARIANCE_LARGE, /* beta: "fixed_large" */
} eq_variance_kind;

/* How a run's timesteps are taken from the training timesteps; see timesteps.h. */
typedef enum eq_spacing {
    EQ_SPACING_DEFAULT, /* not said: the sampler's own */
    EQ_SPACING_LEADING,
    EQ_SPACING_TRAILING,
    EQ_SPACING_LINSPACE,
    EQ_SPACING_PAPER,
} eq_spacing;

/* What a schedule is made from; eq_schedule_config_default gives diffusers' defaults. */
typedef struct eq_schedule_config {
    int num_train_timesteps; /* T, 1..EQ_MAX_TRAIN_TIMESTEPS */
    eq_beta_kind beta_kind;
    double beta_start, beta_end; /* for the two linear kinds; in (0, 1) */
    eq_prediction_type prediction;
    eq_variance_kind variance;
    bool clip_sample; /* clamp the predicted x_0 to +-clip_sample_range before it is used */
    double clip_sample_range;
    bool set_alpha_to_one; /* abar after the last step: 1, else abar_0 */
    int steps_offset;      /* added to the timesteps of the leading spacing */
    eq_spacing spacing;
    const char *scheduler; /* diffusers' name of the class: "DDIMScheduler"; static storage */
    const char *sampler;   /* the row of the samplers' table that does what it does, or comes nearest: "ddim" */
    bool sampler_differs;  /* it is the nearest, not the scheduler's method */
    bool karras_sigmas;    /* the noise levels of the samplers in sigma: spaced by Karras et al. 2022, eq. 5 */
    bool prk_steps;        /* pndm starts with Runge-Kutta steps */
} eq_schedule_config;

typedef struct eq_schedule {
    eq_schedule_config config;
    double *betas;              /* [T], owned */
    double *alphas_cumprod;     /* [T], owned, falling, in (0, 1) */
    double final_alpha_cumprod; /* abar "at timestep -1", where sampling ends */
} eq_schedule;

/* T = 1000, linear 0.0001..0.02, epsilon, clip_sample, set_alpha_to_one: diffusers' DDIMScheduler without arguments. */
eq_schedule_config eq_schedule_config_default(void);

/* trained_betas: [config->num_train_timesteps] for EQ_BETA_TRAINED (copied), else NULL. EQ_BAD_USAGE names the field
 * that is out of range. `out` is freed with eq_schedule_free. */
eq_status eq_schedule_new(eq_context *ctx, const eq_schedule_config *config, const double *trained_betas,
                          eq_schedule *out);
/* Accepts NULL and a zeroed schedule. */
void eq_schedule_free(eq_schedule *schedule);

/* abar at t in -1..T-1; -1, where sampling ends, gives final_alpha_cumprod. */
double eq_schedule_alpha(const eq_schedule *schedule, int t);

/* Signal-to-noise ratio abar / (1 - abar) (Kingma et al. 2021). */
double eq_snr(double alpha_cumprod);

/* Reads a diffusers `scheduler_config.json` of any class that has such a schedule. Absent keys take that class's
 * defaults; keys that change no number here are ignored; a setting of the class's own sampler that is not implemented
 * is logged and left out, since any other sampler does without it. EQ_BAD_INPUT names file, key, what was expected and
 * what was found. */
eq_status eq_schedule_read(eq_context *ctx, const char *path, eq_schedule *out);
/* The same from memory; `name` stands for the file in messages. */
eq_status eq_schedule_parse(eq_context *ctx, const char *text, size_t size, const char *name, eq_schedule *out);

/* Writes the same form under a temporary name, then renames. */
eq_status eq_schedule_write(eq_context *ctx, const char *path, const eq_schedule *schedule);

#endif
