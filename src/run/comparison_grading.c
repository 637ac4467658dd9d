#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "eval/drift.h"
#include "eval/frechet.h"
#include "eval/kid.h"
#include "eval/noise.h"
#include "run/comparison_parts.h"

static const eq_estimate UNKNOWN = {NAN, NAN, NAN};

/* Order of eq_measure. */
const eq_measure_info eq_measures[EQ_MEASURES] = {
    {"fd", "FD", -1, false},
    {"fd_soft", "FD, soft", -1, false},
    {"joint_l2", "joint L2", -1, false},
    {"ambiguity", "ambiguous", -1, false},
    {"frechet", "Frechet distance", -1, false},
    {"kid", "KID", -1, false},
    {"precision", "precision", 1, false},
    {"recall", "recall", 1, false},
    {"psnr", "PSNR to the twin", 1, true},
    {"feature_distance", "distance to the twin", -1, true},
    {"unet_passes", "U-Net passes an image", -1, false},
    {"seconds", "seconds an image", -1, false},
};

static const char FEATURES[] = "evaluator";

/* Of which a group is left out at a time. */
enum { LEAST_FOR_KID = 2 * EQ_KID_LEAST };

static eq_status open_confusions(eq_comparison *c)
{
    int count;
    const eq_attribute *attributes = eq_classifier_attributes(c->evaluator, &count);
    const eq_confusion *known = eq_classifier_confusions(c->evaluator);
    c->confusions = calloc((size_t)count + 1, sizeof *c->confusions);
    if (!c->confusions)
        return eq_fail_memory(c->ctx, "an evaluator");
    for (int a = 0; a < count; a++) {
        if (known[a].classes == 0)
            continue;
        eq_status status = eq_confusion_check(c->ctx, &known[a]);
        if (status == EQ_OK)
            c->confusions[a] = known[a];
        else if (status == EQ_FAILED)
            eq_log(c->ctx, EQ_LOG_WARNING,
                   "'%s' is reported without correction: its evaluator's confusion matrix is too "
                   "blurred",
                   attributes[a].name);
        else
            return status;
    }
    return EQ_OK;
}

eq_status eq_comparison_open_grading(eq_comparison *c)
{
    EQ_TRY(open_confusions(c));
    const char *folder = c->reference_folder;
    int64_t d = eq_classifier_feature_count(c->evaluator), n = c->suite->count;
    if (!folder)
        return EQ_OK;
    EQ_TRY(eq_label_folder(c->ctx, c->evaluator, &(eq_label_folder_options){.folder = folder, .features = true},
                           &c->reference));
    int64_t m = (int64_t)c->reference.files.count;
    c->has_frechet = n > d && m > d;
    c->has_kid = !c->has_frechet && n >= LEAST_FOR_KID && m >= EQ_KID_LEAST;
    if (!c->has_frechet && !c->has_kid)
        eq_log(c->ctx, EQ_LOG_WARNING,
               "sets of %lld and %lld images are too few for the Frechet distance and for KID: looks are compared by "
               "precision and recall alone",
               (long long)n, (long long)m);
    else if (!c->has_frechet)
        eq_log(c->ctx, EQ_LOG_WARNING,
               "sets of %lld and %lld images are too few for the Frechet distance in %lld features, which would mostly "
               "be bias: KID is shown in its place",
               (long long)n, (long long)m, (long long)d);
    return EQ_OK;
}

/* --- distances between sets, with intervals --- */

typedef struct likeness {
    eq_context *ctx;
    const float *ours, *theirs;
    int n, m, d;
    float *rest; /* [n, d] ours without the rows that are left out */
    eq_moments reference;
} likeness;

static int leave_out(const likeness *l, int first, int n)
{
    size_t d = (size_t)l->d, head = (size_t)first * d, tail = (size_t)(l->n - first - n) * d;
    memcpy(l->rest, l->ours, head * sizeof(float));
    memcpy(l->rest + head, l->ours + head + (size_t)n * d, tail * sizeof(float));
    return l->n - n;
}

static eq_status frechet_without(void *user, int first, int n, double *out)
{
    const likeness *l = user;
    eq_moments moments;
    int left = leave_out(l, first, n);
    EQ_TRY(eq_moments_new(l->ctx, l->d, &moments));
    eq_status status = eq_moments_add(l->ctx, &moments, l->rest, left);
    if (status == EQ_OK)
        status = eq_frechet_distance(l->ctx, &moments, &l->reference, out);
    eq_moments_free(&moments);
    return status;
}

