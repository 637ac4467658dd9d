#include "run/settings.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/path.h"
#include "diffusion/timesteps.h"

enum { DEFAULT_STEPS = 50, P2_GROUP = 100 };

static const double default_cfg = 7.5;

/* Of fair-diffusion, as published: 5 of 50 steps pass first, and 95% of numbers are left alone. */
enum { WARM_UP = 10 };
static const double default_threshold = 0.95, default_momentum = 0.5, default_decay = 0.6;

/* What a preset stands for (the published settings of the two systems in Parihar et al. 2024). */
typedef struct preset {
    const char *name, *loss, *spacing;
    double eta;
    eq_strength_rule rule;
    int first_step; /* guided, from 0 */
    int64_t group;
} preset;

static const preset presets[] = {
    {"p2", "chi2", "paper", 1.0, EQ_STRENGTH_P2, 1, P2_GROUP},
    {"sd", "kl", "leading", 0.0, EQ_STRENGTH_SD, 0, 0},
};

static eq_status find_preset(eq_context *ctx, const char *name, const preset **out)
{
    *out = NULL;
    for (size_t i = 0; name && i < sizeof presets / sizeof presets[0]; i++)
        if (strcmp(presets[i].name, name) == 0)
            *out = &presets[i];
    return name && !*out ? eq_fail(ctx, EQ_BAD_USAGE, "no preset \"%s\"; there are p2 and sd", name) : EQ_OK;
}

static eq_status find_method(eq_context *ctx, const char *name, const eq_method **out)
{
    *out = eq_method_find(name);
    if (*out)
        return EQ_OK;
    char names[256] = "";
    for (int i = 0; eq_method_at(i); i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? ", " : "", eq_method_at(i)->name);
    return eq_fail(ctx, EQ_BAD_USAGE, "no method \"%s\"; there are %s", name, names);
}

/* Where nobody names one. */
static const char *method_name(const eq_generate_options *o, const eq_targets *targets)
{
    return o->method ? o->method : targets->count > 0 ? "distribution" : "none";
}

eq_status eq_run_method(eq_context *ctx, const eq_generate_options *options, const eq_targets *targets,
                        const eq_method **out)
{
    return find_method(ctx, method_name(options, targets), out);
}

static eq_status resolve_guidance(eq_context *ctx, const preset *p, const eq_generate_options *o,
                                  const eq_targets *targets, int steps, eq_guidance_options *out)
{
    const char *loss = o->loss ? o->loss : p ? p->loss : "chi2";
    *out = (eq_guidance_options){.rule = p ? p->rule : EQ_STRENGTH_NORMALISED,
                                 .strength = o->strength,
                                 .temperature = o->temperature,
                                 .seed = o->seed,
                                 .last_step = o->guide_last ? o->guide_last - 1 : steps - 1,
                                 .loss = eq_loss_find(loss)};
    EQ_TRY(eq_run_method(ctx, o, targets, &out->method));
    if (out->method->own_rule)
        out->rule = EQ_STRENGTH_NORMALISED;
    out->first_step = o->guide_first                      ? o->guide_first - 1
                      : out->method->text == EQ_TEXT_EDIT ? steps / WARM_UP
                      : p                                 ? p->first_step
                                                          : 0;
    if (!out->loss)
        return eq_fail(ctx, EQ_BAD_USAGE, "no loss \"%s\"; there are chi2, kl and l2", loss);
    if (o->strength < 0 || !isfinite(o->strength))
        return eq_fail(ctx, EQ_BAD_USAGE, "the strength must be 0 or more, not %g", o->strength);
    if (o->temperature < 0 || !isfinite(o->temperature))
        return eq_fail(ctx, EQ_BAD_USAGE, "the temperature must be 0 (the predictor's) or more, not %g",
                       o->temperature);
    if (out->first_step < 0 || out->last_step < out->first_step || out->last_step >= steps)
        return eq_fail(ctx, EQ_BAD_USAGE, "the guided steps must be a range within 1..%d, not %d..%d", steps,
                       out->first_step + 1, out->last_step + 1);
    bool wants = out->method->step || out->method->rejects || out->method->text != EQ_TEXT_NONE;
    if (wants && targets->count == 0)
        return eq_fail(ctx, EQ_BAD_USAGE, "method %s needs a target, such as gender=female:0.5,male:0.5",
                       out->method->name);
    /* At the very first steps predictions say too little to deal out classes by. */
    out->assign_step = out->first_step > steps / 16 || out->last_step < steps / 16 ? out->first_step : steps / 16;
    return EQ_OK;
}

