#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "command.h"
#include "heads.h"
#include "models.h"
#include "run/folder.h"
#include "run/grade.h"
#include "run/settings.h"

typedef struct settings {
    const char *model, *out, *evaluator;
    int64_t count, steps, first_index;
    int sampler;
    const char *spacing;
    double eta;
    eq_texts targets, target_files, adps;
    int method, loss, preset, dtype;
    double strength, temperature;
    eq_range guide_steps;
    int64_t coupled, micro_batch, memory;
} settings;

static const char *const methods[] = {"none", "distribution", "sample", "assign", NULL};
static const char *const losses[] = {"chi2", "kl", "l2", NULL};
static const char *const samplers[] = {"ddim", "ddpm",        "pndm",  "euler", "euler-ancestral",
                                       "heun", "dpmsolver++", "model", NULL};
static const char *const presets[] = {"none", "p2", "sd", NULL};
static const char *const dtypes[] = {"f32", "bf16", "auto", NULL};
enum { DTYPE_BF16 = 1, DTYPE_AUTO = 2 };

static const eq_option options[] = {
    {.heading = "Model and results"},
    {.name = "model",
     .letter = 'm',
     .kind = EQ_FOLDER,
     .value = "DIR|NAME",
     .required = true,
     .member = offsetof(settings, model),
     .help = "model folder, or a name such as portraits, which comes with the tool; predictors in its adp/ and an "
             "evaluator in its evaluator/ are used"},
    {.name = "out",
     .letter = 'o',
     .kind = EQ_FOLDER,
     .value = "DIR",
     .required = true,
     .member = offsetof(settings, out),
     .help = "new folder for the images, manifest.jsonl and run.json"},
    {.name = "count",
     .letter = 'n',
     .kind = EQ_INTEGER,
     .value = "N",
     .required = true,
     .range = {1, 1000000},
     .member = offsetof(settings, count),
     .help = "images to generate"},
    {.name = "first-index",
     .kind = EQ_INTEGER,
     .value = "N",
     .standard = "0",
     .range = {0, 1000000000},
     .member = offsetof(settings, first_index),
     .help = "number of the first image; with --seed it decides the noise"},
    {.name = "evaluator",
     .kind = EQ_FOLDER,
     .value = "DIR",
     .member = offsetof(settings, evaluator),
     .help = "classifier that labels and grades the result: a folder, or one in the model's folder"},
    {.heading = "Target"},
    {.name = "target",
     .letter = 't',
     .kind = EQ_TEXTS,
     .value = "A=C:P,...",
     .member = offsetof(settings, targets),
     .help =
         "distribution to follow: attribute A has its classes C with probabilities P; A*B=C/D:P,... for a joint one"},
    {.name = "target-file",
     .kind = EQ_FILES,
     .value = "FILE",
     .member = offsetof(settings, target_files),
     .help = "targets in JSON, {\"gender\": {\"female\": 0.5, \"male\": 0.5}}"},
    {.name = "adp",
     .kind = EQ_FILES,
     .value = "[A=C,...:]FILE",
     .member = offsetof(settings, adps),
     .help = "attribute predictor, in place of the model folder's own for that attribute; A=C,...:FILE names the "
             "attribute and classes of heads that the published code saved (linears.{i} in a .pt)"},
    {.heading = "Guidance"},
    {.name = "method",
     .kind = EQ_CHOICE,
     .value = "NAME",
     .choices = methods,
     .standard = "distribution",
     .member = offsetof(settings, method),
     .help = "how images are drawn to the target"},
    {.name = "strength",
     .kind = EQ_REAL,
     .automatic = true,
     .value = "F|auto",
     .standard = "0",
     .real = {0, 1e6},
     .member = offsetof(settings, strength),
     .help =
         "strength of guidance, in distances between classes; 0 for the method's own. auto tries a few for each attribute on a small batch and stores the best in its predictor's file"},
    {.name = "loss",
     .kind = EQ_CHOICE,
     .value = "NAME",
     .choices = losses,
     .standard = "chi2",
     .member = offsetof(settings, loss),
     .help = "distance between the predicted and the target distribution"},
    {.name = "temperature",
     .kind = EQ_REAL,
     .value = "F",
     .standard = "0",
     .real = {0, 1e6},
     .member = offsetof(settings, temperature),
     .help = "of the predictors' softmax, 0 for their own"},
    {.name = "guide-steps",
     .kind = EQ_RANGE,
     .value = "A..B",
     .range = {1, 1000000},
     .member = offsetof(settings, guide_steps),
     .help = "steps that are guided, counted from 1; all if not given"},
    {.name = "preset",
     .kind = EQ_CHOICE,
     .value = "NAME",
     .choices = presets,
     .standard = "none",
     .member = offsetof(settings, preset),
     .help = "published settings of distribution guidance; options given beside it override it"},
    {.name = "coupled",
     .kind = EQ_INTEGER,
     .value = "N",
     .standard = "0",
     .range = {0, 1000000},
     .member = offsetof(settings, coupled),
     .help = "images that share one mean prediction, 0 for all"},
    {.heading = "Sampling"},
    {.name = "steps",
     .kind = EQ_INTEGER,
     .value = "N",
     .standard = "50",
     .range = {1, 100000},
     .member = offsetof(settings, steps),
     .help = "steps from noise to image"},
    {.name = "sampler",
     .kind = EQ_CHOICE,
     .value = "NAME",
     .choices = samplers,
     .standard = "ddim",
     .member = offsetof(settings, sampler),
     .help = "how to go from noise to image; model takes what the model folder's scheduler is"},
    {.name = "eta",
     .kind = EQ_REAL,
     .automatic = true,
     .value = "F|auto",
     .standard = "auto",
     .real = {0, 1},
     .member = offsetof(settings, eta),
     .help = "share of fresh noise at each DDIM step; auto is the preset's, else 1"},
    {.name = "spacing",
     .kind = EQ_TEXT,
     .value = "NAME",
     .member = offsetof(settings, spacing),
     .help = "which timesteps: leading, trailing, linspace or paper; the model's own if not given"},
    {.heading = "Machine"},
    {.name = "dtype",
     .kind = EQ_CHOICE,
     .value = "NAME",
     .choices = dtypes,
     .standard = "auto",
     .member = offsetof(settings, dtype),
     .help = "numbers to compute the network in; auto is bf16 where the processor is faster with it, else f32"},
    {.name = "micro-batch",
     .kind = EQ_INTEGER,
     .value = "N",
     .standard = "0",
     .range = {0, 4096},
     .member = offsetof(settings, micro_batch),
     .help = "images through the network at a time, 0 to let the tool choose; the images do not depend on it"},
    {.name = "memory",
     .kind = EQ_SIZE,
     .value = "SIZE",
     .standard = "0",
     .range = {0, INT64_MAX},
     .member = offsetof(settings, memory),
     .help = "for keeping what the encoder computed, 0 for a quarter of the machine's"},
    {0}};

