#include "guidance/adp.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guidance/target.h"

static int outputs_of(const eq_adp *adp)
{
    return adp->hidden > 0 ? adp->hidden : adp->attribute.classes;
}

eq_status eq_adp_new(eq_context *ctx, const eq_attribute *attribute, int heads, eq_shape h_shape, int hidden,
                     eq_adp *out)
{
    *out = (eq_adp){0};
    if (attribute->classes < 2 || attribute->classes > EQ_ADP_CLASSES)
        return eq_fail(ctx, EQ_BAD_USAGE, "attribute \"%s\": a predictor knows 2 to %d classes, not %d",
                       attribute->name, EQ_ADP_CLASSES, attribute->classes);
    *out = (eq_adp){
        .heads = heads, .h_shape = h_shape, .h_count = eq_shape_count(&h_shape), .hidden = hidden, .temperature = 8.0};
    EQ_TRY(eq_attribute_copy(ctx, attribute, &out->attribute));
    size_t n = (size_t)heads, outputs = (size_t)outputs_of(out), classes = (size_t)attribute->classes;
    out->timesteps = calloc(n, sizeof *out->timesteps);
    out->weight = calloc(n * outputs * (size_t)out->h_count, sizeof(float));
    out->bias = calloc(n * outputs, sizeof(float));
    bool complete = out->timesteps && out->weight && out->bias;
    if (hidden > 0) {
        out->weight2 = calloc(n * classes * (size_t)hidden, sizeof(float));
        out->bias2 = calloc(n * classes, sizeof(float));
        complete = complete && out->weight2 && out->bias2;
    }
    if (complete)
        return EQ_OK;
    eq_adp_free(out);
    return eq_fail_memory(ctx, "the heads of an attribute predictor");
}

void eq_adp_free(eq_adp *adp)
{
    eq_attribute_clear(&adp->attribute);
    free(adp->timesteps);
    free(adp->weight);
    free(adp->bias);
    free(adp->weight2);
    free(adp->bias2);
    free(adp->accuracy);
    free(adp->outcome_accuracy);
    free(adp->direction);
    *adp = (eq_adp){0};
}

static int find_factor(const eq_adp *adp, const char *method)
{
    for (int i = 0; i < adp->factor_count; i++)
        if (strcmp(adp->factors[i].method, method) == 0)
            return i;
    return -1;
}

double eq_adp_factor_of(const eq_adp *adp, const char *method)
{
    int i = find_factor(adp, method);
    return i >= 0 ? adp->factors[i].value : adp->strength;
}

eq_status eq_adp_set_factor(eq_context *ctx, eq_adp *adp, const char *method, double value)
{
    int i = find_factor(adp, method);
    if (value <= 0) {
        if (i >= 0)
            adp->factors[i] = adp->factors[--adp->factor_count];
        return EQ_OK;
    }
    if (strlen(method) >= EQ_ADP_METHOD_NAME || (i < 0 && adp->factor_count == EQ_ADP_FACTORS))
        return eq_fail(ctx, EQ_BAD_USAGE, "\"%s\": a predictor keeps factors of at most %d methods, of names below %d",
                       method, EQ_ADP_FACTORS, EQ_ADP_METHOD_NAME);
    if (i < 0)
        i = adp->factor_count++;
    snprintf(adp->factors[i].method, sizeof adp->factors[i].method, "%s", method);
    adp->factors[i].value = value;
    return EQ_OK;
}

int eq_adp_head(const eq_adp *adp, double timestep)
{
    int best = 0;
    for (int i = 1; i < adp->heads; i++)
        if (fabs((double)adp->timesteps[i] - timestep) < fabs((double)adp->timesteps[best] - timestep))
            best = i;
    return best;
}

double eq_adp_sight(const eq_adp *adp, int head)
{
    double chance = 1.0 / adp->attribute.classes;
    const float *accuracy = adp->outcome_accuracy ? adp->outcome_accuracy : adp->accuracy;
    if (!accuracy || isnan(accuracy[head]))
        return 1;
    return fmax(0, (accuracy[head] - chance) / (1 - chance));
}

size_t eq_adp_work(const eq_adp *adp, int64_t n)
{
    return 2 * (size_t)n * (size_t)outputs_of(adp);
}

static float dot(const float *a, const float *b, int64_t count)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < count; i++)
        sum += a[i] * b[i];
    return sum;
}

static void softmax(float *z, int k, float inverse_temperature)
{
    float largest = z[0], sum = 0;
    for (int i = 1; i < k; i++)
        largest = z[i] > largest ? z[i] : largest;
    for (int i = 0; i < k; i++)
        sum += z[i] = expf((z[i] - largest) * inverse_temperature);
    for (int i = 0; i < k; i++)
        z[i] /= sum;
}