/* "model" is the one that the model's folder names. It is not the default: predictors are trained on DDIM's timesteps,
 * and its noise (eta) is what makes guidance tell. */
static eq_status resolve_sampler(eq_pipeline *pipeline, const char *name, const eq_sampler **out)
{
    const eq_schedule_config *config = &pipeline->model.schedule.config;
    if (!name)
        name = "ddim";
    if (strcmp(name, "model") == 0) {
        name = config->sampler;
        if (config->sampler_differs)
            eq_log(pipeline->ctx, EQ_LOG_WARNING,
                   "the model's scheduler, %s, is not implemented: sampling with %s, "
                   "which comes nearest",
                   config->scheduler, name);
        else
            eq_log(pipeline->ctx, EQ_LOG_INFO, "the model's scheduler is %s: sampling with %s", config->scheduler,
                   name);
    }
    return eq_sampler_find(pipeline->ctx, name, out);
}

static eq_status resolve_plan(eq_pipeline *pipeline, const preset *p, const eq_generate_options *o, eq_plan *out)
{
    eq_context *ctx = pipeline->ctx;
    int most = pipeline->model.schedule.config.num_train_timesteps;
    eq_plan_options plan = {.steps = o->steps               ? o->steps
                                     : most < DEFAULT_STEPS ? most
                                                            : DEFAULT_STEPS,
                            .eta = o->deterministic ? 0
                                   : o->eta != 0    ? o->eta
                                   : p              ? p->eta
                                                    : 1};
    if (plan.steps < 1 || plan.steps > most)
        return eq_fail(ctx, EQ_BAD_USAGE, "the steps must be 1 to %d, which this model was trained with, not %d", most,
                       plan.steps);
    EQ_TRY(resolve_sampler(pipeline, o->sampler, &plan.sampler));
    EQ_TRY(eq_spacing_find(ctx, o->spacing ? o->spacing : p ? p->spacing : "default", &plan.spacing));
    return eq_plan_new(ctx, &plan, &pipeline->model.schedule, out);
}

eq_status eq_run_plan(eq_pipeline *pipeline, const eq_generate_options *options, eq_plan *out)
{
    const preset *p;
    EQ_TRY(find_preset(pipeline->ctx, options->preset, &p));
    return resolve_plan(pipeline, p, options, out);
}

eq_status eq_run_prompts(eq_pipeline *pipeline, const eq_generate_options *o, eq_text_rule rule,
                         const eq_targets *targets, eq_prompts *prompts, double *cfg)
{
    if (o->cfg < 0 || !isfinite(o->cfg))
        return eq_fail(pipeline->ctx, EQ_BAD_USAGE,
                       "the scale of classifier-free guidance must be 1 (none) or more, not %g", o->cfg);
    if (o->cfg > 0 && !eq_model_prompted(&pipeline->model))
        return eq_fail(pipeline->ctx, EQ_BAD_USAGE, "%s takes no prompt, and so no --cfg", pipeline->model.folder);
    EQ_TRY(eq_prompts_encode(pipeline, o, rule, targets, prompts));
    double scale = o->cfg > 0 ? o->cfg : default_cfg;
    *cfg = prompts->count > 0 && scale != 1 ? scale : 0;
    return EQ_OK;
}

/* Where 0 stands for the default, less stands for 0. */
static double setting(double given, double standard)
{
    return given > 0 ? given : given < 0 ? 0 : standard;
}

static eq_status resolve_semantic(eq_context *ctx, const eq_generate_options *o, const eq_targets *targets,
                                  const eq_guidance_options *g, eq_semantic *out)
{
    *out = (eq_semantic){.scale = o->strength > 0 ? o->strength : g->method->default_strength,
                         .threshold = setting(o->edit_threshold, default_threshold),
                         .momentum = setting(o->edit_momentum, default_momentum),
                         .decay = setting(o->edit_momentum_decay, default_decay),
                         .first_step = g->first_step,
                         .last_step = g->last_step};
    if (!(out->threshold < 1) || !(out->decay < 1) || !isfinite(out->momentum))
        return eq_fail(ctx, EQ_BAD_USAGE,
                       "the threshold and the decay of fair-diffusion must be below 1, its momentum finite, not %g, %g "
                       "and %g",
                       out->threshold, out->decay, out->momentum);
    out->count = eq_wording_edits(targets, NULL, 0, NULL, out->sign);
    return EQ_OK;
}