static const char *const examples[] = {
    "equipoise generate --model models/portraits --count 64 --target gender=female:0.5,male:0.5 --out balanced",
    "equipoise generate --model models/portraits --count 100 --method assign "
    "--target 'gender*glasses=female/yes:0.25,female/no:0.25,male/yes:0.25,male/no:0.25' --out joint",
    NULL,
};

/* What one run holds. */
typedef struct generate_run {
    const eq_invocation *call;
    const settings *s;
    eq_pipeline *pipeline;
    eq_classifier *evaluator;
    char *model, *evaluator_folder;
    eq_targets targets;
    eq_generate_options options;
    eq_generation generation;
    eq_grade grade;
    bool graded;
} generate_run;

static void show_progress(void *user, int64_t done, int64_t total)
{
    generate_run *r = user;
    double images = (double)done / (double)total * (double)r->s->count;
    eq_progress_set(r->call->progress, images, (double)r->s->count, NULL);
}

static eq_status open_evaluator(generate_run *r)
{
    eq_context *ctx = r->call->ctx;
    EQ_TRY(eq_classifier_folder(ctx, r->model, r->s->evaluator ? r->s->evaluator : "evaluator", &r->evaluator_folder));
    if (!r->s->evaluator && !eq_path_is_folder(r->evaluator_folder))
        return EQ_OK; /* the set stays ungraded */
    return eq_classifier_open(ctx, r->evaluator_folder, &r->evaluator);
}

static eq_status open_all(generate_run *r)
{
    eq_context *ctx = r->call->ctx;
    const settings *s = r->s;
    if (eq_path_exists(s->out))
        return eq_fail(ctx, EQ_BAD_USAGE, "--out %s: there is something already; choose a new folder", s->out);
    EQ_TRY(eq_model_folder(ctx, s->model, &r->model));
    EQ_TRY(eq_pipeline_open(ctx, r->model, &r->pipeline));
    for (int i = 0; i < s->adps.count; i++)
        EQ_TRY(eq_add_heads(ctx, r->pipeline, s->adps.item[i], &r->options));
    int known_count;
    const eq_attribute *known = eq_pipeline_attributes(r->pipeline, &known_count);
    for (int i = 0; i < s->targets.count; i++)
        EQ_TRY(eq_targets_add(ctx, &r->targets, s->targets.item[i], known, known_count));
    for (int i = 0; i < s->target_files.count; i++)
        EQ_TRY(eq_targets_read(ctx, &r->targets, s->target_files.item[i], known, known_count));
    return open_evaluator(r);
}

