#include "guidance/guidance.h"

#include <math.h>
#include <stdlib.h>

#include "guidance/quota.h"
#include "guidance/target.h"

static const eq_method *const methods[] = {
    &eq_method_none,           &eq_method_distribution, &eq_method_sample,
    &eq_method_assign,         &eq_method_latent_edit,  &eq_method_prompt_quota,
    &eq_method_fair_diffusion, &eq_method_universal,    &eq_method_rejection,
};

const eq_method *eq_method_at(int i)
{
    return i >= 0 && i < (int)(sizeof methods / sizeof methods[0]) ? methods[i] : NULL;
}

const eq_method *eq_method_find(const char *name)
{
    for (int i = 0; eq_method_at(i); i++)
        if (strcmp(methods[i]->name, name) == 0)
            return methods[i];
    return NULL;
}

/* Random sampling: the baseline. */
const eq_method eq_method_none = {.name = "none", .summary = "no guidance: random sampling"};

/* Rejection sampling: the other baseline, exact and as dear as the rarest class is rare. */
const eq_method eq_method_rejection = {
    .name = "rejection",
    .summary = "no guidance: draw at random, keep what a classifier finds within the quota",
    .rejects = true,
};

/* Heads that came without class directions move along their weights: a strength of 1 moves tempered logits by this,
 * from doubt to about 99.97%, as far as the means of two classes that such a head tells apart usually lie. */
static const double sure_logits = 8;

/* Farther than this, in distances between classes, h is no h of any image, and the decoder makes little of it: images
 * pushed harder turn less often. */
static const double farthest = 4.5;

static eq_status check_classes(eq_context *ctx, const eq_attribute *ours, const eq_attribute *wanted, const char *who)
{
    if (ours->classes != wanted->classes)
        return eq_fail(ctx, EQ_BAD_USAGE, "the %s of \"%s\" knows %d classes, the target %d", who, ours->name,
                       ours->classes, wanted->classes);
    for (int k = 0; k < ours->classes; k++)
        if (strcmp(ours->class_names[k], wanted->class_names[k]) != 0)
            return eq_fail(ctx, EQ_BAD_USAGE, "class %d of \"%s\" is \"%s\" to its %s, \"%s\" to the target", k + 1,
                           ours->name, ours->class_names[k], who, wanted->class_names[k]);
    return EQ_OK;
}

static void list_views(eq_guidance *run)
{
    const eq_guide *guide = run->options.guide;
    for (int a = 0; a < run->adp_count; a++) {
        run->views[a] = run->adps[a]->attribute;
        run->view_adp[a] = a;
    }
    run->view_count = run->adp_count;
    for (int g = 0; guide && g < guide->attribute_count; g++) {
        run->view_adp[run->view_count] = eq_attribute_find(run->views, run->adp_count, guide->attributes[g].name);
        run->views[run->view_count++] = guide->attributes[g];
    }
}

static eq_status check_view(eq_guidance *run, int view, const eq_attribute *wanted)
{
    const eq_method *method = run->options.method;
    EQ_TRY(check_classes(run->ctx, &run->views[view], wanted, method->sees_images ? "classifier" : "predictor"));
    if (method->needs_directions && !run->adps[view]->direction)
        return eq_fail(run->ctx, EQ_BAD_USAGE,
                       "the predictor of \"%s\" has no class directions, which method %s adds to h; `equipoise train "
                       "adp` finds them",
                       wanted->name, method->name);
    return EQ_OK;
}

/* Without guidance, targets are only there to be measured against. */
static eq_status find_views(eq_guidance *run)
{
    const eq_method *method = run->options.method;
    if (!method->step)
        return EQ_OK;
    int first = method->sees_images ? run->adp_count : 0;
    int end = method->sees_images ? run->view_count : run->adp_count;
    for (int t = 0; t < run->targets->count; t++) {
        const eq_target *target = &run->targets->items[t];
        for (int a = 0; a < target->attribute_count; a++) {
            const char *name = target->attributes[a].name;
            int found = first + eq_attribute_find(run->views + first, end - first, name);
            if (found < first && method->sees_images)
                return eq_fail(run->ctx, EQ_BAD_USAGE, "the classifier that guides does not know \"%s\"", name);
            if (found < first)
                return eq_fail(
                    run->ctx, EQ_BAD_USAGE,
                    "no attribute predictor for \"%s\": give one with --adp, or train it with `equipoise train adp`",
                    name);
            EQ_TRY(check_view(run, found, &target->attributes[a]));
            run->target_view[t * EQ_TARGET_ATTRIBUTES + a] = found;
        }
    }
    return EQ_OK;
}