eq_status eq_run_method_suits(const eq_pipeline *pipeline, const eq_method *method)
{
    const eq_model *model = &pipeline->model;
    if (method->text != EQ_TEXT_NONE && !eq_model_prompted(model))
        return eq_fail(pipeline->ctx, EQ_BAD_USAGE, "method %s works on prompts, and %s takes none", method->name,
                       model->folder);
    if (method->sees_images && model->latent)
        return eq_fail(pipeline->ctx, EQ_BAD_USAGE,
                       "method %s shows predicted images to a classifier: it takes models of pixels, %s is one of "
                       "latents",
                       method->name, model->folder);
    return EQ_OK;
}

/* What text methods need besides what the wording checks. */
static eq_status resolve_text(eq_pipeline *pipeline, const eq_targets *targets, eq_run_settings *s)
{
    const eq_method *method = s->guidance.method;
    if (method->text == EQ_TEXT_NONE)
        return EQ_OK;
    if (targets->count > EQ_MAX_ADPS)
        return eq_fail(pipeline->ctx, EQ_BAD_USAGE, "method %s takes at most %d targets, not %d", method->name,
                       EQ_MAX_ADPS, targets->count);
    if (method->text != EQ_TEXT_EDIT)
        return EQ_OK;
    if (s->cfg == 0)
        return eq_fail(pipeline->ctx, EQ_BAD_USAGE,
                       "method %s adds to classifier-free guidance; give it a --cfg above 1", method->name);
    return resolve_semantic(pipeline->ctx, s->options, targets, &s->guidance, &s->semantic);
}

eq_status eq_run_guide_path(const eq_pipeline *pipeline, const eq_generate_options *o, char **out)
{
    *out = o->guide_classifier ? strdup(o->guide_classifier) : eq_path_join(pipeline->model.folder, "classifier");
    if (!*out)
        return eq_fail_memory(pipeline->ctx, "a path");
    if (o->guide_classifier || eq_path_exists(*out))
        return EQ_OK;
    free(*out);
    *out = NULL;
    return eq_fail(pipeline->ctx, EQ_BAD_USAGE, "%s has no classifier of its own; give one with --guide-classifier",
                   pipeline->model.folder);
}

static eq_status resolve_guide(const eq_pipeline *pipeline, const eq_generate_options *o, eq_run_settings *out)
{
    const eq_model *model = &pipeline->model;
    const eq_method *method = out->guidance.method;
    if (o->jacobian && !method->sees_images)
        return eq_fail(pipeline->ctx, EQ_BAD_USAGE, "method %s has no use for --jacobian; universal does",
                       method->name);
    if (!method->sees_images)
        return EQ_OK;
    if (o->jacobian && eq_model_prompted(model))
        return eq_fail(pipeline->ctx, EQ_BAD_USAGE, "--jacobian takes models without prompts; %s has them",
                       model->folder);
    char *path;
    EQ_TRY(eq_run_guide_path(pipeline, o, &path));
    eq_status status = eq_image_guide_open(pipeline->ctx, path, eq_model_image_size(model), out->group, &out->guide);
    free(path);
    EQ_TRY(status);
    out->guide_view = eq_image_guide_view(out->guide);
    out->guidance.guide = &out->guide_view;
    return EQ_OK;
}

eq_status eq_run_settings_resolve(eq_pipeline *pipeline, const eq_generate_options *o, const eq_targets *targets,
                                  eq_run_settings *out)
{
    eq_context *ctx = pipeline->ctx;
    const preset *p;
    EQ_TRY(find_preset(ctx, o->preset, &p));
    *out = (eq_run_settings){.options = o, .preset = p ? p->name : NULL};
    if (o->count < 1 || o->count > 10000000)
        return eq_fail(ctx, EQ_BAD_USAGE, "the count of images must be 1 to 10000000, not %lld", (long long)o->count);
    if (o->first_index < 0 || o->micro_batch < 0 || o->coupled < 0)
        return eq_fail(ctx, EQ_BAD_USAGE,
                       "first index, micro-batch and coupled images must be 0 or more, not %lld, %lld and %lld",
                       (long long)o->first_index, (long long)o->micro_batch, (long long)o->coupled);
    out->group = o->coupled > 0 ? o->coupled : p && p->group ? p->group : o->count;
    if (out->group > o->count)
        out->group = o->count;
    EQ_TRY(resolve_plan(pipeline, p, o, &out->plan));
    eq_status status = resolve_guidance(ctx, p, o, targets, out->plan.steps, &out->guidance);
    if (status == EQ_OK)
        status = eq_run_prompts(pipeline, o, out->guidance.method->text, targets, &out->prompts, &out->cfg);
    if (status == EQ_OK)
        status = eq_run_method_suits(pipeline, out->guidance.method);
    if (status == EQ_OK)
        status = resolve_text(pipeline, targets, out);
    if (status == EQ_OK)
        status = resolve_guide(pipeline, o, out);
    if (status != EQ_OK) {
        eq_run_settings_free(out);
        return status;
    }
    return EQ_OK;
}

