/* Samplers: from noise to images in n steps. One loop serves them all,
 *
 *     eq_plan_new(ctx, &options, schedule, &plan)
 *     x = noise * plan.init_noise_scale
 *     for each call i of plan.calls:
 *         output = network(x * call[i].input_scale, call[i].timestep)
 *         eq_sampler_step(&plan, i, &(eq_step){...})            in place on x
 *
 * and everything a sampler needs to know about the past of an image is in that image's history buffer, so that images
 * may be stepped one by one, in any order and on any thread. Adding one: doc/adding-a-sampler.md. */
#ifndef EQ_DIFFUSION_SAMPLER_H
#define EQ_DIFFUSION_SAMPLER_H

#include <stddef.h>

#include "diffusion/schedule.h"

typedef struct eq_plan eq_plan;

/* One call of the network and what follows it. x * input_scale is x_t as the forward process has it at noise level
 * alpha_cumprod: what the network sees, and what eq_predict takes. */
typedef struct eq_plan_call {
    double timestep;           /* what the network is told; whole but for samplers that interpolate */
    double input_scale;        /* 1 but for samplers whose x carries another scale (Euler: 1 / sqrt(sigma^2 + 1)) */
    double alpha_cumprod;      /* abar at timestep */
    double alpha_cumprod_next; /* abar where this call's step ends */
    double noise_scale;        /* standard deviation of the noise this step adds, nominal where the network predicts it;
                                  0 exactly where the step reads no noise */
    int step;                  /* 0..steps - 1: the step this call belongs to; repeats where a step takes two */
} eq_plan_call;

/* Buffers of one step, of any number of whole images at the same call. */
typedef struct eq_step {
    size_t pixels;       /* images * height * width */
    int channels;        /* of x */
    int output_channels; /* `channels`, or twice that with a learned variance */
    float *x;            /* [pixels, channels], in and out */
    const float *output; /* [pixels, output_channels], the network's */
    const float *noise;  /* [pixels, channels] standard normal; may be NULL where noise_scale is 0 */
    float *history;      /* [sampler->history, pixels, channels], zeroed before the first call, kept between the
                            calls, the same images each time; NULL where sampler->history is 0 */
} eq_step;

typedef struct eq_sampler {
    const char *name; /* as the command line has it: "ddim" */
    const char *summary;
    eq_spacing spacing; /* where neither the options nor the schedule say one; never EQ_SPACING_DEFAULT */
    int order;          /* of accuracy in the step size, for a smooth network without noise */
    int history;        /* buffers of the size of x kept between calls */
    bool uses_eta;      /* whether options.eta means anything */

    /* Fills a plan whose schedule, sampler, steps, spacing and eta are set and valid: allocates the calls with
     * eq_plan_allocate (their number may differ from `steps`) and fills them, and sets init_noise_scale if not 1. */
    eq_status (*prepare)(eq_context *ctx, eq_plan *plan);
    /* Moves x from call i to what call i + 1 takes. Cannot fail, allocates nothing, thread-safe. */
    void (*step)(const eq_plan *plan, int i, const eq_step *step);
} eq_sampler;

typedef struct eq_plan_options {
    const eq_sampler *sampler;
    int steps;          /* 1..T */
    eq_spacing spacing; /* EQ_SPACING_DEFAULT: the schedule's, else the sampler's */
    double eta;         /* 0..1, DDIM's noise; ignored unless sampler->uses_eta */
} eq_plan_options;

/* A run's steps, worked out. Read-only once made. */
struct eq_plan {
    const eq_sampler *sampler;
    const eq_schedule *schedule; /* borrowed: must outlive the plan */
    int steps;
    eq_spacing spacing;
    double eta;
    double init_noise_scale; /* standard deviation of the first x */
    int calls;
    eq_plan_call *call; /* [calls], owned, in the order they are made */
};

/* The registered samplers, to list them: NULL past the last. */
const eq_sampler *eq_sampler_at(int index);
/* EQ_BAD_USAGE lists the names. */
eq_status eq_sampler_find(eq_context *ctx, const char *name, const eq_sampler **out);

/* EQ_BAD_USAGE names the option that is out of range. `out` is freed with eq_plan_free. */
eq_status eq_plan_new(eq_context *ctx, const eq_plan_options *options, const eq_schedule *schedule, eq_plan *out);
/* Accepts NULL and a zeroed plan. */
void eq_plan_free(eq_plan *plan);

/* One step; i in 0..plan->calls - 1, in order. */
void eq_sampler_step(const eq_plan *plan, int i, const eq_step *step);

/* For samplers' prepare functions. */

/* Allocates `calls` zeroed calls, with input_scale 1. */
eq_status eq_plan_allocate(eq_context *ctx, eq_plan *plan, int calls);
/* One call a step at the timesteps of the plan's spacing, with timestep, alphas and step set; noise_scale is 0. */
eq_status eq_plan_fill(eq_context *ctx, eq_plan *plan);

extern const eq_sampler eq_sampler_ddim;
extern const eq_sampler eq_sampler_ddpm;
extern const eq_sampler eq_sampler_pndm;
extern const eq_sampler eq_sampler_euler;
extern const eq_sampler eq_sampler_euler_ancestral;
extern const eq_sampler eq_sampler_heun;
extern const eq_sampler eq_sampler_dpmsolver;

#endif
