/* Guidance of one run: N images in lock-step, predictors, targets, and a method that turns what the predictors say into
 * a change of h between encode and decode. */
#ifndef EQ_GUIDANCE_GUIDANCE_H
#define EQ_GUIDANCE_GUIDANCE_H

#include "guidance/adp.h"
#include "guidance/guide.h"
#include "guidance/loss.h"

enum { EQ_MAX_ADPS = 8, EQ_MAX_VIEWS = EQ_MAX_ADPS + EQ_GUIDE_ATTRIBUTES };

typedef struct eq_guidance eq_guidance;

/* What a method does to prompts, for models with a text encoder. */
typedef enum eq_text_rule {
    EQ_TEXT_NONE,
    EQ_TEXT_WORDS, /* puts words for an image's classes into its prompt */
    EQ_TEXT_EDIT,  /* guides by edit prompts of such words */
} eq_text_rule;

/* A guidance method: one file, one row of the table in guidance.c. */
typedef struct eq_method {
    const char *name;
    const char *summary; /* for --help */
    /* Reads run->p, writes run->dlogits: [n, classes] a predictor, zeroed before, gradients of each image's tempered
     * logits where an image is to move; the sign is that of a loss to be lowered. Called at every guided step. */
    eq_status (*step)(eq_guidance *run, int step);
    /* Where the user says none. Above 1 because the decoder sees h beside its skip connections, which still show the
     * unguided image. */
    double default_strength;
    bool normalised;       /* dlogits are already one image's own, not a mean over n */
    bool own_rule;         /* presets' step sizes are none for it: its strength is in units of its own */
    bool sees_images;      /* its p and dlogits are a guide's of the predicted images, not the predictors' of h */
    bool needs_directions; /* adds class directions, which the predictors must have */
    bool rejects; /* does not guide: images of the wrong class make room for others until the quota holds; the caller's
                     business, who has the classifier */
    eq_text_rule text; /* other than none: images are given cells by quota before the first step */
} eq_method;

extern const eq_method eq_method_none, eq_method_distribution, eq_method_sample, eq_method_assign,
    eq_method_latent_edit, eq_method_universal, eq_method_rejection;
extern const eq_method eq_method_prompt_quota, eq_method_fair_diffusion;

/* NULL when there is none. */
const eq_method *eq_method_find(const char *name);
const eq_method *eq_method_at(int i);

/* How the step size follows from the strength at one timestep. */
typedef enum eq_strength_rule {
    EQ_STRENGTH_NORMALISED, /* ours: strength * n * the gradient of the logits, along the classes' directions: a
                               gradient of 1 moves an image by strength times the distance between classes, whatever the
                               batch size, the timestep and the scale of h */
    EQ_STRENGTH_P2,         /* strength * 300 * 1.5 * beta_t^0.05 * gradient */
    EQ_STRENGTH_SD,         /* strength * 500 * 600 * gradient */
} eq_strength_rule;

typedef struct eq_guidance_options {
    const eq_method *method;
    const eq_loss *loss;
    eq_strength_rule rule;
    double strength;               /* 0: the predictors' calibrated one, else the method's; published rules: 1 */
    double strengths[EQ_MAX_ADPS]; /* of single predictors; 0: `strength` */
    double temperature;            /* 0: the predictors' own; 1 of guides */
    int first_step, last_step;     /* guided steps, counted from 0 along the run, both included */
    int assign_step;               /* assign: the first step at which images get their classes */
    uint64_t seed;                 /* sample, latent-edit: which image gets which class */
    const eq_guide *guide;         /* not owned; for methods that see images, else NULL */
} eq_guidance_options;

struct eq_guidance {
    eq_context *ctx;
    eq_guidance_options options;
    int64_t n;
    int steps;
    int adp_count;
    const eq_adp *adps[EQ_MAX_ADPS]; /* not owned */
    const eq_targets *targets;       /* not owned */
    /* What says how images stand: the predictors in their order, then the attributes of the guide, if there is one. */
    int view_count;
    eq_attribute views[EQ_MAX_VIEWS]; /* not owned */
    int view_adp[EQ_MAX_VIEWS];       /* the predictor of the attribute, whose factor counts; -1: there is none */
    int *target_view;             /* [targets, EQ_TARGET_ATTRIBUTES] the view that the method has of each attribute */
    float *p[EQ_MAX_VIEWS];       /* [n, classes] at the current step */
    float *dlogits[EQ_MAX_VIEWS]; /* [n, classes] */
    float *work[EQ_MAX_ADPS];
    int *cell;                      /* [targets, n] the cell an image is to reach; -1: none */
    bool *moved;                    /* [n] whether any step changed the image's h */
    double *cell_mean[EQ_MAX_ADPS]; /* [steps, classes] P per step, a predictor; for the report */
    double *cost;                   /* [n, most cells] for assign */
};

/* Predictors for attributes without a target observe only. Every attribute of every target must have a predictor (for
 * methods that see images: must be the guide's) with the same classes, unless the method does not guide. */
eq_status eq_guidance_new(eq_context *ctx, const eq_guidance_options *options, const eq_adp *const *adps, int adp_count,
                          const eq_targets *targets, int64_t n, int steps, eq_guidance **out);
void eq_guidance_free(eq_guidance *run);

/* Whether h is wanted at this step: to guide, or to record P. */
bool eq_guidance_active(const eq_guidance *run, int step);

/* h: [n, h_count], changed in place. beta: of the timestep, for the published rule. */
eq_status eq_guidance_apply(eq_guidance *run, int step, double timestep, double beta, float *h);

/* Whether predicted images are wanted at this step. */
bool eq_guidance_wants_x0(const eq_guidance *run, int step);

/* x0: [n, height, width, 3] predicted images -> dx0: the gradient at them of the loss to be lowered, times the
 * strength: of an image by itself, whatever n. */
eq_status eq_guidance_apply_x0(eq_guidance *run, int step, const float *x0, float *dx0);

/* The strength with which images are moved in a view. */
double eq_guidance_strength(const eq_guidance *run, int view);

/* For methods: the probability that image i is in a cell of target `target`, from the current p. */
double eq_guidance_cell_probability(const eq_guidance *run, int target, int64_t image, int cell);
/* For methods: the mean of those over the images, P of the cells. mean: [cells] */
void eq_guidance_mean_cells(const eq_guidance *run, int target, double *mean);
/* For methods: gives every image a cell of every target in its exact quota, in an order that depends on the seed alone,
 * where that is not done yet. */
eq_status eq_guidance_deal(eq_guidance *run);
/* For methods: adds `weight` times the gradient of the loss between the mean of all images and the target to dlogits.
 */
void eq_guidance_draw(eq_guidance *run, int target, double weight);
/* For methods: adds `weight` times the gradient of the cross-entropy towards `cell` to image i's dlogits. */
void eq_guidance_pull(eq_guidance *run, int target, int64_t image, int cell, double weight);

#endif
