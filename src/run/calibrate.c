/* --strength auto: a few strengths are tried on a small batch, from weak to strong, and the best trade between distance
 * to the target and drift from the unguided twins is kept. */
#include <math.h>
#include <stdlib.h>

#include "run/pipeline.h"

enum { CALIBRATION_IMAGES = 48, CALIBRATION_STEPS = 25 };

static const double strengths[] = {25, 50, 100, 200, 400, 800, 1600};

/* What a drift of 1 (root mean square over pixels, of values in [-1, 1]) is worth in FD. A set whose images have all
 * become others, about 0.5, so costs as much as one that misses 50/50 by 0.1 each way. */
static const double drift_price = 0.3;

/* Mean over targets of the L2 distance between the shares of images by their most probable cell and the target, by the
 * predictors' view at the last step. */
static double distance(const eq_pipeline *pipeline, const eq_targets *targets, const eq_generation *g)
{
    double total = 0;
    for (int t = 0; t < targets->count; t++) {
        const eq_target *target = &targets->items[t];
        double share[EQ_TARGET_CELLS] = {0}, square = 0;
        for (int64_t i = 0; i < g->count; i++) {
            int best = 0;
            double highest = -1;
            for (int c = 0; c < target->cells; c++) {
                double p = 1;
                for (int a = 0; a < target->attribute_count; a++) {
                    int adp = eq_attribute_find(pipeline->attributes, pipeline->adp_count, target->attributes[a].name);
                    int classes = pipeline->attributes[adp].classes;
                    p *= g->predictions[adp][i * classes + eq_target_cell_class(target, c, a)];
                }
                if (p > highest) {
                    highest = p;
                    best = c;
                }
            }
            share[best] += 1.0 / (double)g->count;
        }
        for (int c = 0; c < target->cells; c++)
            square += (share[c] - target->p[c]) * (share[c] - target->p[c]);
        total += sqrt(square);
    }
    return targets->count ? total / targets->count : 0;
}

/* Root mean square difference of pixels, in units where black to white is 2. */
static double drift(const eq_generation *a, const eq_generation *b)
{
    size_t count = (size_t)a->count * (size_t)a->width * (size_t)a->height * 3;
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        double d = ((double)a->pixels[i] - b->pixels[i]) / 127.5;
        sum += d * d;
    }
    return sqrt(sum / (double)count);
}

static eq_status try_strengths(eq_pipeline *pipeline, eq_generate_options *o, const eq_targets *targets,
                               const eq_generation *twin, double *strength)
{
    double best = INFINITY;
    for (size_t i = 0; i < sizeof strengths / sizeof strengths[0]; i++) {
        eq_generation guided;
        o->strength = strengths[i];
        EQ_TRY(eq_generate(pipeline, o, targets, &guided));
        double d = distance(pipeline, targets, &guided), moved = drift(&guided, twin);
        eq_generation_free(&guided);
        double cost = d + drift_price * moved;
        eq_log(pipeline->ctx, EQ_LOG_INFO, "strength %g: distance to the target %.3f, drift %.3f", strengths[i], d,
               moved);
        if (cost < best) {
            best = cost;
            *strength = strengths[i];
        } else if (drift_price * moved > best) {
            break; /* drift only grows from here */
        }
    }
    return EQ_OK;
}

eq_status eq_calibrate(eq_pipeline *pipeline, const eq_generate_options *options, const eq_targets *targets,
                       double *strength)
{
    if (targets->count == 0)
        return eq_fail(pipeline->ctx, EQ_BAD_USAGE, "calibration needs a target");
    eq_generate_options o = *options;
    o.count = o.coupled = CALIBRATION_IMAGES;
    o.steps = o.steps > 0 && o.steps < CALIBRATION_STEPS ? o.steps : CALIBRATION_STEPS;
    o.guide_first = o.guide_last = 0;
    /* Other images than those of the run, so that the choice does not fit itself to them. */
    o.seed ^= 0x5EEDC0DEu;
    o.progress = NULL;
    eq_generate_options plain = o;
    plain.method = "none";
    eq_generation twin;
    eq_targets no_targets = {0};
    EQ_TRY(eq_generate(pipeline, &plain, &no_targets, &twin));
    eq_status status = try_strengths(pipeline, &o, targets, &twin, strength);
    eq_generation_free(&twin);
    return status;
}
