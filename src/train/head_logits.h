/* Heads on stored h: their logits, and a change of them that is folded into their weights. */
#ifndef EQ_TRAIN_HEAD_LOGITS_H
#define EQ_TRAIN_HEAD_LOGITS_H

#include "guidance/adp.h"
#include "train/h_store.h"

/* Logits of one head, up to a constant each row, for `count` images of the store's timestep number t: those in
 * `images`, or the first ones where that is NULL. Lets go of the store's memory in time, and in the end. logits:
 * [count, classes] */
eq_status eq_head_logits(eq_context *ctx, const eq_adp *adp, int head, const eq_h_store *store, int t,
                         const int64_t *images, int64_t count, float *logits);

/* How well softmax(scale * z + offset) tells classes, all of which count alike: the mean over classes of the share of
 * their images that is told right. logits: z, as above for the same images; labels: of all images, -1 where unknown;
 * offset: [classes], NULL for none. NaN where no label is known. */
float eq_head_accuracy(const float *logits, const int *labels, const int64_t *images, int64_t count, int classes,
                       double scale, const double *offset);

/* Makes the head's logits z / temperature + offset. offset: [classes], NULL for none. */
void eq_head_adjust(eq_adp *adp, int head, double temperature, const double *offset);

#endif