static int most_cells(const eq_targets *targets)
{
    int most = 1;
    for (int t = 0; t < targets->count; t++)
        most = targets->items[t].cells > most ? targets->items[t].cells : most;
    return most;
}

static eq_status allocate(eq_guidance *run)
{
    size_t n = (size_t)run->n, targets = (size_t)run->targets->count;
    run->target_view = calloc(targets * EQ_TARGET_ATTRIBUTES + 1, sizeof *run->target_view);
    run->cell = malloc((targets * n + 1) * sizeof *run->cell);
    run->moved = calloc(n, sizeof *run->moved);
    run->cost = malloc(n * (size_t)most_cells(run->targets) * sizeof *run->cost);
    bool complete = run->target_view && run->cell && run->moved && run->cost;
    for (int a = 0; a < run->adp_count; a++) {
        run->work[a] = malloc(eq_adp_work(run->adps[a], run->n) * sizeof(float));
        run->cell_mean[a] = calloc((size_t)run->steps * (size_t)run->views[a].classes, sizeof(double));
        complete = complete && run->work[a] && run->cell_mean[a];
    }
    for (int v = 0; v < run->view_count; v++) {
        run->p[v] = calloc(n * (size_t)run->views[v].classes, sizeof(float));
        run->dlogits[v] = calloc(n * (size_t)run->views[v].classes, sizeof(float));
        complete = complete && run->p[v] && run->dlogits[v];
    }
    if (!complete)
        return eq_fail_memory(run->ctx, "guidance");
    for (size_t i = 0; i < targets * n; i++)
        run->cell[i] = -1;
    return EQ_OK;
}

eq_status eq_guidance_new(eq_context *ctx, const eq_guidance_options *options, const eq_adp *const *adps, int adp_count,
                          const eq_targets *targets, int64_t n, int steps, eq_guidance **out)
{
    *out = NULL;
    if (adp_count > EQ_MAX_ADPS)
        return eq_fail(ctx, EQ_BAD_USAGE, "at most %d attribute predictors at once, not %d", EQ_MAX_ADPS, adp_count);
    eq_guidance *run = calloc(1, sizeof *run);
    if (!run)
        return eq_fail_memory(ctx, "guidance");
    run->ctx = ctx;
    run->options = *options;
    run->n = n;
    run->steps = steps;
    run->adp_count = adp_count;
    run->targets = targets;
    for (int i = 0; i < adp_count; i++)
        run->adps[i] = adps[i];
    list_views(run);
    eq_status status = allocate(run);
    if (status == EQ_OK)
        status = find_views(run);
    if (status != EQ_OK) {
        eq_guidance_free(run);
        return status;
    }
    *out = run;
    return EQ_OK;
}

void eq_guidance_free(eq_guidance *run)
{
    if (!run)
        return;
    for (int a = 0; a < run->adp_count; a++) {
        free(run->work[a]);
        free(run->cell_mean[a]);
    }
    for (int v = 0; v < run->view_count; v++) {
        free(run->p[v]);
        free(run->dlogits[v]);
    }
    free(run->target_view);
    free(run->cell);
    free(run->moved);
    free(run->cost);
    free(run);
}

bool eq_guidance_active(const eq_guidance *run, int step)
{
    return run->adp_count > 0;
}

/* P of this step, a predictor: the mean over all n images. */
static void record_means(eq_guidance *run, int step)
{
    for (int a = 0; a < run->adp_count; a++) {
        int classes = run->adps[a]->attribute.classes;
        double *mean = run->cell_mean[a] + (int64_t)step * classes;
        for (int k = 0; k < classes; k++) {
            double sum = 0;
            for (int64_t i = 0; i < run->n; i++)
                sum += run->p[a][i * classes + k];
            mean[k] = sum / (double)run->n;
        }
    }
}

