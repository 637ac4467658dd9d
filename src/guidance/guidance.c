#include "guidance/guidance.h"

#include <math.h>
#include <stdlib.h>

#include "guidance/target.h"

static const eq_method *const methods[] = {
    &eq_method_none,
    &eq_method_distribution,
    &eq_method_sample,
    &eq_method_assign,
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

/* Heads that came without class directions move along their weights: a strength of 1 moves tempered logits by this,
 * from doubt to about 99.97%, as far as the means of two classes that such a head tells apart usually lie. */
static const double sure_logits = 8;

static eq_status check_classes(eq_context *ctx, const eq_attribute *ours, const eq_attribute *wanted)
{
    if (ours->classes != wanted->classes)
        return eq_fail(ctx, EQ_BAD_USAGE, "the predictor of \"%s\" knows %d classes, the target %d", ours->name,
                       ours->classes, wanted->classes);
    for (int k = 0; k < ours->classes; k++)
        if (strcmp(ours->class_names[k], wanted->class_names[k]) != 0)
            return eq_fail(ctx, EQ_BAD_USAGE, "class %d of \"%s\" is \"%s\" to its predictor, \"%s\" to the target",
                           k + 1, ours->name, ours->class_names[k], wanted->class_names[k]);
    return EQ_OK;
}

/* Without guidance, targets are only there to be measured against. */
static eq_status find_predictors(eq_guidance *run)
{
    if (!run->options.method->step)
        return EQ_OK;
    for (int t = 0; t < run->targets->count; t++) {
        const eq_target *target = &run->targets->items[t];
        for (int a = 0; a < target->attribute_count; a++) {
            const char *name = target->attributes[a].name;
            int found = -1;
            for (int i = 0; i < run->adp_count; i++)
                if (strcmp(run->adps[i]->attribute.name, name) == 0)
                    found = i;
            if (found < 0)
                return eq_fail(
                    run->ctx, EQ_BAD_USAGE,
                    "no attribute predictor for \"%s\": give one with --adp, or train it with `equipoise train adp`",
                    name);
            EQ_TRY(check_classes(run->ctx, &run->adps[found]->attribute, &target->attributes[a]));
            run->target_adp[t * EQ_TARGET_ATTRIBUTES + a] = found;
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
    run->target_adp = calloc(targets * EQ_TARGET_ATTRIBUTES + 1, sizeof *run->target_adp);
    run->cell = malloc((targets * n + 1) * sizeof *run->cell);
    run->moved = calloc(n, sizeof *run->moved);
    run->cost = malloc(n * (size_t)most_cells(run->targets) * sizeof *run->cost);
    bool complete = run->target_adp && run->cell && run->moved && run->cost;
    for (int a = 0; a < run->adp_count; a++) {
        size_t classes = (size_t)run->adps[a]->attribute.classes;
        run->p[a] = calloc(n * classes, sizeof(float));
        run->dlogits[a] = calloc(n * classes, sizeof(float));
        run->work[a] = malloc(eq_adp_work(run->adps[a], run->n) * sizeof(float));
        run->cell_mean[a] = calloc((size_t)run->steps * classes, sizeof(double));
        complete = complete && run->p[a] && run->dlogits[a] && run->work[a] && run->cell_mean[a];
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
    eq_status status = allocate(run);
    if (status == EQ_OK)
        status = find_predictors(run);
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
        free(run->p[a]);
        free(run->dlogits[a]);
        free(run->work[a]);
        free(run->cell_mean[a]);
    }
    free(run->target_adp);
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

static void mark_moved(eq_guidance *run, int adp)
{
    int classes = run->adps[adp]->attribute.classes;
    for (int64_t i = 0; i < run->n; i++)
        for (int k = 0; k < classes; k++)
            run->moved[i] = run->moved[i] || run->dlogits[adp][i * classes + k] != 0;
}

double eq_guidance_strength(const eq_guidance *run, int adp)
{
    const eq_guidance_options *o = &run->options;
    if (o->strengths[adp] > 0)
        return o->strengths[adp];
    if (o->rule != EQ_STRENGTH_NORMALISED)
        return o->strength > 0 ? o->strength : 1.0;
    double calibrated = run->adps[adp]->strength > 0 ? run->adps[adp]->strength : 1.0;
    return calibrated * (o->strength > 0 ? o->strength : o->method->default_strength);
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
            eq_adp_shift(heads, head, strength * images, dlogits, run->n, h);
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
    if (!o->method->step || step < o->first_step || step > o->last_step)
        return EQ_OK;
    for (int a = 0; a < run->adp_count; a++)
        memset(run->dlogits[a], 0, (size_t)run->n * (size_t)run->adps[a]->attribute.classes * sizeof(float));
    EQ_TRY(o->method->step(run, step));
    for (int a = 0; a < run->adp_count; a++) {
        int head = eq_adp_head(run->adps[a], timestep);
        mark_moved(run, a);
        move_h(run, a, head, beta, h);
    }
    return EQ_OK;
}

double eq_guidance_cell_probability(const eq_guidance *run, int target, int64_t image, int cell)
{
    const eq_target *t = &run->targets->items[target];
    double product = 1;
    for (int a = 0; a < t->attribute_count; a++) {
        int adp = run->target_adp[target * EQ_TARGET_ATTRIBUTES + a];
        int classes = run->adps[adp]->attribute.classes;
        product *= run->p[adp][image * classes + eq_target_cell_class(t, cell, a)];
    }
    return product;
}

void eq_guidance_pull(eq_guidance *run, int target, int64_t image, int cell, double weight)
{
    const eq_target *t = &run->targets->items[target];
    for (int a = 0; a < t->attribute_count; a++) {
        int adp = run->target_adp[target * EQ_TARGET_ATTRIBUTES + a];
        int classes = run->adps[adp]->attribute.classes, wanted = eq_target_cell_class(t, cell, a);
        for (int k = 0; k < classes; k++)
            run->dlogits[adp][image * classes + k] +=
                (float)weight * (run->p[adp][image * classes + k] - (k == wanted ? 1.0f : 0.0f));
    }
}
