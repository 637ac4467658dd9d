/* The reference backend: the plainest C that computes each op, in float32. Always built; everything faster is checked
 * against it. */
#ifndef EQ_KERNELS_REF_REF_H
#define EQ_KERNELS_REF_REF_H

#include "kernels/kernel.h"

extern const eq_kernel eq_ref_activation;
extern const eq_kernel eq_ref_activation_grad;
extern const eq_kernel eq_ref_add;
extern const eq_kernel eq_ref_constant;

#endif