static bool is_guided(const eq_guidance *run, int step)
{
    const eq_guidance_options *o = &run->options;
    return o->method->step && step >= o->first_step && step <= o->last_step;
}

static void mark_moved(eq_guidance *run, int view)
{
    int classes = run->views[view].classes;
    for (int64_t i = 0; i < run->n; i++)
        for (int k = 0; k < classes; k++)
            run->moved[i] = run->moved[i] || run->dlogits[view][i * classes + k] != 0;
}

/* Views `first`... are cleared, and the method says how each of them is to change. */
static eq_status ask_method(eq_guidance *run, int step, int first)
{
    for (int v = first; v < run->view_count; v++)
        memset(run->dlogits[v], 0, (size_t)run->n * (size_t)run->views[v].classes * sizeof(float));
    EQ_TRY(run->options.method->step(run, step));
    for (int v = first; v < run->view_count; v++)
        mark_moved(run, v);
    return EQ_OK;
}

double eq_guidance_strength(const eq_guidance *run, int view)
{
    const eq_guidance_options *o = &run->options;
    int adp = run->view_adp[view];
    if (adp >= 0 && o->strengths[adp] > 0)
        return o->strengths[adp];
    if (o->rule != EQ_STRENGTH_NORMALISED)
        return o->strength > 0 ? o->strength : 1.0;
    double calibrated = adp >= 0 ? eq_adp_factor_of(run->adps[adp], o->method->name) : 0;
    return (calibrated > 0 ? calibrated : 1.0) * (o->strength > 0 ? o->strength : o->method->default_strength);
}

/* No image's h moves by more than `farthest` class distances in a step of `step`: rows of dlogits [n, classes] that
 * would have it do so are shortened. */
static void limit_moves(float *dlogits, int64_t n, int classes, double step)
{
    for (int64_t i = 0; i < n; i++) {
        float *row = dlogits + i * classes;
        double largest = 0;
        for (int k = 0; k < classes; k++)
            largest = fmax(largest, fabs(row[k]));
        double factor = farthest / (step * largest);
        for (int k = 0; factor < 1 && k < classes; k++)
            row[k] *= (float)factor;
    }
}

/* Along the classes' directions. Edits that ask for directions are as long as they are asked to be, at every timestep.
 */
static void shift_h(eq_guidance *run, int adp, int head, double step, float *h)
{
    const eq_adp *heads = run->adps[adp];
    if (!run->options.method->needs_directions) {
        limit_moves(run->dlogits[adp], run->n, heads->attribute.classes, step);
        /* What a head hardly sees it does not move: nothing would tell when to stop. */
        step *= eq_adp_sight(heads, head);
    }
    eq_adp_shift(heads, head, step, run->dlogits[adp], run->n, h);
}

/* Lowers the loss whose gradient is in dlogits, by the rule of the run. h: [n, h_count] */
static void move_h(eq_guidance *run, int adp, int head, double beta, float *h)
{
    const eq_guidance_options *o = &run->options;
    const eq_adp *heads = run->adps[adp];
    const float *dlogits = run->dlogits[adp];
    double strength = eq_guidance_strength(run, adp), step = 0;
    double images = o->method->normalised ? 1.0 : (double)run->n;
    switch (o->rule) {
    case EQ_STRENGTH_P2: step = strength * 300.0 * 1.5 * pow(beta, 0.05); break;
    case EQ_STRENGTH_SD: step = strength * 500.0 * 600.0; break;
    case EQ_STRENGTH_NORMALISED:
        if (heads->direction) {
            shift_h(run, adp, head, strength * images, h);
            return;
        }
        double gain = eq_adp_gain(heads, head, o->temperature);
        step = gain > 0 ? strength * sure_logits * images / gain : 0.0;
        break;
    }
    eq_adp_push(heads, head, o->temperature, step, dlogits, run->n, h, run->work[adp]);
}

