#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "base/process.h"
#include "command.h"
#include "eval/report.h"
#include "heads.h"
#include "io/json.h"
#include "models.h"
#include "prompts.h"
#include "run/session.h"

typedef struct settings {
    const char *model, *vae, *out, *evaluator, *verify;
    bool resume, allow_unused;
    double checkpoint_minutes, verify_limit;
    int report;
    int64_t count, steps, first_index;
    int sampler;
    const char *spacing;
    double eta;
    eq_texts targets, target_files, adps;
    int method, loss, preset, dtype;
    double strength, temperature;
    eq_range guide_steps;
    int64_t coupled, micro_batch, memory;
    const char *prompt, *prompt_file, *negative, *tokenizer;
    eq_texts class_words;
    double cfg, edit_threshold, edit_momentum, edit_momentum_decay;
    int64_t class_label;
    const char *guide_classifier;
    bool jacobian, allow_self_grading;
} settings;

static const char *const methods[] = {"none",      "distribution", "sample",       "assign",         "latent-edit",
                                      "universal", "rejection",    "prompt-quota", "fair-diffusion", NULL};
static const char *const losses[] = {"chi2", "kl", "l2", NULL};
static const char *const samplers[] = {"ddim", "ddpm",        "pndm",  "euler", "euler-ancestral",
                                       "heun", "dpmsolver++", "model", NULL};
