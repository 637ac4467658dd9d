/* AdamW (Loshchilov & Hutter, ICLR 2019) with gradient clipping by the global norm, warm-up and cosine decay, and an
 * exponential moving average of the parameters, over one flat array. */
#ifndef EQ_TRAIN_OPTIMISER_H
#define EQ_TRAIN_OPTIMISER_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

typedef struct eq_optimiser_options {
    double learning_rate; /* peak, above 0 */
    double beta1, beta2, epsilon;
    double weight_decay;
    double clip_norm; /* global norm of the gradient above which it is scaled down; 0: never */
    double ema_decay; /* in [0, 1); 0: the average is the parameters themselves */
    int64_t warmup_steps, total_steps;
    double final_fraction; /* of the learning rate at total_steps, after the cosine */
} eq_optimiser_options;

/* The state to checkpoint. All arrays [count], owned. */
typedef struct eq_optimiser {
    eq_optimiser_options options;
    size_t count;
    float *first_moment, *second_moment, *average;
    int64_t step; /* updates done */
} eq_optimiser;

eq_optimiser_options eq_optimiser_defaults(void);

/* parameters: [count], the average's start. */
eq_status eq_optimiser_open(eq_context *ctx, const eq_optimiser_options *options, const float *parameters, size_t count,
                            eq_optimiser *out);
void eq_optimiser_close(eq_optimiser *optimiser);

/* The learning rate of update number `step` (from 0). */
double eq_learning_rate(const eq_optimiser_options *options, int64_t step);

/* One update of parameters [count] with gradients [count]. Returns the gradient's norm before clipping; a norm that is
 * not finite leaves everything as it was but counts the step. */
double eq_optimiser_step(eq_optimiser *optimiser, float *parameters, const float *gradients);

#endif
