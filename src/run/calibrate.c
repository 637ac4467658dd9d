/* --strength auto: how much harder than usual a method must draw each attribute. A few factors are tried on a small
 * batch, in as many steps as the run has, from weak to strong, and the best trade between distance to the target and
 * drift from the unguided twins is kept. */
#include <math.h>
#include <stdlib.h>

#include "eval/labelling.h"
#include "guidance/adp_file.h"
#include "run/calibrate.h"
#include "run/settings.h"

enum { CALIBRATION_IMAGES = 64 };

static const double factors[] = {0.5, 1, 2, 4, 8};

/* What a drift of 1 (root mean square over pixels, of values in [-1, 1]) is worth in FD. A set whose images have all
 * become others, about 0.5, so costs as much as one that misses 50/50 by 0.1 each way. */
static const double drift_price = 0.3;

double eq_calibration_distance(const eq_generation *g, int adp, int classes, const double *p)
{
    double share[EQ_ADP_CLASSES] = {0}, square = 0;
    for (int64_t i = 0; i < g->count; i++)
        share[eq_most_probable(g->predictions[adp] + i * classes, classes)] += 1.0 / (double)g->count;
    for (int k = 0; k < classes; k++)
        square += (share[k] - p[k]) * (share[k] - p[k]);
    return sqrt(square);
}

double eq_calibration_drift(const eq_generation *a, const eq_generation *b)
{
    size_t count = (size_t)a->count * (size_t)a->width * (size_t)a->height * 3;
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        double d = ((double)a->pixels[i] - b->pixels[i]) / 127.5;
        sum += d * d;
    }
    return sqrt(sum / (double)count);
}

double eq_calibration_cost(double distance, double drift)
{
    return distance + drift_price * drift;
}

/* Leaves the method's best factor in the predictor. p: [classes] what the target asks of its attribute. */
static eq_status try_factors(eq_pipeline *pipeline, const eq_generate_options *o, int adp, double *p,
                             const eq_generation *twin)
{
    eq_adp *heads = &pipeline->adps[adp];
    eq_attribute *attribute = &pipeline->attributes[adp];
    eq_target alone = {.attribute_count = 1, .attributes = attribute, .cells = attribute->classes, .p = p};
    const eq_targets targets = {1, &alone};
    double lowest = INFINITY, best = 1;
    for (size_t i = 0; i < sizeof factors / sizeof factors[0]; i++) {
        eq_generation guided;
        EQ_TRY(eq_adp_set_factor(pipeline->ctx, heads, o->method, factors[i]));
        EQ_TRY(eq_generate(pipeline, o, &targets, &guided));
        double d = eq_calibration_distance(&guided, adp, attribute->classes, p);
        double moved = eq_calibration_drift(&guided, twin), cost = eq_calibration_cost(d, moved);
        eq_generation_free(&guided);
        eq_log(pipeline->ctx, EQ_LOG_INFO, "%s, %s, factor %g: distance to the target %.3f, drift %.3f", o->method,
               attribute->name, factors[i], d, moved);
        if (cost < lowest) {
            lowest = cost;
            best = factors[i];
        } else if (drift_price * moved > lowest) {
            break; /* drift only grows from here */
        }
    }
    return eq_adp_set_factor(pipeline->ctx, heads, o->method, best);
}

/* A model folder may be read-only: what was found then holds for this run alone. */
static void remember(const eq_pipeline *pipeline, int adp)
{
    if (eq_adp_write(pipeline->ctx, pipeline->adp_paths[adp], &pipeline->adps[adp]) != EQ_OK)
        eq_log(pipeline->ctx, EQ_LOG_WARNING, "the factor of \"%s\" could not be stored: %s",
               pipeline->attributes[adp].name, eq_last_error(pipeline->ctx));
}

static eq_status calibrate_target(eq_pipeline *pipeline, const eq_generate_options *o, const eq_target *target,
                                  const eq_generation *twin)
{
    for (int a = 0; a < target->attribute_count; a++) {
        const char *name = target->attributes[a].name;
        int adp = eq_attribute_find(pipeline->attributes, pipeline->adp_count, name);
        double p[EQ_ADP_CLASSES];
        if (adp < 0)
            return eq_fail(pipeline->ctx, EQ_BAD_USAGE, "no attribute predictor for \"%s\"", name);
        double before = eq_adp_factor_of(&pipeline->adps[adp], o->method);
        eq_target_marginal(target, a, p);
        eq_status status = try_factors(pipeline, o, adp, p, twin);
        if (status != EQ_OK) {
            (void)eq_adp_set_factor(pipeline->ctx, &pipeline->adps[adp], o->method, before); /* what failed is status */
            return status;
        }
        remember(pipeline, adp);
    }
    return EQ_OK;
}

eq_status eq_calibrate(eq_pipeline *pipeline, const eq_generate_options *options, const eq_targets *targets)
{
    if (targets->count == 0)
        return eq_fail(pipeline->ctx, EQ_BAD_USAGE, "calibration needs a target");
    const eq_method *method;
    EQ_TRY(eq_run_method(pipeline->ctx, options, targets, &method));
    if (!method->step)
        return eq_fail(pipeline->ctx, EQ_BAD_USAGE, "method %s has no strength to be found", method->name);
    eq_generate_options o = *options;
    o.method = method->name;
    o.count = o.coupled = CALIBRATION_IMAGES;
    o.guide_first = o.guide_last = 0;
    o.strength = 0; /* factors belong to the method's own */
    /* Other images than those of the run, so that the choice does not fit itself to them. */
    o.seed ^= 0x5EEDC0DEu;
    o.progress = NULL;
    eq_generate_options plain = o;
    plain.method = "none";
    eq_generation twin;
    eq_targets no_targets = {0};
    EQ_TRY(eq_generate(pipeline, &plain, &no_targets, &twin));
    eq_status status = EQ_OK;
    for (int t = 0; t < targets->count && status == EQ_OK; t++)
        status = calibrate_target(pipeline, &o, &targets->items[t], &twin);
    eq_generation_free(&twin);
    return status;
}