static const char *const presets[] = {"none", "p2", "sd", NULL};
static const char *const dtypes[] = {"f32", "bf16", "auto", NULL};
static const char *const reports[] = {"auto", "none", "plain", "twins", NULL};
enum { REPORT_AUTO, REPORT_NONE, REPORT_PLAIN, REPORT_TWINS };
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
    {.name = "vae",
     .kind = EQ_FILE,
     .value = "FILE|DIR",
     .member = offsetof(settings, vae),
     .help = "autoencoder to use in place of the model's own: a diffusers folder, or a file of an autoencoder or a "
             "whole model in latent diffusion's form"},
    EQ_OPTION_ALLOW_UNUSED,
    {.name = "out",
     .letter = 'o',
     .kind = EQ_FOLDER,
     .value = "DIR",
     .required = true,
     .member = offsetof(settings, out),
     .help = "new folder for the images, manifest.jsonl, run.json and report.html"},
    {.name = "resume",
     .kind = EQ_FLAG,
     .member = offsetof(settings, resume),
     .help = "continue an interrupted run in --out, if there is one"},
    {.name = "checkpoint-minutes",
     .kind = EQ_REAL,
     .value = "F",
     .standard = "5",
     .real = {0, 1e6},
     .member = offsetof(settings, checkpoint_minutes),
     .help = "time between checkpoints, 0 for one after every group of images and when stopped only"},
    {.name = "count",
     .letter = 'n',
     .kind = EQ_INTEGER,
     .value = "N",
     .range = {1, 1000000},
     .member = offsetof(settings, count),
     .help = "images to generate; --prompt-file has counts of its own"},
    {.name = "first-index",
     .kind = EQ_INTEGER,
     .value = "N",
     .standard = "0",
     .range = {0, 1000000000},
     .member = offsetof(settings, first_index),
     .help = "number of the first image; with --seed it decides the noise"},
    {.name = "evaluator",
     .kind = EQ_FILE,
     .value = "DIR|FILE",
     .member = offsetof(settings, evaluator),
     .help =
         "classifier that labels and grades the result, of any kind that label takes: a folder or a file, or one in "
         "the model's folder"},
    {.name = "allow-self-grading",
     .kind = EQ_FLAG,
     .member = offsetof(settings, allow_self_grading),
     .help = "let the classifier that guides or rejects grade, too, which says little about the images"},
    {.name = "report",
     .kind = EQ_CHOICE,
     .value = "KIND",
     .choices = reports,
     .standard = "auto",
     .member = offsetof(settings, report),
     .help = "report.html: plain, of this set, or twins, beside the same noise without guidance, which costs as much "
             "again; auto is plain where there is an evaluator"},
    {.heading = "Text"},
    {.name = "prompt",
     .letter = 'p',
     .kind = EQ_TEXT,
     .value = "TEXT",
     .member = offsetof(settings, prompt),
     .help = "what to show, for models with a text encoder"},
    {.name = "prompt-file",
     .kind = EQ_FILE,
     .value = "FILE",
     .member = offsetof(settings, prompt_file),
     .help = "a prompt a line, with the number of images before it and a tab where that is not 1; the target holds for "
             "each prompt by itself"},
    {.name = "negative",
     .kind = EQ_TEXT,
     .value = "TEXT",
     .member = offsetof(settings, negative),
     .help = "what not to show"},
    {.name = "cfg",
     .kind = EQ_REAL,
     .value = "F",
     .standard = "7.5",
     .real = {1, 1000},
     .member = offsetof(settings, cfg),
     .help = "scale of classifier-free guidance, how closely images follow the prompt; 1 for none"},
    {.name = "class-words",
     .kind = EQ_TEXTS,
     .value = "A=C:TEXT,...",
     .member = offsetof(settings, class_words),
     .help = "what the classes C of attribute A are called in prompts, by the methods prompt-quota and fair-diffusion; "
             "their names where not given. In a prompt, {} is the place of such words; without it they go behind its "
             "last \"a\" or \"an\""},
    {.name = "tokenizer",
     .kind = EQ_FOLDER,
     .value = "DIR",
     .member = offsetof(settings, tokenizer),
     .help = "folder of vocab.json and merges.txt, for models in a single file"},
    {.name = "class",
     .kind = EQ_INTEGER,
     .value = "N",
     .standard = "0",
     .range = {0, 100000},
     .member = offsetof(settings, class_label),
     .help = "class of the images, for class-conditional models"},
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
    {.name = "verify",
     .kind = EQ_FILE,
     .value = "DIR|FILE",
     .member = offsetof(settings, verify),
     .help = "meet the target's quotas exactly, as this classifier sees it: images beyond them are replaced by others "
             "that are drawn to what is missing; a folder or a file, or one in the model's folder"},
    {.name = "verify-limit",
     .kind = EQ_REAL,
     .value = "F",
     .standard = "3",
     .real = {0.01, 1000},
     .member = offsetof(settings, verify_limit),
     .help = "images to draw for it, at most, as a multiple of --count; for method rejection 20 if not given"},
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
    {.name = "guide-classifier",
     .kind = EQ_FILE,
     .value = "DIR|FILE",
     .member = offsetof(settings, guide_classifier),
     .help = "classifier of methods universal and rejection, a folder or a file, or one in the model's folder, whose "
             "classifier/ it is if not given"},
    {.name = "jacobian",
     .kind = EQ_FLAG,
     .member = offsetof(settings, jacobian),
     .help = "universal: take the gradient through the network, too, at four times the cost"},
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
     .help = "steps that are guided, counted from 1; if not given all, with fair-diffusion all but the first tenth"},
    {.name = "edit-threshold",
     .kind = EQ_REAL,
     .value = "F",
     .standard = "0.95",
     .real = {0, 0.999999},
     .member = offsetof(settings, edit_threshold),
     .help = "fair-diffusion: the share of numbers, the least changed, that are left alone"},
    {.name = "edit-momentum",
     .kind = EQ_REAL,
     .value = "F",
     .standard = "0.5",
     .real = {0, 1000},
     .member = offsetof(settings, edit_momentum),
     .help = "fair-diffusion: how much of the change of earlier steps is added"},
    {.name = "edit-momentum-decay",
     .kind = EQ_REAL,
     .value = "F",
     .standard = "0.6",
     .real = {0, 0.999999},
     .member = offsetof(settings, edit_momentum_decay),
     .help = "fair-diffusion: what is kept of them from step to step"},
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
     .help = "the process may take, 0 for what it likes; fewer images go through the network at a time to stay within"},
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
    char *model, *evaluator_folder, *verifier_folder, *guide_folder, *twins_folder;
    eq_pipeline *pipeline;
    eq_classifier *evaluator, *verifier;
    eq_targets targets;
    eq_prompt_choice prompts;
    eq_session session;
    eq_session_result result;
} generate_run;

/* Calibration and labelling are quick beside the rest, and do not count images. */
static void show_stage(void *user, const char *doing)
{
    generate_run *r = user;
    eq_progress_end(r->call->progress);
    eq_progress_begin(r->call->progress, doing, "images");
}

static void show_progress(void *user, int64_t done, int64_t total)
{
    generate_run *r = user;
    int64_t steps = r->s->steps, images = total / (steps > 0 ? steps : 1);
    eq_progress_set(r->call->progress, (double)done / (double)total * (double)images, (double)images, NULL);
}

/* --- opening --- */