static eq_status kid_without(void *user, int first, int n, double *out)
{
    const likeness *l = user;
    eq_kid kid;
    int left = leave_out(l, first, n);
    EQ_TRY(eq_kid_distance(l->ctx, l->rest, left, l->theirs, l->m, l->d, &kid));
    *out = kid.whole;
    return EQ_OK;
}

/* The Frechet distance where there are images enough for it, else KID where there are enough for that. */
static eq_status measure_likeness(const eq_comparison *c, const eq_folder_labels *answers, eq_comparison_cell *cell)
{
    likeness l = {.ctx = c->ctx,
                  .ours = answers->features,
                  .theirs = c->reference.features,
                  .n = (int)answers->files.count,
                  .m = (int)c->reference.files.count,
                  .d = eq_classifier_feature_count(c->evaluator)};
    l.rest = malloc((size_t)l.n * (size_t)l.d * sizeof *l.rest);
    eq_status status = l.rest ? EQ_OK : eq_fail_memory(c->ctx, "features");
    if (status == EQ_OK && c->has_frechet) {
        status = eq_moments_new(c->ctx, l.d, &l.reference);
        if (status == EQ_OK)
            status = eq_moments_add(c->ctx, &l.reference, l.theirs, l.m);
        if (status == EQ_OK)
            status = eq_jackknife(frechet_without, &l, l.n, &cell->measures[EQ_MEASURE_FRECHET]);
    } else if (status == EQ_OK && c->has_kid) {
        status = eq_jackknife(kid_without, &l, l.n, &cell->measures[EQ_MEASURE_KID]);
    }
    eq_moments_free(&l.reference);
    free(l.rest);
    return status;
}

/* --- one cell --- */

/* Distances to the targets as one: the mean over them; of a joint one over its cells. */
static void distances_of(const eq_comparison *c, const eq_targets *targets, eq_comparison_cell *cell)
{
    eq_estimate fd[EQ_SUITE_TARGET_TEXTS], soft[EQ_MAX_ADPS * 2], joint[EQ_SUITE_TARGET_TEXTS], unsure[EQ_MAX_ADPS * 2];
    const eq_evaluation *e = &cell->evaluation;
    int fds = 0, softs = 0, joints = 0;
    for (int a = 0; a < e->attribute_count && softs < EQ_MAX_ADPS * 2; a++) {
        if (!e->attributes[a].target)
            continue;
        unsure[softs] = e->attributes[a].ambiguity;
        soft[softs++] = e->attributes[a].fd_soft;
    }
    for (int t = 0; t < targets->count; t++) {
        const eq_target *target = &targets->items[t];
        for (int a = 0; target->attribute_count == 1 && a < e->attribute_count; a++)
            if (strcmp(e->attributes[a].attribute.name, target->attributes[0].name) == 0)
                fd[fds++] = e->attributes[a].distances.fd;
    }
    for (int j = 0; j < e->joint_count && joints < EQ_SUITE_TARGET_TEXTS; j++)
        fd[fds++] = joint[joints++] = e->joint[j].l2;
    cell->measures[EQ_MEASURE_FD] = fds ? eq_estimate_mean(fd, fds) : UNKNOWN;
    cell->measures[EQ_MEASURE_FD_SOFT] = softs ? eq_estimate_mean(soft, softs) : UNKNOWN;
    cell->measures[EQ_MEASURE_AMBIGUITY] = softs ? eq_estimate_mean(unsure, softs) : UNKNOWN;
    cell->measures[EQ_MEASURE_JOINT] = joints ? eq_estimate_mean(joint, joints) : UNKNOWN;
}

static eq_estimate exactly(double value)
{
    return (eq_estimate){value, value, value};
}

