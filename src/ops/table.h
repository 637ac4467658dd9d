/* Rows of the op table, one extern a row. */
#ifndef EQ_OPS_TABLE_H
#define EQ_OPS_TABLE_H

#include "tensor/graph.h"

extern const eq_op eq_op_activation;
extern const eq_op eq_op_activation_grad;
extern const eq_op eq_op_add;
extern const eq_op eq_op_constant;
extern const eq_op eq_op_sum_to;
extern const eq_op eq_op_broadcast_to;
extern const eq_op eq_op_cast;
extern const eq_op eq_op_scale;
extern const eq_op eq_op_concat;
extern const eq_op eq_op_slice;
extern const eq_op eq_op_slice_grad;
extern const eq_op eq_op_permute;
extern const eq_op eq_op_upsample;
extern const eq_op eq_op_upsample_grad;
extern const eq_op eq_op_reshape;
extern const eq_op eq_op_scale_shift;
extern const eq_op eq_op_scale_shift_grad;
extern const eq_op eq_op_conv2d;
extern const eq_op eq_op_conv2d_grad_input;
extern const eq_op eq_op_conv2d_grad_weight;
extern const eq_op eq_op_linear;
extern const eq_op eq_op_linear_grad_input;
extern const eq_op eq_op_linear_grad_weight;
extern const eq_op eq_op_group_norm;
extern const eq_op eq_op_group_norm_grad;
extern const eq_op eq_op_timestep_embedding;
extern const eq_op eq_op_mse;
extern const eq_op eq_op_mse_grad;
extern const eq_op eq_op_mae;
extern const eq_op eq_op_mae_grad;
extern const eq_op eq_op_gaussian_sample;
extern const eq_op eq_op_gaussian_sample_grad;
extern const eq_op eq_op_gaussian_kl;
extern const eq_op eq_op_gaussian_kl_grad;
extern const eq_op eq_op_matmul;
extern const eq_op eq_op_attention;
extern const eq_op eq_op_attention_grad;
extern const eq_op eq_op_layer_norm;
extern const eq_op eq_op_layer_norm_grad;
extern const eq_op eq_op_embedding;
extern const eq_op eq_op_embedding_grad;
extern const eq_op eq_op_cross_entropy;
extern const eq_op eq_op_cross_entropy_grad;
extern const eq_op eq_op_multiply;
extern const eq_op eq_op_softmax;
extern const eq_op eq_op_softmax_grad;
extern const eq_op eq_op_average_pool;
extern const eq_op eq_op_average_pool_grad;
extern const eq_op eq_op_max_pool;
extern const eq_op eq_op_max_pool_grad;

#endif