static eq_status open_classifier(generate_run *r, const char *name, bool required, char **folder, eq_classifier **out)
{
    eq_context *ctx = r->call->ctx;
    EQ_TRY(eq_classifier_folder(ctx, r->model, name, folder));
    return required || eq_path_is_folder(*folder) ? eq_classifier_open(ctx, *folder, out) : EQ_OK;
}

static eq_status open_classifiers(generate_run *r)
{
    const settings *s = r->s;
    const char *evaluator = s->evaluator ? s->evaluator : "evaluator";
    EQ_TRY(open_classifier(r, evaluator, s->evaluator != NULL, &r->evaluator_folder, &r->evaluator));
    if (!s->verify)
        return EQ_OK;
    EQ_TRY(open_classifier(r, s->verify, true, &r->verifier_folder, &r->verifier));
    if (r->evaluator && strcmp(eq_classifier_hash(r->evaluator), eq_classifier_hash(r->verifier)) == 0)
        eq_log(r->call->ctx, EQ_LOG_WARNING,
               "the evaluator is the classifier of --verify: that its counts meet the target says nothing about the "
               "images");
    return EQ_OK;
}

/* The method, where it works with a classifier of images: targets are then of what that one tells apart. */
static const eq_method *method_with_classifier(const generate_run *r)
{
    const eq_method *method = r->session.options.method ? eq_method_find(r->session.options.method) : NULL;
    return method && (method->sees_images || method->rejects) ? method : NULL;
}

static eq_status add_targets(generate_run *r, const eq_attribute *known, int known_count)
{
    eq_context *ctx = r->call->ctx;
    const settings *s = r->s;
    for (int i = 0; i < s->targets.count; i++)
        EQ_TRY(eq_targets_add(ctx, &r->targets, s->targets.item[i], known, known_count));
    for (int i = 0; i < s->target_files.count; i++)
        EQ_TRY(eq_targets_read(ctx, &r->targets, s->target_files.item[i], known, known_count));
    return EQ_OK;
}

static eq_status open_targets(generate_run *r)
{
    eq_context *ctx = r->call->ctx;
    int count;
    eq_classifier *classifier;
    char *path;
    if (r->s->guide_classifier && !method_with_classifier(r))
        return eq_fail(ctx, EQ_BAD_USAGE, "--guide-classifier is of methods universal and rejection");
    if (!method_with_classifier(r)) {
        const eq_attribute *known = eq_pipeline_attributes(r->pipeline, &count);
        if (eq_method_find(methods[r->s->method])->text != EQ_TEXT_NONE)
            known = NULL; /* prompts are the only ones that have to know the classes */
        return add_targets(r, known, count);
    }
    if (r->s->guide_classifier)
        EQ_TRY(eq_classifier_folder(ctx, r->model, r->s->guide_classifier, &r->guide_folder));
    r->session.options.guide_classifier = r->guide_folder;
    EQ_TRY(eq_run_guide_path(r->pipeline, &r->session.options, &path));
    eq_status status = eq_classifier_open(ctx, path, &classifier);
    free(path);
    EQ_TRY(status);
    const eq_attribute *known = eq_classifier_attributes(classifier, &count);
    status = add_targets(r, known, count);
    eq_classifier_close(classifier);
    return status;
}

static eq_status open_all(generate_run *r)
{
    eq_context *ctx = r->call->ctx;
    const settings *s = r->s;
    eq_set_allow_unused(ctx, s->allow_unused);
    EQ_TRY(eq_model_folder(ctx, s->model, &r->model));
    EQ_TRY(eq_pipeline_open(ctx, r->model, &r->pipeline));
    if (s->vae)
        EQ_TRY(eq_pipeline_use_vae(r->pipeline, s->vae));
    for (int i = 0; i < s->adps.count; i++)
        EQ_TRY(eq_add_heads(ctx, r->pipeline, s->adps.item[i], &r->session.options));
    EQ_TRY(open_targets(r));
    return open_classifiers(r);
}

