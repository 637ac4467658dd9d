/* The cpu backend: plain C for the ops that are bound by memory, over f32 and bf16 storage, in float32. Results do not
 * depend on the number of threads. */
#ifndef EQ_KERNELS_CPU_CPU_H
#define EQ_KERNELS_CPU_CPU_H

#include "kernels/kernel.h"

extern const eq_kernel eq_cpu_group_norm;
extern const eq_kernel eq_cpu_group_norm_grad;

#endif