/* What it cost, from its run.json, an image: images that were drawn and thrown away included. */
static eq_status costs_of(const eq_comparison *c, const char *folder, eq_comparison_cell *cell)
{
    eq_json run, seconds;
    double passes, sampling;
    char *path = eq_path_join(folder, "run.json");
    eq_status status = path ? eq_json_read(c->ctx, path, &run) : eq_fail_memory(c->ctx, "a path");
    free(path);
    EQ_TRY(status);
    status = eq_json_float(c->ctx, &run, "unet_passes", 0, 1e18, &passes);
    if (status == EQ_OK)
        status = eq_json_object(c->ctx, &run, "seconds", &seconds);
    if (status == EQ_OK)
        status = eq_json_float(c->ctx, &seconds, "sampling", 0, 1e12, &sampling);
    if (json_is_false(json_object_get(json_object_get(run.object, "verification"), "exact")))
        eq_log(c->ctx, EQ_LOG_WARNING, "%s: rejection stopped before its quota was met", folder);
    eq_json_close(&run);
    EQ_TRY(status);
    cell->measures[EQ_MEASURE_PASSES] = exactly(passes / (double)c->suite->count);
    cell->measures[EQ_MEASURE_SECONDS] = exactly(sampling / (double)c->suite->count);
    return EQ_OK;
}

/* Images of a run and what the evaluator says of them. */
typedef struct graded_run {
    char *folder;
    eq_folder_labels answers;
} graded_run;

static eq_status open_run(const eq_comparison *c, const char *name, graded_run *out)
{
    *out = (graded_run){0};
    EQ_TRY(eq_comparison_path(c, name, &out->folder));
    return eq_label_folder(c->ctx, c->evaluator,
                           &(eq_label_folder_options){.folder = out->folder, .strict = true, .features = true},
                           &out->answers);
}

static void close_run(graded_run *run)
{
    free(run->folder);
    eq_folder_labels_free(&run->answers);
}

/* The targets in the evaluator's classes. */
static eq_status align(const eq_comparison *c, const eq_targets *targets, eq_targets *out)
{
    int count;
    const eq_attribute *known = eq_classifier_attributes(c->evaluator, &count);
    out->items = calloc((size_t)targets->count + 1, sizeof *out->items);
    if (!out->items)
        return eq_fail_memory(c->ctx, "targets");
    for (int t = 0; t < targets->count; t++) {
        eq_status status = eq_target_align(c->ctx, &targets->items[t], known, count, &out->items[t]);
        if (status != EQ_OK)
            return eq_fail(c->ctx, status, "the evaluator %s cannot grade: %s", c->options->evaluator,
                           eq_last_error(c->ctx));
        out->count++;
    }
    return EQ_OK;
}

static eq_status evaluate(const eq_comparison *c, const graded_run *run, const eq_targets *targets,
                          const eq_drift *drift, eq_comparison_cell *cell)
{
    int count;
    const eq_attribute *attributes = eq_classifier_attributes(c->evaluator, &count);
    eq_reference_set reference = {.features = FEATURES,
                                  .name = c->reference_folder,
                                  .n = (int)c->reference.files.count,
                                  .dimension = eq_classifier_feature_count(c->evaluator),
                                  .theirs = c->reference.features,
                                  .ours = run->answers.features,
                                  .quiet = true};
    eq_evaluation_input input = {.n = (int)run->answers.files.count,
                                 .evaluator = c->options->evaluator,
                                 .attribute_count = count,
                                 .attributes = attributes,
                                 .probabilities = (const float *const *)run->answers.probabilities,
                                 .confusions = c->confusions,
                                 .targets = targets->items,
                                 .target_count = targets->count,
                                 .reference = c->reference_folder ? &reference : NULL,
                                 .drift = drift};
    EQ_TRY(eq_evaluate(c->ctx, &input, &cell->evaluation));
    distances_of(c, targets, cell);
    if (!c->reference_folder)
        return EQ_OK;
    cell->measures[EQ_MEASURE_PRECISION] = cell->evaluation.reference->precision;
    cell->measures[EQ_MEASURE_RECALL] = cell->evaluation.reference->recall;
    return measure_likeness(c, &run->answers, cell);
}

static eq_status measure_drift(const eq_comparison *c, const graded_run *run, const graded_run *twin, eq_drift *out)
{
    const eq_drift_side ours = {run->folder, &run->answers.files, run->answers.features};
    const eq_drift_side theirs = {twin->folder, &twin->answers.files, twin->answers.features};
    return eq_drift_measure(c->ctx, &ours, &theirs, FEATURES, eq_classifier_feature_count(c->evaluator), out);
}

/* twin: the unguided run of the same seed; the cell's own where it is that. An image that rejection put in another's
 * place is of other noise: there is no twin to compare it with. */
