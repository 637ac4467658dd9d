/* Random changes of training images that leave what they show as it is. */
#ifndef EQ_TRAIN_AUGMENT_H
#define EQ_TRAIN_AUGMENT_H

#include "base/rng.h"

/* image: [size, size, 3] in [-1, 1], changed in place: mirrored half of the time, shifted by up to a twentieth,
 * brightness, contrast and colour jittered, sometimes blurred, sometimes noisy. work: [size, size, 3]. */
void eq_augment(eq_rng *rng, float *image, int size, float *work);

#endif
