#include "train/outcome_fit.h"

#include <math.h>
#include <stdlib.h>

/* Scales stay near 1: heads come calibrated on held-out images, and classes that part without error in some hundred
 * samples would make them too sure of the images between classes that guidance makes. */
static const double scale_ridge = 0.05, offset_ridge = 1e-4;

enum { ITERATIONS = 400 };

/* The loss at (scale, offset), and its gradient where it is asked for. */
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
        for (int k = 0; dscale && k < classes; k++) {
            double d = exp(s[k] - largest) / total - (k == labels[i]);
            sum_scale += d * row[k];
            sum_offset[k] += d;
        }
    }
    double count = known > 0 ? (double)known : 1;
    loss = loss / count + scale_ridge * (scale - 1) * (scale - 1);
    if (dscale)
        *dscale = sum_scale / count + 2 * scale_ridge * (scale - 1);
    for (int k = 0; k < classes; k++) {
        loss += offset_ridge * offset[k] * offset[k];
        if (dscale)
            doffset[k] = sum_offset[k] / count + 2 * offset_ridge * offset[k];
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

/* Gradient descent with a step that grows while the loss falls: the problem is convex and small. */
void eq_outcome_fit(const float *z, const int *labels, int64_t n, int classes, double *scale, double *offset)
{
    double a = 1, c[EQ_ADP_CLASSES] = {0}, step = 1, steepness = mean_square(z, n, classes);
    double da, dc[EQ_ADP_CLASSES], loss = loss_at(z, labels, n, classes, a, c, &da, dc);
    for (int i = 0; i < ITERATIONS && step > 1e-9; i++) {
        double next[EQ_ADP_CLASSES], next_a = a - step * da / steepness;
        for (int k = 0; k < classes; k++)
            next[k] = c[k] - step * dc[k];
        double lower = loss_at(z, labels, n, classes, next_a, next, NULL, NULL);
        if (!(next_a > 0) || !(lower < loss)) {
            step /= 2;
            continue;
        }
        a = next_a;
        memcpy(c, next, (size_t)classes * sizeof *c);
        loss = loss_at(z, labels, n, classes, a, c, &da, dc);
        step *= 1.5;
    }
    *scale = a;
    memcpy(offset, c, (size_t)classes * sizeof *c);
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

/* z: [images, classes] of one head. h: [h_count], work: eq_adp_work(adp, 1), scratch */
static void head_logits(const eq_adp *adp, int head, const eq_h_store *store, int t, float *h, float *work, float *z)
{
    for (int64_t i = 0; i < store->images; i++) {
        float *row = z + i * adp->attribute.classes;
        eq_f16_row_to_f32(store->h + ((int64_t)t * store->images + i) * store->h_count, (size_t)store->h_count, h);
        eq_adp_predict(adp, head, 1.0, h, 1, row, work);
        for (int k = 0; k < adp->attribute.classes; k++)
            row[k] = logf(row[k] > 1e-30f ? row[k] : 1e-30f);
    }
    eq_h_store_release(store);
}

static void fold(eq_adp *adp, int head, double scale, const double *offset)
{
    int classes = adp->attribute.classes;
    int64_t inputs = adp->hidden > 0 ? adp->hidden : adp->h_count;
    float *weight = (adp->hidden > 0 ? adp->weight2 : adp->weight) + (int64_t)head * classes * inputs;
    float *bias = (adp->hidden > 0 ? adp->bias2 : adp->bias) + (int64_t)head * classes;
    for (int64_t j = 0; j < classes * inputs; j++)
        weight[j] *= (float)scale;
    for (int k = 0; k < classes; k++)
        bias[k] = (float)(bias[k] * scale + offset[k]);
}

eq_status eq_adp_fit_outcomes(eq_context *ctx, const eq_h_store *store, const int *labels, eq_adp *adp)
{
    EQ_TRY(check(ctx, store, labels, adp));
    float *z = malloc((size_t)store->images * (size_t)adp->attribute.classes * sizeof *z);
    float *h = malloc((size_t)adp->h_count * sizeof *h), *work = malloc(eq_adp_work(adp, 1) * sizeof *work);
    eq_status status = z && h && work ? EQ_OK : eq_fail_memory(ctx, "heads");
    for (int head = 0; status == EQ_OK && head < adp->heads; head++) {
        double scale, offset[EQ_ADP_CLASSES];
        head_logits(adp, head, store, find_timestep(store, adp->timesteps[head]), h, work, z);
        eq_outcome_fit(z, labels, store->images, adp->attribute.classes, &scale, offset);
        fold(adp, head, scale, offset);
    }
    free(z);
    free(h);
    free(work);
    return status;
}