void eq_adp_predict(const eq_adp *adp, int head, double temperature, const float *h, int64_t n, float *p, float *work)
{
    int outputs = outputs_of(adp), classes = adp->attribute.classes;
    const float *weight = adp->weight + (int64_t)head * outputs * adp->h_count;
    const float *bias = adp->bias + (int64_t)head * outputs;
    float inverse = (float)(1.0 / (temperature > 0 ? temperature : adp->temperature));
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) {
        float *hidden = adp->hidden > 0 ? work + i * outputs : p + i * classes;
        for (int k = 0; k < outputs; k++)
            hidden[k] = bias[k] + dot(weight + k * adp->h_count, h + i * adp->h_count, adp->h_count);
        if (adp->hidden > 0) {
            const float *weight2 = adp->weight2 + (int64_t)head * classes * outputs;
            for (int k = 0; k < outputs; k++)
                hidden[k] = hidden[k] > 0 ? hidden[k] : 0;
            for (int k = 0; k < classes; k++)
                p[i * classes + k] =
                    adp->bias2[head * classes + k] + dot(weight2 + (int64_t)k * outputs, hidden, outputs);
        }
        softmax(p + i * classes, classes, inverse);
    }
}

/* rows [count, h_count]; h: [h_count] -= step * rows^T factors */
static void subtract_rows(const float *rows, const float *factors, int count, float step, float *h, int64_t h_count)
{
    for (int k = 0; k < count; k++) {
        float factor = step * factors[k];
        if (factor == 0)
            continue;
        const float *row = rows + (int64_t)k * h_count;
#pragma omp simd
        for (int64_t j = 0; j < h_count; j++)
            h[j] -= factor * row[j];
    }
}

void eq_adp_push(const eq_adp *adp, int head, double temperature, double step, const float *dlogits, int64_t n,
                 float *h, float *work)
{
    int outputs = outputs_of(adp), classes = adp->attribute.classes;
    const float *weight = adp->weight + (int64_t)head * outputs * adp->h_count;
    float factor = (float)(step / (temperature > 0 ? temperature : adp->temperature));
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) {
        const float *dz = dlogits + i * classes;
        if (adp->hidden > 0) {
            const float *hidden = work + i * outputs;
            const float *weight2 = adp->weight2 + (int64_t)head * classes * outputs;
            float *dhidden = work + n * outputs + i * outputs;
            for (int j = 0; j < outputs; j++) {
                float sum = 0;
                for (int k = 0; k < classes; k++)
                    sum += dz[k] * weight2[(int64_t)k * outputs + j];
                dhidden[j] = hidden[j] > 0 ? sum : 0;
            }
            dz = dhidden;
        }
        subtract_rows(weight, dz, outputs, factor, h + i * adp->h_count, adp->h_count);
    }
}

void eq_adp_shift(const eq_adp *adp, int head, double step, const float *dlogits, int64_t n, float *h)
{
    int classes = adp->attribute.classes;
    const float *direction = adp->direction + (int64_t)head * classes * adp->h_count;
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++)
        subtract_rows(direction, dlogits + i * classes, classes, (float)step, h + i * adp->h_count, adp->h_count);
}

/* sum over k of (value_k - mean value)^2, over classes, in column j of the linear map from h to the logits: rows
 * combine `weight` by mix [classes, outputs] or are its own rows where mix is NULL. */
static double column_square(const eq_adp *adp, const float *weight, const float *mix, int64_t j)
{
    int outputs = outputs_of(adp), classes = adp->attribute.classes;
    double sum = 0, squares = 0;
    for (int k = 0; k < classes; k++) {
        double value = 0;
        if (!mix)
            value = weight[(int64_t)k * adp->h_count + j];
        for (int o = 0; mix && o < outputs; o++)
            value += (double)mix[(int64_t)k * outputs + o] * weight[(int64_t)o * adp->h_count + j];
        sum += value;
        squares += value * value;
    }
    return squares - sum * sum / classes;
}

/* Summed in blocks of fixed size, so that the step does not depend on the number of threads. */
static double centred_square(const eq_adp *adp, const float *weight, const float *mix)
{
    enum { BLOCKS = 64 };
    double partial[BLOCKS] = {0}, total = 0;
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < BLOCKS; b++)
        for (int64_t j = adp->h_count * b / BLOCKS; j < adp->h_count * (b + 1) / BLOCKS; j++)
            partial[b] += column_square(adp, weight, mix, j);
    for (int b = 0; b < BLOCKS; b++)
        total += partial[b];
    return total / (adp->attribute.classes - 1);
}

double eq_adp_gain(const eq_adp *adp, int head, double temperature)
{
    int outputs = outputs_of(adp), classes = adp->attribute.classes;
    double tau = temperature > 0 ? temperature : adp->temperature;
    const float *mix = adp->hidden > 0 ? adp->weight2 + (int64_t)head * classes * outputs : NULL;
    return centred_square(adp, adp->weight + (int64_t)head * outputs * adp->h_count, mix) / (tau * tau);
}
