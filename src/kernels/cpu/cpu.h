/* The cpu backend: plain C for the ops that are bound by memory, over f32 and bf16 storage, in float32. Results do not
 * depend on the number of threads. */
#ifndef EQ_KERNELS_CPU_CPU_H
#define EQ_KERNELS_CPU_CPU_H

#include "kernels/kernel.h"

extern const eq_kernel eq_cpu_conv2d;
extern const eq_kernel eq_cpu_conv2d_grad_input;
extern const eq_kernel eq_cpu_conv2d_grad_weight;
extern const eq_kernel eq_cpu_activation;
extern const eq_kernel eq_cpu_activation_grad;
extern const eq_kernel eq_cpu_add;
extern const eq_kernel eq_cpu_multiply;
extern const eq_kernel eq_cpu_scale;
extern const eq_kernel eq_cpu_cast;
extern const eq_kernel eq_cpu_concat;
extern const eq_kernel eq_cpu_slice;
extern const eq_kernel eq_cpu_slice_grad;
extern const eq_kernel eq_cpu_broadcast_to;
extern const eq_kernel eq_cpu_permute;
extern const eq_kernel eq_cpu_sum_to;
extern const eq_kernel eq_cpu_average_pool;
extern const eq_kernel eq_cpu_average_pool_grad;
extern const eq_kernel eq_cpu_halve;
extern const eq_kernel eq_cpu_halve_grad;
extern const eq_kernel eq_cpu_upsample;
extern const eq_kernel eq_cpu_upsample_grad;
extern const eq_kernel eq_cpu_group_norm;
extern const eq_kernel eq_cpu_group_norm_grad;
extern const eq_kernel eq_cpu_layer_norm;
extern const eq_kernel eq_cpu_layer_norm_grad;
extern const eq_kernel eq_cpu_softmax;
extern const eq_kernel eq_cpu_softmax_grad;
extern const eq_kernel eq_cpu_scale_shift;
extern const eq_kernel eq_cpu_scale_shift_grad;

#endif
