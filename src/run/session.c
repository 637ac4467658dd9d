#include "run/session_parts.h"

#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/path.h"
#include "base/process.h"

void eq_session_tell(const eq_session_state *r, const char *doing)
{
    if (r->session->stage)
        r->session->stage(r->session->stage_user, doing);
}

eq_run_record eq_session_record(const eq_session_state *r)
{
    return (eq_run_record){.pipeline = r->session->pipeline,
                           .settings = &r->settings,
                           .targets = r->session->targets,
                           .generation = &r->result->generation,
                           .identity = r->identity,
                           .command = r->session->command};
}

/* --- checkpoints --- */

eq_status eq_session_checkpoint(eq_session_state *r, eq_group *group)
{
    const eq_generation *g = &r->result->generation;
    const eq_verification *v = &r->result->verification;
    double guidance = group ? eq_group_guidance_seconds(group) : 0, passes = group ? eq_group_passes(group) : 0;
    r->last_checkpoint = eq_seconds();
    json_t *run = json_pack("{s:O, s:I, s:f, s:f, s:f, s:I, s:I, s:i, s:f}", "identity", r->identity, "done",
                            (json_int_t)r->done, "seconds", r->earlier_seconds + r->last_checkpoint - r->start,
                            "guidance_seconds", g->guidance_seconds + guidance, "unet_passes", g->unet_passes + passes,
                            "drawn", (json_int_t)v->drawn, "replaced", (json_int_t)v->replaced, "rounds", v->rounds,
                            "verification_passes", v->unet_passes + (r->done == g->count ? passes : 0));
    if (!run)
        return eq_fail_memory(r->ctx, "a checkpoint");
    eq_status status = eq_saved_run_write(r->ctx, r->checkpoint_path, run, r->session->pipeline, g, group);
    json_decref(run);
    return status;
}

static eq_status check_rows(eq_session_state *r)
{
    const eq_generation *g = &r->result->generation;
    bool good = true;
    for (int64_t i = 0; i < g->count; i++)
        good = good && g->indices[i] >= 0 && g->batches[i] >= 0;
    for (int t = 0; t < g->target_count; t++)
        for (int64_t i = 0; i < g->count; i++) {
            int cell = g->cells[t * g->count + i];
            good = good && cell >= -1 && cell < r->session->targets->items[t].cells;
        }
    return good ? EQ_OK : eq_fail(r->ctx, EQ_BAD_INPUT, "%s: is damaged; start anew", r->checkpoint_path);
}

static eq_status read_checkpoint(eq_session_state *r)
{
    const eq_json *run = &r->begun.run;
    eq_generation *g = &r->result->generation;
    eq_verification *v = &r->result->verification;
    int64_t rounds;
    EQ_TRY(eq_json_int(r->ctx, run, "done", 0, g->count, &r->done));
    EQ_TRY(eq_json_float(r->ctx, run, "seconds", 0, 1e12, &r->earlier_seconds));
    EQ_TRY(eq_json_float(r->ctx, run, "guidance_seconds", 0, 1e12, &g->guidance_seconds));
    EQ_TRY(eq_json_float(r->ctx, run, "unet_passes", 0, 1e18, &g->unet_passes));
    EQ_TRY(eq_json_int(r->ctx, run, "drawn", 0, INT32_MAX, &v->drawn));
    EQ_TRY(eq_json_int(r->ctx, run, "replaced", 0, INT32_MAX, &v->replaced));
    EQ_TRY(eq_json_int(r->ctx, run, "rounds", 0, INT32_MAX, &rounds));
    EQ_TRY(eq_json_float(r->ctx, run, "verification_passes", 0, 1e18, &v->unet_passes));
    v->rounds = (int)rounds;
    EQ_TRY(eq_saved_run_rows(r->ctx, &r->begun, r->session->pipeline, g));
    EQ_TRY(check_rows(r));
    return eq_run_folder_read(r->ctx, r->session->out, r->done, g);
}

/* --- beginning --- */

static eq_status find_begun(eq_session_state *r, const json_t **identity)
{
    eq_json run;
    EQ_TRY(eq_saved_run_open(r->ctx, r->checkpoint_path, &r->begun));
    EQ_TRY(eq_json_object(r->ctx, &r->begun.run, "identity", &run));
    *identity = run.object;
    return EQ_OK;
}