static eq_status grade_cell(const eq_comparison *c, const eq_targets *targets, const graded_run *twin,
                            const eq_method *method, eq_comparison_cell *cell)
{
    bool unguided = method == &eq_method_none, paired = !unguided && !method->rejects;
    graded_run run = {0};
    eq_drift drift = {0};
    for (int i = 0; i < EQ_MEASURES; i++)
        cell->measures[i] = UNKNOWN;
    eq_status status = unguided ? EQ_OK : open_run(c, cell->folder, &run);
    if (status == EQ_OK && paired)
        status = measure_drift(c, &run, twin, &drift);
    if (status == EQ_OK)
        status = evaluate(c, unguided ? twin : &run, targets, paired ? &drift : NULL, cell);
    if (status == EQ_OK && paired) {
        cell->measures[EQ_MEASURE_PSNR] = drift.psnr;
        cell->measures[EQ_MEASURE_FEATURE_DISTANCE] = drift.feature_distance;
    }
    if (status == EQ_OK)
        status = costs_of(c, unguided ? twin->folder : run.folder, cell);
    eq_drift_clear(&drift);
    close_run(&run);
    return status;
}

/* --- rows --- */

/* The best of a measure: alone, or with those that differ from it by no more than chance explains. */
static void judge_measure(eq_comparison_row *rows, int methods, int measure, const bool *unguided)
{
    const eq_measure_info *info = &eq_measures[measure];
    int best = -1;
    for (int m = 0; m < methods; m++) {
        double value = rows[m].measures[measure].value;
        rows[m].verdicts[measure] = EQ_VERDICT_NONE;
        if (isnan(value) || (info->guided && unguided[m]))
            continue;
        if (best < 0 || info->better * (value - rows[best].measures[measure].value) > 0)
            best = m;
    }
    for (int m = 0; m < methods; m++) {
        eq_estimate ours = rows[m].measures[measure];
        if (best < 0 || isnan(ours.value) || (info->guided && unguided[m]))
            continue;
        rows[m].verdicts[measure] = m == best                                             ? EQ_VERDICT_BEST
                                    : eq_inside_noise(ours, rows[best].measures[measure]) ? EQ_VERDICT_WITHIN
                                                                                          : EQ_VERDICT_APART;
    }
}

void eq_comparison_judge(eq_comparison_row *rows, int methods, int seeds, const bool *unguided)
{
    for (int i = 0; i < EQ_MEASURES; i++) {
        for (int m = 0; m < methods; m++) {
            eq_estimate of_seeds[EQ_SUITE_SEEDS];
            for (int k = 0; k < seeds; k++)
                of_seeds[k] = rows[m].cells[k].measures[i];
            rows[m].measures[i] = eq_estimate_mean(of_seeds, seeds);
        }
        judge_measure(rows, methods, i, unguided);
    }
}

/* All of one seed, whose unguided images stand by. */
static eq_status grade_seed(eq_comparison *c, int seed, const eq_targets *targets)
{
    const eq_suite *s = c->suite;
    graded_run twin;
    char name[64];
    snprintf(name, sizeof name, "unguided/seed-%lld", (long long)s->seeds[seed]);
    eq_status status = open_run(c, name, &twin);
    for (int t = 0; t < s->target_count; t++)
        for (int m = 0; m < s->method_count && status == EQ_OK; m++) {
            eq_comparison_tell(c, "grading", 0);
            status = grade_cell(c, &targets[t], &twin, eq_method_find(s->methods[m].method),
                                &c->rows[t * s->method_count + m].cells[seed]);
        }
    close_run(&twin);
    return status;
}

eq_status eq_comparison_grade(eq_comparison *c)
{
    const eq_suite *s = c->suite;
    eq_targets *targets = calloc((size_t)s->target_count, sizeof *targets);
    bool *unguided = calloc((size_t)s->method_count, sizeof *unguided);
    eq_status status = targets && unguided ? EQ_OK : eq_fail_memory(c->ctx, "a comparison");
    for (int m = 0; unguided && m < s->method_count; m++)
        unguided[m] = strcmp(s->methods[m].method, "none") == 0;
    for (int t = 0; t < s->target_count && status == EQ_OK; t++)
        status = align(c, &c->targets[t], &targets[t]);
    for (int i = 0; i < s->seed_count && status == EQ_OK; i++)
        status = grade_seed(c, i, targets);
    for (int t = 0; t < s->target_count && status == EQ_OK; t++)
        eq_comparison_judge(c->rows + t * s->method_count, s->method_count, s->seed_count, unguided);
    for (int t = 0; targets && t < s->target_count; t++)
        eq_targets_free(&targets[t]);
    free(targets);
    free(unguided);
    return status;
}
