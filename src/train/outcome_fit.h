/* Heads of a balanced set of images answer as if every class were as frequent; the model at hand draws some classes
 * rarely. Distribution guidance compares the mean answer with the target, so each head is to say what will become of an
 * image: its scale and offsets are fitted to the model's own unguided samples. */
#ifndef EQ_TRAIN_OUTCOME_FIT_H
#define EQ_TRAIN_OUTCOME_FIT_H

#include "guidance/adp.h"
#include "train/h_store.h"

/* What became of n samples: softmax(scale * z + offset), by least cross-entropy, is the chance of each class.
 * z: [n, classes] logits; labels: [n] class indices, -1 where unknown; offset: [classes] out. */
void eq_outcome_fit(const float *z, const int *labels, int64_t n, int classes, double *scale, double *offset);

/* How well softmax(scale * z + offset) tells what became of them, had all classes been as frequent: the mean over
 * classes of the share that is right. NaN where no label is known. */
float eq_outcome_accuracy(const float *z, const int *labels, int64_t n, int classes, double scale,
                          const double *offset);

/* Fits every head of `adp` and folds the result into its last layer. store: h of samples at all of the heads'
 * timesteps, of the same model; labels: [store->images] what their images turned out to be, -1 where unknown. Its
 * outcome_accuracy is that on the samples. Heads are left as they are where a class did not come about at all:
 * EQ_BAD_INPUT names it. */
eq_status eq_adp_fit_outcomes(eq_context *ctx, const eq_h_store *store, const int *labels, eq_adp *adp);

#endif