static eq_status find_finished(eq_session_state *r, json_t **identity)
{
    eq_json run;
    char *path = eq_path_join(r->session->out, "run.json");
    eq_status status = path ? eq_json_read(r->ctx, path, &run) : eq_fail_memory(r->ctx, "a path");
    free(path);
    EQ_TRY(status);
    *identity = eq_run_identity_of(run.object);
    eq_json_close(&run);
    return *identity ? EQ_OK : eq_fail(r->ctx, EQ_BAD_INPUT, "%s/run.json: not of a generation", r->session->out);
}

/* The factors that calibration found when the run began; they may be nowhere else. */
static eq_status recall_factors(eq_session_state *r, const json_t *begun)
{
    eq_pipeline *pipeline = r->session->pipeline;
    const eq_method *method;
    EQ_TRY(eq_run_method(r->ctx, &r->options, r->session->targets, &method));
    const json_t *factors = json_object_get(begun, "factors");
    for (int a = 0; a < pipeline->adp_count; a++) {
        double factor = json_number_value(json_object_get(factors, pipeline->attributes[a].name));
        if (factor > 0)
            EQ_TRY(eq_adp_set_factor(r->ctx, &pipeline->adps[a], method->name, factor));
    }
    return EQ_OK;
}

/* Rejection is verification of images that nobody guided, and keeps the first that fit. */
static eq_status open_classifier(eq_session_state *r)
{
    const eq_session *s = r->session;
    const eq_method *method;
    eq_verification *v = &r->result->verification;
    EQ_TRY(eq_run_method(r->ctx, &s->options, s->targets, &method));
    r->rejects = v->rejection = method->rejects;
    v->limit = s->verify_limit > 0 ? s->verify_limit : method->rejects ? 20 : 3;
    if (method->rejects && s->verifier)
        return eq_fail(r->ctx, EQ_BAD_USAGE, "method rejection keeps to the quota by itself; leave out --verify");
    if (method->rejects) {
        EQ_TRY(eq_run_guide_path(s->pipeline, &s->options, &v->classifier));
        EQ_TRY(eq_classifier_open(r->ctx, v->classifier, &r->classifier));
    } else if (s->verifier) {
        r->classifier = s->verifier;
        v->classifier = strdup(s->verifier_name);
        if (!v->classifier)
            return eq_fail_memory(r->ctx, "a name");
    }
    if (!r->classifier)
        return EQ_OK;
    if (s->options.prompt_count > 1)
        return eq_fail(r->ctx, EQ_BAD_USAGE, "%s takes one prompt at a time, not %d",
                       r->rejects ? "rejection" : "verification", s->options.prompt_count);
    EQ_TRY(
        eq_verifier_new(r->ctx, r->classifier, r->rejects ? "method rejection" : "--verify", s->targets, &r->verifier));
    r->verifier.first_come = r->rejects;
    return EQ_OK;
}

/* Whoever guided or chose would find what it made. */
static eq_status check_evaluator(eq_session_state *r)
{
    const eq_session *s = r->session;
    const eq_method *method = r->settings.guidance.method;
    eq_self_grading *did = &r->self_grading;
    if (!s->evaluator)
        return EQ_OK;
    const char *hash = eq_classifier_hash(s->evaluator);
    did->guided = r->settings.guide && strcmp(eq_image_guide_hash(r->settings.guide), hash) == 0;
    did->chose = r->classifier && strcmp(eq_classifier_hash(r->classifier), hash) == 0;
    did->labelled = method->step && !method->sees_images && eq_grade_labelled(s->evaluator, s->pipeline, s->targets);
    bool its_own = did->guided || (did->chose && r->rejects);
    if (its_own && !s->allow_self_grading)
        return eq_fail(r->ctx, EQ_BAD_USAGE,
                       "%s is the classifier of method %s, too: it would find what it made itself; choose another "
                       "--evaluator, or add --allow-self-grading",
                       s->evaluator_name, method->name);
    if (its_own)
        eq_log(r->ctx, EQ_LOG_WARNING,
               "the evaluator is the classifier of method %s: its counts say little about the images", method->name);
    if (did->labelled)
        eq_log(r->ctx, EQ_LOG_WARNING,
               "the evaluator labelled for the predictors: its counts say little about the images");
    return EQ_OK;
}

/* begun: the identity of the run that is continued; NULL where a new one begins. */
static eq_status settle(eq_session_state *r, const json_t *begun)
{
    const eq_session *s = r->session;
    r->options = s->options;
    if (s->calibrate && begun) {
        EQ_TRY(recall_factors(r, begun));
    } else if (s->calibrate) {
        eq_session_tell(r, "calibrating");
        EQ_TRY(eq_calibrate(s->pipeline, &r->options, s->targets));
    }
    EQ_TRY(eq_run_settings_resolve(s->pipeline, &r->options, s->targets, &r->settings));
    EQ_TRY(eq_run_identity(r->ctx, s->pipeline, &r->settings, s->targets, &r->identity));
    EQ_TRY(check_evaluator(r));
    if (r->classifier)
        json_object_set_new(r->identity, "verification",
                            json_pack("{s:s, s:f}", "classifier", eq_classifier_hash(r->classifier), "limit",
                                      r->result->verification.limit));
    return begun ? eq_run_identity_check(r->ctx, begun, r->identity, s->out) : EQ_OK;
}