static void fill_options(generate_run *r)
{
    const settings *s = r->s;
    const eq_invocation *call = r->call;
    r->session.options = (eq_generate_options){
        .count = s->count,
        .first_index = s->first_index,
        .seed = (uint64_t)call->common.seed,
        .steps = (int)s->steps,
        .sampler = samplers[s->sampler],
        .spacing = s->spacing,
        .eta = s->eta > 0 ? s->eta : 0,
        .deterministic = s->eta == 0,
        .method = eq_given(call, "method") ? methods[s->method] : NULL,
        .loss = eq_given(call, "loss") ? losses[s->loss] : NULL,
        .preset = s->preset > 0 ? presets[s->preset] : NULL,
        .strength = s->strength > 0 ? s->strength : 0,
        .temperature = s->temperature,
        .guide_first = (int)s->guide_steps.first,
        .guide_last = (int)s->guide_steps.last,
        .jacobian = s->jacobian,
        .coupled = s->coupled,
        .micro_batch = s->micro_batch,
        .memory_bytes = (size_t)s->memory,
        .bf16 = s->dtype == DTYPE_BF16 || (s->dtype == DTYPE_AUTO && eq_bf16_is_fast()),
        .negative_prompt = s->negative,
        .cfg = eq_given(call, "cfg") ? s->cfg : 0,
        .tokenizer = s->tokenizer,
        .class_words = s->class_words.item,
        .class_word_count = s->class_words.count,
        .edit_threshold = s->edit_threshold > 0 ? s->edit_threshold : -1,
        .edit_momentum = s->edit_momentum > 0 ? s->edit_momentum : -1,
        .edit_momentum_decay = s->edit_momentum_decay > 0 ? s->edit_momentum_decay : -1,
        .class_label = (int)s->class_label,
        .progress = show_progress,
        .progress_user = r,
    };
}

static void fill_session(generate_run *r)
{
    const settings *s = r->s;
    eq_session *session = &r->session;
    session->pipeline = r->pipeline;
    session->targets = &r->targets;
    session->out = s->out;
    session->command = r->call->line;
    session->resume = s->resume;
    session->calibrate = s->strength == EQ_AUTO;
    session->checkpoint_seconds = 60 * s->checkpoint_minutes;
    session->evaluator = r->evaluator;
    session->evaluator_name = r->evaluator_folder;
    session->verifier = r->verifier;
    session->verifier_name = r->verifier_folder;
    session->verify_limit = eq_given(r->call, "verify-limit") ? s->verify_limit : 0;
    session->allow_self_grading = s->allow_self_grading;
    session->stage = show_stage;
    session->stage_user = r;
}

/* --- the report --- */

/* The images of the same noise without guidance, in a folder of the run's. */
static eq_status make_twins(generate_run *r)
{
    eq_targets nothing = {0};
    eq_session twins = r->session;
    eq_session_result result;
    r->twins_folder = eq_path_join(r->s->out, "unguided");
    if (!r->twins_folder)
        return eq_fail_memory(r->call->ctx, "a path");
    twins.out = r->twins_folder;
    twins.command = NULL;
    twins.targets = &nothing;
    twins.verifier = NULL;
    twins.calibrate = false;
    twins.resume = true;
    twins.options.method = "none";
    twins.options.jacobian = 0;
    eq_status status = eq_session_run(&twins, &result);
    eq_session_result_free(&result);
    return status;
}

static eq_status write_report(generate_run *r)
{
    int kind = r->s->report;
    if (kind == REPORT_AUTO)
        kind = r->evaluator ? REPORT_PLAIN : REPORT_NONE;
    if (kind == REPORT_NONE)
        return EQ_OK;
    if (kind == REPORT_TWINS)
        EQ_TRY(make_twins(r));
    char *path = eq_path_join(r->s->out, "report.html");
    eq_status status =
        path ? eq_report_write(r->call->ctx, r->s->out, r->twins_folder, path) : eq_fail_memory(r->call->ctx, "a path");
    free(path);
    return status;
}

/* --- what is printed --- */

static eq_status print_json(const generate_run *r)
{
    json_t *json;
    const eq_generation *g = &r->result.generation;
    if (!r->result.graded)
        return eq_print_json(r->call, json_pack("{s:o, s:I, s:f}", "out", eq_json_text(r->s->out), "n",
                                                (json_int_t)g->count, "seconds", g->seconds));
    EQ_TRY(eq_evaluation_json(r->call->ctx, &r->result.grade.evaluation, &json));
    return eq_print_json(r->call, json);
}

