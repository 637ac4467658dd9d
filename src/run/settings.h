/* The settings of a generation, with presets and defaults worked out. */
#ifndef EQ_RUN_SETTINGS_H
#define EQ_RUN_SETTINGS_H

#include <jansson.h>

#include "diffusion/sampler.h"
#include "diffusion/semantic.h"
#include "run/image_guide.h"
#include "run/prompts.h"

typedef struct eq_run_settings {
    const eq_generate_options *options;
    const char *preset; /* NULL: none */
    eq_plan plan;
    eq_guidance_options guidance;
    int64_t group; /* images that share one P, at most: see eq_run_settings_group */
    double cfg;    /* scale of classifier-free guidance; 0: none */
    eq_prompts prompts;
    eq_semantic semantic;  /* of fair-diffusion */
    eq_image_guide *guide; /* of methods that see images, owned; else NULL */
    eq_guide guide_view;   /* that guidance has of it */
} eq_run_settings;

/* The sampling alone: steps, sampler, spacing and eta. Freed with eq_plan_free. */
eq_status eq_run_plan(eq_pipeline *pipeline, const eq_generate_options *options, eq_plan *out);

/* The prompts alone, and the scale of classifier-free guidance, 0 for none. Freed with eq_prompts_free. */
eq_status eq_run_prompts(eq_pipeline *pipeline, const eq_generate_options *options, eq_text_rule rule,
                         const eq_targets *targets, eq_prompts *prompts, double *cfg);

/* The method of a run: the one that the options name, else distribution, or none without a target. EQ_BAD_USAGE: there
 * is none of that name. */
eq_status eq_run_method(eq_context *ctx, const eq_generate_options *options, const eq_targets *targets,
                        const eq_method **out);

/* EQ_BAD_USAGE: a method for models of another kind. */
eq_status eq_run_method_suits(const eq_pipeline *pipeline, const eq_method *method);

/* The classifier of methods that take one: what the options name, else the model's own; malloc'ed. EQ_BAD_USAGE: there
 * is none. */
eq_status eq_run_guide_path(const eq_pipeline *pipeline, const eq_generate_options *options, char **out);

/* EQ_BAD_USAGE names the option that is out of range. Freed with eq_run_settings_free; the options, the pipeline and
 * the targets must last as long. */
eq_status eq_run_settings_resolve(eq_pipeline *pipeline, const eq_generate_options *options, const eq_targets *targets,
                                  eq_run_settings *out);
void eq_run_settings_free(eq_run_settings *settings);

/* Images of the group that begins with image number `first` of the run, counted from 0: they share one P, and so also
 * one prompt. */
int64_t eq_run_settings_group(const eq_run_settings *settings, int64_t first);

/* All that decides the images besides model, predictors and targets, as a flat object; NULL when memory is out. A
 * strength of 0 is the predictors' own or the method's: see "strength_used" of run.json. */
json_t *eq_run_settings_json(const eq_run_settings *settings);

#endif