void eq_run_settings_free(eq_run_settings *settings)
{
    eq_plan_free(&settings->plan);
    eq_prompts_free(&settings->prompts);
    eq_image_guide_free(settings->guide);
}

int64_t eq_run_settings_group(const eq_run_settings *s, int64_t first)
{
    int64_t end = s->options->count;
    if (s->prompts.count > 0)
        end = s->prompts.first[eq_prompts_of(&s->prompts, first) + 1];
    return end - first < s->group ? end - first : s->group;
}

static void format_steps(const eq_guidance_options *g, char steps[64])
{
    snprintf(steps, 64, "%d..%d", g->first_step + 1, g->last_step + 1);
}

static void add_text_settings(const eq_run_settings *s, json_t *root)
{
    json_t *words = json_array();
    for (int i = 0; i < s->options->class_word_count; i++)
        json_array_append_new(words, json_string(s->options->class_words[i]));
    json_object_set_new(root, "class_words", words);
    if (s->guidance.method->text != EQ_TEXT_EDIT)
        return;
    char steps[64];
    format_steps(&s->guidance, steps);
    json_object_set_new(root, "strength", json_real(s->semantic.scale));
    json_object_set_new(root, "edit_threshold", json_real(s->semantic.threshold));
    json_object_set_new(root, "edit_momentum", json_real(s->semantic.momentum));
    json_object_set_new(root, "edit_momentum_decay", json_real(s->semantic.decay));
    json_object_set_new(root, "guide_steps", json_string(steps));
}

json_t *eq_run_settings_json(const eq_run_settings *s)
{
    const eq_generate_options *o = s->options;
    const eq_guidance_options *g = &s->guidance;
    bool guided = g->method->step != NULL;
    json_t *root =
        json_pack("{s:I, s:I, s:I, s:i, s:s, s:s, s:o, s:s, s:s, s:s, s:I}", "count", (json_int_t)o->count,
                  "first_index", (json_int_t)o->first_index, "seed", (json_int_t)o->seed, "steps", s->plan.steps,
                  "sampler", s->plan.sampler->name, "spacing", eq_spacing_name(s->plan.spacing), "eta",
                  s->plan.sampler->uses_eta ? json_real(s->plan.eta) : json_null(), "dtype", o->bf16 ? "bf16" : "f32",
                  "method", g->method->name, "preset", s->preset ? s->preset : "none", "coupled", (json_int_t)s->group);
    if (root && o->prompt_count > 0) {
        json_t *prompts = json_array();
        for (int i = 0; i < o->prompt_count; i++)
            json_array_append_new(prompts, json_string(o->prompts[i]));
        json_object_set_new(root, "prompts", prompts);
        json_object_set_new(root, "negative_prompt",
                            o->negative_prompt ? json_string(o->negative_prompt) : json_null());
        json_object_set_new(root, "cfg", json_real(s->cfg > 0 ? s->cfg : 1));
    }
    if (root && g->method->text != EQ_TEXT_NONE)
        add_text_settings(s, root);
    if (!root || !guided)
        return root;
    char steps[64];
    format_steps(g, steps);
    json_object_set_new(root, "loss", json_string(g->loss->name));
    json_object_set_new(root, "strength", json_real(g->strength));
    json_object_set_new(root, "temperature", json_real(g->temperature));
    json_object_set_new(root, "guide_steps", json_string(steps));
    if (s->guide) {
        json_object_set_new(root, "guide_classifier", json_string(eq_image_guide_hash(s->guide)));
        json_object_set_new(root, "jacobian", json_boolean(o->jacobian));
    }
    return root;
}