static eq_status begin(eq_session_state *r)
{
    const eq_session *s = r->session;
    eq_folder_state state = s->replace ? EQ_FOLDER_NEW : eq_run_folder_state(s->out);
    const json_t *begun = NULL;
    if (state == EQ_FOLDER_OTHER)
        return eq_fail(r->ctx, EQ_BAD_USAGE, "%s: there is something already that is no run; choose a new folder",
                       s->out);
    if (state != EQ_FOLDER_NEW && !s->resume)
        return eq_fail(r->ctx, EQ_BAD_USAGE, "%s: there is a run already; %s or choose a new folder", s->out,
                       state == EQ_FOLDER_BEGUN ? "continue it with --resume" : "it is finished: delete it");
    EQ_TRY(open_classifier(r));
    if (state == EQ_FOLDER_FINISHED) {
        json_t *finished;
        EQ_TRY(find_finished(r, &finished));
        eq_status status = settle(r, finished);
        json_decref(finished);
        r->result->was_finished = true;
        return status;
    }
    if (state == EQ_FOLDER_BEGUN)
        EQ_TRY(find_begun(r, &begun));
    EQ_TRY(settle(r, begun));
    EQ_TRY(eq_generation_new(s->pipeline, &r->settings, s->targets, r->options.count, r->options.first_index,
                             &r->result->generation));
    if (begun)
        return read_checkpoint(r);
    EQ_TRY(eq_run_folder_begin(r->ctx, s->out, s->replace));
    r->fresh = true;
    return eq_session_checkpoint(r, NULL); /* early, so that a folder that refuses is found out now */
}

/* --- sampling --- */

typedef struct group_watch {
    eq_session_state *run;
    int64_t done_before, group, total; /* in steps of images */
} group_watch;

static void watch_progress(void *user, int steps_done, int steps)
{
    const group_watch *w = user;
    const eq_generate_options *o = &w->run->options;
    if (o->progress)
        o->progress(o->progress_user, w->done_before + w->group * steps_done, w->total);
}

static eq_status watch_boundary(void *user, eq_group *group)
{
    eq_session_state *r = ((const group_watch *)user)->run;
    double interval = r->session->checkpoint_seconds;
    return interval > 0 && eq_seconds() - r->last_checkpoint > interval ? eq_session_checkpoint(r, group) : EQ_OK;
}

static eq_status stopped(eq_session_state *r, eq_group *group)
{
    EQ_TRY(eq_session_checkpoint(r, group));
    const eq_sampling_state *at = &eq_group_state_of(group)->sampling;
    return eq_fail(r->ctx, EQ_CANCELLED, "stopped with %lld of %lld images finished, at step %d of %d of the next%s",
                   (long long)(r->done == r->options.count ? r->done - r->unfit : r->done), (long long)r->options.count,
                   at->next_call * r->settings.plan.steps / r->settings.plan.calls, r->settings.plan.steps,
                   r->session->replace ? "" : "; continue with --resume");
}

/* Samples images numbered first_index... into rows from `row` on of `out`. */
eq_status eq_session_sample(eq_session_state *r, const eq_targets *targets, int64_t first_index, int64_t n, int64_t row,
                            eq_generation *out)
{
    eq_group *group;
    int steps = r->settings.plan.steps;
    group_watch watch = {r, row * steps, n, out->count * steps};
    EQ_TRY(eq_group_new(r->session->pipeline, &r->settings, targets, first_index, n, &group));
    eq_status status = EQ_OK;
    if (r->begun.file.path && eq_saved_run_has_group(&r->begun))
        status = eq_saved_run_group(r->ctx, &r->begun, group);
    eq_saved_run_close(&r->begun);
    if (status == EQ_OK) {
        watch_progress(&watch, eq_group_state_of(group)->sampling.next_call * steps / r->settings.plan.calls, steps);
        status = eq_group_sample(
            group, &(eq_group_watch){.boundary = watch_boundary, .progress = watch_progress, .user = &watch});
    }
    if (status == EQ_OK) {
        eq_group_store(group, row, out);
        eq_group_account(group, out);
    } else if (status == EQ_CANCELLED) {
        status = stopped(r, group);
    }
    eq_group_free(group);
    return status;
}

