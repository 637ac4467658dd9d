#include "train/class_directions.h"

#include <math.h>

/* |direction| of a head over all classes. */
static double direction_norm(const eq_adp *adp, int head)
{
    int64_t count = (int64_t)adp->attribute.classes * adp->h_count;
    const float *direction = adp->direction + head * count;
    double sum = 0;
    for (int64_t k = 0; k < count; k++)
        sum += (double)direction[k] * direction[k];
    return sqrt(sum);
}

void eq_class_directions_clean(eq_adp *adp)
{
    int64_t count = (int64_t)adp->attribute.classes * adp->h_count;
    double enough = 0.5 + 0.5 / adp->attribute.classes, longest = 0;
    for (int i = 1; i < adp->heads; i++)
        if (adp->accuracy[i] < enough)
            memcpy(adp->direction + i * count, adp->direction + (i - 1) * count, (size_t)count * sizeof(float));
    for (int i = 0; i < adp->heads; i++)
        longest = fmax(longest, direction_norm(adp, i));
    for (int i = 0; i < adp->heads; i++) {
        double norm = direction_norm(adp, i);
        for (int64_t k = 0; k < count && norm > 0; k++)
            adp->direction[i * count + k] *= (float)(longest / norm);
    }
}
