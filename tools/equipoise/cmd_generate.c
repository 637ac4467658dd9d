#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "eval/report.h"
#include "generate_parts.h"
#include "heads.h"
#include "models.h"

static const char *const examples[] = {
    "equipoise generate --model models/portraits --count 64 --target gender=female:0.5,male:0.5 --out balanced",
    "equipoise generate --model models/portraits --count 100 --method assign "
    "--target 'gender*glasses=female/yes:0.25,female/no:0.25,male/yes:0.25,male/no:0.25' --out joint",
    NULL,
};

/* Calibration and labelling are quick beside the rest, and do not count images. */
static void show_stage(void *user, const char *doing)
{
    eq_generate_run *r = user;
    eq_progress_end(r->call->progress);
    eq_progress_begin(r->call->progress, doing, "images");
}

static void show_progress(void *user, int64_t done, int64_t total)
{
    eq_generate_run *r = user;
    int64_t steps = r->s->steps, images = total / (steps > 0 ? steps : 1);
    eq_progress_set(r->call->progress, (double)done / (double)total * (double)images, (double)images, NULL);
}

static void watch(eq_generate_run *r)
{
    r->session.options.progress = show_progress;
    r->session.options.progress_user = r;
    r->session.stage = show_stage;
    r->session.stage_user = r;
}

/* --- opening --- */

static eq_status open_classifier(eq_generate_run *r, const char *name, bool required, char **folder,
                                 eq_classifier **out)
{
    eq_context *ctx = r->call->ctx;
    EQ_TRY(eq_classifier_folder(ctx, r->model, name, folder));
    return required || eq_path_is_folder(*folder) ? eq_classifier_open(ctx, *folder, out) : EQ_OK;
}

static eq_status open_classifiers(eq_generate_run *r)
{
    const eq_generate_settings *s = r->s;
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
static const eq_method *method_with_classifier(const eq_generate_run *r)
{
    const eq_method *method = r->session.options.method ? eq_method_find(r->session.options.method) : NULL;
    return method && (method->sees_images || method->rejects) ? method : NULL;
}

static eq_status add_targets(eq_generate_run *r, const eq_attribute *known, int known_count)
{
    eq_context *ctx = r->call->ctx;
    const eq_generate_settings *s = r->s;
    for (int i = 0; i < s->targets.count; i++)
        EQ_TRY(eq_targets_add(ctx, &r->targets, s->targets.item[i], known, known_count));
    for (int i = 0; i < s->target_files.count; i++)
        EQ_TRY(eq_targets_read(ctx, &r->targets, s->target_files.item[i], known, known_count));
    return EQ_OK;
}

static eq_status open_targets(eq_generate_run *r)
{
    eq_context *ctx = r->call->ctx;
    int count;
    eq_classifier *classifier;
    char *path;
    if (r->s->guide_classifier && !method_with_classifier(r))
        return eq_fail(ctx, EQ_BAD_USAGE, "--guide-classifier is of methods universal and rejection");
    if (!method_with_classifier(r)) {
        const eq_attribute *known = eq_pipeline_attributes(r->pipeline, &count);
        if (eq_method_find(eq_generate_methods[r->s->method])->text != EQ_TEXT_NONE)
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

static eq_status open_all(eq_generate_run *r)
{
    eq_context *ctx = r->call->ctx;
    const eq_generate_settings *s = r->s;
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

/* --- the report --- */

/* The images of the same noise without guidance, in a folder of the run's. */
static eq_status make_twins(eq_generate_run *r)
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
    twins.options.class_word_count = 0;
    eq_status status = eq_session_run(&twins, &result);
    eq_session_result_free(&result);
    return status;
}

static eq_status write_report(eq_generate_run *r)
{
    int kind = r->s->report;
    if (kind == EQ_REPORT_AUTO)
        kind = r->evaluator ? EQ_REPORT_PLAIN : EQ_REPORT_NONE;
    if (kind == EQ_REPORT_NONE)
        return EQ_OK;
    if (kind == EQ_REPORT_TWINS)
        EQ_TRY(make_twins(r));
    char *path = eq_path_join(r->s->out, "report.html");
    eq_status status =
        path ? eq_report_write(r->call->ctx, r->s->out, r->twins_folder, path) : eq_fail_memory(r->call->ctx, "a path");
    free(path);
    return status;
}

static eq_status generate(eq_generate_run *r)
{
    eq_generate_fill_options(r); /* imported heads need the timesteps */
    EQ_TRY(eq_prompt_choice_read(r->call->ctx, r->s->prompt, r->s->prompt_file, &r->prompts, &r->session.options));
    EQ_TRY(open_all(r));
    eq_generate_fill_session(r);
    watch(r);
    EQ_TRY(eq_session_run(&r->session, &r->result));
    EQ_TRY(write_report(r));
    eq_progress_end(r->call->progress);
    EQ_TRY(eq_generate_print(r));
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
    eq_generate_run r = {.call = call, .s = call->settings};
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
    .options = eq_generate_table,
    .settings_size = sizeof(eq_generate_settings),
    .reports = true,
    .run = run,
};
