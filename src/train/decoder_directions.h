/* The directions in h that turn what the decoder draws, found through the decoder.
 *
 * Means of h differ between classes also by what the decoder does not read, and what it draws of thin details comes
 * over skip connections, too. So: at every timestep, the gradient of a classifier's log-probability of each class at
 * the predicted x_0, back through the decoder to h, averaged over images. It is computed once, in training; guidance
 * stays free of the classifier and of backward passes. */
#ifndef EQ_TRAIN_DECODER_DIRECTIONS_H
#define EQ_TRAIN_DECODER_DIRECTIONS_H

#include "diffusion/model.h"
#include "guidance/adp.h"
#include "models/classifier_file.h"

typedef struct eq_decoder_directions {
    const eq_model *model;                /* of pixels, without prompt; not owned */
    const eq_classifier_file *classifier; /* of images of the model's size; not owned */
    const float *images;                  /* [count, size, size, 3] in [-1, 1]; not owned */
    int64_t count, batch;                 /* a last batch that is not full is left out */
    eq_dtype dtype;
    uint64_t seed; /* of the noise */
    void (*progress)(void *user, int64_t done, int64_t total);
    void *user;
} eq_decoder_directions;

/* Gives adps[adp_count], all of the same timesteps, the directions of the classifier's attributes that they are of, of
 * the length that their directions have. What a direction would do to the classifier's other attributes, to first
 * order, is taken out of it. EQ_BAD_USAGE where the classifier does not know an attribute, or model and classifier do
 * not fit. */
eq_status eq_decoder_directions_find(eq_context *ctx, const eq_decoder_directions *job, eq_adp *adps, int adp_count);

/* gradients: [rows, count]. Takes the span of rows other than first..first + n - 1 out of those n: they are made
 * orthogonal to it. work: [rows, count]. */
void eq_remove_other_rows(const double *gradients, int rows, int first, int n, int64_t count, double *own,
                          double *work);

#endif
