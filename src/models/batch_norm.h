/* Batch norms of finished networks, which are folded into the convolutions before them. */
#ifndef EQ_MODELS_BATCH_NORM_H
#define EQ_MODELS_BATCH_NORM_H

#include "io/tensor_file.h"
#include "tensor/params.h"

/* The file's tensor of that name and shape as float32 numbers, malloc'ed, the caller's. EQ_BAD_INPUT where it is not
 * there or of a type that weights do not have. */
eq_status eq_weights_take(eq_context *ctx, const eq_tensor_file *file, const char *name, eq_shape shape, float **out);

/* norm(w * x) = (gamma / sigma w) * x + beta - gamma / sigma mean, with the tensors `norm`.weight, .bias, .running_mean
 * and .running_var of the file. weight: [co, ...] in memory of its own, already that of the convolution; bias: [co] */
eq_status eq_batch_norm_fold(eq_context *ctx, const eq_tensor_file *file, const char *norm, double epsilon,
                             const eq_param *weight, eq_param *bias);

#endif