eq_status eq_guidance_apply(eq_guidance *run, int step, double timestep, double beta, float *h)
{
    const eq_guidance_options *o = &run->options;
    for (int a = 0; a < run->adp_count; a++)
        eq_adp_predict(run->adps[a], eq_adp_head(run->adps[a], timestep), o->temperature, h, run->n, run->p[a],
                       run->work[a]);
    record_means(run, step);
    if (!is_guided(run, step) || o->method->sees_images)
        return EQ_OK;
    EQ_TRY(ask_method(run, step, 0));
    for (int a = 0; a < run->adp_count; a++)
        move_h(run, a, eq_adp_head(run->adps[a], timestep), beta, h);
    return EQ_OK;
}

bool eq_guidance_wants_x0(const eq_guidance *run, int step)
{
    return run->options.method->sees_images && is_guided(run, step);
}

/* logits: [n, classes] -> softmax(logits / tau), in place */
static void to_probabilities(float *logits, int64_t n, int classes, double tau)
{
    for (int64_t i = 0; i < n; i++) {
        float *row = logits + i * classes, largest = row[0], sum = 0;
        for (int k = 1; k < classes; k++)
            largest = row[k] > largest ? row[k] : largest;
        for (int k = 0; k < classes; k++)
            sum += row[k] = expf((row[k] - largest) / (float)tau);
        for (int k = 0; k < classes; k++)
            row[k] /= sum;
    }
}

eq_status eq_guidance_apply_x0(eq_guidance *run, int step, const float *x0, float *dx0)
{
    const eq_guidance_options *o = &run->options;
    int first = run->adp_count;
    double tau = o->temperature > 0 ? o->temperature : 1;
    EQ_TRY(o->guide->look(o->guide->user, x0, run->n, run->p + first));
    for (int v = first; v < run->view_count; v++)
        to_probabilities(run->p[v], run->n, run->views[v].classes, tau);
    EQ_TRY(ask_method(run, step, first));
    for (int v = first; v < run->view_count; v++) {
        float factor = (float)(eq_guidance_strength(run, v) / tau); /* dlogits are of tempered ones */
        for (int64_t k = 0; k < run->n * run->views[v].classes; k++)
            run->dlogits[v][k] *= factor;
    }
    return o->guide->pull(o->guide->user, x0, run->n, run->dlogits + first, dx0);
}

eq_status eq_guidance_deal(eq_guidance *run)
{
    for (int t = 0; t < run->targets->count && run->cell[t * run->n] < 0; t++)
        EQ_TRY(eq_quota_deal(run->ctx, &run->targets->items[t], t, run->options.seed, run->n, run->cell + t * run->n));
    return EQ_OK;
}

double eq_guidance_cell_probability(const eq_guidance *run, int target, int64_t image, int cell)
{
    const eq_target *t = &run->targets->items[target];
    double product = 1;
    for (int a = 0; a < t->attribute_count; a++) {
        int view = run->target_view[target * EQ_TARGET_ATTRIBUTES + a];
        int classes = run->views[view].classes;
        product *= run->p[view][image * classes + eq_target_cell_class(t, cell, a)];
    }
    return product;
}

void eq_guidance_mean_cells(const eq_guidance *run, int target, double *mean)
{
    int cells = run->targets->items[target].cells;
    for (int c = 0; c < cells; c++) {
        double sum = 0;
        for (int64_t i = 0; i < run->n; i++)
            sum += eq_guidance_cell_probability(run, target, i, c);
        mean[c] = sum / (double)run->n;
    }
}

void eq_guidance_pull(eq_guidance *run, int target, int64_t image, int cell, double weight)
{
    const eq_target *t = &run->targets->items[target];
    for (int a = 0; a < t->attribute_count; a++) {
        int view = run->target_view[target * EQ_TARGET_ATTRIBUTES + a];
        int classes = run->views[view].classes, wanted = eq_target_cell_class(t, cell, a);
        for (int k = 0; k < classes; k++)
            run->dlogits[view][image * classes + k] +=
                (float)weight * (run->p[view][image * classes + k] - (k == wanted ? 1.0f : 0.0f));
    }
}
