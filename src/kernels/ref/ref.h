/* The reference backend: the plainest C that computes each op, in float32. Always built; everything faster is checked
 * against it. */
#ifndef EQ_KERNELS_REF_REF_H
#define EQ_KERNELS_REF_REF_H

#include "kernels/kernel.h"

extern const eq_kernel eq_ref_activation;
extern const eq_kernel eq_ref_activation_grad;
extern const eq_kernel eq_ref_add;
extern const eq_kernel eq_ref_constant;
extern const eq_kernel eq_ref_sum_to;
extern const eq_kernel eq_ref_broadcast_to;
extern const eq_kernel eq_ref_cast;
extern const eq_kernel eq_ref_scale;
extern const eq_kernel eq_ref_scale_shift;
extern const eq_kernel eq_ref_scale_shift_grad;
extern const eq_kernel eq_ref_concat;
extern const eq_kernel eq_ref_slice;
extern const eq_kernel eq_ref_slice_grad;
extern const eq_kernel eq_ref_reshape;
extern const eq_kernel eq_ref_permute;
extern const eq_kernel eq_ref_upsample;
extern const eq_kernel eq_ref_upsample_grad;
extern const eq_kernel eq_ref_conv2d;
extern const eq_kernel eq_ref_conv2d_grad_input;
extern const eq_kernel eq_ref_conv2d_grad_weight;
extern const eq_kernel eq_ref_linear;
extern const eq_kernel eq_ref_linear_grad_input;
extern const eq_kernel eq_ref_linear_grad_weight;
extern const eq_kernel eq_ref_group_norm;
extern const eq_kernel eq_ref_group_norm_grad;
extern const eq_kernel eq_ref_timestep_embedding;
extern const eq_kernel eq_ref_mse;
extern const eq_kernel eq_ref_mse_grad;
extern const eq_kernel eq_ref_mae;
extern const eq_kernel eq_ref_mae_grad;
extern const eq_kernel eq_ref_gaussian_sample;
extern const eq_kernel eq_ref_gaussian_sample_grad;
extern const eq_kernel eq_ref_gaussian_kl;
extern const eq_kernel eq_ref_gaussian_kl_grad;
extern const eq_kernel eq_ref_matmul;
extern const eq_kernel eq_ref_attention;
extern const eq_kernel eq_ref_attention_grad;
extern const eq_kernel eq_ref_layer_norm;
extern const eq_kernel eq_ref_layer_norm_grad;
extern const eq_kernel eq_ref_embedding;
extern const eq_kernel eq_ref_embedding_grad;
extern const eq_kernel eq_ref_cross_entropy;
extern const eq_kernel eq_ref_cross_entropy_grad;
extern const eq_kernel eq_ref_multiply;
extern const eq_kernel eq_ref_softmax;
extern const eq_kernel eq_ref_softmax_grad;
extern const eq_kernel eq_ref_average_pool;
extern const eq_kernel eq_ref_average_pool_grad;
extern const eq_kernel eq_ref_max_pool;
extern const eq_kernel eq_ref_max_pool_grad;

/* Shared by kernels. */
float eq_ref_activate(eq_activation activation, float x);
float eq_ref_activation_derivative(eq_activation activation, float x);
/* x: [rows, columns]; sum: [columns] */
void eq_ref_sum_rows(const float *x, int64_t rows, int64_t columns, float *sum);

#endif