static void fill_options(generate_run *r)
{
    const settings *s = r->s;
    const eq_invocation *call = r->call;
    bool method_given = eq_given(call, "method");
    r->options = (eq_generate_options){
        .count = s->count,
        .first_index = s->first_index,
        .seed = (uint64_t)call->common.seed,
        .steps = (int)s->steps,
        .sampler = samplers[s->sampler],
        .spacing = s->spacing,
        .eta = s->eta > 0 ? s->eta : 0,
        .deterministic = s->eta == 0,
        .method = method_given ? methods[s->method] : NULL,
        .loss = eq_given(call, "loss") ? losses[s->loss] : NULL,
        .preset = s->preset > 0 ? presets[s->preset] : NULL,
        .strength = s->strength > 0 ? s->strength : 0,
        .temperature = s->temperature,
        .guide_first = (int)s->guide_steps.first,
        .guide_last = (int)s->guide_steps.last,
        .coupled = s->coupled,
        .micro_batch = s->micro_batch,
        .memory_bytes = (size_t)s->memory,
        .bf16 = s->dtype == DTYPE_BF16 || (s->dtype == DTYPE_AUTO && eq_bf16_is_fast()),
        .progress = show_progress,
        .progress_user = r,
    };
}

static eq_status settings_json(generate_run *r, json_t **out)
{
    eq_run_settings resolved;
    EQ_TRY(eq_run_settings_resolve(r->pipeline, &r->options, &r->targets, &resolved));
    *out = eq_run_settings_json(&resolved);
    eq_run_settings_free(&resolved);
    return *out ? EQ_OK : eq_fail_memory(r->call->ctx, "run.json");
}

static eq_status grade(generate_run *r)
{
    if (!r->evaluator)
        return EQ_OK;
    EQ_TRY(eq_grade_generation(r->call->ctx, r->evaluator, r->evaluator_folder, &r->generation, &r->targets, NULL,
                               &r->grade));
    r->graded = true;
    return EQ_OK;
}

static eq_status write_folder(generate_run *r)
{
    json_t *asked;
    EQ_TRY(settings_json(r, &asked));
    eq_run_record record = {.pipeline = r->pipeline,
                            .options = &r->options,
                            .targets = &r->targets,
                            .generation = &r->generation,
                            .settings = asked,
                            .evaluator = r->evaluator,
                            .grade = r->graded ? &r->grade : NULL};
    eq_status status = eq_run_write_folder(r->call->ctx, r->s->out, &record);
    json_decref(asked);
    return status;
}

static eq_status report(generate_run *r)
{
    if (r->call->common.json) {
        if (!r->graded)
            return eq_print_json(r->call, json_pack("{s:s, s:I, s:f}", "out", r->s->out, "n",
                                                    (json_int_t)r->generation.count, "seconds", r->generation.seconds));
        json_t *json;
        EQ_TRY(eq_evaluation_json(r->call->ctx, &r->grade.evaluation, &json));
        return eq_print_json(r->call, json);
    }
    if (r->graded) {
        char *text;
        EQ_TRY(eq_evaluation_format(r->call->ctx, &r->grade.evaluation, &text));
        fputs(text, stdout);
        free(text);
    }
    printf("%" PRId64 " images in %s: %.1f s, of which guidance %.2f s, %.0f U-Net passes\n", r->generation.count,
           r->s->out, r->generation.seconds, r->generation.guidance_seconds, r->generation.unet_passes);
    return EQ_OK;
}

static eq_status generate(generate_run *r)
{
    fill_options(r);
    EQ_TRY(open_all(r));
    if (r->s->strength == EQ_AUTO) {
        eq_progress_begin(r->call->progress, "calibrating", "images");
        EQ_TRY(eq_calibrate(r->pipeline, &r->options, &r->targets));
        eq_progress_end(r->call->progress);
    }
    eq_progress_begin(r->call->progress, "generating", "images");
    EQ_TRY(eq_generate(r->pipeline, &r->options, &r->targets, &r->generation));
    eq_progress_end(r->call->progress);
    EQ_TRY(grade(r));
    EQ_TRY(write_folder(r));
    return report(r);
}

static eq_status run(const eq_invocation *call)
{
    generate_run r = {.call = call, .s = call->settings};
    eq_status status = generate(&r);
    if (r.graded)
        eq_grade_free(&r.grade);
    eq_generation_free(&r.generation);
    eq_targets_free(&r.targets);
    eq_classifier_close(r.evaluator);
    eq_pipeline_close(r.pipeline);
    free(r.model);
    free(r.evaluator_folder);
    return status;
}

const eq_command eq_command_generate = {
    .name = "generate",
    .summary = "generate images that follow a target distribution",
    .description =
        "Samples images from a diffusion model and guides them, step by step, so that the whole set follows the "
        "targets. Without a target it samples at random. The folder gets the images, a line for each in "
        "manifest.jsonl, and run.json with all settings, hashes, timings and the grading.",
    .examples = examples,
    .options = options,
    .settings_size = sizeof(settings),
    .reports = true,
    .run = run,
};