static void print_verification(const generate_run *r)
{
    const eq_verification *v = &r->result.verification;
    const eq_generation *g = &r->result.generation;
    int64_t replaced = 0;
    for (int64_t i = 0; i < g->count; i++)
        replaced += g->replaces[i] >= 0;
    if (v->rejection) {
        printf("kept to the quota by %s: %" PRId64 " images thrown away (%.0f U-Net passes, %.0f%% more)\n",
               v->classifier, v->drawn, v->unet_passes,
               100 * v->unet_passes / fmax(g->unet_passes - v->unet_passes, 1));
        return;
    }
    printf("verified by %s: %" PRId64 " of %" PRId64 " images replaced, %" PRId64 " drawn for it (%.0f U-Net passes, "
           "%.0f%% more)\n",
           v->classifier, replaced, g->count, v->drawn, v->unet_passes,
           100 * v->unet_passes / fmax(g->unet_passes - v->unet_passes, 1));
}

static void print_memory(const eq_generation *g)
{
    const struct {
        const char *name;
        size_t bytes;
    } parts[] = {{"process", g->process_bytes},       {"activations", g->arena_bytes},
                 {"packed weights", g->weight_bytes}, {"encoder's results", g->carry_bytes},
                 {"images", g->held_bytes},           {"decoder", g->decoder_bytes},
                 {"guidance", g->guidance_bytes}};
    size_t planned = 0, count = sizeof parts / sizeof parts[0];
    for (size_t i = 0; i < count; i++)
        planned += parts[i].bytes;
    printf("memory: %.0f MB planned (", 1e-6 * (double)planned);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || parts[i].bytes > 0)
            printf("%s%s %.0f", i ? ", " : "", parts[i].name, 1e-6 * (double)parts[i].bytes);
    printf("), at most %.0f MB taken\n", 1e-6 * (double)eq_process_peak());
}

static eq_status print_result(const generate_run *r)
{
    const eq_generation *g = &r->result.generation;
    if (r->result.was_finished) {
        if (!r->call->common.json)
            printf("%s was finished already\n", r->s->out);
        return EQ_OK;
    }
    if (r->call->common.json)
        return print_json(r);
    if (r->result.graded) {
        char *text;
        EQ_TRY(eq_evaluation_format(r->call->ctx, &r->result.grade.evaluation, &text));
        fputs(text, stdout);
        free(text);
    }
    if (r->result.verification.done)
        print_verification(r);
    print_memory(g);
    printf("%" PRId64 " images in %s: %.1f s, of which guidance %.2f s, %.0f U-Net passes\n", g->count, r->s->out,
           g->seconds, g->guidance_seconds, g->unet_passes);
    return EQ_OK;
}

static eq_status generate(generate_run *r)
{
    fill_options(r); /* imported heads need the timesteps */
    EQ_TRY(eq_prompt_choice_read(r->call->ctx, r->s->prompt, r->s->prompt_file, &r->prompts, &r->session.options));
    EQ_TRY(open_all(r));
    fill_session(r);
    EQ_TRY(eq_session_run(&r->session, &r->result));
    EQ_TRY(write_report(r));
    eq_progress_end(r->call->progress);
    EQ_TRY(print_result(r));
    const eq_verification *v = &r->result.verification;
    if (v->done && !v->exact)
        return eq_fail(r->call->ctx, EQ_FAILED,
                       "the quota was not met within the %" PRId64 " images that --verify-limit %g lets be drawn; what "
                       "was found is in %s",
                       v->drawn, v->limit, r->s->out);
    return EQ_OK;
}

static eq_status run(const eq_invocation *call)
{
    generate_run r = {.call = call, .s = call->settings};
    eq_status status = generate(&r);
    eq_session_result_free(&r.result);
    eq_targets_free(&r.targets);
    eq_prompt_choice_free(&r.prompts);
    eq_classifier_close(r.evaluator);
    eq_classifier_close(r.verifier);
    eq_pipeline_close(r.pipeline);
    free(r.model);
    free(r.evaluator_folder);
    free(r.verifier_folder);
    free(r.guide_folder);
    free(r.twins_folder);
    return status;
}

const eq_command eq_command_generate = {
    .name = "generate",
    .summary = "generate images that follow a target distribution",
    .description =
        "Samples images from a diffusion model and guides them, step by step, so that the whole set follows the "
        "targets. Without a target it samples at random. The folder gets the images, a line for each in "
        "manifest.jsonl, run.json with all settings, hashes, timings and the grading, and report.html.\n\n"
        "An interrupted run, by Ctrl-C, a full disk or anything else, leaves the finished images and a checkpoint; "
        "--resume with the same options continues it, and the images are the same as if nothing had happened.",
    .examples = examples,
    .options = options,
    .settings_size = sizeof(settings),
    .reports = true,
    .run = run,
};
