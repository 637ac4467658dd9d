#include "train/outcome_fit.h"

#include <math.h>
#include <stdlib.h>

#include "train/head_logits.h"

/* Scales stay near 1: heads come calibrated on held-out images, and classes that part without error in some hundred
 * samples would make them too sure of the images between classes that guidance makes. */
static const double scale_ridge = 0.05, offset_ridge = 1e-4;

enum { ITERATIONS = 400 };

/* The loss at (scale, offset [classes]) and its gradient. */
static double loss_at(const float *z, const int *labels, int64_t n, int classes, double scale, const double *offset,
                      double *dscale, double *doffset)
{
    double loss = 0, sum_scale = 0, sum_offset[EQ_ADP_CLASSES] = {0};
    int64_t known = 0;
    for (int64_t i = 0; i < n; i++) {
        const float *row = z + i * classes;
        double s[EQ_ADP_CLASSES] = {0}, largest = -INFINITY, total = 0;
        if (labels[i] < 0)
            continue;
        known++;
        for (int k = 0; k < classes; k++) {
            s[k] = scale * row[k] + offset[k];
            largest = s[k] > largest ? s[k] : largest;
        }
        for (int k = 0; k < classes; k++)
            total += exp(s[k] - largest);
        loss += largest + log(total) - s[labels[i]];
        for (int k = 0; k < classes; k++) {
            double d = exp(s[k] - largest) / total - (k == labels[i]);
            sum_scale += d * row[k];
            sum_offset[k] += d;
        }
    }
    double count = known > 0 ? (double)known : 1;
    *dscale = sum_scale / count + 2 * scale_ridge * (scale - 1);
    loss = loss / count + scale_ridge * (scale - 1) * (scale - 1);
    for (int k = 0; k < classes; k++) {
        doffset[k] = sum_offset[k] / count + 2 * offset_ridge * offset[k];
        loss += offset_ridge * offset[k] * offset[k];
    }
    return loss;
}

/* Mean square of the logits: along the scale, the loss is so much steeper than along the offsets. */
static double mean_square(const float *z, int64_t n, int classes)
{
    double sum = 0;
    for (int64_t i = 0; i < n * classes; i++)
        sum += (double)z[i] * z[i];
    double mean = n > 0 ? sum / (double)(n * classes) : 1;
    return mean > 1e-3 ? mean : 1e-3;
}

/* Where the descent is. */
typedef struct point {
    double loss, scale, dscale, offset[EQ_ADP_CLASSES], doffset[EQ_ADP_CLASSES];
} point;

/* Gradient descent with a step that grows while the loss falls: the problem is convex and small. */
void eq_outcome_fit(const float *z, const int *labels, int64_t n, int classes, double *scale, double *offset)
{
    double step = 1, steepness = mean_square(z, n, classes);
    point at = {.scale = 1};
    at.loss = loss_at(z, labels, n, classes, at.scale, at.offset, &at.dscale, at.doffset);
    for (int i = 0; i < ITERATIONS && step > 1e-9; i++) {
        point next = {.scale = at.scale - step * at.dscale / steepness};
        for (int k = 0; k < classes; k++)
            next.offset[k] = at.offset[k] - step * at.doffset[k];
        next.loss = loss_at(z, labels, n, classes, next.scale, next.offset, &next.dscale, next.doffset);
        bool better = next.scale > 0 && next.loss < at.loss;
        if (better)
            at = next;
        step *= better ? 1.5 : 0.5;
    }
    *scale = at.scale;
    memcpy(offset, at.offset, (size_t)classes * sizeof *offset);
}

float eq_outcome_accuracy(const float *z, const int *labels, int64_t n, int classes, double scale, const double *offset)
{
    int64_t total[EQ_ADP_CLASSES] = {0};
    double even[EQ_ADP_CLASSES];
    for (int64_t i = 0; i < n; i++)
        if (labels[i] >= 0)
            total[labels[i]]++;
    for (int k = 0; k < classes; k++) /* a class that did not come about is not guessed */
        even[k] = total[k] > 0 ? offset[k] - log((double)total[k]) : -INFINITY;
    return eq_head_accuracy(z, labels, NULL, n, classes, scale, even);
}

/* Where in the store a timestep is, or -1. */
static int find_timestep(const eq_h_store *store, int64_t timestep)
{
    for (int t = 0; t < store->timesteps; t++)
        if (store->timestep[t] == timestep)
            return t;
    return -1;
}

static eq_status check(eq_context *ctx, const eq_h_store *store, const int *labels, const eq_adp *adp)
{
    int64_t total[EQ_ADP_CLASSES] = {0};
    if (store->h_count != adp->h_count || strcmp(store->model_hash, adp->model_hash) != 0)
        return eq_fail(ctx, EQ_BAD_USAGE, "the samples are not of the model that the predictor of \"%s\" reads",
                       adp->attribute.name);
    for (int head = 0; head < adp->heads; head++)
        if (find_timestep(store, adp->timesteps[head]) < 0)
            return eq_fail(ctx, EQ_BAD_USAGE, "no h of timestep %lld was recorded", (long long)adp->timesteps[head]);
    for (int64_t i = 0; i < store->images; i++)
        if (labels[i] >= 0)
            total[labels[i]]++;
    for (int k = 0; k < adp->attribute.classes; k++)
        if (total[k] == 0)
            return eq_fail(ctx, EQ_BAD_INPUT, "none of %lld samples is \"%s\" of \"%s\": more samples are needed",
                           (long long)store->images, adp->attribute.class_names[k], adp->attribute.name);
    return EQ_OK;
}

eq_status eq_adp_fit_outcomes(eq_context *ctx, const eq_h_store *store, const int *labels, eq_adp *adp)
{
    int classes = adp->attribute.classes;
    EQ_TRY(check(ctx, store, labels, adp));
    float *z = malloc((size_t)store->images * (size_t)classes * sizeof *z);
    if (!adp->outcome_accuracy)
        adp->outcome_accuracy = calloc((size_t)adp->heads, sizeof *adp->outcome_accuracy);
    eq_status status = z && adp->outcome_accuracy ? EQ_OK : eq_fail_memory(ctx, "heads");
    for (int head = 0; status == EQ_OK && head < adp->heads; head++) {
        double scale, offset[EQ_ADP_CLASSES];
        int t = find_timestep(store, adp->timesteps[head]);
        status = eq_head_logits(ctx, adp, head, store, t, NULL, store->images, z);
        if (status != EQ_OK)
            break;
        eq_outcome_fit(z, labels, store->images, classes, &scale, offset);
        adp->outcome_accuracy[head] = eq_outcome_accuracy(z, labels, store->images, classes, scale, offset);
        eq_head_adjust(adp, head, 1 / scale, offset);
    }
    free(z);
    return status;
}
