/* Trains the heads of attribute predictors on stored h-vectors and (pseudo-)labels. */
#ifndef EQ_TRAIN_ADP_TRAINER_H
#define EQ_TRAIN_ADP_TRAINER_H

#include "guidance/adp.h"
#include "train/h_store.h"

typedef struct eq_adp_training {
    int epochs; /* over the training part, a head */
    int batch;
    double learning_rate; /* AdamW's peak, on standardised h */
    double weight_decay;
    double held_out; /* share of the images kept for the accuracy; in (0, 0.9] */
    int hidden;      /* units of an MLP head; 0: linear */
    bool balance;    /* weigh classes by the inverse of their frequency */
    uint64_t seed;
} eq_adp_training;

eq_adp_training eq_adp_training_defaults(void);

typedef void (*eq_adp_progress_fn)(void *user, int heads_done, int heads);

/* labels: [store->images] class indices, -1 where unknown (not used). Heads are trained timestep by timestep with the
 * cross-entropy; h is standardised for training and the scales are folded into the weights. The accuracy of every head
 * on the held-out images is in out->accuracy (mean over classes of the share that is right). */
eq_status eq_adp_train(eq_context *ctx, const eq_adp_training *training, const eq_h_store *store,
                       const eq_attribute *attribute, const int *labels, eq_adp_progress_fn progress, void *user,
                       eq_adp *out);

#endif
