#include "train/head_logits.h"

#include <math.h>
#include <stdlib.h>

eq_status eq_head_logits(eq_context *ctx, const eq_adp *adp, int head, const eq_h_store *store, int t,
                         const int64_t *images, int64_t count, float *logits)
{
    int classes = adp->attribute.classes;
    int64_t rows = EQ_H_STORE_RESIDENT / (store->h_count * (int64_t)sizeof *store->h) + 1; /* that are read at a time */
    float *h = malloc((size_t)adp->h_count * sizeof *h);
    float *work = malloc(eq_adp_work(adp, 1) * sizeof *work);
    bool complete = h && work;
    for (int64_t i = 0; complete && i < count; i++) {
        int64_t image = images ? images[i] : i;
        float *row = logits + i * classes;
        eq_f16_row_to_f32(store->h + ((int64_t)t * store->images + image) * store->h_count, (size_t)store->h_count, h);
        eq_adp_predict(adp, head, 1.0, h, 1, row, work);
        for (int k = 0; k < classes; k++)
            row[k] = logf(row[k] > 1e-30f ? row[k] : 1e-30f);
        if ((i + 1) % rows == 0)
            eq_h_store_release(store);
    }
    eq_h_store_release(store);
    free(h);
    free(work);
    return complete ? EQ_OK : eq_fail_memory(ctx, "a head");
}

float eq_head_accuracy(const float *logits, const int *labels, const int64_t *images, int64_t count, int classes,
                       double scale, const double *offset)
{
    int64_t right[EQ_ADP_CLASSES] = {0}, total[EQ_ADP_CLASSES] = {0};
    for (int64_t i = 0; i < count; i++) {
        int truth = labels[images ? images[i] : i], best = 0;
        double most = -INFINITY;
        for (int k = 0; k < classes; k++) {
            double s = scale * logits[i * classes + k] + (offset ? offset[k] : 0);
            best = s > most ? k : best;
            most = fmax(s, most);
        }
        if (truth < 0)
            continue;
        total[truth]++;
        right[truth] += best == truth;
    }
    double sum = 0;
    int seen = 0;
    for (int k = 0; k < classes; k++)
        if (total[k] > 0) {
            sum += (double)right[k] / (double)total[k];
            seen++;
        }
    return seen ? (float)(sum / seen) : NAN;
}

void eq_head_adjust(eq_adp *adp, int head, double temperature, const double *offset)
{
    int classes = adp->attribute.classes;
    int64_t inputs = adp->hidden > 0 ? adp->hidden : adp->h_count;
    float *weight = (adp->hidden > 0 ? adp->weight2 : adp->weight) + (int64_t)head * classes * inputs;
    float *bias = (adp->hidden > 0 ? adp->bias2 : adp->bias) + (int64_t)head * classes;
    for (int64_t j = 0; j < classes * inputs; j++)
        weight[j] /= (float)temperature;
    for (int k = 0; k < classes; k++)
        bias[k] = bias[k] / (float)temperature + (offset ? (float)offset[k] : 0.0f);
}