/* Rows `row`... are finished: they go to the folder, and the checkpoint says so. */
static eq_status keep_rows(eq_session_state *r, int64_t row, int64_t n)
{
    int64_t *rows = malloc((size_t)n * sizeof *rows);
    if (!rows)
        return eq_fail_memory(r->ctx, "a list of images");
    for (int64_t i = 0; i < n; i++)
        rows[i] = row + i;
    eq_run_record record = eq_session_record(r);
    eq_status status = eq_run_folder_add(r->ctx, r->session->out, &record, rows, n);
    free(rows);
    EQ_TRY(status);
    r->done = row + n;
    return eq_session_checkpoint(r, NULL);
}

static eq_status sample_all(eq_session_state *r)
{
    eq_generation *g = &r->result->generation;
    eq_session_tell(r, "generating");
    while (r->done < g->count) {
        int64_t first = r->done, n = eq_run_settings_group(&r->settings, first);
        EQ_TRY(eq_session_sample(r, r->session->targets, r->options.first_index + first, n, first, g));
        for (int64_t i = first; i < first + n; i++)
            g->batches[i] = first > 0 ? g->batches[first - 1] + 1 : 0;
        EQ_TRY(keep_rows(r, first, n));
    }
    return EQ_OK;
}

/* --- the end --- */

/* What is resident is the libraries' doing, too: the plan foresees it, but cannot hold them to it. */
static void check_memory(const eq_session_state *r)
{
    static const double MB = 1 << 20;
    size_t peak = eq_process_peak();
    if (r->options.memory_bytes > 0 && peak > r->options.memory_bytes)
        eq_log(r->ctx, EQ_LOG_WARNING, "the process took %.0f MB of memory, more than the %.0f MB that it was given",
               ceil((double)peak / MB), (double)r->options.memory_bytes / MB);
}

static eq_status finish(eq_session_state *r)
{
    const eq_session *s = r->session;
    eq_session_result *out = r->result;
    out->generation.seconds = r->earlier_seconds + eq_seconds() - r->start;
    if (s->evaluator) {
        eq_session_tell(r, "labelling");
        EQ_TRY(eq_grade_generation(r->ctx, s->evaluator, s->evaluator_name, &out->generation, s->targets, NULL,
                                   &out->grade));
        out->graded = true;
    }
    check_memory(r);
    json_t *verification =
        out->verification.done
            ? eq_verification_json(&out->verification, json_object_get(r->identity, "verification"), &out->generation)
            : NULL;
    eq_run_record record = eq_session_record(r);
    record.verification = verification;
    record.evaluator = s->evaluator;
    record.grade = out->graded ? &out->grade : NULL;
    record.self_grading = r->self_grading;
    eq_status status = eq_run_folder_finish(r->ctx, s->out, &record);
    json_decref(verification);
    return status;
}

static eq_status run_all(eq_session_state *r)
{
    EQ_TRY(begin(r));
    if (r->result->was_finished)
        return EQ_OK;
    EQ_TRY(sample_all(r));
    EQ_TRY(eq_session_verify(r));
    return finish(r);
}

eq_status eq_session_run(const eq_session *session, eq_session_result *out)
{
    *out = (eq_session_result){0};
    double now = eq_seconds();
    eq_session_state r = {.session = session,
                          .ctx = session->pipeline->ctx,
                          .checkpoint_path = eq_path_join(session->out, "checkpoint.safetensors"),
                          .result = out,
                          .start = now,
                          .last_checkpoint = now};
    eq_status status = r.checkpoint_path ? run_all(&r) : eq_fail_memory(r.ctx, "a path");
    /* What cannot work leaves nothing; what was stopped, or ran out of something, can be continued. */
    if (r.fresh && r.done == 0 && (status == EQ_FAILED || status == EQ_BAD_USAGE || status == EQ_BAD_INPUT))
        eq_run_folder_abandon(session->out);
    eq_saved_run_close(&r.begun);
    eq_verifier_free(&r.verifier);
    if (r.rejects)
        eq_classifier_close(r.classifier);
    eq_run_settings_free(&r.settings);
    json_decref(r.identity);
    free(r.checkpoint_path);
    return status;
}

void eq_session_result_free(eq_session_result *result)
{
    if (result->graded)
        eq_grade_free(&result->grade);
    eq_generation_free(&result->generation);
    free(result->verification.classifier);
    *result = (eq_session_result){0};
}
