/* A classifier of images as guidance sees one: probabilities of a batch, and the way from a change of the logits back
 * to the pixels. What it is inside is the caller's business. */
#ifndef EQ_GUIDANCE_GUIDE_H
#define EQ_GUIDANCE_GUIDE_H

#include <stdint.h>

#include "equipoise/target.h"

enum { EQ_GUIDE_ATTRIBUTES = 16 };

typedef struct eq_guide {
    void *user;
    int attribute_count; /* 1 to EQ_GUIDE_ATTRIBUTES */
    const eq_attribute *attributes;
    /* x0: [n, height, width, 3], black at -1 and white at 1, of one size at all calls. logits: [attribute_count] of
     * [n, classes] out. */
    eq_status (*look)(void *user, const float *x0, int64_t n, float *const *logits);
    /* dlogits: [attribute_count] of [n, classes], the gradient of a loss. dx0: [n, height, width, 3] out, its gradient
     * at x0. */
    eq_status (*pull)(void *user, const float *x0, int64_t n, float *const *dlogits, float *dx0);
} eq_guide;

#endif
